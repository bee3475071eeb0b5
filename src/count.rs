//! Counts: written often, read seldom, and ordering nothing.

use crate::sync::{AtomicU64, Ordering};
use crossbeam_utils::CachePadded;

/// Counts up. On a cache line of its own, so that counting disturbs no other thread.
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
        // Down first: what is seen to go down without having gone up would make the difference
        // negative.
        let down = self.down.get();
        self.up.get().saturating_sub(down)
    }
}

/// Room for so much: taken without waiting, or refused.
#[derive(Debug)]
pub(crate) struct Room {
    taken: CachePadded<AtomicU64>,
    most: u64,
}

impl Room {
    pub(crate) fn new(most: u64) -> Self {
        Self {
            taken: CachePadded::new(AtomicU64::new(0)),
            most,
        }
    }

    /// Takes some if there is any left. What is taken exceeds the room by less than the last one
    /// that got some.
    pub(crate) fn take(&self, size: u64) -> bool {
        let mut taken = self.taken.load(Ordering::Relaxed);
        while taken < self.most {
            let more = taken.saturating_add(size);
            let exchanged =
                self.taken
                    .compare_exchange(taken, more, Ordering::Relaxed, Ordering::Relaxed);
            match exchanged {
                Ok(_) => return true,
                Err(now) => taken = now,
            }
        }
        false
    }

    /// Gives back what was taken.
    pub(crate) fn give_back(&self, size: u64) {
        self.taken.fetch_sub(size, Ordering::Relaxed);
    }
}

/// Counts up until a caller takes what was counted.
#[derive(Debug)]
pub(crate) struct Tally(CachePadded<AtomicU64>);

impl Default for Tally {
    fn default() -> Self {
        Self(CachePadded::new(AtomicU64::new(0)))
    }
}

impl Tally {
    /// Counts one. Whether it is the first since a caller took what was counted.
    pub(crate) fn one(&self) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed) == 0
    }

    /// What was counted since the last time.
    pub(crate) fn take(&self) -> u64 {
        self.0.swap(0, Ordering::Relaxed)
    }
}
