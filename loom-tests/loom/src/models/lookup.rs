//! Look-ups that are decided at first sight: they miss nobody who is there all the time, and find
//! nobody who has gone.

use crate::explore::{Size, both, explore, three};
use crate::tables::World;
use std::sync::Arc;

/// A table of one line. Keys from 8 on have tags of their own.
fn one_line(keys: &[u64]) -> Arc<World> {
    Arc::new(World::new(0, keys))
}

#[test]
fn who_sees_the_later_of_two_insertions_sees_the_earlier_one() {
    explore("fast path: two insertions", Size::Pair, || {
        let world = one_line(&[]);
        let ((later, earlier), ()) = both(
            &world,
            |world| (world.lookup_fast(17), world.lookup_fast(9)),
            |world| {
                world.insert(9, 90);
                world.insert(17, 170);
            },
        );
        assert!(later.is_none_or(|number| number == 170));
        assert!(earlier.is_none_or(|number| number == 90));
        assert!(later.is_none() || earlier.is_some(), "it was overlooked");
    });
}

#[test]
fn who_sees_an_insertion_that_overflows_the_line_sees_what_was_there_before() {
    explore("fast path: insertions that overflow", Size::Trio, || {
        let world = one_line(&[9]);
        let ((later, earlier, first), _, _) = three(
            &world,
            |world| {
                (
                    world.lookup_fast(25),
                    world.lookup_fast(17),
                    world.lookup_fast(9),
                )
            },
            |world| {
                world.insert(17, 170);
                world.insert(25, 250);
            },
            |world| world.insert(33, 330),
        );
        assert!(later.is_none() || earlier.is_some(), "it was overlooked");
        assert_eq!(first, Some(9));
        assert_eq!(
            [world.lookup_fast(25), world.lookup_fast(33)],
            [Some(250), Some(330)]
        );
    });
}

#[test]
fn who_sees_what_came_after_a_removal_does_not_see_the_removed() {
    explore("fast path: a removal and an insertion", Size::Pair, || {
        let world = one_line(&[9]);
        let ((later, removed), ()) = both(
            &world,
            |world| (world.lookup_fast(17), world.lookup_fast(9)),
            |world| {
                world.remove(9);
                world.insert(17, 170);
            },
        );
        assert!(later.is_none() || removed.is_none(), "it came back");
    });
}

#[test]
fn a_key_that_is_there_all_the_time_is_seen_among_insertions_and_removals() {
    explore("fast path: others in the line", Size::Pair, || {
        let world = one_line(&[25, 9]);
        let (seen, ()) = both(
            &world,
            |world| world.lookup_fast(9),
            |world| {
                world.remove(25);
                world.insert(17, 170);
                world.insert(33, 330);
            },
        );
        assert_eq!(seen, Some(9));
    });
}

#[test]
fn a_key_that_is_inserted_again_is_seen_at_every_moment() {
    explore("fast path: insert again", Size::Pair, || {
        let world = one_line(&[9]);
        let (seen, replaced) = both(
            &world,
            |world| [world.lookup_fast(9), world.lookup_fast(9)].map(Option::unwrap),
            |world| world.put(9, 90),
        );
        assert_eq!(replaced, Some(9));
        assert!([[9, 9], [9, 90], [90, 90]].contains(&seen), "{seen:?}");
    });
}

#[test]
fn a_key_is_seen_while_the_table_grows() {
    explore("fast path: grow", Size::Pair, || {
        let world = one_line(&[9, 10]);
        let (seen, ()) = both(
            &world,
            |world| [world.lookup_fast(9), world.lookup_fast(10)],
            |world| {
                world.grow();
                world.finish();
            },
        );
        assert_eq!(seen, [Some(9), Some(10)]);
    });
}

#[test]
fn a_key_is_seen_while_the_table_shrinks() {
    explore("fast path: shrink", Size::Pair, || {
        let world = Arc::new(World::new(2, &[9, 11, 13]));
        let (seen, ()) = both(
            &world,
            |world| [world.lookup_fast(11), world.lookup_fast(13)],
            |world| {
                world.shrink();
                world.finish();
            },
        );
        assert_eq!(seen, [Some(11), Some(13)]);
    });
}

#[test]
fn who_sees_an_insertion_into_a_growing_table_sees_the_one_before_it() {
    explore("fast path: grow and insert", Size::LongTrio, || {
        let world = one_line(&[33]);
        let ((later, earlier), (), ()) = three(
            &world,
            |world| (world.lookup_fast(17), world.lookup_fast(9)),
            |world| {
                world.insert(9, 90);
                world.insert(17, 170);
            },
            |world| world.grow(),
        );
        assert!(later.is_none() || earlier.is_some(), "it was overlooked");
    });
}
