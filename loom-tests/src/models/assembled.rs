//! The assembled map: what a user's threads do to one record at the same time.

use crate::clock::ManualClock;
use crate::explore::{Size, alone, both, explore};
use crate::map::IdleMap;
use crate::watched::{Key, Value};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// loom wants the same hashes in each execution.
#[derive(Default)]
pub(crate) struct Same(u64);

impl Hasher for Same {
    fn write(&mut self, _bytes: &[u8]) {
        unreachable!("keys are numbers");
    }
    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

type Map = IdleMap<Key, Value, BuildHasherDefault<Same>>;

struct World {
    map: Map,
    clock: ManualClock,
}

impl World {
    /// A map with an idle timeout of ten seconds, at second one, that holds key 1 with value 1.
    fn new() -> Arc<Self> {
        let clock = ManualClock::new();
        clock.advance(SECOND);
        let map = IdleMap::builder()
            .idle_timeout(10 * SECOND)
            .clock(clock.clone())
            .hasher(BuildHasherDefault::default())
            .build()
            .unwrap();
        map.insert(Key::new(1), Value::new(1));
        Arc::new(Self { map, clock })
    }

    fn number(&self) -> Option<u64> {
        self.map.with(&1, Value::number)
    }
}

/// The books balance, and the map drops all it has.
fn conclude(world: Arc<World>) {
    let World { map, .. } = alone(world);
    let stats = map.stats();
    let ended = stats.expired + stats.evicted + stats.removed;
    assert_eq!(stats.created, stats.live as u64 + ended, "{stats:?}");
    assert_eq!(map.iter().count(), stats.live);
}

#[test]
fn a_touch_in_time_keeps_the_record_from_a_collection() {
    explore("map: touch and collect", Size::Pair, || {
        let world = World::new();
        world.clock.set(10 * SECOND);
        let (touched, collected) = both(
            &world,
            |world| world.map.touch(&1),
            |world| world.map.collect_idle(9 * SECOND),
        );
        assert_eq!(touched, collected == 0);
        assert_eq!(world.map.contains_key(&1), touched);
        conclude(world);
    });
}

#[test]
fn a_record_is_either_removed_or_collected() {
    explore("map: remove and collect", Size::Pair, || {
        let world = World::new();
        world.clock.set(10 * SECOND);
        let (removed, collected) = both(
            &world,
            |world| world.map.remove(&1).is_some(),
            |world| world.map.collect_idle(9 * SECOND),
        );
        assert_eq!(removed, collected == 0);
        assert!(!world.map.contains_key(&1));
        conclude(world);
    });
}

#[test]
fn an_update_does_not_bring_a_removed_record_back() {
    explore("map: update and remove", Size::Pair, || {
        let world = World::new();
        let (updated, removed) = both(
            &world,
            |world| {
                let change = |value: &Value| Value::new(value.number() + 1);
                world.map.update(&1, change).map(|value| value.number())
            },
            |world| world.map.remove(&1).map(|value| value.number()),
        );
        // If the update came first, the new value was removed; if not, there was none to update.
        assert_eq!(updated.is_some(), removed == Some(2));
        assert!(removed.is_some());
        assert_eq!(world.number(), None);
        conclude(world);
    });
}

#[test]
fn a_handle_keeps_the_value_of_a_removed_record() {
    explore("map: get and remove", Size::Pair, || {
        let world = World::new();
        let (found, removed) = both(
            &world,
            |world| world.map.get(&1),
            |world| world.map.remove(&1),
        );
        assert!(removed.is_some());
        conclude(world);
        if let Some(found) = found {
            assert_eq!(found.number(), 1);
            assert!(!found.is_live());
        }
    });
}

#[test]
fn an_insertion_and_a_removal_of_a_key_come_one_after_the_other() {
    explore("map: insert and remove", Size::Pair, || {
        let world = World::new();
        let (replaced, removed) = both(
            &world,
            |world| {
                let replaced = world.map.insert(Key::new(1), Value::new(2));
                replaced.map(|value| value.number())
            },
            |world| world.map.remove(&1).map(|value| value.number()),
        );
        match (replaced, removed) {
            (Some(1), Some(2)) => assert_eq!(world.number(), None),
            (None, Some(1)) => assert_eq!(world.number(), Some(2)),
            other => panic!("no order explains {other:?}"),
        }
        conclude(world);
    });
}

#[test]
fn a_shorter_deadline_is_collected_in_time() {
    explore("map: shorten and touch", Size::Pair, || {
        let world = World::new();
        let (set, touched) = both(
            &world,
            |world| world.map.set_lifetime(&1, 2 * SECOND),
            |world| world.map.touch(&1),
        );
        assert!(set && touched);
        world.clock.set(4 * SECOND);
        assert_eq!(world.map.collect(), 1);
        conclude(world);
    });
}
