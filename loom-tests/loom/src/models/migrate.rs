//! Growing and shrinking: what is in the table all the time is found all the time, whoever helps.
//!
//! Odd keys share one line of two, even keys the other. A table of one line grows to two, a table
//! of four shrinks to two. A table of one line whose chain has become long is replaced by one of
//! one line.

use crate::explore::{Size, alone, both, explore, three};
use crate::tables::World;
use std::sync::Arc;

/// A table of one line.
fn small(keys: &[u64]) -> Arc<World> {
    Arc::new(World::new(0, keys))
}

/// A table of four lines.
fn large(keys: &[u64]) -> Arc<World> {
    Arc::new(World::new(2, keys))
}

/// Starts the next table and takes everything over.
fn grow(world: &World) {
    world.grow();
    world.finish();
}

fn shrink(world: &World) {
    world.shrink();
    world.finish();
}

/// A table of one line whose chain has two, of which the first holds keys 1 and 3.
fn long() -> Arc<World> {
    small(&[1, 3, 5])
}

fn shorten(world: &World) {
    assert!(world.shorten());
    world.finish();
}

#[test]
fn growth_keeps_everything_in_order() {
    explore("resize: grow, alone", Size::Pair, || {
        let world = small(&[1, 2, 3, 4]);
        grow(&world);
        assert_eq!(world.lines(), 2);
        assert_eq!(alone(world).contents(), [1, 2, 3, 4].map(|key| (key, key)));
    });
}

#[test]
fn shrinking_keeps_everything_in_order() {
    explore("resize: shrink, alone", Size::Pair, || {
        let world = large(&[1, 2, 3, 4, 5]);
        shrink(&world);
        assert_eq!(world.lines(), 2);
        assert_eq!(
            alone(world).contents(),
            [1, 2, 3, 4, 5].map(|key| (key, key))
        );
    });
}

#[test]
fn a_chain_that_has_become_long_is_shortened_once() {
    explore("resize: shorten, alone", Size::Pair, || {
        let world = long();
        assert_eq!(world.remove(1), Some(1));
        assert!(world.is_long());
        shorten(&world);
        assert!(!world.is_long());
        assert!(!world.shorten());
        assert_eq!(world.lines(), 1);
        assert_eq!(alone(world).contents(), [(3, 3), (5, 5)]);
    });
}

#[test]
fn a_key_is_found_while_its_chain_is_shortened() {
    explore("resize: shorten and find", Size::Pair, || {
        let world = long();
        let (found, ()) = both(&world, |world| world.get(5), shorten);
        assert_eq!(found, Some(5));
        assert_eq!(alone(world).contents(), [1, 3, 5].map(|key| (key, key)));
    });
}

#[test]
fn an_insertion_into_a_chain_that_is_shortened_is_kept() {
    explore("resize: shorten and insert", Size::Pair, || {
        let world = long();
        let (inserted, ()) = both(&world, |world| world.insert(7, 7), shorten);
        assert!(inserted);
        assert_eq!(alone(world).contents(), [1, 3, 5, 7].map(|key| (key, key)));
    });
}

#[test]
fn a_removal_from_a_chain_that_is_shortened_is_final() {
    explore("resize: shorten and remove", Size::Pair, || {
        let world = long();
        let (removed, ()) = both(&world, |world| world.remove(5), shorten);
        assert_eq!(removed, Some(5));
        assert_eq!(alone(world).contents(), [(1, 1), (3, 3)]);
    });
}

#[test]
fn a_table_that_grows_does_not_grow_again_before_it_has() {
    explore("resize: grow twice, alone", Size::Pair, || {
        let world = small(&[1, 2, 3]);
        world.grow();
        world.grow();
        assert_eq!(world.lines(), 2);
        world.finish();
        world.grow();
        assert_eq!(world.lines(), 4);
        assert_eq!(alone(world).contents(), [1, 2, 3].map(|key| (key, key)));
    });
}

#[test]
fn the_old_words_of_a_unit_are_not_read_once_it_was_taken_over() {
    explore("resize: shrink and remove, alone", Size::Pair, || {
        let world = large(&[1, 2, 3]);
        world.shrink();
        assert_eq!(world.remove(1), Some(1));
        world.finish();
        assert_eq!(alone(world).contents(), [(2, 2), (3, 3)]);
    });
}

