//! What the documentation says of each operation, one test for each promise.

use crate::common::{MINUTE, Rig, Value, YEAR, millis};
use dwell::RemovalCause::{Evicted, ExpiredIdle, ExpiredLifetime, Removed, Replaced};
use dwell::{Clock, CoarseClock, Collector, Handle, IdleMap, PreciseClock, Stats};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::Duration;

const fn is_shared<T: Send + Sync + 'static>() {}

const _: () = {
    is_shared::<IdleMap<String, String>>();
    is_shared::<Handle<String, String>>();
    is_shared::<Collector>();
    is_shared::<Stats>();
};

const fn may_be_seen_after_a_panic<T: UnwindSafe + RefUnwindSafe>() {}

const _: () = {
    may_be_seen_after_a_panic::<IdleMap<String, String>>();
    may_be_seen_after_a_panic::<Handle<String, String>>();
};

#[test]
fn a_session_lives_as_long_as_it_is_touched_in_time() {
    let rig = Rig::new();
    rig.insert(1);
    for _ in 0..10 {
        rig.clock.advance(MINUTE - millis(1));
        assert_eq!(rig.map.get(&1).unwrap().number(), 1);
    }
    rig.clock.advance(MINUTE);
    assert!(rig.map.get(&1).is_none());
    assert_eq!(rig.removals(), [(1, ExpiredIdle)]);
    rig.finish();
}

#[test]
fn get_with_touch_update_and_get_or_insert_with_touch() {
    let rig = Rig::new();
    let touches: [fn(&Rig); 5] = [
        |rig| drop(rig.map.get(&1).unwrap()),
        |rig| rig.map.with(&1, |_| ()).unwrap(),
        |rig| assert!(rig.map.touch(&1)),
        |rig| drop(rig.map.update(&1, Value::next).unwrap()),
        |rig| drop(rig.map.get_or_insert_with(1, || unreachable!())),
    ];
    rig.insert(1);
    for touch in touches {
        rig.clock.advance(millis(10));
        touch(&rig);
        assert_eq!(rig.map.idle_for(&1), Some(Duration::ZERO));
    }
    rig.finish();
}

#[test]
fn looking_does_not_touch() {
    let rig = Rig::new();
    rig.insert(1);
    rig.clock.advance(millis(10));
    assert!(rig.map.peek(&1).is_some());
    assert!(rig.map.contains_key(&1));
    assert!(rig.map.time_left(&1).is_some());
    assert_eq!(rig.map.iter().count(), 1);
    rig.map.retain(|_, _| true);
    assert!(rig.map.remove_if(&1, |_| false).is_none());
    let occupied = rig.map.try_insert(1, rig.tally.value(2)).unwrap_err();
    assert_eq!(occupied.existing.number(), 1);
    assert_eq!(rig.map.idle_for(&1), Some(millis(10)));
    drop(occupied);
    rig.finish();
}

#[test]
fn nothing_is_found_under_an_unknown_key() {
    let rig = Rig::new();
    rig.insert(1);
    assert!(rig.map.get(&2).is_none());
    assert!(rig.map.with(&2, |_| ()).is_none());
    assert!(rig.map.peek(&2).is_none());
    assert!(!rig.map.touch(&2));
    assert!(!rig.map.contains_key(&2));
    assert!(rig.map.update(&2, |_| unreachable!()).is_none());
    assert!(rig.map.remove(&2).is_none());
    assert!(rig.map.remove_if(&2, |_| unreachable!()).is_none());
    assert!(!rig.map.set_idle_timeout(&2, MINUTE));
    assert!(!rig.map.set_lifetime(&2, MINUTE));
    assert!(rig.map.idle_for(&2).is_none());
    assert!(rig.map.time_left(&2).is_none());
    rig.finish();
}

