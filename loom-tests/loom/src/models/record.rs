//! A record's counts: the last owner drops key and value, after everybody else has used them.

use crate::explore::{Size, alone, both, explore, three};
use crate::watched::{Key, Value};
use dwell::internals::map::record::{NEVER, Record, Terms, Unlinked, release};
use dwell::internals::sync::{AtomicUsize, Ordering, Trace};
use std::ptr::NonNull;
use std::sync::Arc;

type Entry = Record<Key, Value>;

/// One owner of a record: the structures, or a handle.
struct Owner(NonNull<Entry>);

// SAFETY: loom runs all threads of a model on one, and reports accesses that race.
unsafe impl Send for Owner {}
// SAFETY: no two threads run at once under loom, which reports accesses that would race.
unsafe impl Sync for Owner {}

impl Owner {
    /// Of a record whose only owner are the structures.
    fn of_new() -> Self {
        let terms = Terms {
            birth: 0,
            idle_timeout: 10,
            absolute_deadline: NEVER,
            weight: 0,
            is_protected: false,
        };
        Self(Unlinked::new(0, Key::new(1), Value::new(1), terms).into_linked())
    }

    fn record(&self) -> &Entry {
        // SAFETY: this owner keeps the record.
        unsafe { self.0.as_ref() }
    }

    fn another(&self) -> Self {
        self.record().acquire();
        Self(self.0)
    }

    /// As a handle's holder does.
    fn read_and_let_go(self) {
        assert_eq!(self.record().value().number(), 1);
        // SAFETY: this owner is gone afterwards.
        unsafe { release(self.0) }
    }
}

#[test]
fn the_last_of_two_owners_drops_a_value_that_nobody_reads() {
    explore("record: two owners let go", Size::Small, || {
        let structures = Owner::of_new();
        let handle = structures.another();
        both(
            &Arc::new(()),
            move |()| structures.read_and_let_go(),
            move |()| handle.read_and_let_go(),
        );
    });
}

#[test]
fn the_last_of_three_owners_drops_a_value_that_nobody_reads() {
    explore("record: three owners let go", Size::Small, || {
        let structures = Owner::of_new();
        let (one, two) = (structures.another(), structures.another());
        three(
            &Arc::new(()),
            move |()| structures.read_and_let_go(),
            move |()| one.read_and_let_go(),
            move |()| two.read_and_let_go(),
        );
    });
}

#[test]
fn a_handle_that_is_cloned_while_the_structures_let_go_keeps_the_value() {
    explore("record: clone, and let go", Size::Small, || {
        let structures = Owner::of_new();
        let handle = structures.another();
        both(
            &Arc::new(()),
            move |()| structures.read_and_let_go(),
            move |()| {
                let clone = handle.another();
                handle.read_and_let_go();
                clone.read_and_let_go();
            },
        );
    });
}

/// A record in both structures, and what each of them does before it lets go.
struct Left {
    record: Owner,
    /// What was done under the table's share, and under the calendar's.
    done: [Trace; 2],
    retired: AtomicUsize,
}

#[test]
fn of_two_structures_that_let_go_the_last_retires_the_record_after_both() {
    explore("record: two structures let go", Size::Small, || {
        let world = Arc::new(Left {
            record: Owner::of_new(),
            done: [Trace::new(), Trace::new()],
            retired: AtomicUsize::new(0),
        });
        let leave = |structure: usize| {
            move |world: &Left| {
                world.done[structure].write();
                if world.record.record().release_structural() {
                    world.done.iter().for_each(Trace::read);
                    world.retired.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        both(&world, leave(0), leave(1));
        let Left {
            record, retired, ..
        } = alone(world);
        assert_eq!(retired.load(Ordering::Relaxed), 1);
        record.read_and_let_go();
    });
}
