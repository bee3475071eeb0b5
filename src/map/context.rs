//! What every operation carries: its guard, its moment, and where it leaves what it unlinked.

use crate::cpu::shard;
use crate::map::record::{Record, at};
use crate::reclaim::retired::Retired;
use crate::reclaim::{Guard, Reclaim};
use std::cell::Cell;

/// A pinned operation.
pub struct Context<'m, K: 'static, V: 'static> {
    pub guard: Guard,
    /// The time the operation takes place at, in the clock's milliseconds.
    pub now: u64,
    /// Empty until it is asked for: look-ups do not.
    shard: Cell<Option<usize>>,
    retired: &'m Retired<K, V>,
}

impl<'m, K: 'static, V: 'static> Context<'m, K, V> {
    #[inline]
    pub fn new(retired: &'m Retired<K, V>, now: u64) -> Self {
        Self {
            guard: Guard::pin(),
            now,
            shard: Cell::new(None),
            retired,
        }
    }

    /// The shard that the operation goes on with, wherever it is moved.
    pub fn shard(&self) -> usize {
        self.shard.get().unwrap_or_else(|| self.choose_shard())
    }

    #[cold]
    #[inline(never)]
    fn choose_shard(&self) -> usize {
        let shard = shard::current(self.retired.shards());
        self.shard.set(Some(shard));
        shard
    }

    /// A record that was found during this operation.
    ///
    /// # Safety
    /// As for [`at`].
    #[inline]
    pub unsafe fn at(&self, record: *mut Record<K, V>) -> &Record<K, V> {
        // SAFETY: the caller vouches for the record.
        unsafe { at(record, &self.guard) }
    }

    /// The successor that a replaced record of this operation names. Its life begins with the replacement: who
    /// follows the word starts it, if that is still owed.
    ///
    /// # Safety
    /// As for [`at`].
    #[inline]
    pub unsafe fn follow(&self, successor: *mut Record<K, V>) -> &Record<K, V> {
        // SAFETY: the caller vouches for the record.
        let successor = unsafe { self.at(successor) };
        successor.status.commit();
        successor
    }

    /// Gives up a structure's share in the record.
    pub fn release(&self, record: &Record<K, V>) {
        self.retired.release(record, self.shard(), &self.guard);
    }

    /// Retires a record of which the caller has both shares.
    pub fn retire(&self, record: &Record<K, V>) {
        self.retired.retire(record, self.shard(), &self.guard);
    }

    /// The calendar has let go of a record that had ended before.
    pub fn release_stale(&self, record: &Record<K, V>) {
        self.retired.count_stale(self.shard(), usize::MAX);
        self.release(record);
    }

    /// A record has ended, and its token is still in the calendar.
    pub fn note_stale(&self) {
        self.retired.count_stale(self.shard(), 1);
    }
}