#[test]
fn insert_replaces_and_returns_the_record_it_replaced() {
    let rig = Rig::new();
    assert!(rig.map.insert(1, rig.tally.value(10)).is_none());
    let first = rig.map.get(&1).unwrap();
    let replaced = rig.map.insert(1, rig.tally.value(20)).unwrap();
    assert_eq!((replaced.number(), replaced.is_live()), (10, false));
    assert!(!first.is_live());
    assert_eq!(rig.map.get(&1).unwrap().number(), 20);
    assert_eq!(rig.removals(), [(1, Replaced)]);
    let stats = rig.map.stats();
    assert_eq!((stats.created, stats.replaced, stats.live), (1, 1, 1));
    drop((first, replaced));
    rig.assert_alive(1);
    rig.finish();
}

#[test]
fn a_replacement_starts_with_fresh_deadlines() {
    let rig = Rig::with(|builder| builder.max_lifetime(10 * MINUTE));
    rig.insert(1);
    assert!(rig.map.set_idle_timeout(&1, millis(5)));
    assert!(rig.map.set_lifetime(&1, millis(4)));
    rig.insert(1);
    rig.clock.advance(MINUTE - millis(1));
    assert!(rig.map.contains_key(&1));
    rig.finish();
}

#[test]
fn try_insert_gives_the_value_back() {
    let rig = Rig::new();
    let handle = rig.map.try_insert(1, rig.tally.value(10)).unwrap();
    assert_eq!((handle.number(), *handle.key()), (10, 1));
    let occupied = rig.map.try_insert(1, rig.tally.value(20)).unwrap_err();
    assert_eq!(occupied.existing.number(), 10);
    assert_eq!(occupied.value.number(), 20);
    drop((handle, occupied));
    rig.finish();
}

#[test]
fn an_expired_key_is_free_to_every_insertion() {
    let inserts: [fn(&Rig); 3] = [
        |rig| assert!(rig.insert(1).is_none()),
        |rig| drop(rig.map.try_insert(1, rig.tally.value(1)).unwrap()),
        |rig| drop(rig.map.get_or_insert_with(1, || rig.tally.value(1))),
    ];
    for insert in inserts {
        let rig = Rig::new();
        rig.insert(1);
        rig.clock.advance(MINUTE);
        insert(&rig);
        assert_eq!(rig.removals(), [(1, ExpiredIdle)]);
        assert_eq!((rig.map.stats().created, rig.map.len()), (2, 1));
        rig.finish();
    }
}

#[test]
fn update_replaces_the_value_and_keeps_the_deadlines() {
    let rig = Rig::new();
    rig.map.insert(1, rig.tally.value(10));
    rig.map.set_idle_timeout(&1, 2 * MINUTE);
    rig.map.set_lifetime(&1, 3 * MINUTE);
    let old = rig.map.get(&1).unwrap();
    rig.clock.advance(MINUTE);
    let new = rig.map.update(&1, Value::next).unwrap();
    assert_eq!((old.number(), old.is_live()), (10, false));
    assert_eq!((new.number(), new.is_live()), (11, true));
    rig.clock.advance(2 * MINUTE - millis(1));
    assert_eq!(rig.map.peek(&1).unwrap().number(), 11);
    rig.clock.advance(millis(1));
    assert!(rig.map.peek(&1).is_none());
    drop((old, new));
    rig.finish();
}

#[test]
fn remove_if_removes_only_what_the_closure_agrees_to() {
    let rig = Rig::new();
    rig.insert_all(1..=2);
    assert!(rig.map.remove_if(&1, |value| value.number() == 2).is_none());
    let removed = rig.map.remove_if(&2, |value| value.number() == 2);
    assert_eq!(removed.unwrap().number(), 2);
    assert_eq!(rig.keys(), [1]);
    assert_eq!(rig.removals(), [(2, Removed)]);
    rig.finish();
}

