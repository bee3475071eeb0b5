//! Room: the table that follows its records, the bound of a full map, and whom
//! it lets go. Records that were never touched since they were created go
//! first, oldest first, as long as they are more than an eighth of the
//! capacity; otherwise the least recently touched.

use crate::common::{MINUTE, Rig, assert_ledger, millis};
use dwell::IdleMap;
use dwell::RemovalCause::{Evicted, ExpiredIdle};
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

/// Records that may be idle for a day, created in order.
fn full(capacity: u32) -> Rig {
    let rig = Rig::with(|builder| {
        let builder = builder.idle_timeout(24 * 60 * MINUTE);
        builder.capacity(capacity as usize)
    });
    insert_in_turn(&rig, 0..capacity);
    rig
}

/// The order of two accesses counts to within a 512th of the idle timeout:
/// these are further apart.
const APART: Duration = Duration::from_secs(3 * 60);

fn insert_in_turn(rig: &Rig, keys: impl IntoIterator<Item = u32>) {
    for key in keys {
        rig.clock.advance(APART);
        rig.insert(key);
    }
}

fn touch_in_turn(rig: &Rig, keys: impl IntoIterator<Item = u32>) {
    for key in keys {
        rig.clock.advance(APART);
        assert!(rig.map.touch(&key), "{key}");
    }
}

#[test]
fn the_table_grows_with_its_records_and_shrinks_after_them() {
    const MANY: u32 = 300_000;
    let rig = Rig::new();
    let empty = rig.map.stats().table_slots;
    rig.insert_all(0..MANY);
    let full = rig.map.stats().table_slots;
    assert!(full >= MANY as usize && full > empty);
    assert!((0..MANY).all(|key| {
        rig.map
            .get(&key)
            .is_some_and(|v| v.number() == u64::from(key))
    }));
    assert_eq!(rig.map.iter().count(), MANY as usize);
    rig.map.clear();
    rig.map.collect();
    assert_ledger(&rig.map);
    assert!(rig.map.is_empty() && rig.keys().is_empty());
    let cleared = rig.map.stats().table_slots;
    assert!(cleared < full / 8, "{cleared} slots left of {full}");
    rig.assert_alive(0);
    rig.insert_all(0..1_000);
    assert_eq!(rig.keys(), Vec::from_iter(0..1_000));
    rig.finish();
}

#[test]
fn an_initial_capacity_makes_room_at_once() {
    let map = IdleMap::<u32, u32>::builder().initial_capacity(10_000);
    assert!(map.build().unwrap().stats().table_slots >= 10_000);
}

#[test]
fn a_full_map_stays_at_its_capacity() {
    let rig = full(100);
    for key in 100..1_000 {
        rig.insert(key);
        assert_eq!(rig.map.len(), 100);
    }
    assert_eq!(rig.map.stats().evicted, 900);
    assert_eq!(rig.removals().len(), 900);
    rig.assert_alive(100);
    rig.finish();
}

#[test]
fn replacing_and_updating_in_a_full_map_evicts_nobody() {
    let rig = full(100);
    rig.insert_all(0..100);
    for key in 0..100 {
        rig.map.update(&key, |value| value.next()).unwrap();
        rig.map.get_or_insert_with(key, || unreachable!());
        assert!(rig.map.try_insert(key, rig.tally.value(0)).is_err());
    }
    assert_eq!((rig.map.len(), rig.map.stats().evicted), (100, 0));
    rig.finish();
}

#[test]
fn what_is_inserted_again_is_as_new_as_what_is_new() {
    let rig = Rig::with(|builder| builder.capacity(2));
    rig.insert_all([0, 1, 0, 2]);
    assert_eq!(rig.keys(), [0, 2]);
    rig.finish();
}

#[test]
fn every_way_to_insert_keeps_to_the_capacity() {
    let rig = full(10);
    rig.insert(10);
    rig.map.try_insert(11, rig.tally.value(11)).unwrap();
    rig.map.get_or_insert_with(12, || rig.tally.value(12));
    assert_eq!((rig.map.len(), rig.map.stats().evicted), (10, 3));
    rig.finish();
}

#[test]
fn the_oldest_of_the_untouched_go_first() {
    let rig = full(64);
    touch_in_turn(&rig, 0..32);
    insert_in_turn(&rig, 100..110);
    let evicted = Vec::from_iter((32..42).map(|key| (key, Evicted)));
    assert_eq!(rig.removals(), evicted);
    rig.finish();
}

#[test]
fn where_few_are_untouched_the_least_recently_touched_go() {
    let rig = full(64);
    touch_in_turn(&rig, (0..64).rev());
    // Eight untouched ones may be; they push out the touched, oldest first.
    insert_in_turn(&rig, 100..108);
    let evicted = Vec::from_iter((56..64).rev().map(|key| (key, Evicted)));
    assert_eq!(rig.removals(), evicted);
    // From the ninth on they push out each other.
    insert_in_turn(&rig, 108..120);
    let evicted = Vec::from_iter((100..112).map(|key| (key, Evicted)));
    assert_eq!(rig.removals(), evicted);
    rig.finish();
}

#[test]
fn a_flood_of_visitors_does_not_evict_those_who_came_back() {
    let rig = full(200);
    touch_in_turn(&rig, 0..150);
    for key in 1_000..10_000 {
        rig.clock.advance(millis(10));
        rig.insert(key);
    }
    assert_eq!(rig.map.len(), 200);
    let stayed = (0..150).filter(|key| rig.map.contains_key(key)).count();
    assert_eq!(stayed, 150);
    rig.finish();
}

