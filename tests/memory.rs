//! Memory: what is not needed any more goes back to the allocator, and what comes after it goes
//! where it was.
//!
//! The allocator is mimalloc, which the documentation recommends: it gives memory that nothing is
//! in back to the system, some milliseconds after it was freed.
//!
//! A binary of its own: it has that allocator. Each test asks how much of the whole process is
//! resident, so each runs in a process of its own.
#![cfg(target_os = "linux")]

use dwell::{IdleMap, ManualClock};
use std::env;
use std::process::Command;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MINUTE: Duration = Duration::from_secs(60);
const MIB: usize = 1 << 20;

/// Runs `name`, a test of this binary, in a process of its own and on its first thread: what other
/// tests and their threads leave to the allocator would count, too.
fn alone(name: &str, body: fn()) {
    const AGAIN: &str = "DWELL_TEST_ALONE";
    if env::var_os(AGAIN).is_some() {
        return body();
    }
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(AGAIN, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let ran = String::from_utf8_lossy(&output.stdout);
    assert!(ran.contains("1 passed"), "{ran}");
}

fn resident() -> usize {
    memory_stats::memory_stats()
        .expect("Linux tells")
        .physical_mem
}

/// Allocates and frees a little, until what is resident beside `empty` is less than `most` bytes:
/// mimalloc gives memory back while it is used.
fn assert_given_back(empty: usize, most: usize) {
    let deadline = Instant::now() + MINUTE;
    loop {
        let map = IdleMap::new(MINUTE);
        for key in 0..1_000 {
            map.insert(key, key);
        }
        drop(map);
        let left = resident().saturating_sub(empty);
        if left < most {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{left} bytes are left, not {most}"
        );
    }
}

/// Fills a map with records of which those are left that `stays` names, lets the others lapse, and
/// collects. Returns what was resident before, and what the records took up.
fn lapse(stays: impl Fn(u64) -> bool) -> (IdleMap<u64, [u64; 8]>, usize, usize) {
    const RECORDS: u64 = 300_000;
    let clock = ManualClock::new();
    let map = IdleMap::<u64, [u64; 8]>::builder()
        .idle_timeout(MINUTE)
        .clock(clock.clone())
        .build()
        .unwrap();
    let empty = resident();
    for key in 0..RECORDS {
        map.insert(key, [key; 8]);
    }
    let full = resident() - empty;
    clock.advance(MINUTE / 2);
    let survivors = (0..RECORDS).filter(|key| stays(*key) && map.touch(key));
    let survivors = survivors.count();
    clock.advance(MINUTE / 2 + Duration::from_millis(1_000));
    assert_eq!(map.collect(), RECORDS as usize - survivors);
    (map, empty, full)
}

#[test]
fn what_all_records_took_up_is_given_back_when_they_have_lapsed() {
    alone(
        "what_all_records_took_up_is_given_back_when_they_have_lapsed",
        || {
            let (_map, empty, full) = lapse(|_| false);
            assert_given_back(empty, full * 15 / 100);
        },
    );
}

#[test]
fn a_few_scattered_survivors_do_not_keep_the_memory_of_all() {
    alone(
        "a_few_scattered_survivors_do_not_keep_the_memory_of_all",
        || {
            let (map, empty, full) = lapse(|key| key % 2_000 == 7);
            assert_given_back(empty, full / 4);
            assert_eq!(map.len(), 150);
        },
    );
}

#[test]
fn what_only_handles_kept_is_given_back_with_them() {
    alone("what_only_handles_kept_is_given_back_with_them", || {
        let map = IdleMap::<u64, [u64; 100]>::new(MINUTE);
        let empty = resident();
        for key in 0..50_000 {
            map.insert(key, [key; 100]);
        }
        let full = resident() - empty;
        let handles = Vec::from_iter(map.iter());
        map.clear();
        map.collect();
        assert!(
            resident() - empty > full / 2,
            "the handles keep the records"
        );
        drop(handles);
        assert_given_back(empty, full * 15 / 100);
    });
}

/// Each map had mappings of 2 MiB for each processor.
#[test]
fn small_maps_take_up_little_and_map_nothing() {
    const MAPS: usize = 1_000;
    alone("small_maps_take_up_little_and_map_nothing", || {
        let mappings = || {
            std::fs::read_to_string("/proc/self/maps")
                .unwrap()
                .lines()
                .count()
        };
        let (empty, before) = (resident(), mappings());
        let mut maps = Vec::with_capacity(MAPS);
        for number in 0..MAPS {
            let map = IdleMap::<u64, u64>::new(MINUTE);
            for key in 0..8 {
                map.insert(key, number as u64);
            }
            maps.push(map);
        }
        let each = (resident() - empty) / MAPS;
        assert!(each < 18 << 10, "{each} bytes a map of eight records");
        let more = mappings() - before;
        assert!(more < 100, "{more} mappings more");
    });
}

#[test]
fn records_that_replace_older_ones_take_their_memory() {
    const LIVE: usize = 36_000;
    alone("records_that_replace_older_ones_take_their_memory", || {
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
    });
}

#[test]
fn a_map_with_room_for_ten_million_takes_up_no_memory_before_it_is_used() {
    alone(
        "a_map_with_room_for_ten_million_takes_up_no_memory_before_it_is_used",
        || {
            let empty = resident();
            let map = IdleMap::<u64, u64>::builder()
                .idle_timeout(MINUTE)
                .initial_capacity(10_000_000)
                .build()
                .unwrap();
            assert!(map.stats().table_slots >= 10_000_000);
            let built = resident().saturating_sub(empty);
            assert!(built < MIB, "{built} bytes before the first record");
            // A huge page for each line that is used, at the most.
            for key in 0..4 {
                assert!(map.insert(key, key).is_none());
                assert!(map.contains_key(&key) && !map.contains_key(&(key + 4)));
            }
            let used = resident().saturating_sub(empty);
            assert!(used < 20 * MIB, "{used} bytes with four records");
        },
    );
}