#[test]
fn a_handle_outlives_removal_and_the_map() {
    let rig = Rig::new();
    rig.insert_all(1..=2);
    let removed = rig.map.remove(&1).unwrap();
    let kept = rig.map.get(&2).unwrap();
    let copy = kept.clone();
    let Rig { map, tally, .. } = rig;
    drop(map);
    tally.assert_alive(2);
    assert_eq!((removed.number(), kept.number()), (1, 2));
    drop((removed, kept));
    tally.assert_alive(1);
    let elsewhere = std::thread::spawn(move || copy.number());
    assert_eq!(elsewhere.join().unwrap(), 2);
    tally.assert_alive(0);
}

#[test]
fn a_value_is_dropped_without_waiting_for_its_deadline() {
    let rig = Rig::new();
    rig.insert_all(0..1_000);
    for key in 0..999 {
        rig.map.remove(&key);
    }
    rig.assert_alive(1);
    rig.finish();
}

#[test]
fn a_dropped_map_drops_its_values_at_once_whoever_is_inside_of_another_one() {
    let value = Arc::new(());
    let busy = IdleMap::new(MINUTE);
    busy.insert(0, ());
    let map = IdleMap::new(MINUTE);
    busy.with(&0, |()| {
        for key in 0..100 {
            map.insert(key, Arc::clone(&value));
        }
        for key in 0..90 {
            map.remove(&key);
        }
        // This thread counts as being inside of an operation: no grace period ends.
        assert_eq!(Arc::strong_count(&value), 101);
        drop(map);
        assert_eq!(Arc::strong_count(&value), 1);
    });
}

#[test]
fn an_own_idle_timeout_may_be_longer_or_shorter_and_does_not_touch() {
    let rig = Rig::new();
    rig.insert_all(1..=2);
    rig.clock.advance(millis(10));
    assert!(rig.map.set_idle_timeout(&1, 2 * MINUTE));
    assert!(rig.map.set_idle_timeout(&2, millis(20)));
    assert_eq!(rig.map.idle_for(&1), Some(millis(10)));
    rig.clock.advance(millis(9));
    assert!(rig.map.contains_key(&2));
    rig.clock.advance(millis(1));
    assert!(!rig.map.contains_key(&2));
    rig.clock.set(YEAR + 2 * MINUTE - millis(1));
    assert!(rig.map.contains_key(&1));
    rig.clock.advance(millis(1));
    assert!(!rig.map.contains_key(&1));
    rig.finish();
}

#[test]
fn an_own_lifetime_may_be_longer_or_shorter_than_the_maps() {
    let rig = Rig::with(|builder| builder.max_lifetime(2 * MINUTE));
    rig.insert_all(1..=3);
    assert!(rig.map.set_lifetime(&1, millis(5)));
    assert!(rig.map.set_lifetime(&2, 3 * MINUTE));
    let touch_until = |until| {
        while rig.clock.now_millis() < until {
            for key in 1..=3 {
                rig.map.touch(&key);
            }
            rig.clock.advance(millis(1_000));
        }
    };
    let start = rig.clock.now_millis();
    rig.clock.advance(millis(5));
    assert!(!rig.map.touch(&1));
    touch_until(start + 120_000);
    assert!(!rig.map.touch(&3));
    touch_until(start + 180_000);
    assert!(!rig.map.touch(&2));
    let causes = [1, 3, 2].map(|key| (key, ExpiredLifetime));
    assert_eq!(rig.removals(), causes);
    rig.finish();
}

#[test]
fn a_shortened_deadline_is_collected_on_time() {
    let rig = Rig::with(|builder| builder.idle_timeout(YEAR));
    rig.insert_all(1..=3);
    rig.map.set_idle_timeout(&1, MINUTE);
    rig.map.set_lifetime(&2, MINUTE);
    assert_eq!(rig.map.collect(), 0);
    // A collection may be late by a quantum, here little more than a minute.
    rig.clock.advance(3 * MINUTE);
    assert_eq!(rig.map.collect(), 2);
    let mut removals = rig.removals();
    removals.sort_unstable_by_key(|(key, _)| *key);
    assert_eq!(removals, [(1, ExpiredIdle), (2, ExpiredLifetime)]);
    rig.finish();
}

