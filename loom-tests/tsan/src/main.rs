//! Random operations from many threads, for ThreadSanitizer: `.ci/deep/tsan` builds and runs it.
//!
//! A plain `main`, since the test harness's own channel is reported; and each thread is joined by
//! its handle. Keys and values are plain memory that is read through handles, so that a read that
//! races a drop is seen.

use dwell::{IdleMap, ManualClock};
use fastrand::Rng;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const THREADS: u64 = 4;
/// Few, so that threads meet.
const KEYS: u64 = 24;
/// What is inserted now and then, so that the table grows and shrinks.
const CROWD: u64 = 200;
/// Between two looks at the time.
const TURN: usize = 256;

type Map = IdleMap<Box<u64>, Box<u64>>;

static MADE: AtomicU64 = AtomicU64::new(0);

fn number() -> Box<u64> {
    Box::new(MADE.fetch_add(1, Ordering::Relaxed))
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn operate(map: &Map, clock: &ManualClock, rng: &mut Rng) {
    let key = Box::new(rng.u64(..KEYS));
    match rng.u8(0..64) {
        0..12 => _ = black_box(map.get(&key).map(|value| **value)),
        12..16 => _ = black_box(map.with(&key, |value| **value)),
        16..20 => _ = map.touch(&key),
        20..28 => _ = map.insert(key, number()),
        28..34 => _ = map.try_insert(key, number()).is_ok(),
        34 => _ = black_box(**map.get_or_insert_with(key, number)),
        35..42 => _ = map.update(&key, |old| Box::new(**old + 1)),
        42..48 => _ = black_box(map.remove(&key).map(|value| **value)),
        48..50 => _ = map.remove_if(&key, |value| **value % 2 == 0),
        50 => _ = map.set_idle_timeout(&key, millis(rng.u64(1..20))),
        51 => _ = map.set_lifetime(&key, millis(rng.u64(1..40))),
        52..55 => clock.advance(millis(rng.u64(0..4))),
        55..58 => _ = map.collect(),
        58 => _ = map.evict(2),
        59 => _ = black_box(map.iter().map(|value| **value).max()),
        60 => map.retain(|key, value| (**key + **value) % 3 != 0),
        61 => _ = map.collect_idle(millis(5)),
        62 if rng.u8(..) < 16 => {
            (KEYS..CROWD).for_each(|key| _ = map.insert(Box::new(key), number()));
        }
        63 if rng.u8(..) < 16 => (KEYS..CROWD).for_each(|key| _ = map.remove(&key)),
        _ => _ = map.peek(&key),
    }
}

fn run(seed: u64, lasts: Duration) -> u64 {
    let clock = ManualClock::new();
    let mut builder = Map::builder().idle_timeout(millis(16)).clock(clock.clone());
    if seed.is_multiple_of(2) {
        builder = builder.capacity(16);
    }
    let map = Arc::new(builder.build().expect("the settings are valid"));
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (map, clock) = (Arc::clone(&map), clock.clone());
            thread::spawn(move || {
                let mut rng = Rng::with_seed(seed * THREADS + thread);
                let (started, mut operations) = (Instant::now(), 0);
                while started.elapsed() < lasts {
                    (0..TURN).for_each(|_| operate(&map, &clock, &mut rng));
                    operations += TURN as u64;
                }
                operations
            })
        })
        .collect();
    let operations = threads.into_iter().map(|thread| thread.join());
    operations.map(|done| done.expect("no thread panics")).sum()
}

/// The argument: how many seconds it takes.
fn main() {
    let seconds = std::env::args().nth(1);
    let seconds: u64 = seconds.map_or(10, |n| n.parse().expect("a number of seconds"));
    let operations: u64 = (0..seconds)
        .map(|seed| run(seed, Duration::from_secs(1)))
        .sum();
    println!("{operations} operations on {seconds} maps by {THREADS} threads each");
}
