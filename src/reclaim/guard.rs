//! Guards of the epoch scheme: one domain for the process, and a slot for each thread.

use super::Reclaim;
use super::epoch::{Domain, Slot};
use std::marker::PhantomData;

#[cfg(not(dwell_loom))]
mod current {
    use super::{Domain, Slot};
    use std::cell::Cell;

    pub(super) static DOMAIN: Domain = Domain::new();

    thread_local! {
        // Two, so that reading the first needs no look at whether its destructor has run.
        static SLOT: Cell<Option<&'static Slot>> = const { Cell::new(None) };
        static EXIT: Exit = const { Exit };
    }

    struct Exit;

    impl Drop for Exit {
        fn drop(&mut self) {
            give_back();
        }
    }

    /// This thread's slot.
    #[inline]
    pub(super) fn slot() -> &'static Slot {
        SLOT.get().unwrap_or_else(claim)
    }

    #[cold]
    fn claim() -> &'static Slot {
        // A thread whose locals are being dropped would not be told of its exit.
        let is_exiting = EXIT.try_with(|_| ()).is_err();
        let slot = DOMAIN.claim(is_exiting);
        SLOT.set(Some(slot));
        slot
    }

    #[cold]
    pub(super) fn give_back() {
        if let Some(slot) = SLOT.take() {
            slot.release();
        }
    }
}

#[cfg(dwell_loom)]
mod current {
    use super::{Domain, Slot};

    loom::lazy_static! {
        pub(super) static ref DOMAIN: Domain = Domain::new();
    }
    loom::thread_local! {
        static SLOT: std::cell::Cell<Option<&'static Slot>> = std::cell::Cell::new(None);
    }

    /// A slot for one guard: loom does not say when a thread exits.
    pub(super) fn slot() -> &'static Slot {
        SLOT.with(|slot| {
            slot.get().unwrap_or_else(|| {
                let claimed = DOMAIN.claim(true);
                slot.set(Some(claimed));
                claimed
            })
        })
    }

    pub(super) fn give_back() {
        SLOT.with(|slot| {
            if let Some(slot) = slot.take() {
                slot.release();
            }
        });
    }
}

/// A pinned thread.
#[derive(Debug)]
pub struct Guard {
    slot: &'static Slot,
    /// Not to be moved to another thread: the slot is this one's.
    thread: PhantomData<*mut ()>,
}

impl Reclaim for Guard {
    #[inline]
    fn pin() -> Self {
        let slot = current::slot();
        current::DOMAIN.pin(slot);
        Self {
            slot,
            thread: PhantomData,
        }
    }

    unsafe fn defer<F: FnOnce() + 'static>(&self, action: F) {
        // SAFETY: the caller vouches for the action.
        unsafe { current::DOMAIN.defer(self.slot, Box::new(action)) }
    }

    fn stamp(&self) -> usize {
        current::DOMAIN.epoch()
    }

    fn is_over(&self, stamp: usize) -> bool {
        Domain::is_over(stamp, current::DOMAIN.epoch())
    }

    fn count_writes(&self, writes: usize) {
        current::DOMAIN.count_writes(self.slot, writes);
    }

    fn flush(&self) {
        current::DOMAIN.flush();
    }

    fn prepare() {
        current::DOMAIN.prepare();
    }

    fn uses_fences() -> bool {
        current::DOMAIN.uses_fences()
    }
}

impl Drop for Guard {
    #[inline]
    fn drop(&mut self) {
        if Domain::unpin(self.slot) {
            current::give_back();
        }
    }
}

/// Nothing: this scheme really frees.
#[derive(Debug)]
pub struct Mark;

impl Mark {
    #[inline]
    pub fn new() -> Self {
        Self
    }
    #[inline]
    pub fn retire(&self) {}
    #[inline]
    pub fn check(&self, _guard: &Guard) {}
}
