//! Reclamation: what was unlinked is freed when no thread can be reading it any more.
//!
//! **Contract.** What is retired was unreachable before, for every thread that pins from then on. A
//! deferred action runs, and a stamp is over, only when each guard that was held at the time of the
//! call is gone.
//!
//! **Two implementations**, chosen when the crate is built: the epochs of `epoch`; and under loom
//! and shuttle `spec`, the contract as a specification. The epochs make loom's search larger by
//! five orders of magnitude and, in small models, free nothing, so that they find no use after
//! retirement.
//!
//! **Progress.** Pinning and deferring are lock-free. A thread that stays pinned delays the freeing
//! of what is retired after it pinned, and nothing else.

/// What the map asks of a reclamation scheme.
pub trait Reclaim: Sized {
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

    /// What a process does before its first operation, so that the operation need not: when a map
    /// is built.
    fn prepare() {}

    /// Whether each operation pays for a fence, since the system offers no asymmetric barrier, or
    /// no more.
    fn uses_fences() -> bool {
        true
    }
}

#[cfg(not(dwell_shuttle))]
mod deferred;
#[cfg(not(dwell_shuttle))]
pub mod epoch;
#[cfg(any(not(any(dwell_loom, dwell_shuttle)), dwell_epoch))]
mod guard;
pub mod retired;
#[cfg(all(any(dwell_loom, dwell_shuttle), not(dwell_epoch)))]
pub mod spec;

#[cfg(any(not(any(dwell_loom, dwell_shuttle)), dwell_epoch))]
pub use guard::{Guard, Mark};
#[cfg(all(any(dwell_loom, dwell_shuttle), not(dwell_epoch)))]
pub use spec::{Guard, Mark};
