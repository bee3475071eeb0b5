//! Reclamation as a specification in which grace periods end: a stamp is over at the first moment at which the contract
//! allows it, when the last guard that was held at its time is gone. Deferred actions run at the end of the model.
//!
//! All that the contract orders goes through one word: who sees that a stamp is over comes after all that was done under
//! the guards that were held at its time, and who pins afterwards sees what was unlinked before it.

use core::sync::atomic::Ordering;
// The oracle's own state is std's, so that loom neither explores nor orders by it.
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

/// What the map asks of a reclamation scheme: see `src/map/reclaim.rs`.
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

struct Visitors {
    /// Counts pins. The pin that raised it from *m* was made at *m*.
    moment: loom::sync::atomic::AtomicUsize,
    held: Mutex<BTreeSet<usize>>,
    actions: Mutex<Vec<Action>>,
}

struct Action(Box<dyn FnOnce()>);
// SAFETY: `Reclaim::defer` demands an action that may run on any thread.
unsafe impl Send for Action {}

loom::lazy_static! {
    static ref VISITORS: Visitors = Visitors {
        moment: loom::sync::atomic::AtomicUsize::new(0),
        held: Mutex::default(),
        actions: Mutex::default(),
    };
}

impl Drop for Visitors {
    fn drop(&mut self) {
        let actions = core::mem::take(self.actions.get_mut().unwrap());
        if std::thread::panicking() {
            core::mem::forget(actions);
            return;
        }
        for action in actions {
            (action.0)();
        }
    }
}

/// A pinned thread: the moment at which it was pinned.
#[derive(Debug)]
pub(crate) struct Guard(usize);

impl Reclaim for Guard {
    fn pin() -> Self {
        let moment = VISITORS.moment.fetch_add(1, Ordering::Acquire);
        VISITORS.held.lock().unwrap().insert(moment);
        Self(moment)
    }

    unsafe fn defer<F: FnOnce() + 'static>(&self, action: F) {
        let mut actions = VISITORS.actions.lock().unwrap();
        actions.push(Action(Box::new(action)));
    }

    fn stamp(&self) -> usize {
        VISITORS.moment.fetch_add(0, Ordering::Release)
    }

    fn is_over(&self, stamp: usize) -> bool {
        VISITORS.moment.fetch_add(0, Ordering::Acquire);
        let held = VISITORS.held.lock().unwrap();
        held.first().is_none_or(|&oldest| oldest >= stamp)
    }

    fn count_writes(&self, _writes: usize) {}

    fn flush(&self) {}
}

impl Drop for Guard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        VISITORS.moment.fetch_add(0, Ordering::Release);
        VISITORS.held.lock().unwrap().remove(&self.0);
    }
}

/// Whether a record was retired.
#[derive(Debug)]
pub(crate) struct Mark(AtomicUsize);

impl Mark {
    pub(crate) fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    pub(crate) fn retire(&self) {
        let before = self.0.swap(1, Ordering::Relaxed);
        assert_eq!(before, 0, "a record was retired twice");
    }

    pub(crate) fn check(&self, _guard: &Guard) {}
}
