//! The builder: every setting is checked when the map is built.

use crate::clock::{Clock, CoarseClock};
use crate::cpu::shard;
use crate::map::context::Remains;
use crate::map::expiry::Calendar;
use crate::map::handle::Handle;
use crate::map::listener::Listener;
use crate::map::record::LONGEST_IDLE;
use crate::map::record::status::LAST_TICK;
use crate::map::stats::{Counters, RemovalCause};
use crate::map::table::Table;
use crate::map::table::migrate::bits_for;
use crate::map::{IdleMap, Protection, Settings, Weigher};
use crate::reclaim::{Guard, Reclaim};
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::time::Duration;

/// Half an hour, what most session stores default to.
const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// Initial capacities above this are refused: the array alone would take more than 16 GiB.
const GREATEST_INITIAL_CAPACITY: usize = 1 << 30;

/// Why a map could not be built.
///
/// ```
/// use dwell::{BuildError, IdleMap};
/// use std::time::Duration;
///
/// let refused = IdleMap::<u64, u64>::builder().idle_timeout(Duration::ZERO).build();
/// assert!(matches!(refused, Err(BuildError::TooShort { .. })));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A duration is below one millisecond, the unit of all times.
    #[error("{setting} is {given:?}: give at least one millisecond")]
    TooShort {
        /// The builder's method.
        setting: &'static str,
        /// What was given.
        given: Duration,
    },
    /// A duration is above what a record can hold.
    #[error(
        "{setting} is {given:?}: give at most 34 years, or leave out a limit that is not wanted"
    )]
    TooLong {
        /// The builder's method.
        setting: &'static str,
        /// What was given.
        given: Duration,
    },
    /// A capacity of zero: nothing could ever be stored.
    #[error("{setting} is 0: give at least 1, or leave it out for no bound")]
    ZeroCapacity {
        /// The builder's method.
        setting: &'static str,
    },
    /// An initial capacity that no machine has the memory for.
    #[error(
        "initial_capacity is {given}: give at most {GREATEST_INITIAL_CAPACITY}, the map grows by itself"
    )]
    InitialCapacityTooLarge {
        /// What was given.
        given: usize,
    },
}

/// Settings for an [`IdleMap`], from [`IdleMap::builder`].
///
/// ```
/// use dwell::IdleMap;
/// use std::time::Duration;
///
/// let map: IdleMap<u128, String> = IdleMap::builder()
///     .idle_timeout(Duration::from_secs(20 * 60))
///     .max_lifetime(Duration::from_secs(8 * 60 * 60))
///     .capacity(100_000)
///     .build()?;
/// # Ok::<(), dwell::BuildError>(())
/// ```
#[must_use = "it does nothing until `build`"]
pub struct Builder<K, V, S = ahash::RandomState> {
    idle_timeout: Duration,
    max_lifetime: Option<Duration>,
    capacity: Option<usize>,
    weight_capacity: Option<u64>,
    weigher: Option<Weigher<K, V>>,
    protection: Option<Protection<K, V>>,
    touch_resolution: Duration,
    initial_capacity: usize,
    hasher: S,
    clock: Option<Arc<dyn Clock>>,
    listener: Option<Arc<Listener<K, V>>>,
}

impl<K, V> Builder<K, V> {
    pub(crate) fn new() -> Self {
        Self {
            idle_timeout: DEFAULT_IDLE_TIMEOUT,
            max_lifetime: None,
            capacity: None,
            weight_capacity: None,
            weigher: None,
            protection: None,
            touch_resolution: Duration::ZERO,
            initial_capacity: 0,
            hasher: ahash::RandomState::new(),
            clock: None,
            listener: None,
        }
    }
}

impl<K, V, S> fmt::Debug for Builder<K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("idle_timeout", &self.idle_timeout)
            .field("max_lifetime", &self.max_lifetime)
            .field("capacity", &self.capacity)
            .field("weight_capacity", &self.weight_capacity)
            .field("touch_resolution", &self.touch_resolution)
            .field("initial_capacity", &self.initial_capacity)
            .finish_non_exhaustive()
    }
}

