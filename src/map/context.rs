//! What every operation carries: its guard, its moment, its shard, and where it leaves what it
//! unlinked.
//!
//! **Invariant.** A record is retired once: by the thread that gives up the last structure's share
//! in it, or holds both shares. From then on no structure leads to it.
//!
//! **Progress.** Beginning an operation is wait-free. Leaving a record is lock-free.

use crate::cpu::shard;
use crate::map::record::{Record, at};
use crate::reclaim::retired::Retired;
use crate::reclaim::{Guard, Reclaim};
use crate::sync::{AtomicUsize, Ordering, Tally};
use crossbeam_utils::CachePadded;
use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::Arc;

/// What the operations of a map leave behind.
pub struct Remains<K: 'static, V: 'static> {
    /// Records that no structure leads to any more.
    pub retired: Retired<Record<K, V>>,
    /// Stale entries that came less those that went, by shard, wrapping.
    stale_entries: Box<[CachePadded<AtomicUsize>]>,
    /// Refused insertions that wait.
    refused: Arc<Tally>,
}

impl<K: 'static, V: 'static> Remains<K, V> {
    pub fn new(shards: usize) -> Self {
        let count = |_| CachePadded::new(AtomicUsize::new(0));
        Self {
            retired: Retired::new(shards),
            stale_entries: (0..shards).map(count).collect(),
            refused: Arc::default(),
        }
    }

    fn count_stale(&self, shard: usize, change: usize) {
        // Relaxed: a count.
        self.stale_entries[shard].fetch_add(change, Ordering::Relaxed);
    }

    /// Records that have ended, and whose token is still in the calendar.
    pub fn stale_entries(&self) -> usize {
        let sum = self.stale_entries.iter().fold(0, |sum: usize, shard| {
            sum.wrapping_add(shard.load(Ordering::Relaxed))
        });
        // Shards are read one after the other: a stale entry that went may be seen before it came.
        if sum > usize::MAX / 2 { 0 } else { sum }
    }

    /// Records that wait for their grace period, or to be freed: those that were retired, and those
    /// of refused insertions.
    pub fn garbage(&self) -> usize {
        self.retired.garbage() + self.refused.get()
    }

    /// For a map that is being dropped: a structure lets go, and the last one frees without a grace
    /// period.
    pub fn free_if_last(&self, record: &Record<K, V>) {
        if record.release_structural() {
            // SAFETY: the map is being dropped, so that no operation leads to the record, and the
            // last structure has let go.
            unsafe { self.retired.release(NonNull::from(record)) };
        }
    }
}

/// A pinned operation.
pub struct Context<'m, K: 'static, V: 'static> {
    pub guard: Guard,
    /// The time the operation takes place at, in the clock's milliseconds.
    pub now: u64,
    /// Empty until it is asked for: look-ups do not.
    shard: Cell<Option<usize>>,
    /// Where it leaves what it unlinks.
    remains: &'m Remains<K, V>,
}

impl<'m, K: 'static, V: 'static> Context<'m, K, V> {
    #[inline]
    pub fn new(remains: &'m Remains<K, V>, now: u64) -> Self {
        Self {
            guard: Guard::pin(),
            now,
            shard: Cell::new(None),
            remains,
        }
    }

    /// The shard that the operation goes on with, wherever it is moved.
    pub fn shard(&self) -> usize {
        self.shard.get().unwrap_or_else(|| self.choose_shard())
    }

    #[cold]
    #[inline(never)]
    fn choose_shard(&self) -> usize {
        let shard = shard::current(self.remains.retired.shards());
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

    /// The successor that a replaced record of this operation names. Its life begins with the
    /// replacement: a thread that follows the word starts it, if that is still owed.
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

    /// The count of refused insertions that wait.
    pub fn refused(&self) -> &Arc<Tally> {
        &self.remains.refused
    }

    /// Gives up a structure's share in the record. The last one retires it.
    pub fn release(&self, record: &Record<K, V>) {
        if record.release_structural() {
            self.retire(record);
        }
    }

    /// Retires a record of which the caller has both shares.
    pub fn retire(&self, record: &Record<K, V>) {
        self.remains
            .retired
            .retire(record, self.shard(), &self.guard);
    }

    /// The calendar has let go of a record that had ended before.
    pub fn release_stale(&self, record: &Record<K, V>) {
        self.remains.count_stale(self.shard(), usize::MAX);
        self.release(record);
    }

    /// A record has ended, and its token is still in the calendar.
    pub fn note_stale(&self) {
        self.remains.count_stale(self.shard(), 1);
    }
}
