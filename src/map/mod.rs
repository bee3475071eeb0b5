//! Layer 1: the map.
//!
//! [`IdleMap`] is the safe face. Below it, each room imports only from those before it: `record`
//! (what is kept, and its status), `context` (what an operation carries), `table` (from keys to
//! records), `expiry` (records by deadline), `ops` (the operations, one file for each kind).
//! `reclaim`, `cpu`, `alloc` and `sync`, beside the map, know nothing of it.

mod builder;
mod collector;
pub mod context;
pub mod expiry;
mod handle;
mod iter;
mod listener;
mod nested;
pub mod ops;
pub mod record;
mod stats;
pub mod table;

pub use builder::{BuildError, Builder};
pub use collector::Collector;
pub use handle::Handle;
pub use iter::Iter;
#[cfg(feature = "snapshot")]
pub(crate) use ops::export::History;
pub use ops::write::OccupiedError;
pub use stats::{RemovalCause, Stats};

use crate::clock::Clock;
use crate::reclaim::{Guard, Reclaim};
use crate::tuning;
use context::{Context, Remains};
use expiry::Calendar;
use listener::Listener;
use record::status::State;
use record::{NEVER, Terms};
use stats::Counters;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::Duration;
use table::Table;

pub(crate) type Weigher<K, V> = Box<dyn Fn(&K, &V) -> u32 + Send + Sync>;
pub(crate) type Protection<K, V> = Box<dyn Fn(&K, &V) -> bool + Send + Sync>;

/// A lock-free concurrent map whose entries end when they are idle for too long.
///
/// All methods take `&self`. None of them waits for another thread: see [the
/// guarantees](crate::book::guarantees#g16-no-operation-waits-for-another-thread) for the progress
/// of each, and for the named exceptions (the allocator; while a thread is inside of an operation,
/// memory is not freed, and nothing else is delayed).
///
/// Values are not changed in place: [`update`](Self::update) puts a new one in the place of the
/// old, and a handle keeps the old one. Put atomics or locks into the value if you
/// want more.
///
/// A value that holds an `Arc` of its own map keeps the map, and itself, in memory: also one that
/// was removed, while it waits to be freed, which is done by the map's own operations. Let values
/// hold a `Weak` of their map.
///
/// A record that has ended is never found again, but stays in memory until a collection: start one
/// in the background with [`spawn_collector`](Self::spawn_collector), or call
/// [`collect`](Self::collect) at intervals. Without either, and without a capacity, the map grows
/// for ever.
///
/// ```
/// use dwell::IdleMap;
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// let map = Arc::new(IdleMap::new(Duration::from_secs(20 * 60)));
/// let _collector = map.spawn_collector(); // until it is dropped
/// map.insert("visitor", 1);
/// assert_eq!(map.with("visitor", |operations| *operations), Some(1));
/// ```
#[doc(alias("TtlMap", "expiring map", "session map", "cache"))]
pub struct IdleMap<K, V, S = ahash::RandomState>
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    table: Table<K, V>,
    calendar: Calendar<K, V>,
    remains: Remains<K, V>,
    counters: Counters,
    hasher: S,
    /// None for the default clock.
    clock: Option<Arc<dyn Clock>>,
    weigher: Option<Weigher<K, V>>,
    protection: Option<Protection<K, V>>,
    listener: Option<Arc<Listener<K, V>>>,
    settings: Settings,
}

// A panic of user code loses nothing, and leaves no operation half done: only keys and values can
// be left broken, if they can be changed through shared references.
impl<K, V, S> UnwindSafe for IdleMap<K, V, S>
where
    K: RefUnwindSafe + Send + Sync,
    V: RefUnwindSafe + Send + Sync,
    S: RefUnwindSafe,
{
}

impl<K, V, S> RefUnwindSafe for IdleMap<K, V, S>
where
    K: RefUnwindSafe + Send + Sync,
    V: RefUnwindSafe + Send + Sync,
    S: RefUnwindSafe,
{
}

/// Times in milliseconds.
#[derive(Debug)]
pub(crate) struct Settings {
    idle_timeout: u64,
    max_lifetime: Option<u64>,
    resolution: u64,
    capacity: usize,
    weight_capacity: u64,
    is_bounded: bool,
    least_bits: u32,
}

