//! The background collector, and listeners that misbehave while it runs.

use crate::common::{MINUTE, Rig, Tally, Value, YEAR, millis, panic_quietly};
use dwell::RemovalCause::{self, Removed};
use dwell::{Clock, Collector, Handle, IdleMap, ManualClock};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::thread;
use std::time::Duration;

/// Only a failing test waits this long.
const PATIENCE: Duration = Duration::from_secs(60);

type Map = IdleMap<u32, Value>;
type Told = Receiver<(u32, RemovalCause)>;

/// A map whose listener reports over a channel, after `first` had its say.
fn reporting(
    first: impl Fn(&Handle<u32, Value>, RemovalCause) + Send + Sync + 'static,
) -> (ManualClock, Arc<Map>, Told) {
    let clock = ManualClock::new();
    let (report, told) = channel();
    let map = IdleMap::builder()
        .idle_timeout(millis(10))
        .clock(clock.clone())
        .on_removal(move |record: &Handle<u32, Value>, cause| {
            let _ = report.send((*record.key(), cause));
            first(record, cause);
        })
        .build();
    (clock, Arc::new(map.unwrap()), told)
}

/// Does `f` on another thread, and fails where it does not come back.
#[track_caller]
fn assert_returns<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> R {
    let (report, returned) = channel();
    let thread = thread::spawn(move || report.send(f()));
    match returned.recv_timeout(PATIENCE) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => panic!("it hangs"),
        Err(_) => std::panic::resume_unwind(thread.join().unwrap_err()),
    }
}

#[test]
fn what_is_due_is_collected_without_anybody_asking() {
    let tally = Tally::new();
    let (clock, map, told) = reporting(|_, _| ());
    let collector = map.spawn_collector();
    for round in 0..3 {
        (0..100).for_each(|key| drop(map.insert(key, tally.value(round))));
        clock.advance(millis(20));
        for _ in 0..100 {
            told.recv_timeout(PATIENCE).expect("it is collected");
        }
        assert!(map.is_empty());
    }
    assert_eq!(map.stats().expired, 300);
    drop(collector);
    drop(map);
    tally.assert_alive(0);
}

#[test]
fn dropping_the_collector_stops_it_at_once_however_far_the_next_deadline() {
    let rig = Rig::with(|builder| builder.idle_timeout(YEAR));
    rig.insert(1);
    for _ in 0..20 {
        let collector = rig.map.spawn_collector();
        assert_returns(move || drop(collector));
        // The thread is gone, and with it what it knew of the map.
        assert_eq!(Arc::strong_count(&rig.map) + Arc::weak_count(&rig.map), 1);
    }
    assert_eq!(rig.keys(), [1]);
    rig.finish();
}

#[test]
fn a_collector_does_not_keep_the_map_alive() {
    let Rig { map, tally, .. } = Rig::with(|builder| builder.idle_timeout(YEAR));
    map.insert(1, tally.value(1));
    let collector = map.spawn_collector();
    drop(map);
    tally.assert_alive(0);
    assert_returns(move || {
        while collector.is_running() {
            thread::yield_now();
        }
    });
}

#[test]
fn several_collectors_of_several_maps_do_not_mind_each_other() {
    let rigs: [Rig; 3] = std::array::from_fn(|_| Rig::new());
    let collectors: Vec<_> = rigs
        .iter()
        .flat_map(|rig| [rig.map.spawn_collector(), rig.map.spawn_collector()])
        .collect();
    for rig in &rigs {
        rig.insert_all(0..1_000);
        rig.clock.advance(2 * MINUTE);
        rig.map.collect();
    }
    assert_returns(move || drop(collectors));
    for rig in rigs {
        rig.map.collect();
        assert_eq!(rig.removals().len(), 1_000);
        rig.finish();
    }
}

#[test]
fn the_collector_survives_a_listener_that_panics() {
    let tally = Tally::new();
    let (clock, map, told) = reporting(|_, _| panic_quietly());
    let collector = map.spawn_collector();
    for round in 0..3 {
        (0..50).for_each(|key| drop(map.insert(key, tally.value(round))));
        clock.advance(millis(20));
        for _ in 0..50 {
            told.recv_timeout(PATIENCE).expect("it goes on");
        }
    }
    assert_returns(move || drop(collector));
    assert_eq!(
        (map.stats().expired, map.stats().listener_panics),
        (150, 150)
    );
    crate::common::assert_ledger(&map);
    drop(map);
    tally.assert_alive(0);
}

