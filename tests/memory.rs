//! Memory: what is not needed any more goes back to the system, and what comes after it goes where it was.
//!
//! The system's accounts of the whole process are asked, so that the tests of this file take turns.
#![cfg(target_os = "linux")]

mod common;

use common::{MINUTE, millis};
use dwell::{Handle, IdleMap, ManualClock};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

const MIB: usize = 1 << 20;

/// Nobody else allocates as long as this is held.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn resident() -> usize {
    memory_stats::memory_stats()
        .expect("Linux tells")
        .physical_mem
}

#[test]
fn what_all_records_took_up_is_given_back_when_they_have_lapsed() {
    let _alone = alone();
    let clock = ManualClock::new();
    let map = IdleMap::<u64, [u64; 8]>::builder()
        .idle_timeout(MINUTE)
        .clock(clock.clone())
        .build()
        .unwrap();
    let empty = resident();
    for key in 0..300_000 {
        map.insert(key, [key; 8]);
    }
    let full = resident() - empty;
    clock.advance(MINUTE + millis(1_000));
    assert_eq!(map.collect(), 300_000);
    let left = resident().saturating_sub(empty);
    assert!(left * 100 < full * 15, "{left} of {full} bytes are left");
}

type Large = IdleMap<u64, [u64; 100]>;

/// Fills a map, and leaves its records to handles. Returns them, what was resident before, and how much they take up.
fn leave_to_handles(map: &Large) -> (Vec<Handle<u64, [u64; 100]>>, usize, usize) {
    let empty = resident();
    for key in 0..50_000 {
        map.insert(key, [key; 100]);
    }
    let full = resident() - empty;
    let handles = Vec::from_iter(map.iter());
    map.clear();
    map.collect();
    (handles, empty, full)
}

/// It stayed for ever: only a collection that had ended records looked for empty chunks.
#[test]
fn what_only_handles_kept_is_given_back_by_the_next_collection() {
    let _alone = alone();
    let map = Large::new(MINUTE);
    let (handles, empty, full) = leave_to_handles(&map);
    assert!(
        resident() - empty > full / 2,
        "the handles keep the records"
    );
    drop(handles);
    map.collect();
    let left = resident().saturating_sub(empty);
    assert!(left * 100 < full * 15, "{left} of {full} bytes are left");
}

/// The collector went by what it had ended itself, and by garbage: of this it heard nothing.
#[test]
fn what_only_handles_kept_is_given_back_by_the_collector() {
    let _alone = alone();
    let map = Arc::new(Large::new(MINUTE));
    let (handles, empty, full) = leave_to_handles(&map);
    let _collector = map.spawn_collector();
    drop(handles);
    let deadline = Instant::now() + MINUTE;
    while resident().saturating_sub(empty) * 100 >= full * 15 {
        assert!(Instant::now() < deadline, "the collector gave nothing back");
        thread::sleep(millis(10));
    }
}

/// Only the newest chunks were looked at for free cells, and those are full: addresses, at the least, were used up
/// without a bound.
#[test]
fn records_that_replace_older_ones_take_their_memory() {
    const LIVE: usize = 36_000;
    let _alone = alone();
    let map = IdleMap::<u64, [u64; 480]>::builder()
        .capacity(LIVE)
        .build()
        .unwrap();
    let mut keys = 0_u64..;
    let mut insert = |count| {
        for key in keys.by_ref().take(count) {
            map.insert(key, [key; 480]);
        }
        memory_stats::memory_stats()
            .expect("Linux tells")
            .virtual_mem
    };
    let once = insert(LIVE);
    let often = insert(3 * LIVE);
    assert!(often < once + 64 * MIB, "{once} bytes grew to {often}");
}
