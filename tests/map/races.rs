//! Races between threads, each with the one outcome that is promised.

use crate::common::{MINUTE, Rig, Value, assert_ledger, millis};
use dwell::IdleMap;
use dwell::RemovalCause::{ExpiredIdle, Removed, Replaced};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;

const THREADS: usize = 3;
/// How often each race is run, each time over all [`KEYS`].
const HEATS: usize = 150;
const KEYS: u32 = 64;

/// Lets threads start together and go through the keys in the same order: who
/// is ahead does the work and is caught up with by those who find it done, so
/// that they meet again and again. Returns the results of each key, in the
/// order of the threads.
fn race<R: Send>(racer: impl Fn(usize, u32) -> R + Sync) -> Vec<Vec<R>> {
    let arrived = AtomicUsize::new(0);
    let run = |thread| {
        arrived.fetch_add(1, SeqCst);
        // Spinning: a barrier that sleeps wakes the threads too far apart.
        while arrived.load(SeqCst) < THREADS {
            thread::yield_now();
        }
        Vec::from_iter((0..KEYS).map(|key| racer(thread, key)))
    };
    let run = &run;
    let mut by_thread = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| scope.spawn(move || run(thread)))
            .collect();
        let results = threads.into_iter().map(|t| t.join().unwrap().into_iter());
        Vec::from_iter(results)
    });
    (0..KEYS)
        .map(|_| by_thread.iter_mut().filter_map(Iterator::next).collect())
        .collect()
}

fn trues(results: &[bool]) -> usize {
    results.iter().filter(|won| **won).count()
}

#[test]
fn updates_from_many_threads_lose_nothing() {
    const UPDATES: u64 = 200;
    let map = IdleMap::new(MINUTE);
    map.insert(1, 0_u64);
    race(|_, _| {
        for _ in 0..UPDATES {
            map.update(&1, |count| count + 1).unwrap();
        }
    });
    let updates = UPDATES * u64::from(KEYS) * THREADS as u64;
    assert_eq!(*map.get(&1).unwrap(), updates);
    assert_ledger(&map);
}

#[test]
fn get_or_insert_with_creates_one() {
    for _ in 0..HEATS {
        let rig = Rig::new();
        let results = race(|thread, key| {
            let value = || rig.tally.value(thread as u64);
            rig.map.get_or_insert_with(key, value).number()
        });
        for (key, seen) in results.iter().enumerate() {
            let kept = rig.map.peek(&(key as u32)).unwrap().number();
            assert_eq!(*seen, [kept; THREADS]);
        }
        assert_eq!(rig.map.stats().created, u64::from(KEYS));
        rig.assert_alive(KEYS.into());
        rig.finish();
    }
}

#[test]
fn try_insert_has_one_winner() {
    for _ in 0..HEATS {
        let rig = Rig::new();
        let results = race(|thread, key| {
            let value = rig.tally.value(thread as u64);
            rig.map.try_insert(key, value).is_ok()
        });
        for (key, won) in results.iter().enumerate() {
            assert_eq!(trues(won), 1);
            let kept = rig.map.peek(&(key as u32)).unwrap().number();
            assert!(won[kept as usize], "the winner's value is the one kept");
        }
        assert_eq!(rig.map.stats().created, u64::from(KEYS));
        rig.assert_alive(KEYS.into());
        rig.finish();
    }
}

#[test]
fn of_racing_inserts_one_creates_and_the_others_replace() {
    for _ in 0..HEATS {
        let rig = Rig::new();
        let results = race(|thread, key| {
            let value = rig.tally.value(thread as u64);
            rig.map.insert(key, value).map(|replaced| replaced.number())
        });
        for (key, replaced) in results.iter().enumerate() {
            let kept = rig.map.peek(&(key as u32)).unwrap().number();
            let mut values: Vec<_> = replaced.iter().flatten().copied().collect();
            values.push(kept);
            values.sort_unstable();
            assert_eq!(values, Vec::from_iter(0..THREADS as u64));
        }
        let (created, replaced) = (u64::from(KEYS), u64::from(KEYS) * (THREADS as u64 - 1));
        let stats = rig.map.stats();
        assert_eq!((stats.created, stats.replaced), (created, replaced));
        rig.assert_alive(KEYS.into());
        rig.finish();
    }
}

