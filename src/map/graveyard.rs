//! Reclamation under shuttle: the contract of `reclaim`, as a specification.
//!
//! An action runs at the first moment at which the contract allows it: when the last guard that was held at
//! the time of the call is dropped; and a stamp is over from that moment on. No scheme frees earlier, so that a schedule under which something is
//! freed too early for the map is not hidden by the scheme's own slowness. Each read of a record asserts that
//! its reader was pinned before the record was retired.
//!
//! shuttle runs all threads of an execution on one thread of the operating system, which owns the state.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};

/// What the map asks of a reclamation scheme: see `reclaim.rs`.
pub(crate) trait Reclaim: Sized {
    fn pin() -> Self;

    /// # Safety
    /// The action must be sound to run on any thread at any later time.
    unsafe fn defer<F: FnOnce() + 'static>(&self, action: F);

    fn stamp(&self) -> usize;

    fn is_over(&self, stamp: usize) -> bool;

    fn count_writes(&self, writes: usize);

    fn flush(&self);
}

/// Moments are numbers of pins, retirements and calls of `defer`.
#[derive(Default)]
struct Graves {
    moments: u64,
    /// The moments at which the guards were made that are held.
    held: BTreeSet<u64>,
    /// In the order of their moments.
    actions: VecDeque<(u64, Box<dyn FnOnce()>)>,
}

thread_local! {
    static GRAVES: RefCell<Graves> = RefCell::default();
}

impl Graves {
    fn next_moment(&mut self) -> u64 {
        self.moments += 1;
        self.moments
    }

    fn next_due(&mut self) -> Option<Box<dyn FnOnce()>> {
        let (moment, _) = self.actions.front()?;
        if self.held.first().is_some_and(|oldest| oldest < moment) {
            return None;
        }
        self.actions.pop_front().map(|(_, action)| action)
    }
}

impl Drop for Graves {
    fn drop(&mut self) {
        // Left over from an execution that failed: its atomics cannot be used any more.
        core::mem::forget(core::mem::take(&mut self.actions));
    }
}

/// A pinned thread: the moment at which it was pinned.
#[derive(Debug)]
pub(crate) struct Guard(u64);

impl Reclaim for Guard {
    fn pin() -> Self {
        GRAVES.with_borrow_mut(|graves| {
            let moment = graves.next_moment();
            graves.held.insert(moment);
            Self(moment)
        })
    }

    unsafe fn defer<F: FnOnce() + 'static>(&self, action: F) {
        GRAVES.with_borrow_mut(|graves| {
            let moment = graves.next_moment();
            graves.actions.push_back((moment, Box::new(action)));
        });
    }

    fn stamp(&self) -> usize {
        GRAVES.with_borrow_mut(Graves::next_moment) as usize
    }

    fn is_over(&self, stamp: usize) -> bool {
        let oldest = GRAVES.with_borrow(|graves| graves.held.first().copied());
        oldest.is_none_or(|oldest| oldest > stamp as u64)
    }

    fn count_writes(&self, _writes: usize) {}

    fn flush(&self) {}
}

impl Drop for Guard {
    fn drop(&mut self) {
        GRAVES.with_borrow_mut(|graves| graves.held.remove(&self.0));
        if std::thread::panicking() {
            return;
        }
        while let Some(action) = GRAVES.with_borrow_mut(Graves::next_due) {
            action();
        }
    }
}

/// When the record was retired; 0 while it was not.
#[derive(Debug)]
pub(crate) struct Mark(AtomicU64);

impl Mark {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    pub(crate) fn retire(&self) {
        let moment = GRAVES.with_borrow_mut(Graves::next_moment);
        let before = self.0.swap(moment, Ordering::Relaxed);
        assert_eq!(before, 0, "a record was retired twice");
    }

    pub(crate) fn check(&self, guard: &Guard) {
        let retired = self.0.load(Ordering::Relaxed);
        assert!(
            retired == 0 || retired > guard.0,
            "a record was read by a thread that pinned after it was retired"
        );
    }
}
