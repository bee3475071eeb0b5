//! A timestamp beside the value: how a map without expiry is made an idle map.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{IDLE, Value, updated};

pub struct Entry {
    last: AtomicU64,
    value: Value,
}

impl Entry {
    pub fn new(now: u64, value: Value) -> Self {
        Self {
            last: AtomicU64::new(now),
            value,
        }
    }

    /// `TICK`: write only if the clock has moved since.
    #[inline]
    pub fn read<const TICK: bool, R>(&self, now: u64, read: impl FnOnce(&Value) -> R) -> R {
        if !TICK || self.last.load(Relaxed) != now {
            self.last.store(now, Relaxed);
        }
        read(&self.value)
    }

    #[inline]
    pub fn update(&mut self, now: u64) {
        *self = self.updated(now);
    }

    #[inline]
    pub fn updated(&self, now: u64) -> Self {
        Self::new(now, updated(&self.value))
    }

    #[inline]
    pub fn is_due(&self, now: u64) -> bool {
        self.last.load(Relaxed) + IDLE.as_millis() as u64 <= now
    }
}

impl Clone for Entry {
    fn clone(&self) -> Self {
        Self::new(self.last.load(Relaxed), self.value)
    }
}

/// A pass over all entries that ends those that are due.
pub struct Sweep {
    now: u64,
    pub ended: usize,
}

impl Sweep {
    pub fn at(now: u64) -> Self {
        Self { now, ended: 0 }
    }

    pub fn keeps(&mut self, entry: &Entry) -> bool {
        let is_due = entry.is_due(self.now);
        self.ended += usize::from(is_due);
        !is_due
    }
}
