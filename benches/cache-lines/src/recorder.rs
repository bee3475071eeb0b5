//! The notes of one thread.

use dwell::internals::sync::{Kind, count_accesses};
use std::cell::RefCell;
use std::panic::Location;

/// Bytes of a cache line.
const LINE: usize = 64;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Access {
    /// The number of the cache line.
    pub line: usize,
    pub kind: Kind,
    pub place: &'static Location<'static>,
}

thread_local! {
    static NOTES: RefCell<Option<Vec<Access>>> = const { RefCell::new(None) };
}

fn note(address: usize, kind: Kind, place: &'static Location<'static>) {
    let access = Access {
        line: address / LINE,
        kind,
        place,
    };
    // A thread whose locals are gone takes no notes.
    let _ = NOTES.try_with(|notes| {
        if let Some(notes) = &mut *notes.borrow_mut() {
            assert!(notes.len() < notes.capacity(), "an operation without end");
            notes.push(access);
        }
    });
}

/// What `act` accesses; `most` accesses at most. Allocates once.
pub(crate) fn notes_of(most: usize, act: impl FnOnce()) -> Vec<Access> {
    count_accesses(note);
    NOTES.with(|notes| *notes.borrow_mut() = Some(Vec::with_capacity(most)));
    act();
    NOTES
        .with(|notes| notes.borrow_mut().take())
        .unwrap_or_default()
}