#[test]
fn a_key_is_found_when_two_have_taken_over_a_unit_each() {
    explore("resize: shrink, by two, and find", Size::InTurn, || {
        let world = large(&[1, 2]);
        world.shrink();
        let ((), (), found) = three(&world, World::migrate_some, World::migrate_some, |world| {
            [world.get(1), world.get(2)]
        });
        assert_eq!(found, [Some(1), Some(2)]);
        assert_eq!(alone(world).contents(), [(1, 1), (2, 2)]);
    });
}

#[test]
fn a_value_that_is_replaced_in_a_growing_table_is_retired_once() {
    explore("resize: grow and replace", Size::Pair, || {
        let world = small(&[1]);
        let (replaced, ()) = both(&world, |world| world.replace(1, |_| 10), grow);
        assert_eq!((replaced, world.retired()), (Some(1), 1));
        assert_eq!(alone(world).contents(), [(1, 10)]);
    });
}

#[test]
fn a_key_is_found_while_the_table_grows() {
    explore("resize: grow and find", Size::Pair, || {
        let world = small(&[1, 2]);
        let (found, ()) = both(&world, |world| [world.get(1), world.get(2)], grow);
        assert_eq!(found, [Some(1), Some(2)]);
    });
}

#[test]
fn a_key_of_an_overflowing_line_is_found_while_the_table_grows() {
    explore("resize: grow and find, overflowing", Size::Pair, || {
        let world = small(&[1, 3, 5]);
        let (found, ()) = both(&world, |world| world.get(5), grow);
        assert_eq!(found, Some(5));
        assert_eq!(alone(world).contents(), [1, 3, 5].map(|key| (key, key)));
    });
}

#[test]
fn a_key_is_found_while_the_table_shrinks() {
    explore("resize: shrink and find", Size::Pair, || {
        let world = large(&[1, 3, 5]);
        let (found, ()) = both(&world, |world| [world.get(3), world.get(5)], shrink);
        assert_eq!(found, [Some(3), Some(5)]);
        assert_eq!(alone(world).contents(), [1, 3, 5].map(|key| (key, key)));
    });
}

#[test]
fn an_insertion_into_a_growing_table_is_kept() {
    explore("resize: grow and insert", Size::Pair, || {
        let world = small(&[1]);
        let (inserted, ()) = both(
            &world,
            |world| {
                let inserted = world.insert(3, 3);
                assert_eq!(world.get(3), Some(3));
                inserted
            },
            grow,
        );
        assert!(inserted);
        assert_eq!(alone(world).contents(), [(1, 1), (3, 3)]);
    });
}

#[test]
fn an_insertion_into_an_overflowing_growing_table_is_kept() {
    explore("resize: grow and insert, overflowing", Size::Pair, || {
        let world = small(&[1, 3]);
        let (inserted, ()) = both(&world, |world| world.insert(5, 5), grow);
        assert!(inserted);
        assert_eq!(alone(world).contents(), [1, 3, 5].map(|key| (key, key)));
    });
}

#[test]
fn an_insertion_into_a_shrinking_table_is_kept() {
    explore("resize: shrink and insert", Size::Pair, || {
        let world = large(&[1]);
        let (inserted, ()) = both(&world, |world| world.insert(3, 3), shrink);
        assert!(inserted);
        assert_eq!(alone(world).contents(), [(1, 1), (3, 3)]);
    });
}

#[test]
fn a_taken_key_stays_taken_while_the_table_grows() {
    explore("resize: grow and insert a taken key", Size::Pair, || {
        let world = small(&[1]);
        let (inserted, ()) = both(&world, |world| world.insert(1, 10), grow);
        assert!(!inserted);
        assert_eq!(alone(world).contents(), [(1, 1)]);
    });
}

#[test]
fn of_two_insertions_of_one_key_into_a_growing_table_one_wins() {
    explore("resize: grow, insert and insert", Size::Longest, || {
        let world = small(&[]);
        let (one, two, ()) = three(
            &world,
            |world| world.insert(1, 10),
            |world| world.insert(1, 20),
            grow,
        );
        assert!(one != two);
        assert_eq!(alone(world).contents(), [(1, if one { 10 } else { 20 })]);
    });
}