impl<K, V> IdleMap<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// A map with this idle timeout, and defaults for the rest: without a capacity. Nothing frees
    /// what has ended until a thread [collects](Self::spawn_collector).
    ///
    /// # Panics
    /// If the timeout is shorter than a millisecond or longer than 34 years.
    /// [`builder`](Self::builder) returns an error instead.
    ///
    /// ```
    /// use dwell::IdleMap;
    /// use std::time::Duration;
    /// let map: IdleMap<u64, String> = IdleMap::new(Duration::from_secs(60));
    /// assert!(map.is_empty());
    /// ```
    pub fn new(idle_timeout: Duration) -> Self {
        match Self::builder().idle_timeout(idle_timeout).build() {
            Ok(map) => map,
            Err(error) => panic!("{error}"),
        }
    }

    /// A map whose records do not end by being idle, and defaults for the rest: see
    /// [`Builder::no_idle_timeout`].
    ///
    /// ```
    /// use dwell::IdleMap;
    /// let map = IdleMap::without_idle_timeout();
    /// map.insert("answer", 42);
    /// assert!(map.contains_key("answer"));
    /// ```
    pub fn without_idle_timeout() -> Self {
        let built = Self::builder().no_idle_timeout().build();
        built.expect("no setting is left to be refused")
    }

    /// Settings to build a map with.
    ///
    /// ```
    /// use dwell::IdleMap;
    /// let map: IdleMap<u64, String> = IdleMap::builder().capacity(1_000).build()?;
    /// # Ok::<(), dwell::BuildError>(())
    /// ```
    pub fn builder() -> Builder<K, V> {
        Builder::new()
    }
}

impl<K, V, S> IdleMap<K, V, S>
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// Begins an operation.
    #[inline]
    fn begin(&self) -> Context<'_, K, V> {
        self.begin_at(self.now())
    }

    /// Begins an operation that takes place at a given time.
    #[inline]
    fn begin_at(&self, now: u64) -> Context<'_, K, V> {
        Context::new(&self.remains, now)
    }

    #[inline]
    fn now(&self) -> u64 {
        builder::now(&self.clock)
    }

    /// What a new record is born with.
    fn terms(&self, key: &K, value: &V, now: u64) -> Terms {
        Terms {
            birth: now,
            idle_timeout: self.settings.idle_timeout,
            absolute_deadline: match self.settings.max_lifetime {
                Some(lifetime) => now + lifetime,
                None => NEVER,
            },
            weight: self.weigh(key, value),
            is_protected: self.protects(key, value),
        }
    }

    fn protects(&self, key: &K, value: &V) -> bool {
        self.protection.as_ref().is_some_and(|is| is(key, value))
    }

    fn weigh(&self, key: &K, value: &V) -> u32 {
        match &self.weigher {
            Some(weigher) => weigher(key, value).min(record::GREATEST_WEIGHT),
            None => 0,
        }
    }

    /// The number of records in the map, those included that are past their deadline and were not
    /// met by a read or a collection yet. One load for each processor; not exact while others
    /// insert and remove.
    ///
    /// ```
    /// use dwell::IdleMap;
    /// use std::time::Duration;
    /// let map = IdleMap::new(Duration::from_secs(60));
    /// map.insert(1, "one");
    /// assert_eq!(map.len(), 1);
    /// ```
    pub fn len(&self) -> usize {
        self.counters.live()
    }

    /// Whether [`len`](Self::len) is zero.
    ///
    /// ```
    /// use dwell::IdleMap;
    /// use std::time::Duration;
    /// let map: IdleMap<u64, u64> = IdleMap::new(Duration::from_secs(60));
    /// assert!(map.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Counts and gauges. Costs a few loads for each processor.
    ///
    /// ```
    /// use dwell::IdleMap;
    /// use std::time::Duration;
    /// let map = IdleMap::new(Duration::from_secs(60));
    /// map.insert(1, "one");
    /// assert_eq!(map.stats().created, 1);
    /// ```
    pub fn stats(&self) -> Stats {
        let context = self.begin();
        let mut stats = Stats {
            stale_entries: self.remains.stale_entries(),
            garbage: self.remains.garbage(),
            index_buckets: self.calendar.buckets(),
            table_slots: self.table.lines(&context.guard).len() * tuning::table::SLOTS,
            drop_panics: self.remains.retired.panics(),
            uses_fences: Guard::uses_fences(),
            listener_panics: self
                .listener
                .as_ref()
                .map_or(0, |listener| listener.panics()),
            ..Stats::default()
        };
        self.counters.fill(&mut stats);
        stats
    }
}

impl<K, V, S> IdleMap<K, V, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher,
{
    /// The hash of a key. Mixed once more, so that a weak hasher's bits are spread over the whole
    /// word: the high ones choose the line, the low ones are the tag.
    #[inline]
    fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        // The golden ratio's fraction, odd (Fibonacci hashing).
        const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
        let product = u128::from(self.hasher.hash_one(key)) * u128::from(FACTOR);
        (product as u64) ^ (product >> 64) as u64
    }
}

impl<K, V, S> fmt::Debug for IdleMap<K, V, S>
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// Shows counts only: keys may be session ids.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdleMap")
            .field("settings", &self.settings)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl<K, V, S> Drop for IdleMap<K, V, S>
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// Ends every record, and frees those that no handle keeps. The listener is not called.
    fn drop(&mut self) {
        let context = Context::new(&self.remains, 0);
        let left = |record: &record::Record<K, V>| {
            if let State::Live(seen) = record.status.load() {
                record.status.kill(seen);
            }
            self.remains.free_if_last(record);
        };
        self.calendar.dismantle(&context, left);
        self.table.dismantle(&context, left);
        drop(context);
        self.free_garbage();
    }
}
