//! Retired: a retired record is freed once, after everybody who might read it has gone, and not
//! later than with its map.

use crate::explore::{self, Size, alone, both, three};
use crate::watched::{Key, Value};
use dwell::internals::map::record::{NEVER, Record, Terms, Unlinked, at};
use dwell::internals::reclaim::retired::Retired;
use dwell::internals::reclaim::spec::let_periods_end;
use dwell::internals::reclaim::{Guard, Reclaim};
use dwell::internals::sync::{AtomicPtr, Ordering};
use std::ptr;
use std::sync::Arc;

type Entry = Record<Key, Value>;

fn explore(name: &str, size: Size, model: impl Fn() + Send + Sync + 'static) {
    let_periods_end();
    explore::explore(name, size, model);
}

/// Records that are each in a slot, until they are removed.
struct World {
    retired: Retired<Entry>,
    slots: [AtomicPtr<Entry>; 2],
}

impl World {
    fn new(shards: usize, records: usize) -> Self {
        let world = Self {
            retired: Retired::new(shards),
            slots: [(); 2].map(|()| AtomicPtr::new(ptr::null_mut())),
        };
        (0..records).for_each(|slot| world.add(slot));
        world
    }

    fn add(&self, slot: usize) {
        let terms = Terms {
            birth: 0,
            idle_timeout: 10,
            absolute_deadline: NEVER,
            weight: 0,
            is_protected: false,
        };
        let number = slot as u64;
        let record = Unlinked::new(0, Key::new(number), Value::new(number), terms);
        let pointer = record.into_linked().as_ptr();
        self.slots[slot].store(pointer, Ordering::Release);
    }

    fn read(&self, slot: usize) {
        let guard = Guard::pin();
        let record = self.slots[slot].load(Ordering::Acquire);
        if !record.is_null() {
            // SAFETY: read from a slot while the guard was held.
            let record = unsafe { at(record, &guard) };
            assert_eq!(record.value().number(), slot as u64);
        }
    }

    /// Takes a record out of its slot, on a shard.
    fn remove(&self, slot: usize, shard: usize) {
        let guard = Guard::pin();
        self.remove_under(slot, shard, &guard);
    }

    fn remove_under(&self, slot: usize, shard: usize, guard: &Guard) {
        let record = self.slots[slot].swap(ptr::null_mut(), Ordering::Acquire);
        // SAFETY: read from its slot under the guard, and not retired before.
        let record = unsafe { at(record, guard) };
        // The table, and the calendar.
        assert!(!record.release_structural());
        assert!(record.release_structural());
        self.retired.retire(record, shard, guard);
    }

    /// What a writer does at its end.
    fn tidy(&self, shard: usize) {
        let guard = Guard::pin();
        self.retired.sweep(shard, &guard);
        self.retired.reap(shard, 2);
    }

    /// A whole removal.
    fn remove_and_tidy(&self, slot: usize, shard: usize) {
        let guard = Guard::pin();
        self.remove_under(slot, shard, &guard);
        self.retired.sweep(shard, &guard);
        self.retired.reap(shard, 2);
    }

    /// When nothing else goes on any more: what was retired has been freed, or is by the next two
    /// writers. The first one stamps what waits, and is pinned itself then.
    fn conclude(self) {
        self.tidy(0);
        self.tidy(0);
        assert_eq!(self.retired.garbage(), 0, "records were left behind");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        for slot in &self.slots {
            if let Some(record) = ptr::NonNull::new(slot.load(Ordering::Relaxed)) {
                // SAFETY: the slots' share in the record is still held.
                let record = unsafe { record.as_ref() };
                assert!(!record.release_structural());
                assert!(record.release_structural());
                // SAFETY: the model is over, so that no other thread can reach the record.
                unsafe { self.retired.release(ptr::NonNull::from(record)) };
            }
        }
    }
}

#[test]
fn a_record_is_not_freed_under_its_reader() {
    explore("retired: read, and remove and free", Size::Pair, || {
        let world = Arc::new(World::new(1, 1));
        both(
            &world,
            |world| world.read(0),
            |world| {
                world.remove(0, 0);
                world.tidy(0);
            },
        );
        alone(world).conclude();
    });
}

#[test]
fn a_record_is_not_freed_under_its_reader_by_a_third() {
    explore("retired: read, remove, and free", Size::Trio, || {
        let world = Arc::new(World::new(1, 1));
        three(
            &world,
            |world| world.read(0),
            |world| world.remove(0, 0),
            |world| world.tidy(0),
        );
        alone(world).conclude();
    });
}

#[test]
fn two_who_retire_and_free_lose_nothing() {
    explore("retired: remove and free, by two", Size::LongPair, || {
        let world = Arc::new(World::new(1, 2));
        both(
            &world,
            |world| world.remove_and_tidy(0, 0),
            |world| world.remove_and_tidy(1, 0),
        );
        alone(world).conclude();
    });
}

#[test]
fn what_one_made_and_retired_is_freed_by_another() {
    explore("retired: make and remove, and free", Size::Pair, || {
        let world = Arc::new(World::new(1, 0));
        both(
            &world,
            |world| {
                world.add(0);
                world.remove(0, 0);
            },
            |world| {
                world.tidy(0);
                world.tidy(0);
            },
        );
        alone(world).conclude();
    });
}

#[test]
fn what_is_left_on_one_shard_is_freed_by_another() {
    explore(
        "retired: remove, and free on two shards",
        Size::LongTrio,
        || {
            let world = Arc::new(World::new(2, 2));
            world.remove(0, 0);
            three(
                &world,
                |world| world.remove(1, 1),
                |world| world.tidy(0),
                |world| world.tidy(1),
            );
            let world = alone(world);
            world.tidy(1);
            world.conclude();
        },
    );
}

#[test]
fn what_was_moved_from_shard_to_shard_is_complete_for_who_frees_it() {
    explore(
        "retired: move to another shard, and free",
        Size::Pair,
        || {
            let world = Arc::new(World::new(2, 1));
            both(
                &world,
                |world| {
                    world.remove(0, 1);
                    world.retired.sweep(1, &Guard::pin());
                    world.retired.sweep(0, &Guard::pin());
                },
                |world| {
                    let _guard = Guard::pin();
                    world.retired.reap(0, 1);
                },
            );
            let world = alone(world);
            world.tidy(1);
            world.conclude();
        },
    );
}

#[test]
fn what_is_sent_by_two_is_in_one_batch() {
    explore("retired: remove, and send all", Size::Pair, || {
        let world = Arc::new(World::new(1, 1));
        both(
            &world,
            |world| world.remove(0, 0),
            |world| world.retired.send_all(&Guard::pin()),
        );
        alone(world).conclude();
    });
}

#[test]
fn what_waits_is_freed_with_the_map() {
    explore("retired: remove, remove, and drop", Size::Pair, || {
        let world = Arc::new(World::new(2, 2));
        both(
            &world,
            |world| world.remove(0, 0),
            |world| world.remove(1, 1),
        );
        drop(alone(world));
    });
}