#[test]
fn remove_has_one_winner() {
    for _ in 0..HEATS {
        let rig = Rig::new();
        rig.insert_all(0..KEYS);
        for won in race(|_, key| rig.map.remove(&key).is_some()) {
            assert_eq!(trues(&won), 1);
        }
        assert_eq!(rig.removals().len(), KEYS as usize);
        assert!(rig.map.is_empty());
        rig.finish();
    }
}

#[test]
fn an_update_comes_before_a_removal_or_not_at_all() {
    for _ in 0..HEATS {
        let rig = Rig::new();
        (0..KEYS).for_each(|key| drop(rig.map.insert(key, rig.tally.value(0))));
        let results = race(|thread, key| match thread {
            0 => rig.map.remove(&key).map(|removed| removed.number()),
            _ => rig.map.update(&key, Value::next).map(|new| new.number()),
        });
        for numbers in results {
            let updates = numbers[1..].iter().flatten().count() as u64;
            assert_eq!(numbers[0], Some(updates), "{numbers:?}");
        }
        assert!(rig.map.is_empty());
        rig.assert_alive(0);
        rig.finish();
    }
}

#[test]
fn an_expired_record_ends_once_however_many_meet_it() {
    for _ in 0..HEATS {
        let rig = Rig::new();
        rig.insert_all(0..KEYS);
        rig.clock.advance(2 * MINUTE);
        let results = race(|thread, key| match thread {
            0 => rig.map.collect() > KEYS as usize,
            1 => rig.map.touch(&key),
            _ => rig.map.remove(&key).is_some(),
        });
        assert!(results.iter().all(|met| trues(met) == 0));
        let removals = rig.removals();
        assert_eq!(removals.len(), KEYS as usize);
        assert!(removals.iter().all(|(_, cause)| *cause == ExpiredIdle));
        rig.finish();
    }
}

/// Lets `rescue` race collections of records that are due in a millisecond:
/// each is alive afterwards exactly if it was told so.
fn assert_rescued_as_told(rescue: impl Fn(&Rig, u32) -> bool + Sync) {
    for _ in 0..HEATS {
        let rig = Rig::new();
        rig.insert_all(0..KEYS);
        rig.clock.advance(MINUTE - millis(1));
        let results = race(|thread, key| {
            if thread == 0 {
                return rescue(&rig, key);
            }
            if key == 0 {
                rig.clock.advance(millis(200));
            }
            rig.map.collect();
            false
        });
        for (key, told) in results.iter().enumerate() {
            assert_eq!(rig.map.contains_key(&(key as u32)), told[0], "{key}");
        }
        rig.finish();
    }
}

#[test]
fn a_touch_that_races_collection_keeps_the_session() {
    assert_rescued_as_told(|rig, key| rig.map.touch(&key));
}

#[test]
fn an_update_that_races_collection_keeps_the_session() {
    assert_rescued_as_told(|rig, key| rig.map.update(&key, Value::next).is_some());
}

#[test]
fn a_longer_allowance_that_races_collection_is_kept() {
    assert_rescued_as_told(|rig, key| rig.map.set_idle_timeout(&key, 2 * MINUTE));
}

#[test]
fn a_shorter_allowance_that_is_refused_did_not_end_the_session() {
    for _ in 0..10 * HEATS {
        let rig = Rig::new();
        rig.insert_all(0..KEYS);
        rig.clock.advance(MINUTE / 2);
        let results = race(|thread, key| {
            if thread == 0 {
                return rig.map.set_idle_timeout(&key, MINUTE / 4);
            }
            while rig.map.contains_key(&key) {
                std::hint::spin_loop();
            }
            true
        });
        assert!(results.iter().all(|told| told[0]), "nothing else was due");
        rig.finish();
    }
}

#[test]
fn collections_share_the_work_and_do_none_of_it_twice() {
    for _ in 0..HEATS {
        let rig = Rig::new();
        rig.insert_all(0..500);
        rig.clock.advance(2 * MINUTE);
        let ended = race(|_, _| rig.map.collect());
        assert_eq!(ended.iter().flatten().sum::<usize>(), 500);
        assert_eq!(rig.map.stats().expired, 500);
        assert_eq!(rig.removals().len(), 500);
        rig.finish();
    }
}

