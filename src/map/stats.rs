//! Counters, by shard so that threads do not write to each other's cache lines.

use crate::sync::{AtomicU64, AtomicUsize, Ordering, fence};
use crossbeam_utils::CachePadded;

/// Why a record left the map.
///
/// ```
/// use dwell::{IdleMap, RemovalCause};
/// use std::sync::{Arc, Mutex};
///
/// let seen = Arc::new(Mutex::new(Vec::new()));
/// let log = Arc::clone(&seen);
/// let map = IdleMap::<u64, &str>::builder()
///     .on_removal(move |handle, cause| log.lock().unwrap().push((*handle.key(), cause)))
///     .build()?;
/// map.insert(1, "value");
/// map.remove(&1);
/// assert_eq!(*seen.lock().unwrap(), [(1, RemovalCause::Removed)]);
/// # Ok::<(), dwell::BuildError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RemovalCause {
    /// It was not accessed for its idle timeout.
    ExpiredIdle,
    /// It reached its absolute deadline.
    ExpiredLifetime,
    /// The map was full, or [`evict`](crate::IdleMap::evict) was called.
    Evicted,
    /// It was removed by its key, by `retain` or by `clear`.
    Removed,
    /// Another value was inserted under its key.
    Replaced,
}

/// What [`IdleMap::stats`](crate::IdleMap::stats) returns: counts since the map was made, and
/// gauges.
///
/// Each number is exact when nothing else is going on. Under concurrent operations they are read
/// one after the other, and may not add up.
///
/// ```
/// use dwell::IdleMap;
/// use std::time::Duration;
///
/// let map = IdleMap::new(Duration::from_secs(60));
/// map.insert(1, "one");
/// map.insert(2, "two");
/// map.remove(&1);
/// let stats = map.stats();
/// assert_eq!((stats.live, stats.created, stats.removed), (1, 2, 1));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Records in the map, those included that are past their deadline and that no thread has met
    /// yet.
    pub live: usize,
    /// Entries of the calendar that refer to ended records, because their end met a collection
    /// half-way. They go when their quantum is due.
    pub stale_entries: usize,
    /// Records that wait for their grace period: those that ended, old versions of updated ones,
    /// and those of refused insertions. It grows while a thread stays inside of a closure that the
    /// map called, such as [`with`](crate::IdleMap::with)'s.
    pub garbage: usize,
    /// Records created. `created == live + expired + evicted + removed`.
    pub created: u64,
    /// Records that ended by a deadline.
    pub expired: u64,
    /// Records that were evicted.
    pub evicted: u64,
    /// Records that were removed.
    pub removed: u64,
    /// Values replaced, by `insert` or `update`. The record counts as the same.
    pub replaced: u64,
    /// The sum of the records' weights, if the map has a weight capacity.
    pub weight: u64,
    /// Buckets in the calendar.
    pub index_buckets: usize,
    /// Slots in the table's array of lines: each takes 8 bytes, and the eighth word of a line
    /// another 8.
    pub table_slots: usize,
    /// Calls of the removal listener that panicked.
    pub listener_panics: u64,
    /// Keys and values whose `drop` panicked when the map freed them.
    pub drop_panics: u64,
    /// Whether each operation pays for a fence: the system offers no membarrier(2), or refuses it
    /// since a sandbox was entered. Of the process. In the second after a refusal nothing is freed.
    pub uses_fences: bool,
}

/// One shard's part of the counts.
#[derive(Debug)]
struct Shard {
    created: AtomicU64,
    expired: AtomicU64,
    evicted: AtomicU64,
    removed: AtomicU64,
    replaced: AtomicU64,
}

impl Shard {
    fn new() -> Self {
        Self {
            created: AtomicU64::new(0),
            expired: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            removed: AtomicU64::new(0),
            replaced: AtomicU64::new(0),
        }
    }
}

/// Counts by shard, and, for maps with a bound, what is in the map.
#[derive(Debug)]
pub(crate) struct Counters {
    shards: Box<[CachePadded<Shard>]>,
    /// Records in the map and their weight, if the map is bounded, with those for which there is
    /// [room](crate::map::ops::evict::Room). Shared.
    occupied: CachePadded<AtomicUsize>,
    weight: CachePadded<AtomicU64>,
    /// The weight that threads should have ended and have not, because they found nothing: a record
    /// of none counts as one. Nearly always none.
    owed: AtomicU64,
}