#[test]
fn a_touch_is_recorded_only_once_per_resolution() {
    let rig = Rig::with(|builder| builder.touch_resolution(millis(1_000)));
    rig.insert(1);
    // The first touch is always recorded: now it is known to come back.
    rig.map.touch(&1);
    rig.clock.advance(millis(999));
    rig.map.touch(&1);
    assert_eq!(rig.map.idle_for(&1), Some(millis(999)));
    rig.clock.advance(millis(1));
    rig.map.touch(&1);
    assert_eq!(rig.map.idle_for(&1), Some(Duration::ZERO));
    rig.finish();
}

#[test]
fn the_end_is_told_and_is_exact() {
    let rig = Rig::with(|builder| builder.max_lifetime(MINUTE + millis(10)));
    rig.insert(1);
    assert_eq!(rig.map.time_left(&1), Some(MINUTE));
    rig.clock.advance(millis(20));
    rig.map.touch(&1);
    let end = YEAR + MINUTE + millis(10);
    assert_eq!(rig.map.time_left(&1), Some(MINUTE - millis(10)));
    rig.clock.set(end - millis(1));
    assert!(rig.map.contains_key(&1));
    rig.clock.set(end);
    assert!(!rig.map.contains_key(&1));
    rig.finish();
}

#[test]
fn len_counts_the_expired_until_something_meets_them() {
    let rig = Rig::new();
    rig.insert_all(1..=3);
    rig.clock.advance(MINUTE);
    assert_eq!(rig.map.len(), 3);
    assert!(rig.map.get(&1).is_none());
    assert_eq!(rig.map.len(), 2);
    rig.clock.advance(MINUTE);
    assert_eq!(rig.map.collect(), 2);
    assert!(rig.map.is_empty());
    rig.finish();
}

#[test]
fn collect_ends_what_is_due_and_only_that() {
    let rig = Rig::new();
    rig.insert_all(0..1_000);
    rig.clock.advance(MINUTE / 2);
    rig.insert_all(1_000..3_000);
    (0..100).for_each(|key| assert!(rig.map.touch(&key)));
    assert_eq!(rig.map.collect(), 0);
    rig.clock.advance(MINUTE / 2 + millis(200));
    assert_eq!(rig.map.collect(), 900);
    assert_eq!(rig.map.len(), 2_100);
    assert_eq!(rig.map.collect(), 0);
    assert_eq!(rig.map.stats().expired, 900);
    rig.finish();
}

#[test]
fn collect_idle_has_its_own_bound() {
    let rig = Rig::new();
    rig.insert_all(1..=2);
    rig.map.set_idle_timeout(&2, 2 * MINUTE);
    rig.clock.advance(MINUTE / 2);
    rig.insert(3);
    assert_eq!(rig.map.collect_idle(MINUTE / 4), 1);
    assert_eq!(rig.removals(), [(1, ExpiredIdle)]);
    assert_eq!(rig.map.collect(), 0);
    assert_eq!(rig.keys(), [2, 3]);
    rig.finish();
}

#[test]
fn evict_takes_as_many_as_it_is_asked_for() {
    let rig = Rig::new();
    rig.insert_all(0..10);
    assert_eq!(rig.map.evict(4), 4);
    assert_eq!((rig.map.len(), rig.map.stats().evicted), (6, 4));
    assert!(rig.removals().iter().all(|(_, cause)| *cause == Evicted));
    assert_eq!(rig.map.evict(100), 6);
    assert_eq!(rig.map.evict(1), 0);
    rig.finish();
}

