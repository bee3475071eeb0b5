//! What the tests share: values that are counted and poisoned when they are
//! dropped, a journal of removals, and the ledger every map must balance.
#![allow(dead_code)] // each binary that mounts this uses its own part

pub mod model;
pub mod op;
pub mod run;

use dwell::{Builder, Handle, IdleMap, ManualClock, RemovalCause};
use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub const MINUTE: Duration = Duration::from_secs(60);
pub const YEAR: Duration = Duration::from_secs(31_557_600);

pub fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A clock that does not start at zero, so that it can also go back.
pub fn clock() -> ManualClock {
    let clock = ManualClock::new();
    clock.set(YEAR);
    clock
}

/// Counts values made and values dropped.
#[derive(Debug, Default)]
pub struct Tally {
    made: AtomicU64,
    dropped: AtomicU64,
}

impl Tally {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    pub fn value(self: &Arc<Self>, number: u64) -> Value {
        self.made.fetch_add(1, SeqCst);
        Value {
            canary: AtomicU64::new(ALIVE),
            number,
            ended: AtomicBool::new(false),
            tally: Arc::clone(self),
        }
    }

    pub fn alive(&self) -> u64 {
        // Dropped first: the difference is then never negative.
        let dropped = self.dropped.load(SeqCst);
        self.made.load(SeqCst) - dropped
    }

    /// Waits until exactly `expected` values are alive, where their map is
    /// gone.
    #[track_caller]
    pub fn assert_alive(&self, expected: u64) {
        self.settle(expected, || ());
    }

    /// Reclamation is deferred: a scratch map is worked, and `collect` called,
    /// until it has caught up. Another test's thread may be pinned and off its processor: that is
    /// waited for.
    #[track_caller]
    fn settle(&self, expected: u64, collect: impl Fn()) {
        const PATIENCE: Duration = Duration::from_secs(30);
        let scratch = IdleMap::<u32, u32>::new(MINUTE);
        let began = Instant::now();
        for n in 0.. {
            if self.alive() == expected {
                return;
            }
            if began.elapsed() > PATIENCE {
                break;
            }
            scratch.insert(n, n);
            scratch.remove(&n);
            scratch.collect();
            collect();
            std::thread::yield_now();
        }
        let alive = self.alive();
        assert_eq!(alive, expected, "values alive after reclamation");
    }
}

const ALIVE: u64 = 0x5AFE_5AFE_5AFE_5AFE;
const DROPPED: u64 = 0xDEAD_DEAD_DEAD_DEAD;

/// A value that knows whether it was dropped, and that it was ended once.
#[derive(Debug)]
pub struct Value {
    canary: AtomicU64,
    number: u64,
    ended: AtomicBool,
    tally: Arc<Tally>,
}

impl Value {
    /// The number it was made with, after a look at the canary.
    #[track_caller]
    pub fn number(&self) -> u64 {
        let canary = self.canary.load(SeqCst);
        assert_eq!(canary, ALIVE, "read of a value that was dropped");
        self.number
    }

    /// The same tally, the next number.
    pub fn next(&self) -> Value {
        self.tally.value(self.number() + 1)
    }

    /// To be called by the removal listener: a second removal of the same
    /// record panics.
    pub fn end(&self) {
        self.number();
        assert!(!self.ended.swap(true, SeqCst), "removed twice");
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        let canary = self.canary.swap(DROPPED, SeqCst);
        if canary != ALIVE {
            // A panic here could be caught and counted: this must not be.
            eprintln!("value {} dropped twice ({canary:#x})", self.number);
            std::process::abort();
        }
        self.tally.dropped.fetch_add(1, SeqCst);
    }
}

/// One call of the removal listener: key, value number, cause.
pub type Removal<K> = (K, u64, RemovalCause);

/// Every removal the listener was told of, in order.
#[derive(Debug)]
pub struct Journal<K>(Arc<Mutex<Vec<Removal<K>>>>);