#[test]
fn clear_and_retain_race_insertions_and_the_books_balance() {
    for _ in 0..HEATS / 10 {
        let rig = Rig::new();
        race(|thread, round| match thread {
            0 => rig.insert_all(0..100),
            1 if round % 2 == 0 => rig.map.clear(),
            1 => rig.map.retain(|key, _| key % 2 == 0),
            _ => (0..100).for_each(|key| drop(rig.map.remove(&key))),
        });
        let live = rig.map.len() as u64;
        let ended = rig.removals();
        let removed = ended.iter().filter(|(_, cause)| *cause == Removed).count();
        let replaced = ended.iter().filter(|(_, cause)| *cause == Replaced).count();
        let stats = rig.map.stats();
        assert_eq!(stats.removed, removed as u64);
        assert_eq!(stats.replaced, replaced as u64);
        assert_eq!(stats.created + stats.replaced, u64::from(KEYS) * 100);
        rig.assert_alive(live);
        rig.finish();
    }
}

/// Runs `work` on one thread over and over until `f` is done on this one.
fn beside<R>(work: impl Fn(u32) + Sync, f: impl FnOnce() -> R) -> R {
    /// Also where `f` panics, the other thread must be told.
    struct Done<'a>(&'a AtomicBool);
    impl Drop for Done<'_> {
        fn drop(&mut self) {
            self.0.store(true, SeqCst);
        }
    }
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0.. {
                if done.load(SeqCst) {
                    break;
                }
                work(round);
            }
        });
        let _done = Done(&done);
        f()
    })
}

#[test]
fn a_key_that_is_replaced_all_the_time_is_always_found() {
    let rig = Rig::new();
    rig.map.insert(1, rig.tally.value(0));
    let replace = |round| match round % 2 {
        0 => drop(rig.map.insert(1, rig.tally.value(u64::from(round) + 1))),
        _ => drop(rig.map.update(&1, |value| value.next())),
    };
    beside(replace, || {
        let mut last = 0;
        for _ in 0..50_000 {
            let number = rig.map.get(&1).expect("never absent").number();
            assert!(number >= last, "{number} after {last}");
            last = number;
        }
    });
    assert_eq!(rig.map.stats().created, 1);
    rig.finish();
}

#[test]
fn what_is_present_is_found_while_the_table_grows_and_shrinks() {
    let rig = Rig::new();
    rig.insert_all(0..1_000);
    let resize = |_| {
        rig.insert_all(10_000..40_000);
        (10_000..40_000).for_each(|key| drop(rig.map.remove(&key)));
    };
    beside(resize, || {
        for _ in 0..300 {
            for key in 0..1_000 {
                let found = rig.map.get(&key);
                assert!(found.is_some_and(|value| value.number() == u64::from(key)));
                assert!(rig.map.try_insert(key, rig.tally.value(0)).is_err());
            }
        }
    });
    assert_ledger(&rig.map);
    rig.finish();
}

#[test]
fn an_iteration_sees_what_stays_exactly_once() {
    let rig = Rig::new();
    rig.insert_all(0..1_000);
    let churn = |_| {
        rig.insert_all(10_000..30_000);
        (0..1_000).for_each(|key| assert!(rig.map.touch(&key)));
        (10_000..30_000).for_each(|key| drop(rig.map.remove(&key)));
    };
    beside(churn, || {
        for _ in 0..100 {
            let mut seen = HashMap::new();
            for record in rig.map.iter().filter(|record| *record.key() < 1_000) {
                *seen.entry(*record.key()).or_insert(0) += 1;
            }
            let twice = seen.iter().find(|(_, times)| **times != 1);
            assert_eq!((seen.len(), twice), (1_000, None));
        }
    });
    rig.finish();
}

#[test]
fn retain_asks_what_stays_exactly_once() {
    let rig = Rig::new();
    rig.insert_all(0..1_000);
    let churn = |_| {
        rig.insert_all(10_000..30_000);
        (10_000..30_000).for_each(|key| drop(rig.map.remove(&key)));
    };
    beside(churn, || {
        for _ in 0..100 {
            let mut asked = vec![0; 1_000];
            rig.map.retain(|key, _| {
                if let Some(times) = asked.get_mut(*key as usize) {
                    *times += 1;
                }
                *key < 1_000 || key % 2 == 0
            });
            assert!(asked.iter().all(|times| *times == 1));
        }
    });
    assert_ledger(&rig.map);
    rig.finish();
}