impl<K, V, S> Builder<K, V, S> {
    /// How long a record lives without being accessed. Default: 30 minutes. From one millisecond to
    /// 34 years; single records can be given their own by [`IdleMap::set_idle_timeout`].
    #[doc(alias("time_to_idle", "TTI", "sliding expiration", "expire_after_access"))]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// Records do not end by being idle: they stay until they are removed or evicted, or
    /// their [lifetime](Self::max_lifetime) is over. Single records can be given a timeout by
    /// [`IdleMap::set_idle_timeout`]. It is the longest timeout that there is, in truth: 34 years.
    ///
    /// ```
    /// use dwell::{IdleMap, ManualClock};
    /// use std::time::Duration;
    /// let clock = ManualClock::new();
    /// let map = IdleMap::builder().no_idle_timeout().clock(clock.clone()).build()?;
    /// map.insert("constant", 1);
    /// map.insert("passing", 2);
    /// map.set_lifetime("passing", Duration::from_secs(60));
    /// clock.advance(Duration::from_secs(365 * 24 * 60 * 60));
    /// assert!(map.contains_key("constant"));
    /// assert!(!map.contains_key("passing"));
    /// # Ok::<(), dwell::BuildError>(())
    /// ```
    pub fn no_idle_timeout(self) -> Self {
        self.idle_timeout(Duration::from_millis(LONGEST_IDLE))
    }

    /// How long a record lives at most, however often it is accessed. Default: no limit. From one
    /// millisecond to 34 years; single records can be given their own by [`IdleMap::set_lifetime`].
    #[doc(alias("time_to_live", "TTL", "absolute timeout", "expire_after_write"))]
    pub fn max_lifetime(mut self, lifetime: Duration) -> Self {
        self.max_lifetime = Some(lifetime);
        self
    }

    /// How many records the map holds. Default: no bound.
    ///
    /// An insertion into a full map evicts. Of the records that are not [protected](Self::protect),
    /// those that were never accessed since their creation go first, as long as they are more than
    /// an eighth of the unprotected ones; otherwise those that were accessed. Protected records go
    /// when no other is left. Within each of these three kinds the record goes that would be the
    /// first to end if none were accessed any more, to within a quantum (a 512th of the idle
    /// timeout, 66 seconds at most): where all have the same idle timeout, the one that was not
    /// accessed for the longest time. So a flood of visitors who never come back cannot push out
    /// those who do, and a flood of those who do cannot push out protected records.
    ///
    /// Work is bounded: an insertion looks at 256 records of each kind that were accessed since the
    /// map last noted it. If it finds no other, it goes on to the next kind, or takes the best of
    /// these: so where many records were accessed since the last insertions, one in 256 of them may
    /// go out of turn.
    #[doc(alias("max_capacity", "max_entries", "LRU"))]
    pub fn capacity(mut self, records: usize) -> Self {
        self.capacity = Some(records);
        self
    }

    /// Which records a full map keeps for as long as it holds any other. Default: none.
    ///
    /// `is_protected` is asked once for each value, when it is inserted, or put in the place of
    /// another by an update: so an update may protect a record, or end its protection. An
    /// unprotected record that is inserted into a map full of protected ones takes the place of one
    /// of them, and is the first to go when the next record comes.
    ///
    /// ```
    /// use dwell::IdleMap;
    /// let map: IdleMap<&str, bool> = IdleMap::builder()
    ///     .capacity(2)
    ///     .protect(|_, is_logged_in| *is_logged_in)
    ///     .build()?;
    /// map.insert("ann", true);
    /// for visitor in ["one", "two", "three"] {
    ///     map.insert(visitor, false);
    ///     map.touch(visitor);
    /// }
    /// assert!(map.contains_key("ann"));
    /// # Ok::<(), dwell::BuildError>(())
    /// ```
    pub fn protect(
        mut self,
        is_protected: impl Fn(&K, &V) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.protection = Some(Box::new(is_protected));
        self
    }

    /// How much the records may weigh together. `weigher` is called once for each value; weights
    /// above 2^24 - 1 count as that. Evicts as [`capacity`](Self::capacity) does, until the weight
    /// fits. Default: no bound.
    #[doc(alias("weigher", "max_bytes"))]
    pub fn weight_capacity(
        mut self,
        weight: u64,
        weigher: impl Fn(&K, &V) -> u32 + Send + Sync + 'static,
    ) -> Self {
        self.weight_capacity = Some(weight);
        self.weigher = Some(Box::new(weigher));
        self
    }

    /// By how much a record's last access must move before a touch writes it down. Default: zero,
    /// whenever the clock has moved.
    ///
    /// A touch that writes nothing makes no cache line travel between processors. With a resolution
    /// of *r*, a record may end up to *r* before its idle timeout is over, and never later. For
    /// each record *r* is at most half of the idle timeout that it has, by the map or by
    /// [`set_idle_timeout`](IdleMap::set_idle_timeout): whatever is accessed regularly, in steps
    /// shorter than its timeout, lives.
    pub fn touch_resolution(mut self, resolution: Duration) -> Self {
        self.touch_resolution = resolution;
        self
    }

    /// Makes room for this many records at once; the table does not shrink below. Default: none,
    /// the table grows and shrinks as needed.
    pub fn initial_capacity(mut self, records: usize) -> Self {
        self.initial_capacity = records;
        self
    }

