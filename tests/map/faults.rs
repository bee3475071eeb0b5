//! Nonsense settings, clocks that misbehave, and user code that panics: a
//! clear error or a documented outcome each, and nothing lost or leaked.

use crate::common::{
    MINUTE, Rig, Tally, Value, YEAR, assert_ledger, millis, panic_quietly, panics,
};
use dwell::{BuildError, Clock, IdleMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

#[test]
fn a_builder_refuses_nonsense_and_says_what_to_do() {
    let builder = IdleMap::<u32, Value>::builder;
    let huge = [Duration::MAX, 40 * YEAR, Duration::from_millis(u64::MAX)];
    let mut refused = vec![
        (builder().idle_timeout(Duration::ZERO), "idle_timeout"),
        (
            builder().idle_timeout(Duration::from_nanos(1)),
            "idle_timeout",
        ),
        (builder().max_lifetime(Duration::ZERO), "max_lifetime"),
        (builder().capacity(0), "capacity"),
        (builder().weight_capacity(0, |_, _| 1), "weight_capacity"),
        (builder().initial_capacity(usize::MAX), "initial_capacity"),
    ];
    for huge in huge {
        refused.push((builder().idle_timeout(huge), "idle_timeout"));
        refused.push((builder().max_lifetime(huge), "max_lifetime"));
    }
    for (builder, setting) in refused {
        let given = format!("{builder:?}");
        let error: BuildError = builder.build().expect_err(&given);
        let message = error.to_string();
        assert!(message.starts_with(setting), "{message}");
        assert!(message.contains("give at"), "{message}");
    }
}

#[test]
#[should_panic(expected = "idle_timeout is 0ns")]
fn new_refuses_a_timeout_of_zero() {
    IdleMap::<u32, Value>::new(Duration::ZERO);
}

#[test]
fn the_least_and_the_greatest_settings_work() {
    let least = Rig::with(|builder| {
        let builder = builder.idle_timeout(millis(1)).max_lifetime(millis(1));
        builder.capacity(1).weight_capacity(1, |_, _| u32::MAX)
    });
    let greatest = Rig::with(|builder| {
        let builder = builder.idle_timeout(34 * YEAR).max_lifetime(34 * YEAR);
        let builder = builder.touch_resolution(Duration::MAX).capacity(usize::MAX);
        builder.weight_capacity(u64::MAX, |_, _| u32::MAX)
    });
    for rig in [least, greatest] {
        rig.insert_all(0..100);
        for key in 0..100 {
            rig.map.get(&key);
            rig.map.update(&key, Value::next);
        }
        rig.clock.advance(35 * YEAR);
        rig.map.collect();
        assert!(rig.map.is_empty());
        rig.assert_alive(0);
        rig.finish();
    }
}

#[test]
fn huge_timeouts_of_a_record_are_clamped() {
    let rig = Rig::new();
    rig.insert_all(1..=2);
    assert!(rig.map.set_idle_timeout(&1, Duration::MAX));
    assert!(rig.map.set_lifetime(&1, Duration::MAX));
    rig.clock.advance(34 * YEAR);
    assert_eq!(rig.map.collect_idle(Duration::MAX), 1);
    assert_eq!(rig.keys(), [1]);
    rig.clock.advance(YEAR);
    assert!(!rig.map.contains_key(&1));
    rig.finish();
}

#[test]
fn a_timeout_of_zero_counts_as_a_millisecond_and_a_lifetime_of_zero_ends() {
    let rig = Rig::new();
    rig.insert_all(1..=2);
    assert!(rig.map.set_idle_timeout(&1, Duration::ZERO));
    assert!(rig.map.set_lifetime(&2, Duration::ZERO));
    assert_eq!(rig.keys(), [1]);
    rig.clock.advance(millis(1));
    assert!(rig.keys().is_empty());
    rig.finish();
}

#[test]
fn nothing_ends_while_the_clock_stands_still() {
    let rig = Rig::with(|builder| builder.idle_timeout(millis(1)));
    rig.insert_all(0..1_000);
    for key in 0..1_000 {
        assert!(rig.map.touch(&key));
        assert_eq!(rig.map.collect(), 0);
    }
    assert_eq!(rig.map.len(), 1_000);
    rig.finish();
}

#[test]
fn a_clock_that_leaps_a_century_ends_everything_once() {
    let rig = Rig::new();
    for century in 1..=10 {
        rig.insert_all(0..500);
        rig.clock.advance(100 * YEAR);
        assert!(rig.map.get(&7).is_none());
        assert_eq!(rig.map.collect(), 499);
        assert_eq!(rig.map.stats().expired, 500 * century);
    }
    assert_eq!(rig.removals().len(), 5_000);
    rig.finish();
}

#[test]
fn a_clock_that_goes_back_ends_nothing_and_forgets_no_access() {
    let rig = Rig::new();
    rig.insert(1);
    rig.clock.advance(MINUTE / 2);
    rig.map.touch(&1);
    rig.clock.set(Duration::ZERO);
    assert_eq!(rig.map.collect(), 0);
    assert_eq!(rig.map.idle_for(&1), Some(Duration::ZERO));
    assert!(rig.map.touch(&1));
    assert_eq!(rig.map.time_left(&1), Some(YEAR + MINUTE / 2 + MINUTE));
    // A record of the earlier time lives and ends by it.
    rig.insert(2);
    rig.clock.advance(2 * MINUTE);
    assert_eq!(rig.map.collect(), 1);
    rig.clock.set(YEAR + MINUTE);
    assert!(rig.map.contains_key(&1));
    rig.clock.advance(MINUTE);
    assert_eq!(rig.map.collect(), 1);
    rig.finish();
}

#[test]
fn the_end_of_time_is_survived() {
    let rig = Rig::with(|builder| builder.max_lifetime(YEAR));
    rig.insert(1);
    rig.clock.set(Duration::MAX);
    assert_eq!(rig.clock.now_millis(), u64::MAX);
    assert_eq!(rig.map.collect(), 1);
    rig.insert_all(0..100);
    rig.map.set_idle_timeout(&1, Duration::MAX);
    rig.map.set_lifetime(&1, Duration::MAX);
    rig.map.collect_idle(Duration::MAX);
    rig.map.collect_idle(Duration::ZERO);
    rig.clock.advance(Duration::MAX);
    rig.map.collect();
    rig.finish();
}

#[test]
fn a_closure_that_panics_leaves_the_record_as_it_was() {
    let rig = Rig::new();
    rig.insert(1);
    rig.clock.advance(millis(5));
    assert!(panics(|| rig.map.update(&1, |_| panic_quietly())));
    assert!(panics(|| rig.map.remove_if(&1, |_| panic_quietly())));
    assert!(panics(|| rig.map.get_or_insert_with(2, || panic_quietly())));
    assert_eq!(rig.map.idle_for(&1), Some(millis(5)));
    assert!(panics(|| rig.map.with(&1, |_| -> u32 { panic_quietly() })));
    assert_eq!(rig.map.peek(&1).unwrap().number(), 1);
    assert_eq!((rig.keys(), rig.map.len()), (vec![1], 1));
    rig.assert_alive(1);
    rig.finish();
}

#[test]
fn a_value_that_takes_long_to_make_begins_its_life_when_it_is_there() {
    let rig = Rig::with(|builder| builder.max_lifetime(2 * MINUTE));
    let made = rig.map.get_or_insert_with(1, || {
        rig.clock.advance(3 * MINUTE);
        rig.tally.value(1)
    });
    assert!(made.is_live());
    assert_eq!(rig.map.idle_for(&1), Some(Duration::ZERO));
    assert_eq!(rig.map.time_left(&1), Some(MINUTE));
    drop(made);
    rig.finish();
}

#[test]
fn an_update_that_takes_longer_than_the_session_lasts_does_not_revive_it() {
    let rig = Rig::with(|builder| builder.max_lifetime(2 * MINUTE));
    let update_for = |time| {
        rig.insert(1);
        let updated = rig.map.update(&1, |value| {
            rig.clock.advance(time);
            value.next()
        });
        updated.is_some()
    };
    assert!(update_for(MINUTE - millis(1)));
    assert_eq!(rig.map.idle_for(&1), Some(Duration::ZERO));
    assert!(!update_for(MINUTE));
    assert!(!update_for(5 * MINUTE));
    assert!(rig.map.is_empty());
    rig.finish();
}

#[test]
fn a_retain_that_panics_keeps_what_it_did_and_what_it_did_not() {
    for survivors in 0..100 {
        let rig = Rig::new();
        rig.insert_all(0..100);
        let mut left = 100 - survivors;
        let retain = || {
            rig.map.retain(|_, _| {
                if left == 0 {
                    panic_quietly();
                }
                left -= 1;
                false
            });
        };
        assert_eq!(panics(retain), survivors > 0);
        assert_eq!(rig.map.len(), survivors);
        assert_eq!(rig.keys().len(), survivors);
        rig.assert_alive(survivors as u64);
        rig.finish();
    }
}

#[test]
fn a_weigher_that_panics_changes_nothing() {
    let rig = Rig::with(|builder| {
        builder.weight_capacity(100, |_, value: &Value| match value.number() {
            7.. => panic_quietly(),
            weight => weight as u32,
        })
    });
    rig.insert_all(1..=6);
    assert!(panics(|| rig.insert(7)));
    assert!(panics(|| rig.map.update(&6, Value::next)));
    assert!(panics(|| rig.map.insert(6, rig.tally.value(7))));
    assert_eq!(rig.keys(), [1, 2, 3, 4, 5, 6]);
    assert_eq!(rig.map.stats().weight, 21);
    rig.assert_alive(6);
    rig.finish();
}

#[test]
fn a_listener_that_panics_is_counted_and_nothing_is_lost() {
    let tally = Tally::new();
    let clock = crate::common::clock();
    let map = IdleMap::builder()
        .idle_timeout(MINUTE)
        .capacity(10)
        .clock(clock.clone())
        .on_removal(|_, _| panic_quietly())
        .build()
        .unwrap();
    let ends: [(u64, &dyn Fn()); 7] = [
        (1, &|| drop(map.remove(&0))),
        (1, &|| drop(map.insert(0, tally.value(0)))),
        (1, &|| drop(map.insert(10, tally.value(0)))),
        (3, &|| assert_eq!(map.evict(3), 3)),
        (10, &|| map.clear()),
        (1, &|| {
            clock.advance(MINUTE);
            assert!(map.get(&0).is_none());
        }),
        (10, &|| {
            clock.advance(2 * MINUTE);
            assert_eq!(map.collect(), 10);
        }),
    ];
    for (ended, end) in ends {
        map.clear();
        (0..10).for_each(|key| drop(map.insert(key, tally.value(0))));
        let before = map.stats().listener_panics;
        end();
        assert_eq!(map.stats().listener_panics - before, ended);
        assert_ledger(&map);
    }
    drop(map);
    tally.assert_alive(0);
}

/// A value that panics when it is dropped.
#[derive(Debug)]
struct Bomb {
    _counted: Value,
    is_live: bool,
}

impl Drop for Bomb {
    fn drop(&mut self) {
        if self.is_live && !thread::panicking() {
            panic_quietly();
        }
    }
}

#[test]
fn values_that_panic_when_dropped_are_each_dropped_once() {
    let tally = Tally::new();
    let clock = crate::common::clock();
    type End = fn(&IdleMap<u32, Bomb>);
    let ends: [(&str, u64, End); 6] = [
        ("remove", 10, |map| {
            (0..10).for_each(|key| drop(map.remove(&key)))
        }),
        ("evict", 10, |map| assert_eq!(map.evict(10), 10)),
        ("clear", 100, |map| map.clear()),
        ("retain", 50, |map| map.retain(|key, _| *key < 50)),
        ("collect_idle", 100, |map| {
            assert_eq!(map.collect_idle(Duration::ZERO), 100);
        }),
        ("nothing", 0, |_| ()),
    ];
    for (name, ended, end) in ends {
        let map = IdleMap::builder().clock(clock.clone()).build().unwrap();
        for key in 0..100 {
            let bomb = Bomb {
                _counted: tally.value(key.into()),
                is_live: true,
            };
            map.insert(key, bomb);
        }
        clock.advance(millis(4_000));
        end(&map);
        while map.stats().garbage > 0 {
            map.collect();
            thread::yield_now();
        }
        assert_eq!(map.stats().drop_panics, ended, "{name}");
        assert_eq!(tally.alive(), 100 - ended, "{name}");
        assert_ledger(&map);
        drop(map);
        tally.assert_alive(0);
    }
}

#[test]
fn the_last_handle_drops_the_value_in_the_callers_hands() {
    let tally = Tally::new();
    let map = IdleMap::new(MINUTE);
    let bomb = Bomb {
        _counted: tally.value(1),
        is_live: true,
    };
    map.insert(1, bomb);
    let handle = map.remove(&1).unwrap();
    drop(map);
    assert!(panics(|| drop(handle)));
    tally.assert_alive(0);
}

#[test]
fn a_map_may_be_dropped_while_handles_live_threads_read_and_a_collector_runs() {
    for round in 0..50 {
        let rig = Rig::new();
        rig.insert_all(0..100);
        let collector = rig.map.spawn_collector();
        let readers: Vec<_> = (0..3)
            .map(|reader| {
                let map = Arc::clone(&rig.map);
                thread::spawn(move || {
                    let keys = (0..round * 20).map(|n| (n + reader) % 100);
                    keys.filter_map(|key| map.get(&key)).collect::<Vec<_>>()
                })
            })
            .collect();
        rig.clock.advance(MINUTE / 2);
        let Rig { map, tally, .. } = rig;
        drop(map);
        let handles: Vec<_> = readers
            .into_iter()
            .flat_map(|r| r.join().unwrap())
            .collect();
        let read = handles
            .iter()
            .all(|handle| handle.number() == u64::from(*handle.key()));
        assert!(read);
        drop(collector);
        drop(handles);
        tally.assert_alive(0);
    }
}

#[test]
fn a_million_inserts_of_one_key_leave_one_record() {
    const THREADS: u64 = 4;
    let each = if cfg!(debug_assertions) {
        25_000
    } else {
        250_000
    };
    let rig = Rig::new();
    let created = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for number in 0..each {
                    let replaced = rig.map.insert(1, rig.tally.value(number));
                    created.fetch_add(usize::from(replaced.is_none()), SeqCst);
                }
            });
        }
    });
    assert_eq!(created.into_inner(), 1);
    let stats = rig.map.stats();
    assert_eq!((stats.created, stats.live), (1, 1));
    assert_eq!(stats.replaced, THREADS * each - 1);
    assert_eq!(rig.removals().len() as u64, THREADS * each - 1);
    rig.assert_alive(1);
    rig.finish();
}
