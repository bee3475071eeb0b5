//! Caches: moka and mini-moka with `time_to_idle` and their own clocks, and quick_cache, which has
//! no expiry and so gets a timestamp and a sweep.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use ahash::RandomState;
use mini_moka::sync::ConcurrentCacheExt;
use moka::ops::compute::{CompResult, Op};
use quick_cache::UnitWeighter;
use quick_cache::sync::{DefaultLifecycle, EntryAction, EntryResult};

use super::entry::Entry;
use super::{Contender, Id, Store, Time, Value, updated};

/// moka's `sync::Cache`.
pub struct Moka<T> {
    cache: moka::sync::Cache<Id, Value, RandomState>,
    /// As of the last collection.
    entries: AtomicU64,
    _time: T,
}

impl<T> Moka<T> {
    fn with_capacity(time: T, idle: Duration, capacity: u64) -> Self {
        let cache = moka::sync::Cache::builder()
            .time_to_idle(idle)
            .max_capacity(capacity)
            .build_with_hasher(RandomState::default());
        Self {
            cache,
            entries: AtomicU64::new(0),
            _time: time,
        }
    }
}

impl<T: Time> Contender for Moka<T> {
    const OWN_CLOCK: bool = true;
    const TELLS_CREATED: bool = false;
    shared_by_threads!();

    fn new(time: T, idle: Duration, _: u64) -> Self {
        Self::with_capacity(time, idle, u64::MAX)
    }

    fn bounded(time: T, idle: Duration, capacity: u64) -> Option<Self> {
        Some(Self::with_capacity(time, idle, capacity))
    }
}

impl<T: Time> Store for &Moka<T> {
    #[inline]
    fn with<R>(&mut self, id: &Id, read: impl FnOnce(&Value) -> R) -> Option<R> {
        self.cache.get(id).map(|value| read(&value))
    }

    #[inline]
    fn update(&mut self, id: &Id) -> bool {
        let result = self.cache.entry_by_ref(id).and_compute_with(|entry| {
            entry.map_or(Op::Nop, |entry| Op::Put(updated(entry.value())))
        });
        matches!(result, CompResult::ReplacedWith(_))
    }

    #[inline]
    fn create(&mut self, id: Id, value: Value) -> bool {
        self.cache.insert(id, value);
        true
    }

    #[inline]
    fn remove(&mut self, id: &Id) -> bool {
        self.cache.remove(id).is_some()
    }

    /// Counts what has ended since the last call, as moka ends sessions in other calls too. One
    /// pass is bounded; what is still due is left to the next.
    fn collect(&mut self) -> usize {
        self.cache.run_pending_tasks();
        let entries = self.cache.entry_count();
        let before = self.entries.swap(entries, Relaxed);
        before.saturating_sub(entries) as usize
    }
}

/// mini-moka's `sync::Cache`. Its update is a look-up and an insertion, which is not atomic: it has
/// nothing better.
pub struct MiniMoka<T> {
    cache: mini_moka::sync::Cache<Id, Value, RandomState>,
    /// As of the last collection.
    entries: AtomicU64,
    _time: T,
}

impl<T> MiniMoka<T> {
    fn with_capacity(time: T, idle: Duration, capacity: u64) -> Self {
        let cache = mini_moka::sync::Cache::builder()
            .time_to_idle(idle)
            .max_capacity(capacity)
            .build_with_hasher(RandomState::default());
        Self {
            cache,
            entries: AtomicU64::new(0),
            _time: time,
        }
    }
}

impl<T: Time> Contender for MiniMoka<T> {
    const OWN_CLOCK: bool = true;
    const TELLS_CREATED: bool = false;
    const TELLS_REMOVED: bool = false;
    shared_by_threads!();

    fn new(time: T, idle: Duration, _: u64) -> Self {
        Self::with_capacity(time, idle, u64::MAX)
    }

    fn bounded(time: T, idle: Duration, capacity: u64) -> Option<Self> {
        Some(Self::with_capacity(time, idle, capacity))
    }
}

impl<T: Time> Store for &MiniMoka<T> {
    #[inline]
    fn with<R>(&mut self, id: &Id, read: impl FnOnce(&Value) -> R) -> Option<R> {
        self.cache.get(id).map(|value| read(&value))
    }

    #[inline]
    fn update(&mut self, id: &Id) -> bool {
        let Some(value) = self.cache.get(id) else {
            return false;
        };
        self.cache.insert(*id, updated(&value));
        true
    }

    #[inline]
    fn create(&mut self, id: Id, value: Value) -> bool {
        self.cache.insert(id, value);
        true
    }

    #[inline]
    fn remove(&mut self, id: &Id) -> bool {
        self.cache.invalidate(id);
        true
    }

    /// As moka's.
    fn collect(&mut self) -> usize {
        self.cache.sync();
        let entries = self.cache.entry_count();
        let before = self.entries.swap(entries, Relaxed);
        before.saturating_sub(entries) as usize
    }
}

type QuickMap = quick_cache::sync::Cache<Id, Arc<Entry>, UnitWeighter, RandomState>;

/// quick_cache's `sync::Cache`. It always has a capacity; without a bound, one that is never
/// reached.
pub struct QuickCache<T> {
    cache: QuickMap,
    time: T,
}

impl<T> QuickCache<T> {
    fn with_capacity(time: T, sessions: u64, capacity: u64) -> Self {
        let cache = QuickMap::with(
            sessions as usize,
            capacity,
            UnitWeighter,
            RandomState::default(),
            DefaultLifecycle::default(),
        );
        Self { cache, time }
    }
}

impl<T: Time> Contender for QuickCache<T> {
    const TELLS_CREATED: bool = false;
    shared_by_threads!();

    fn new(time: T, _: Duration, sessions: u64) -> Self {
        Self::with_capacity(time, sessions, (sessions * 4).max(1 << 20))
    }

    fn bounded(time: T, _: Duration, capacity: u64) -> Option<Self> {
        Some(Self::with_capacity(time, capacity, capacity))
    }
}

impl<T: Time> Store for &QuickCache<T> {
    #[inline]
    fn with<R>(&mut self, id: &Id, read: impl FnOnce(&Value) -> R) -> Option<R> {
        let entry = self.cache.get(id)?;
        Some(entry.read::<false, R>(self.time.now_millis(), read))
    }

    #[inline]
    fn update(&mut self, id: &Id) -> bool {
        let now = self.time.now_millis();
        let result = self.cache.entry(id, None, |_, entry| {
            *entry = Arc::new(entry.updated(now));
            EntryAction::Retain(())
        });
        matches!(result, EntryResult::Retained(()))
    }

    #[inline]
    fn create(&mut self, id: Id, value: Value) -> bool {
        let entry = Entry::new(self.time.now_millis(), value);
        self.cache.insert(id, Arc::new(entry));
        true
    }

    #[inline]
    fn remove(&mut self, id: &Id) -> bool {
        self.cache.remove(id).is_some()
    }

    fn collect(&mut self) -> usize {
        let now = self.time.now_millis();
        let before = self.cache.len();
        self.cache.retain(|_, entry| !entry.is_due(now));
        before.saturating_sub(self.cache.len())
    }
}
