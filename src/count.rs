//! A count: written often, read seldom, and ordering nothing.

use crate::sync::{AtomicU64, Ordering};
use crossbeam_utils::CachePadded;

/// Counts up. On a cache line of its own, so that counting disturbs nobody else.
#[derive(Debug)]
pub(crate) struct Count(CachePadded<AtomicU64>);

impl Default for Count {
    fn default() -> Self {
        Self(CachePadded::new(AtomicU64::new(0)))
    }
}

// Relaxed: a count orders nothing.
impl Count {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn one(&self) {
        self.add(1);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down: two counts, of which neither ever wraps.
#[derive(Debug, Default)]
pub(crate) struct Balance {
    up: Count,
    down: Count,
}

impl Balance {
    pub(crate) fn up(&self, by: u64) {
        self.up.add(by);
    }

    pub(crate) fn down(&self, by: u64) {
        self.down.add(by);
    }

    /// What went up, less what went down. Never negative.
    pub(crate) fn get(&self) -> u64 {
        // Down first: what is seen to go down without having gone up would make the difference negative.
        let down = self.down.get();
        self.up.get().saturating_sub(down)
    }
}