    /// The hasher's state. Default: `ahash` with random seeds, which resists flooding with keys of
    /// the same hash.
    pub fn hasher<T: BuildHasher>(self, hasher: T) -> Builder<K, V, T> {
        Builder {
            idle_timeout: self.idle_timeout,
            max_lifetime: self.max_lifetime,
            capacity: self.capacity,
            weight_capacity: self.weight_capacity,
            weigher: self.weigher,
            protection: self.protection,
            touch_resolution: self.touch_resolution,
            initial_capacity: self.initial_capacity,
            hasher,
            clock: self.clock,
            listener: self.listener,
        }
    }

    /// What time it is. Default: [`CoarseClock`](crate::CoarseClock).
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Calls `listener` once for each record that ends, after it has ended, on the thread that
    /// ended it.
    ///
    /// The listener may call the map, and any other one. What it ends there is told when it has
    /// returned, before the outermost call returns: listeners do not nest. (One that ends a record
    /// whenever it is told would never come to an end: after 4,096 ends in a chain, what is left is
    /// told with the thread's next end.) It should be short: it delays the operation that ended the
    /// record, and the freeing of memory. If it panics, the panic is caught and counted, and
    /// nothing is lost. `update` does not count as an end; `insert` over a live record does
    /// ([`Replaced`](RemovalCause::Replaced)).
    #[doc(alias("eviction_listener", "expiration callback"))]
    pub fn on_removal(
        mut self,
        listener: impl Fn(&Handle<K, V>, RemovalCause) + Send + Sync + 'static,
    ) -> Self {
        self.listener = Some(Listener::new(listener));
        self
    }
}

impl<K, V, S> Builder<K, V, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher,
{
    /// Builds the map.
    ///
    /// # Errors
    /// If a duration is shorter than a millisecond or longer than 34 years, if a capacity is zero,
    /// or if the initial capacity exceeds 2^30.
    pub fn build(self) -> Result<IdleMap<K, V, S>, BuildError> {
        let idle_timeout = millis("idle_timeout", self.idle_timeout)?;
        let max_lifetime = self
            .max_lifetime
            .map(|lifetime| millis("max_lifetime", lifetime))
            .transpose()?;
        if self.capacity == Some(0) {
            return Err(BuildError::ZeroCapacity {
                setting: "capacity",
            });
        }
        if self.weight_capacity == Some(0) {
            return Err(BuildError::ZeroCapacity {
                setting: "weight_capacity",
            });
        }
        if self.initial_capacity > GREATEST_INITIAL_CAPACITY {
            return Err(BuildError::InitialCapacityTooLarge {
                given: self.initial_capacity,
            });
        }
        let resolution = u64::try_from(self.touch_resolution.as_millis()).unwrap_or(u64::MAX);
        let is_bounded = self.capacity.is_some() || self.weight_capacity.is_some();
        // What a new record lives if no thread accesses it.
        let life = idle_timeout.min(max_lifetime.unwrap_or(u64::MAX));
        Guard::prepare();
        let shards = shard::count();
        let least_bits = bits_for(self.initial_capacity);
        let protects = self.protection.is_some();
        // In a bounded map new records are filed in one order, so that eviction meets the oldest
        // first.
        let calendar_shards = if is_bounded { 1 } else { shards };
        Ok(IdleMap {
            table: Table::new(least_bits),
            calendar: Calendar::new(life, calendar_shards, is_bounded, protects),
            remains: Remains::new(shards),
            counters: Counters::new(shards),
            hasher: self.hasher,
            clock: self.clock,
            weigher: self.weigher,
            protection: self.protection,
            listener: self.listener,
            settings: Settings {
                idle_timeout,
                max_lifetime,
                resolution: resolution.clamp(1, LONGEST_IDLE),
                capacity: self.capacity.unwrap_or(usize::MAX),
                weight_capacity: self.weight_capacity.unwrap_or(u64::MAX),
                is_bounded,
                least_bits,
            },
        })
    }
}

fn millis(setting: &'static str, given: Duration) -> Result<u64, BuildError> {
    match u64::try_from(given.as_millis()) {
        Ok(0) => Err(BuildError::TooShort { setting, given }),
        Ok(millis) if millis <= LONGEST_IDLE => Ok(millis),
        _ => Err(BuildError::TooLong { setting, given }),
    }
}

impl Default for Builder<(), ()> {
    fn default() -> Self {
        Self::new()
    }
}

/// The clock that needs no call through a pointer, and whose ticks are never too many.
#[inline]
pub(super) fn now(clock: &Option<Arc<dyn Clock>>) -> u64 {
    match clock {
        None => CoarseClock.now_millis(),
        Some(clock) => clock.now_millis().min(LAST_TICK),
    }
}
