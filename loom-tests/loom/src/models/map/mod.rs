//! The assembled map: whatever meets, the ledger adds up, and every key and value is dropped once.
//!
//! Each thread sets the time of its own operations, as if it had read the clock a while ago.

mod changes;
mod ends;
mod terms;

use crate::explore::alone;
use crate::watched::{Key, Value};
use dwell::Clock;
use dwell::{Builder, IdleMap, Stats};
use std::cell::Cell;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::time::Duration;

/// A number is its own hash. The map mixes it: 1 and 3 are in one line, 2, 4 and 5 in the other.
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are hashed as numbers");
    }
    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

type Map = IdleMap<Key, Value, BuildHasherDefault<Identity>>;

loom::thread_local! {
    static NOW: Cell<u64> = Cell::new(0);
}

/// Shows each thread the time that it set.
pub(super) struct OwnTime;

impl Clock for OwnTime {
    fn now_millis(&self) -> u64 {
        NOW.with(Cell::get)
    }
}

/// What this thread does from here on takes place at `millis`.
pub(super) fn at(millis: u64) {
    NOW.with(|now| now.set(millis));
}

/// In milliseconds; so a quantum is one millisecond.
pub(super) const IDLE: u64 = 10;
/// When what was created at zero has expired, and is due for collection.
pub(super) const DUE: u64 = IDLE + 1;

fn builder() -> Builder<Key, Value, BuildHasherDefault<Identity>> {
    IdleMap::<Key, Value>::builder()
        .hasher(BuildHasherDefault::default())
        .idle_timeout(Duration::from_millis(IDLE))
        .clock(OwnTime)
}

/// A map with these keys, whose values are the keys.
fn map(keys: &[u64]) -> Arc<Map> {
    fill(builder().build().unwrap(), keys)
}

fn fill(map: Map, keys: &[u64]) -> Arc<Map> {
    for &key in keys {
        insert(&map, key, key);
    }
    Arc::new(map)
}

fn insert(map: &Map, key: u64, number: u64) -> Option<u64> {
    map.insert(Key::new(key), Value::new(number))
        .map(|replaced| replaced.number())
}

fn try_insert(map: &Map, key: u64, number: u64) -> bool {
    map.try_insert(Key::new(key), Value::new(number)).is_ok()
}

fn get(map: &Map, key: u64) -> Option<u64> {
    map.get(&key).map(|value| value.number())
}

fn remove(map: &Map, key: u64) -> Option<u64> {
    map.remove(&key).map(|value| value.number())
}

/// Adds one to a value. Returns the sum.
fn update(map: &Map, key: u64) -> Option<u64> {
    map.update(&key, |value| Value::new(value.number() + 1))
        .map(|value| value.number())
}

fn collect_at(millis: u64) -> impl Fn(&Map) -> usize {
    move |map| {
        at(millis);
        map.collect()
    }
}

/// Drops the map, and returns its counts, which must add up.
fn conclude(map: Arc<Map>) -> Stats {
    let map = alone(map);
    let stats = map.stats();
    let ended = stats.expired + stats.evicted + stats.removed;
    assert_eq!(stats.created, stats.live as u64 + ended, "{stats:?}");
    let live = map.iter().count();
    assert!(live <= stats.live, "{live} of {stats:?}");
    assert_eq!((stats.listener_panics, stats.drop_panics), (0, 0));
    stats
}
