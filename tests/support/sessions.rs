//! What the tests of sessions share: a store with a clock to set, and what its listener heard.
#![allow(dead_code)] // each binary that mounts this uses its own part

use dwell::ManualClock;
use dwell::session::{Event, EventKind, LiveSession, SessionKey, SessionStore, Settings};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Duration;

pub const IDLE: Duration = Duration::from_secs(60);

pub fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub struct Rig {
    pub clock: ManualClock,
    pub store: SessionStore,
    heard: Arc<Mutex<Vec<Event>>>,
}

impl Rig {
    /// Sessions that idle for a minute, without a grace.
    pub fn new() -> Self {
        Self::with(Settings::new(IDLE).grace(Duration::ZERO))
    }

    pub fn with(settings: Settings) -> Self {
        let clock = ManualClock::new();
        clock.set(Duration::from_secs(1_000_000));
        let heard = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&heard);
        let store = SessionStore::builder(settings)
            .clock(clock.clone())
            .on_event(move |event| log.lock().unwrap().push(event.clone()))
            .build()
            .unwrap();
        Self {
            clock,
            store,
            heard,
        }
    }

    #[track_caller]
    pub fn create(&self) -> LiveSession {
        self.store.create().unwrap()
    }

    #[track_caller]
    pub fn owned(&self, owner: &str) -> LiveSession {
        let session = self.create();
        session.set_owner(owner).unwrap();
        session
    }

    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// The keys that the owner index lists, in order.
    pub fn keys_of(&self, owner: &str) -> Vec<SessionKey> {
        let mut keys: Vec<_> = self.store.owned_by(owner).iter().map(|s| s.key).collect();
        keys.sort();
        keys
    }

    /// Ends the store, and tells all events there were.
    pub fn events(self) -> Vec<Event> {
        drop(self.store);
        Arc::into_inner(self.heard).unwrap().into_inner().unwrap()
    }
}

pub fn kinds(events: &[Event], key: SessionKey) -> Vec<EventKind> {
    let events = events.iter().filter(|event| event.key == key);
    events.map(|event| event.kind).collect()
}

/// Runs `work` in so many threads that start together. Returns their results, in order.
pub fn together<R: Send>(threads: usize, work: impl Fn(usize) -> R + Sync) -> Vec<R> {
    let barrier = Barrier::new(threads);
    let start = |number| {
        barrier.wait();
        work(number)
    };
    let start = &start;
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|number| scope.spawn(move || start(number)))
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .collect()
    })
}