#[test]
fn a_removal_from_a_growing_table_is_final() {
    explore("resize: grow and remove", Size::Pair, || {
        let world = small(&[1, 3]);
        let (removed, ()) = both(
            &world,
            |world| {
                let removed = world.remove(1);
                assert_eq!(world.get(1), None);
                removed
            },
            grow,
        );
        assert_eq!(removed, Some(1));
        assert_eq!(alone(world).contents(), [(3, 3)]);
    });
}

#[test]
fn a_removal_from_a_shrinking_table_is_final() {
    explore("resize: shrink and remove", Size::Pair, || {
        let world = large(&[1, 3]);
        let (removed, ()) = both(&world, |world| world.remove(1), shrink);
        assert_eq!(removed, Some(1));
        assert_eq!(alone(world).contents(), [(3, 3)]);
    });
}

#[test]
fn a_value_that_is_replaced_in_a_growing_table_is_found_at_every_moment() {
    explore("resize: grow, replace and find", Size::LongTrio, || {
        let world = small(&[1]);
        let (found, replaced, ()) = three(
            &world,
            |world| world.get(1).unwrap(),
            |world| world.replace(1, |_| 10),
            grow,
        );
        assert!(found == 1 || found == 10);
        assert_eq!(replaced, Some(1));
        assert_eq!(alone(world).contents(), [(1, 10)]);
    });
}

#[test]
fn two_who_help_a_table_to_grow_do_the_same() {
    explore("resize: grow, by two", Size::Longest, || {
        let world = small(&[1, 2, 3]);
        both(&world, grow, grow);
        // The second one may have found the first one's table too small again.
        assert!(world.lines() >= 2);
        assert_eq!(alone(world).contents(), [1, 2, 3].map(|key| (key, key)));
    });
}

#[test]
fn two_who_help_a_table_to_shrink_do_the_same() {
    explore("resize: shrink, by two", Size::Longest, || {
        let world = large(&[1, 3, 5]);
        both(&world, shrink, shrink);
        assert_eq!(world.lines(), 2);
        assert_eq!(alone(world).contents(), [1, 3, 5].map(|key| (key, key)));
    });
}

#[test]
fn a_late_helper_does_not_bring_a_removed_record_back() {
    explore("resize: grow, by two, and remove", Size::Longest, || {
        let world = small(&[1, 3]);
        world.grow();
        let ((), (), removed) = three(&world, World::finish, World::migrate_some, |world| {
            world.remove(1)
        });
        assert_eq!(removed, Some(1));
        assert_eq!(alone(world).contents(), [(3, 3)]);
    });
}

#[test]
fn a_late_helper_does_not_disturb_what_is_inserted_after_it() {
    explore("resize: grow, by two, and insert", Size::Longest, || {
        let world = small(&[1]);
        world.grow();
        let ((), (), inserted) = three(&world, World::finish, World::finish, |world| {
            world.insert(3, 3) && world.remove(1).is_some() && world.insert(5, 5)
        });
        assert!(inserted);
        assert_eq!(alone(world).contents(), [(3, 3), (5, 5)]);
    });
}

#[test]
fn a_late_helper_of_shrinking_does_not_disturb_what_comes_after_it() {
    explore("resize: shrink, by two, and change", Size::Longest, || {
        let world = large(&[1, 3]);
        world.shrink();
        let ((), (), changed) = three(&world, World::finish, World::migrate_some, |world| {
            world.remove(1).is_some() && world.insert(5, 5)
        });
        assert!(changed);
        assert_eq!(alone(world).contents(), [(3, 3), (5, 5)]);
    });
}

#[test]
fn a_record_whose_door_is_frozen_is_not_retired_before_the_door_is_left() {
    explore(
        "resize: grow, insert and remove, and find",
        Size::LongTrio,
        || {
            let world = small(&[]);
            let (gone, (), _) = three(
                &world,
                |world| world.insert(1, 1) && world.remove(1).is_some(),
                World::grow,
                |world| {
                    world.finish();
                    world.get(1)
                },
            );
            assert!(gone);
            assert!(alone(world).contents().is_empty());
        },
    );
}

#[test]
fn an_inserter_whose_door_is_frozen_goes_on_after_the_door_is_left() {
    explore(
        "resize: insert, and remove and freeze the commit word",
        Size::Pair,
        || {
            let world = small(&[]);
            both(
                &world,
                |world| world.insert(1, 1),
                |world| {
                    world.remove(1);
                    // And stops there: so that the record may be retired before anybody else comes
                    // to the commit word.
                    let context = world.begin();
                    let commit_word = &world.table.lines(&context.guard).line(0).commit_word;
                    world.grow();
                    commit_word.freeze();
                },
            );
            world.finish();
        },
    );
}

