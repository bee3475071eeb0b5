//! Reclamation: what was unlinked is freed when nobody can be reading it any more.
//!
//! **Contract.** What is retired was unreachable before, for every thread that pins from then on. A
//! deferred action runs, and a stamp is over, only when each guard that was held at the time of the call is gone.
//!
//! **Two implementations**, chosen when the crate is built. `real` is the scheme of the file `epoch`. Under loom,
//! `graveyard` is a specification of the contract: it runs all deferred actions at the end of the
//! model, lets no stamp be over, and asserts at each read of a record that its reader was pinned before it was retired. The
//! real collector makes loom's search larger by five orders of magnitude and, in small models, frees
//! nothing, so that it finds no use after retirement.
//!
//! **Progress.** Pinning and deferring are lock-free. A thread that stays pinned delays the freeing of
//! what is retired after it pinned, and nothing else.

/// What the map asks of a reclamation scheme.
pub(crate) trait Reclaim: Sized {
    /// Enters a read-side critical section that ends when the guard is dropped.
    fn pin() -> Self;

    /// Runs `action` on any thread when every guard of now is gone.
    ///
    /// # Safety
    /// The action must be sound to run on any thread at any later time.
    unsafe fn defer<F: FnOnce() + 'static>(&self, action: F);

    /// The time of now, for what was unlinked before this call.
    fn stamp(&self) -> usize;

    /// Whether every guard that was held at the time of the stamp is gone.
    fn is_over(&self, stamp: usize) -> bool;

    /// Counts writes. From time to time one of them runs due actions.
    fn count_writes(&self, writes: usize);

    /// Runs due actions, and helps those that are not due yet on their way.
    fn flush(&self);
}

#[cfg(any(not(dwell_loom), dwell_epoch))]
mod real {
    use super::super::epoch::{Domain, Slot};
    use super::Reclaim;
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
            // Whoever comes here while the thread's locals are dropped would not be told of its exit.
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
    pub(crate) struct Guard {
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
    pub(crate) struct Mark;

    impl Mark {
        #[inline]
        pub(crate) fn new() -> Self {
            Self
        }
        #[inline]
        pub(crate) fn retire(&self) {}
        #[inline]
        pub(crate) fn check(&self, _guard: &Guard) {}
    }
}

#[cfg(any(not(dwell_loom), dwell_epoch))]
pub(crate) use real::{Guard, Mark};

#[cfg(all(dwell_loom, not(dwell_epoch)))]
mod graveyard {
    use super::Reclaim;
    use core::sync::atomic::Ordering;
    // The oracle's own state is std's, so that loom neither explores nor orders by it.
    use std::sync::Mutex;
    use std::sync::atomic::AtomicUsize;

    loom::lazy_static! {
        /// Counts retirements. A pin reads it, a retirement raises it: all the synchronisation that
        /// the contract promises, and no more.
        static ref CLOCK: loom::sync::atomic::AtomicUsize = loom::sync::atomic::AtomicUsize::new(0);
        static ref GRAVES: Graves = Graves::default();
    }

    #[derive(Default)]
    struct Graves(Mutex<Vec<Action>>);

    struct Action(Box<dyn FnOnce()>);
    // SAFETY: `Reclaim::defer` demands an action that may run on any thread.
    unsafe impl Send for Action {}

    impl Drop for Graves {
        fn drop(&mut self) {
            let actions = core::mem::take(self.0.get_mut().unwrap());
            if std::thread::panicking() {
                core::mem::forget(actions);
                return;
            }
            for action in actions {
                (action.0)();
            }
        }
    }

    /// A pinned thread: the clock at the time it pinned.
    #[derive(Debug)]
    pub(crate) struct Guard(usize);

    impl Reclaim for Guard {
        fn pin() -> Self {
            Self(CLOCK.load(Ordering::Acquire))
        }

        unsafe fn defer<F: FnOnce() + 'static>(&self, action: F) {
            GRAVES.0.lock().unwrap().push(Action(Box::new(action)));
        }

        fn stamp(&self) -> usize {
            0
        }

        fn is_over(&self, _stamp: usize) -> bool {
            false
        }

        fn count_writes(&self, _writes: usize) {}

        fn flush(&self) {}
    }

    /// When the record was retired; 0 while it was not.
    #[derive(Debug)]
    pub(crate) struct Mark(AtomicUsize);

    impl Mark {
        pub(crate) fn new() -> Self {
            Self(AtomicUsize::new(0))
        }

        pub(crate) fn retire(&self) {
            let now = CLOCK.fetch_add(1, Ordering::Release) + 1;
            let before = self.0.swap(now, Ordering::Relaxed);
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
}

#[cfg(all(dwell_loom, not(dwell_epoch)))]
pub(crate) use graveyard::{Guard, Mark};