#[test]
fn while_many_who_came_back_are_noted_one_in_256_of_them_goes() {
    let rig = Rig::with(|builder| builder.capacity(6_400));
    rig.insert_all(0..6_400);
    rig.clock.advance(millis(1));
    (0..5_000).for_each(|key| assert!(rig.map.touch(&key)));
    for key in 10_000..11_000 {
        rig.insert(key);
        assert_eq!(rig.map.len(), 6_400);
    }
    let left = (0..5_000).filter(|key| rig.map.contains_key(key)).count();
    assert!(left >= 5_000 - 5_000_usize.div_ceil(256), "{left}");
    rig.finish();
}

#[test]
fn a_fresh_record_is_not_the_next_to_go() {
    for capacity in [16, 64] {
        let rig = full(capacity);
        touch_in_turn(&rig, 0..capacity);
        for key in 1_000..1_100 {
            insert_in_turn(&rig, [key, key + 1_000]);
            assert!(rig.map.contains_key(&key), "{key} of {capacity}");
            rig.clock.advance(millis(1));
            (0..capacity).for_each(|key| drop(rig.map.get(&key)));
        }
        rig.finish();
    }
}

#[test]
fn a_capacity_of_one_holds_the_newest() {
    let rig = full(1);
    for key in 1..100 {
        rig.insert(key);
        assert_eq!(rig.keys(), [key]);
    }
    rig.finish();
}

#[test]
fn evict_follows_the_same_policy() {
    let rig = full(64);
    touch_in_turn(&rig, 0..32);
    assert_eq!(rig.map.evict(3), 3);
    assert_eq!(rig.removals(), [32, 33, 34].map(|key| (key, Evicted)));
    rig.finish();
}

#[test]
fn the_expired_make_room_before_anyone_is_evicted() {
    let rig = full(10);
    rig.clock.advance(25 * 60 * MINUTE);
    rig.insert_all(100..110);
    assert_eq!(rig.map.stats().evicted, 0);
    assert_eq!(rig.keys(), Vec::from_iter(100..110));
    rig.map.collect();
    assert!(
        rig.removals()
            .iter()
            .all(|(_, cause)| *cause == ExpiredIdle)
    );
    rig.finish();
}

#[test]
fn weights_are_summed_and_bounded() {
    let rig = Rig::with(|builder| builder.weight_capacity(100, |key, _| *key));
    rig.insert_all([10, 20, 30, 40]);
    assert_eq!((rig.map.stats().weight, rig.map.len()), (100, 4));
    rig.clock.advance(millis(1_000));
    rig.insert(25);
    assert_eq!(rig.keys(), [25, 30, 40]);
    assert_eq!(rig.map.stats().weight, 95);
    rig.map.remove(&30);
    assert_eq!(rig.map.stats().weight, 65);
    rig.insert(25);
    assert_eq!(rig.map.stats().weight, 65);
    rig.map.clear();
    assert_eq!(rig.map.stats().weight, 0);
    rig.finish();
}

#[test]
fn an_update_weighs_the_new_value() {
    let rig = Rig::with(|builder| builder.weight_capacity(100, |_, value| value.number() as u32));
    rig.insert_all([50, 40]);
    rig.map.update(&40, |value| value.next()).unwrap();
    assert_eq!(rig.map.stats().weight, 91);
    rig.finish();
}

#[test]
fn at_rest_no_map_is_above_its_capacity_however_small() {
    for (capacity, threads) in [(1, 2), (1, 3), (2, 4)] {
        let rig = full(capacity);
        let turn = Barrier::new(threads as usize);
        thread::scope(|scope| {
            for thread in 1..=threads {
                let (rig, turn) = (&rig, &turn);
                scope.spawn(move || {
                    for round in 0..500 {
                        turn.wait();
                        (0..4).for_each(|key| drop(rig.insert(thread << 16 | round << 2 | key)));
                        let is_first = turn.wait().is_leader();
                        assert!(!is_first || rig.map.len() <= capacity as usize);
                        turn.wait();
                    }
                });
            }
        });
        assert_ledger(&rig.map);
        rig.finish();
    }
}

#[test]
fn an_insertion_that_panics_takes_no_room() {
    let map = IdleMap::<Grumpy, u32>::builder()
        .capacity(2)
        .build()
        .unwrap();
    map.insert(Grumpy(0), 0);
    for _ in 0..10 {
        let insert = || map.insert(Grumpy(1), 1);
        assert!(catch_unwind(AssertUnwindSafe(insert)).is_err());
    }
    map.insert(Grumpy(2), 2);
    assert_eq!((map.len(), map.stats().evicted), (2, 0));
}

/// All keys have one hash, and the first two cannot be compared.
struct Grumpy(u32);

impl PartialEq for Grumpy {
    fn eq(&self, other: &Self) -> bool {
        assert_ne!(self.0 + other.0, 1, "as planned");
        self.0 == other.0
    }
}

impl Eq for Grumpy {}

impl Hash for Grumpy {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

#[test]
fn threads_together_do_not_exceed_the_capacity_by_more_than_themselves() {
    const THREADS: u64 = 4;
    let rig = full(100);
    let (start, inserted) = (Barrier::new(THREADS as usize), AtomicU64::new(100));
    thread::scope(|scope| {
        for thread in 1..=THREADS as u32 {
            let (rig, start, inserted) = (&rig, &start, &inserted);
            scope.spawn(move || {
                start.wait();
                for key in 0..5_000 {
                    rig.insert(thread * 10_000 + key);
                    // Evictions are counted later than insertions here, so
                    // this is at most what was there.
                    let inserted = inserted.fetch_add(1, SeqCst) + 1;
                    let present = inserted.saturating_sub(rig.map.stats().evicted);
                    assert!(present <= 100 + THREADS, "{present} records at once");
                }
            });
        }
    });
    assert_eq!(rig.map.len(), 100);
    assert_ledger(&rig.map);
    rig.assert_alive(100);
    rig.finish();
}
