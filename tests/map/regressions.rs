//! One test for each bug that was found by reading or by stress, by what a user would have seen.

use dwell::{IdleMap, ManualClock, RemovalCause};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// Insertions evicted four records at the most, whatever they weighed themselves: the map grew to
/// two hundred times its bound.
#[test]
fn heavy_records_that_follow_light_ones_keep_the_weight_bound() {
    let map = IdleMap::<u64, u32>::builder()
        .weight_capacity(10_000, |_, weight| *weight)
        .build()
        .unwrap();
    for key in 0..10_000 {
        map.insert(key, 1);
    }
    for key in 10_000..12_000 {
        map.insert(key, 1_000);
        assert!(map.stats().weight <= 10_000, "{:?}", map.stats());
    }
    assert_eq!(map.len(), 10);
}

/// Such a record stayed as long as there were others to evict.
#[test]
fn a_record_that_weighs_more_than_the_bound_goes_at_once_and_alone() {
    let map = IdleMap::<u64, u32>::builder()
        .weight_capacity(100, |_, weight| *weight)
        .build()
        .unwrap();
    map.insert(1, 50);
    map.insert(2, 101);
    assert!(map.contains_key(&1));
    assert!(!map.contains_key(&2));
    assert_eq!(map.stats().evicted, 1);
}

/// The bucket that most of them were cleared from was closed, and then nothing drained the rest of
/// it: twelve bytes stayed for each pair until the idle timeout was over.
#[test]
fn records_that_come_and_go_leave_no_buckets_behind() {
    let map = IdleMap::<u64, u64>::new(30 * MINUTE);
    for key in 0..200_000 {
        map.insert(key, key);
        map.remove(&key);
    }
    assert!(map.stats().index_buckets < 20, "{:?}", map.stats());
}

/// A record that is inserted again was given its predecessor's entry, and then filed where it
/// belongs: the entry was cleared, and nobody noticed that most of its bucket was. Each round left
/// eight bytes for each record until the idle timeout was over.
#[test]
fn records_that_are_inserted_again_and_again_leave_no_buckets_behind() {
    let clock = ManualClock::new();
    let map = IdleMap::<u64, u64>::builder()
        .idle_timeout(30 * MINUTE)
        .clock(clock.clone())
        .build()
        .unwrap();
    for round in 0..200 {
        clock.advance(MINUTE / 10);
        for key in 0..1_000 {
            map.insert(key, round);
        }
    }
    // Of each quantum the last bucket stays, which is not full.
    assert!(map.stats().index_buckets < 300, "{:?}", map.stats());
}

/// A payload that panics when it is dropped unwound through the collection, and what had been
/// drained with the record was never collected.
#[test]
fn a_panic_that_panics_loses_no_record() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("a payload's drop");
        }
    }
    let clock = ManualClock::new();
    let map = IdleMap::<u64, u64>::builder()
        .idle_timeout(MINUTE)
        .clock(clock.clone())
        .on_removal(|_, _| panic_any(Bomb))
        .build()
        .unwrap();
    for key in 0..20 {
        map.insert(key, key);
    }
    clock.advance(2 * MINUTE);
    let collected = catch_unwind(AssertUnwindSafe(|| map.collect()));
    assert_eq!(collected.ok(), Some(20));
    assert_eq!(map.stats().listener_panics, 20);
    assert!(map.is_empty());
}

/// The time was read before the closure ran.
#[test]
fn a_value_that_takes_long_to_make_is_inserted_with_its_whole_time() {
    let clock = ManualClock::new();
    let map = IdleMap::<u64, u64>::builder()
        .idle_timeout(MINUTE)
        .clock(clock.clone())
        .build()
        .unwrap();
    map.get_or_insert_with(1, || {
        clock.advance(2 * MINUTE);
        7
    });
    assert_eq!(map.idle_for(&1), Some(Duration::ZERO));
    map.update(&1, |value| {
        clock.advance(MINUTE / 2);
        value + 1
    });
    assert_eq!(map.idle_for(&1), Some(Duration::ZERO));
}

/// A deadline's change moved the last access by a millisecond.
#[test]
fn a_record_that_is_given_another_deadline_is_not_touched_by_that() {
    let clock = ManualClock::new();
    let map = IdleMap::<u64, u64>::builder()
        .clock(clock.clone())
        .build()
        .unwrap();
    map.insert(1, 1);
    for _ in 0..1_000 {
        assert!(map.set_idle_timeout(&1, MINUTE));
    }
    assert_eq!(map.time_left(&1), Some(MINUTE));
}

/// The newest record was passed over only as often as any other, and then evicted by its own
/// insertion.
#[test]
fn an_insertion_does_not_evict_what_it_inserted() {
    let clock = ManualClock::new();
    let map = IdleMap::<u64, u64>::builder()
        .capacity(64)
        .clock(clock.clone())
        .build()
        .unwrap();
    for key in 0..64 {
        map.insert(key, key);
        map.touch(&key);
    }
    for key in 100..1_000 {
        clock.advance(Duration::from_millis(1));
        map.insert(key, key);
        assert!(map.contains_key(&key));
        assert!(map.len() <= 66);
    }
}

/// A collection with a bound of its own overlooked records that it moved itself.
#[test]
fn collecting_what_is_idle_for_no_time_at_all_collects_everything() {
    let clock = ManualClock::new();
    let map = IdleMap::<u64, u64>::builder()
        .idle_timeout(MINUTE)
        .clock(clock.clone())
        .build()
        .unwrap();
    for round in 0..5 {
        for key in 0..64 {
            map.insert(key, round);
        }
    }
    clock.advance(Duration::from_millis(8_437));
    map.collect_idle(Duration::ZERO);
    assert!(map.is_empty());
}

/// The causes are told once each, whoever gets there first.
#[test]
fn a_replaced_record_ends_once() {
    let (sender, causes) = std::sync::mpsc::channel();
    let map = IdleMap::<u64, u64>::builder()
        .on_removal(move |_, cause| sender.send(cause).unwrap())
        .build()
        .unwrap();
    map.insert(1, 1);
    map.insert(1, 2);
    map.remove(&1);
    map.remove(&1);
    let told: Vec<_> = causes.try_iter().collect();
    assert_eq!(told, [RemovalCause::Replaced, RemovalCause::Removed]);
}