#[test]
fn a_key_is_found_while_the_table_grows_twice() {
    explore("resize: grow twice and find", Size::Pair, || {
        let world = small(&[1, 2]);
        let (found, ()) = both(
            &world,
            |world| [world.get(1), world.get(2)],
            |world| {
                grow(world);
                grow(world);
            },
        );
        assert_eq!(found, [Some(1), Some(2)]);
        assert_eq!(alone(world).contents(), [(1, 1), (2, 2)]);
    });
}

#[test]
fn an_iteration_of_a_growing_table_visits_what_is_there_all_the_time_once() {
    explore("resize: grow and iterate", Size::Pair, || {
        let world = small(&[1, 2, 3]);
        let (visited, ()) = both(&world, World::contents, grow);
        assert_eq!(visited, [1, 2, 3].map(|key| (key, key)));
    });
}

#[test]
fn an_iteration_of_a_shrinking_table_visits_what_is_there_all_the_time_once() {
    explore("resize: shrink and iterate", Size::Pair, || {
        let world = large(&[1, 2, 3]);
        let (visited, ()) = both(&world, World::contents, shrink);
        assert_eq!(visited, [1, 2, 3].map(|key| (key, key)));
    });
}

#[test]
fn a_key_is_found_while_two_take_over_in_parts() {
    // What is stale to the reader multiplies the steps of two: in the first pass there is one.
    let size = if cfg!(dwell_rmw) {
        Size::LongLayered
    } else {
        Size::LongPair
    };
    explore("resize: shrink, by two in parts, and find", size, || {
        let world = large(&[1, 2]);
        world.shrink();
        let in_parts = |world: &World| {
            world.take_part();
            world.take_part();
        };
        let find = |world: &World| [world.get(1), world.get(2)];
        let found = if cfg!(dwell_rmw) {
            let ((), (), found) = three(&world, in_parts, in_parts, find);
            found
        } else {
            let ((), found) = both(&world, in_parts, find);
            found
        };
        assert_eq!(found, [Some(1), Some(2)]);
        let world = alone(world);
        assert!(!world.take_part(), "not all was migrated");
        assert_eq!(world.contents(), [(1, 1), (2, 2)]);
    });
}

/// A table of one line that is not ready yet.
fn untouched() -> Arc<World> {
    Arc::new(World::untouched(0, &[]))
}

#[test]
fn a_line_of_a_first_array_becomes_ready_once() {
    explore("first array: insert and insert", Size::Pair, || {
        let world = untouched();
        let inserted = both(
            &world,
            |world| world.insert(1, 1),
            |world| world.insert(3, 3),
        );
        assert_eq!(inserted, (true, true));
        assert_eq!(alone(world).contents(), [(1, 1), (3, 3)]);
    });
}

#[test]
fn two_that_insert_a_key_into_a_first_array_agree() {
    explore("first array: insert one key twice", Size::Pair, || {
        let world = untouched();
        let (one, two) = both(
            &world,
            |world| world.insert(1, 1),
            |world| world.insert(1, 2),
        );
        assert!(one != two);
        let expected = if one { 1 } else { 2 };
        assert_eq!(alone(world).contents(), [(1, expected)]);
    });
}

#[test]
fn a_line_of_a_first_array_that_is_migrated_before_its_first_use_stays_frozen() {
    explore("first array: insert and grow", Size::LongPair, || {
        let world = untouched();
        let (inserted, ()) = both(&world, |world| world.insert(1, 1), grow);
        assert!(inserted);
        assert_eq!((world.lines(), world.get(1)), (2, Some(1)));
        assert_eq!(alone(world).contents(), [(1, 1)]);
    });
}

#[test]
fn a_look_up_in_a_first_array_finds_nothing_or_what_is_inserted() {
    explore("first array: insert and look up", Size::Pair, || {
        let world = untouched();
        let (inserted, found) = both(
            &world,
            |world| world.insert(1, 1),
            |world| world.lookup_fast(1),
        );
        assert!(inserted && found.is_none_or(|found| found == 1));
        assert_eq!(alone(world).lookup_fast(1), Some(1));
    });
}