impl<K: Clone + Send + Sync + 'static> Journal<K> {
    pub fn new() -> Self {
        Journal(Arc::default())
    }

    pub fn listener(&self) -> impl Fn(&Handle<K, Value>, RemovalCause) + Send + Sync + 'static {
        let removals = Arc::clone(&self.0);
        move |record, cause| {
            record.end();
            let removal = (record.key().clone(), record.number(), cause);
            removals.lock().unwrap().push(removal);
        }
    }

    /// The removals since the last call.
    pub fn take(&self) -> Vec<Removal<K>> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// A map with a manual clock, counted values and a journal of its removals.
#[derive(Debug)]
pub struct Rig {
    pub clock: ManualClock,
    pub tally: Arc<Tally>,
    pub journal: Journal<u32>,
    pub map: Arc<IdleMap<u32, Value>>,
}

impl Rig {
    /// Sessions may idle for a minute.
    pub fn new() -> Self {
        Self::with(|builder| builder)
    }

    pub fn with(configure: impl FnOnce(Builder<u32, Value>) -> Builder<u32, Value>) -> Self {
        let clock = clock();
        let journal = Journal::new();
        let builder = IdleMap::builder()
            .idle_timeout(MINUTE)
            .clock(clock.clone())
            .on_removal(journal.listener());
        let map = configure(builder).build().unwrap();
        Rig {
            clock,
            tally: Tally::new(),
            journal,
            map: Arc::new(map),
        }
    }

    /// Inserts a value that carries the key's own number.
    pub fn insert(&self, key: u32) -> Option<Handle<u32, Value>> {
        self.map.insert(key, self.tally.value(key.into()))
    }

    pub fn insert_all(&self, keys: impl IntoIterator<Item = u32>) {
        for key in keys {
            self.insert(key);
        }
    }

    /// The keys of the live records, in order.
    pub fn keys(&self) -> Vec<u32> {
        let mut keys: Vec<_> = self.map.iter().map(|record| *record.key()).collect();
        keys.sort_unstable();
        keys
    }

    /// The keys of the removals since the last call, and why.
    pub fn removals(&self) -> Vec<(u32, RemovalCause)> {
        let removals = self.journal.take().into_iter();
        removals.map(|(key, _, cause)| (key, cause)).collect()
    }

    /// Waits until exactly `expected` values are alive.
    #[track_caller]
    pub fn assert_alive(&self, expected: u64) {
        self.tally.settle(expected, || {
            self.map.collect();
        });
    }

    /// Balances the books, then drops the map and finds nothing leaked.
    #[track_caller]
    pub fn finish(self) {
        assert_ledger(&self.map);
        assert_quiet(&self.map);
        drop(self.map);
        self.tally.assert_alive(0);
    }
}

/// Panics without a report, for the tests that do so thousands of times.
pub fn panic_quietly() -> ! {
    std::panic::resume_unwind(Box::new("a panic of the test's own"))
}

/// Runs `f` and says whether it panicked.
pub fn panics<R>(f: impl FnOnce() -> R) -> bool {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).is_err()
}

/// Every record ever created is live or left the map by exactly one door.
#[track_caller]
pub fn assert_ledger<K, V, S>(map: &IdleMap<K, V, S>)
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher,
{
    let stats = map.stats();
    let gone = stats.expired + stats.evicted + stats.removed;
    assert_eq!(stats.created, stats.live as u64 + gone, "{stats:?}");
    assert_eq!(stats.live, map.len(), "{stats:?}");
    assert_eq!(stats.live == 0, map.is_empty(), "{stats:?}");
}

/// No listener and no `Drop` panicked: the map catches what they assert.
#[track_caller]
pub fn assert_quiet<K, V, S>(map: &IdleMap<K, V, S>)
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher,
{
    let stats = map.stats();
    assert_eq!((stats.listener_panics, stats.drop_panics), (0, 0));
}
