//! What every operation carries: its guard, its moment, and where it leaves what it unlinked.

use crate::cpu::shard;
use crate::map::record::{Record, at};
use crate::reclaim::retired::Limbo;
use crate::reclaim::{Guard, Reclaim};
use std::cell::Cell;

/// A pinned operation.
pub struct Visit<'m, K: 'static, V: 'static> {
    pub guard: Guard,
    /// The time the operation takes place at, in the clock's milliseconds.
    pub now: u64,
    /// Empty until it is asked for: look-ups do not.
    lane: Cell<Option<usize>>,
    limbo: &'m Limbo<K, V>,
}

impl<'m, K: 'static, V: 'static> Visit<'m, K, V> {
    #[inline]
    pub fn new(limbo: &'m Limbo<K, V>, now: u64) -> Self {
        Self {
            guard: Guard::pin(),
            now,
            lane: Cell::new(None),
            limbo,
        }
    }

    /// The lane that the operation goes on with, wherever it is moved.
    pub fn lane(&self) -> usize {
        self.lane.get().unwrap_or_else(|| self.choose_lane())
    }

    #[cold]
    #[inline(never)]
    fn choose_lane(&self) -> usize {
        let lane = shard::current(self.limbo.lanes());
        self.lane.set(Some(lane));
        lane
    }

    /// A record that was found during this visit.
    ///
    /// # Safety
    /// As for [`at`].
    #[inline]
    pub unsafe fn at(&self, record: *mut Record<K, V>) -> &Record<K, V> {
        // SAFETY: the caller vouches for the record.
        unsafe { at(record, &self.guard) }
    }

    /// The successor that a replaced record of this visit names. Its life begins with the replacement: who
    /// follows the word starts it, if that is still owed.
    ///
    /// # Safety
    /// As for [`at`].
    #[inline]
    pub unsafe fn follow(&self, successor: *mut Record<K, V>) -> &Record<K, V> {
        // SAFETY: the caller vouches for the record.
        let successor = unsafe { self.at(successor) };
        successor.life.commit();
        successor
    }

    /// Gives up a structure's share in the record.
    pub fn left(&self, record: &Record<K, V>) {
        self.limbo.left(record, self.lane(), &self.guard);
    }

    /// Retires a record of which the caller has both shares.
    pub fn retire(&self, record: &Record<K, V>) {
        self.limbo.retire(record, self.lane(), &self.guard);
    }

    /// The calendar has let go of a record that had ended before.
    pub fn left_shell(&self, record: &Record<K, V>) {
        self.limbo.count_shells(self.lane(), usize::MAX);
        self.left(record);
    }

    /// A record has ended, and its token is still in the calendar.
    pub fn leave_shell(&self) {
        self.limbo.count_shells(self.lane(), 1);
    }
}