#[test]
fn a_listener_may_call_back_into_the_map() {
    let tally = Tally::new();
    let this: Arc<OnceLock<Weak<Map>>> = Arc::default();
    let (clock, map, told) = {
        let (this, tally) = (Arc::clone(&this), Arc::clone(&tally));
        reporting(move |record, cause| {
            let map = this.get().unwrap().upgrade().unwrap();
            assert!(!record.is_live());
            assert!(cause != Removed || map.get(record.key()).is_none());
            map.collect();
            // A session that ends leaves a note, which is then removed.
            if *record.key() < 1_000 {
                map.insert(record.key() + 1_000, tally.value(record.number()));
                assert!(map.remove(&(record.key() + 1_000)).is_some());
                map.retain(|key, _| *key != 2_000);
                map.evict(0);
            }
        })
    };
    this.set(Arc::downgrade(&map)).unwrap();
    let work = {
        let (map, tally) = (Arc::clone(&map), Arc::clone(&tally));
        move || {
            (0..100).for_each(|key| drop(map.insert(key, tally.value(0))));
            (0..50).for_each(|key| assert!(map.remove(&key).is_some()));
            (50..60).for_each(|key| drop(map.insert(key, tally.value(1))));
            clock.advance(millis(20));
            map.collect();
            assert!(map.is_empty());
        }
    };
    assert_returns(work);
    crate::common::assert_quiet(&map);
    let stats = map.stats();
    assert_eq!((stats.expired, stats.replaced), (50, 10));
    assert_eq!(stats.removed, 50 + 110);
    assert_eq!(told.try_iter().count(), 110 + 110);
    crate::common::assert_ledger(&map);
    drop(map);
    tally.assert_alive(0);
}

#[test]
fn a_listener_may_keep_the_handle_it_is_given() {
    let tally = Tally::new();
    let (keep, kept) = channel();
    let (clock, map, _told) = reporting(move |record, _| keep.send(record.clone()).unwrap());
    map.insert(1, tally.value(7));
    clock.advance(millis(20));
    assert_eq!(map.collect(), 1);
    drop(map);
    let record = kept.recv().unwrap();
    assert_eq!(record.number(), 7);
    tally.assert_alive(1);
    drop(record);
    tally.assert_alive(0);
}

#[test]
fn a_collector_may_be_dropped_by_its_own_listener() {
    let held: Arc<Mutex<Option<Collector>>> = Arc::default();
    let (clock, map, told) = {
        let held = Arc::clone(&held);
        reporting(move |_, _| drop(held.lock().unwrap().take()))
    };
    map.insert(1, Tally::new().value(1));
    *held.lock().unwrap() = Some(map.spawn_collector());
    clock.advance(millis(20));
    told.recv_timeout(PATIENCE).expect("it is collected");
    assert_returns(move || {
        while held.lock().unwrap().is_some() {
            thread::yield_now();
        }
    });
}

/// Counts how often the collector's thread looks at it.
struct WatchedClock {
    time: ManualClock,
    looks: Arc<AtomicUsize>,
}

impl Clock for WatchedClock {
    fn now_millis(&self) -> u64 {
        if thread::current().name() == Some("dwell-collector") {
            self.looks.fetch_add(1, Ordering::Relaxed);
        }
        self.time.now_millis()
    }
}

#[test]
fn a_collector_ends_all_that_is_due_before_it_rests() {
    let looks: Arc<AtomicUsize> = Arc::default();
    let time = ManualClock::new();
    let (report, told) = channel();
    let map = {
        let looks = Arc::clone(&looks);
        let listen = move |_: &Handle<u32, u32>, _| {
            let _ = report.send(looks.load(Ordering::Relaxed));
        };
        IdleMap::builder().on_removal(listen)
    };
    let clock = WatchedClock {
        time: time.clone(),
        looks,
    };
    let map = map.idle_timeout(millis(10)).clock(clock).build();
    let map = Arc::new(map.unwrap());
    (0..500).for_each(|key| drop(map.insert(key, key)));
    time.advance(millis(20));
    let _collector = map.spawn_collector();
    let first = told.recv_timeout(PATIENCE).expect("it is collected");
    for _ in 1..500 {
        let later = told.recv_timeout(PATIENCE).expect("it goes on");
        assert_eq!(first, later, "it looked at the time in between");
    }
}

#[test]
fn a_collector_that_is_dropped_does_not_collect_all_that_is_due() {
    let held: Arc<Mutex<Option<Collector>>> = Arc::default();
    let (clock, map, told) = {
        let held = Arc::clone(&held);
        reporting(move |_, _| drop(held.lock().unwrap().take()))
    };
    let tally = Tally::new();
    (0..500).for_each(|key| drop(map.insert(key, tally.value(0))));
    clock.advance(millis(20));
    {
        // Its listener waits until the collector is there to be dropped.
        let mut held = held.lock().unwrap();
        *held = Some(map.spawn_collector());
    }
    told.recv_timeout(PATIENCE).expect("it is collected");
    let is_alone = {
        let map = Arc::clone(&map);
        move || {
            // This one and the caller's; the thread has gone with all that it knew of the map.
            while Arc::strong_count(&map) + Arc::weak_count(&map) > 2 {
                thread::yield_now();
            }
        }
    };
    assert_returns(is_alone);
    assert!(map.len() > 400, "only {} records are left", map.len());
}
