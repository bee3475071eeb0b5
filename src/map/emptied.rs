//! How often a chunk of any arena became empty: so that collections need not look for nothing. Who gives a cell back knows
//! the chunk, but not the arena, which may be gone.
//!
//! **Invariant.** A chunk that became empty before a count was taken is seen empty by who took it: either a collection clears
//! it, or the count that the collection has set is not current any more.
//!
//! **Progress.** Wait-free.

use crate::sync::{AtomicUsize, Ordering};

#[cfg(not(dwell_loom))]
static EMPTIED: AtomicUsize = AtomicUsize::new(0);
#[cfg(dwell_loom)]
loom::lazy_static! {
    static ref EMPTIED: AtomicUsize = AtomicUsize::new(0);
}

/// A chunk has become empty.
pub(crate) fn note() {
    // Release: pairs with `count`.
    EMPTIED.fetch_add(1, Ordering::Release);
}

/// How often that was noted.
pub(crate) fn count() -> usize {
    // Acquire: pairs with `note`, so that the chunks are seen empty.
    EMPTIED.load(Ordering::Acquire)
}

/// The count that an arena has acted on.
#[derive(Debug)]
pub(crate) struct Seen(AtomicUsize);

impl Seen {
    pub(crate) fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    // Relaxed in both: it only says whether to look, and who looks takes the count.

    pub(crate) fn is_current(&self) -> bool {
        self.0.load(Ordering::Relaxed) == EMPTIED.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, count: usize) {
        self.0.store(count, Ordering::Relaxed);
    }
}