// All accesses here are Relaxed, but for those of debts: counts order nothing.
impl Counters {
    pub(crate) fn new(shards: usize) -> Self {
        Self {
            shards: (0..shards)
                .map(|_| CachePadded::new(Shard::new()))
                .collect(),
            occupied: CachePadded::new(AtomicUsize::new(0)),
            weight: CachePadded::new(AtomicU64::new(0)),
            owed: AtomicU64::new(0),
        }
    }

    /// Counts a creation. Returns how many this shard has seen.
    #[inline]
    pub(crate) fn created(&self, shard: usize) -> u64 {
        self.shards[shard].created.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn ended(&self, shard: usize, cause: RemovalCause) {
        let shard = &self.shards[shard];
        let counter = match cause {
            RemovalCause::ExpiredIdle | RemovalCause::ExpiredLifetime => &shard.expired,
            RemovalCause::Evicted => &shard.evicted,
            RemovalCause::Removed => &shard.removed,
            RemovalCause::Replaced => &shard.replaced,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts records and weight that are to come into a bounded map.
    pub(crate) fn occupy(&self, records: usize, weight: u32) {
        self.occupied.fetch_add(records, Ordering::Relaxed);
        self.weight.fetch_add(weight.into(), Ordering::Relaxed);
    }

    /// Counts records and weight that have left a bounded map.
    pub(crate) fn vacate(&self, records: usize, weight: u32) {
        self.occupied.fetch_sub(records, Ordering::Relaxed);
        self.weight.fetch_sub(weight.into(), Ordering::Relaxed);
    }

    /// Notes that a thread has found nothing to end for so much weight. It looks once more then.
    pub(crate) fn owe(&self, weight: u64) {
        // Release: pairs with `owed`, whose reader sees what this thread counted before.
        self.owed.fetch_add(weight.max(1), Ordering::Release);
        // SeqCst: pairs with the one in `Calendar::stays`. This thread sees the token that another
        // one has filed, or that one sees the debt.
        fence(Ordering::SeqCst);
    }

    /// What is owed.
    #[inline]
    pub(crate) fn owed(&self) -> u64 {
        // Acquire: pairs with `owe`.
        self.owed.load(Ordering::Acquire)
    }

    /// Takes from what is owed the weight of a record that was ended for it.
    pub(crate) fn pay(&self, weight: u64) {
        let mut owed = self.owed();
        // Relaxed: the end came before it for all that matters.
        while let Err(newer) = self.owed.compare_exchange(
            owed,
            owed.saturating_sub(weight.max(1)),
            Ordering::Relaxed,
            Ordering::Relaxed,
        ) {
            owed = newer;
        }
    }

    /// Records in a bounded map.
    pub(crate) fn occupied(&self) -> usize {
        self.occupied.load(Ordering::Relaxed)
    }

    /// The weight of a bounded map.
    pub(crate) fn weight(&self) -> u64 {
        self.weight.load(Ordering::Relaxed)
    }

    fn sum(&self, counter: impl Fn(&Shard) -> &AtomicU64) -> u64 {
        self.shards
            .iter()
            .map(|shard| counter(shard).load(Ordering::Relaxed))
            .sum()
    }

    pub(crate) fn live(&self) -> usize {
        let ended = self.sum(|shard| &shard.expired)
            + self.sum(|shard| &shard.evicted)
            + self.sum(|shard| &shard.removed);
        // Ends first: an end that is seen without its creation would make the difference negative.
        self.sum(|shard| &shard.created).saturating_sub(ended) as usize
    }

    pub(crate) fn fill(&self, stats: &mut Stats) {
        stats.live = self.live();
        stats.expired = self.sum(|shard| &shard.expired);
        stats.evicted = self.sum(|shard| &shard.evicted);
        stats.removed = self.sum(|shard| &shard.removed);
        stats.created = self.sum(|shard| &shard.created);
        stats.replaced = self.sum(|shard| &shard.replaced);
        stats.weight = self.weight();
    }
}
