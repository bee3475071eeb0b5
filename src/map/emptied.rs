//! How often a chunk of any arena became empty: so that collections need not look for nothing. Who gives a cell back knows
//! the chunk, but not the arena, which may be gone.
//!
//! No part of a protocol: it saves work, and decides nothing.

use std::sync::atomic::{AtomicUsize, Ordering};

static EMPTIED: AtomicUsize = AtomicUsize::new(0);

pub(crate) fn note() {
    // Release: pairs with `count`, after which the chunk is seen empty.
    EMPTIED.fetch_add(1, Ordering::Release);
}

pub(crate) fn count() -> usize {
    EMPTIED.load(Ordering::Acquire)
}

/// The count that an arena has acted on.
#[derive(Debug, Default)]
pub(crate) struct Seen(AtomicUsize);

impl Seen {
    pub(crate) fn is_current(&self) -> bool {
        self.0.load(Ordering::Relaxed) == EMPTIED.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, count: usize) {
        self.0.store(count, Ordering::Relaxed);
    }
}
