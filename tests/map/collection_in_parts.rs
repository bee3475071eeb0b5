//! Collection in parts: each one is bounded, whatever there is to do, and all of them together do
//! all of it.

use dwell::{IdleMap, ManualClock};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
/// Records that a part looks at, or frees, at the most; and lines that it takes over.
const PART: usize = 1_024;
/// Slots and door of a line.
const SLOTS: usize = 7;

fn filled(records: u64) -> IdleMap<u64, u64> {
    let map = IdleMap::new(MINUTE);
    (0..records).for_each(|key| drop(map.insert(key, key)));
    map
}

/// Collects in parts until nothing is left to do. Returns how many parts there were.
fn parts(map: &IdleMap<u64, u64>) -> usize {
    std::iter::from_fn(|| map.collect_part()).count()
}

#[test]
fn a_table_that_grows_is_taken_over_in_parts() {
    let map = filled(0);
    let mut lines = 0;
    let mut key = 0;
    // Until the table has just begun to grow beyond so many lines.
    while lines <= 1 << 16 {
        map.insert(key, key);
        lines = map.stats().table_slots / SLOTS;
        key += 1;
    }
    let parts = parts(&map);
    assert!(parts >= (1 << 16) / PART, "{parts} parts");
    assert!(parts <= (1 << 16) / PART + 2, "{parts} parts");
    assert!((0..key).all(|key| map.contains_key(&key)));
    assert_eq!(map.iter().count(), map.len());
}

#[test]
fn a_table_that_shrinks_is_taken_over_in_parts_until_it_fits() {
    let map = filled(300_000);
    map.collect();
    let lines = map.stats().table_slots / SLOTS;
    (1..300_000).for_each(|key| drop(map.remove(&key)));
    let parts = parts(&map);
    // It shrinks to a fourth in one go, and each of the new lines is a unit.
    assert!(parts >= lines / 4 / PART, "{parts} parts of {lines} lines");
    assert!(map.stats().table_slots < 1_000, "{:?}", map.stats());
    assert!(map.contains_key(&0));
}

#[test]
fn what_waited_for_a_stalled_reader_is_freed_in_parts() {
    const RECORDS: u64 = 100_000;
    let map = filled(RECORDS + 1);
    // The reader is this thread: nothing can be freed while it is inside of the closure.
    map.with(&RECORDS, |_| {
        (0..RECORDS).for_each(|key| drop(map.remove(&key)));
        assert_eq!(map.collect_part(), Some(0), "the table shrinks");
        assert!(map.stats().garbage >= RECORDS as usize);
    });
    // Others that run at the same time may hold it up for a while.
    let mut waiting = map.stats().garbage;
    while waiting > 0 {
        map.collect_part();
        let left = map.stats().garbage;
        assert!(waiting - left <= PART, "{waiting} before, {left} after");
        waiting = left;
    }
}

#[test]
fn what_is_due_is_ended_in_parts() {
    let clock = ManualClock::new();
    let map = IdleMap::builder()
        .idle_timeout(MINUTE)
        .clock(clock.clone())
        .build()
        .unwrap();
    (0..10_000).for_each(|key| drop(map.insert(key, key)));
    clock.advance(2 * MINUTE);
    let mut ended = 0;
    while let Some(part) = map.collect_part() {
        assert!(part <= PART);
        ended += part;
    }
    assert_eq!(ended, 10_000);
    assert!(map.is_empty());
}