#[test]
fn retain_and_clear_remove() {
    let rig = Rig::new();
    rig.insert_all(0..10);
    rig.map
        .retain(|key, value| key % 2 == 0 && value.number() > 3);
    assert_eq!(rig.keys(), [4, 6, 8]);
    rig.map.clear();
    assert!(rig.map.is_empty());
    assert_eq!(rig.map.stats().removed, 10);
    assert_eq!(rig.removals().len(), 10);
    rig.assert_alive(0);
    rig.finish();
}

#[test]
fn every_removal_is_told_once_with_its_cause() {
    let rig = Rig::with(|builder| builder.max_lifetime(2 * MINUTE));
    rig.insert_all(1..=4);
    rig.map.remove(&1);
    rig.insert(2);
    rig.clock.advance(MINUTE - millis(1));
    rig.map.touch(&2);
    rig.map.touch(&4);
    rig.clock.advance(millis(1));
    assert!(!rig.map.touch(&3));
    rig.clock.advance(MINUTE - millis(2));
    rig.map.touch(&4);
    rig.clock.advance(millis(1));
    assert!(!rig.map.touch(&2));
    rig.clock.advance(millis(1));
    assert!(!rig.map.touch(&4));
    rig.insert(5);
    rig.map.evict(1);
    let told = [
        (1, Removed),
        (2, Replaced),
        (3, ExpiredIdle),
        (2, ExpiredIdle),
        (4, ExpiredLifetime),
        (5, Evicted),
    ];
    assert_eq!(rig.removals(), told);
    rig.finish();
}

#[test]
fn keys_are_looked_up_by_what_they_borrow_as() {
    let map: IdleMap<String, u32> = IdleMap::new(MINUTE);
    map.insert("visitor".to_owned(), 7);
    assert_eq!(map.get("visitor").as_deref(), Some(&7));
    assert_eq!(map.update("visitor", |n| n + 1).as_deref(), Some(&8));
    assert_eq!(map.remove("visitor").as_deref(), Some(&8));
}

#[test]
fn any_hasher_and_clock_will_do() {
    let hasher = std::collections::hash_map::RandomState::new();
    let builder = IdleMap::builder().hasher(hasher).clock(PreciseClock);
    let map = builder.build().unwrap();
    map.insert("a", 1);
    assert_eq!(map.get("a").as_deref(), Some(&1));
    for _ in 0..1_000 {
        let (coarse, precise) = (CoarseClock.now_millis(), PreciseClock.now_millis());
        assert!(CoarseClock.now_millis() >= coarse);
        assert!(PreciseClock.now_millis() >= precise);
    }
}

#[test]
fn several_maps_live_side_by_side() {
    let short = Rig::with(|builder| builder.idle_timeout(millis(10)));
    let long = Rig::new();
    short.insert_all(0..100);
    long.insert_all(50..150);
    short.clock.advance(millis(20));
    assert_eq!(short.map.collect(), 100);
    assert_eq!(long.map.len(), 100);
    short.finish();
    assert_eq!(long.keys(), Vec::from_iter(50..150));
    long.finish();
}

#[test]
fn zero_sized_and_shared_values_are_welcome() {
    let set: IdleMap<u64, ()> = IdleMap::new(MINUTE);
    set.insert(1, ());
    assert!(set.contains_key(&1));
    let shared = Arc::new(5);
    let map = IdleMap::new(MINUTE);
    map.insert((), Arc::clone(&shared));
    assert_eq!(**map.get(&()).unwrap(), 5);
    assert_eq!(Arc::strong_count(&shared), 2);
}

#[test]
fn a_table_keeps_up_with_its_records() {
    let map = IdleMap::new(MINUTE);
    for key in 0..100_000_u64 {
        map.insert(key, ());
        let (records, lines) = (key + 1, map.stats().table_slots as u64 / 7);
        // Writers take over what nobody has used yet: or it would not grow again.
        assert!(
            records * 2 <= lines * 9 + 1_000,
            "{records} records in {lines} lines"
        );
    }
}
