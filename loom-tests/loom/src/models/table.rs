//! The table: of the committed records of a key one is live, and what is there all the time is
//! found.

use crate::explore::{Size, alone, both, explore, three};
use crate::tables::World;
use std::sync::Arc;

/// A table of one line, of two slots.
fn one_line(keys: &[u64]) -> Arc<World> {
    Arc::new(World::new(0, keys))
}

#[test]
fn of_two_insertions_of_one_key_one_wins() {
    explore("table: insert and insert, the same key", Size::Pair, || {
        let world = one_line(&[]);
        let (one, two) = both(
            &world,
            |world| world.insert(1, 10),
            |world| world.insert(1, 20),
        );
        assert!(one != two);
        assert_eq!(alone(world).contents(), [(1, if one { 10 } else { 20 })]);
    });
}

#[test]
fn of_three_insertions_of_one_key_one_wins() {
    explore(
        "table: three insertions of the same key",
        Size::LongTrio,
        || {
            let world = one_line(&[]);
            let (one, two, three) = three(
                &world,
                |world| world.insert(1, 10),
                |world| world.insert(1, 20),
                |world| world.insert(1, 30),
            );
            let winners =
                [(one, 10), (two, 20), (three, 30)].map(|(won, number)| won.then_some((1, number)));
            let winners: Vec<_> = winners.into_iter().flatten().collect();
            assert_eq!(winners.len(), 1);
            assert_eq!(alone(world).contents(), winners);
        },
    );
}

#[test]
fn of_two_insertions_of_one_key_into_a_full_line_one_wins() {
    explore(
        "table: insert and insert, the same key, overflowing",
        Size::Pair,
        || {
            let world = one_line(&[3, 5]);
            let (one, two) = both(
                &world,
                |world| world.insert(1, 10),
                |world| world.insert(1, 20),
            );
            assert!(one != two);
            let number = if one { 10 } else { 20 };
            assert_eq!(alone(world).contents(), [(1, number), (3, 3), (5, 5)]);
        },
    );
}

#[test]
fn insertions_of_different_keys_into_one_line_both_win() {
    explore(
        "table: insert and insert, different keys",
        Size::Pair,
        || {
            let world = one_line(&[]);
            let (one, two) = both(
                &world,
                |world| world.insert(1, 10),
                |world| world.insert(3, 30),
            );
            assert!(one && two);
            assert_eq!(alone(world).contents(), [(1, 10), (3, 30)]);
        },
    );
}

#[test]
fn insertions_of_different_keys_that_overflow_their_line_both_win() {
    explore(
        "table: insert and insert, different keys, overflowing",
        Size::Pair,
        || {
            let world = one_line(&[5]);
            let (one, two) = both(
                &world,
                |world| world.insert(1, 10),
                |world| world.insert(3, 30),
            );
            assert!(one && two);
            assert_eq!(alone(world).contents(), [(1, 10), (3, 30), (5, 5)]);
        },
    );
}

#[test]
fn a_look_up_finds_the_record_once_its_insertion_is_over() {
    explore("table: insert and find", Size::Pair, || {
        let world = one_line(&[]);
        let (found, inserted) = both(
            &world,
            |world| [world.get(1), world.get(1)],
            |world| {
                let inserted = world.insert(1, 10);
                assert_eq!(world.get(1), Some(10));
                inserted
            },
        );
        assert!(inserted);
        assert!(
            found
                .iter()
                .all(|found| found.is_none_or(|number| number == 10))
        );
        assert!(!(found[0].is_some() && found[1].is_none()), "it vanished");
    });
}

#[test]
fn an_inserted_record_is_seen_by_all_or_by_none() {
    explore(
        "table: insert, and two look-ups one after the other",
        Size::Trio,
        || {
            let world = one_line(&[]);
            let order = Arc::new(dwell::internals::sync::AtomicUsize::new(0));
            let later = Arc::clone(&order);
            let (_, first, second) = three(
                &world,
                |world| world.insert(1, 10),
                move |world| {
                    let found = world.get(1);
                    if found.is_some() {
                        order.fetch_add(1, dwell::internals::sync::Ordering::Release);
                    }
                    found
                },
                move |world| {
                    let follows = later.load(dwell::internals::sync::Ordering::Acquire) == 1;
                    (follows, world.get(1))
                },
            );
            let (follows, second) = second;
            assert!(!follows || first.is_some() && second.is_some());
        },
    );
}

#[test]
fn a_removal_finds_the_record_or_comes_before_it() {
    explore("table: insert and remove", Size::Pair, || {
        let world = one_line(&[]);
        let (removed, inserted) =
            both(&world, |world| world.remove(1), |world| world.insert(1, 10));
        assert!(inserted);
        assert_eq!(removed.is_none(), alone(world).get(1).is_some());
    });
}

#[test]
fn a_key_that_is_removed_and_inserted_again_has_one_record() {
    explore(
        "table: insert, and remove and insert, the same key",
        Size::Trio,
        || {
            let world = one_line(&[1]);
            let (one, (removed, two)) = both(
                &world,
                |world| world.insert(1, 10),
                |world| (world.remove(1), world.insert(1, 20)),
            );
            assert!(removed == Some(1) && one != two);
            assert_eq!(alone(world).contents(), [(1, if one { 10 } else { 20 })]);
        },
    );
}

#[test]
fn two_who_remove_and_insert_one_key_leave_one_record() {
    explore(
        "table: remove and insert twice, the same key",
        Size::Trio,
        || {
            let world = one_line(&[1]);
            let act = |number| move |world: &World| (world.remove(1), world.insert(1, number));
            let ((removed_one, one), (removed_two, two)) = both(&world, act(10), act(20));
            assert!(one || two);
            assert!(removed_one != removed_two);
            let created = 1 + usize::from(one) + usize::from(two);
            let removed = [removed_one, removed_two].iter().flatten().count();
            let contents = alone(world).contents();
            assert_eq!(created - removed, contents.len());
            assert_eq!(contents.len(), 1);
        },
    );
}

#[test]
fn a_removed_key_has_one_remover() {
    explore("table: remove and remove", Size::Pair, || {
        let world = one_line(&[1, 3]);
        let (one, two) = both(&world, |world| world.remove(1), |world| world.remove(1));
        assert!(one.is_some() != two.is_some());
        assert_eq!(alone(world).contents(), [(3, 3)]);
    });
}

#[test]
fn a_key_that_is_there_all_the_time_is_found_among_insertions_and_removals() {
    explore(
        "table: find, beside insertions and removals in the chain",
        Size::Pair,
        || {
            let world = one_line(&[3, 1]);
            let (found, ()) = both(
                &world,
                |world| world.get(1),
                |world| {
                    world.remove(3);
                    world.insert(5, 5);
                    world.insert(7, 7);
                },
            );
            assert_eq!(found, Some(1));
        },
    );
}

#[test]
fn a_key_at_the_end_of_a_chain_is_found_among_insertions_and_removals() {
    explore(
        "table: find at the chain's end, beside others",
        Size::Trio,
        || {
            let world = one_line(&[3, 5, 1]);
            let (found, _, _) = three(
                &world,
                |world| world.get(1),
                |world| world.remove(3),
                |world| world.insert(7, 7),
            );
            assert_eq!(found, Some(1));
        },
    );
}

#[test]
fn a_replaced_value_is_found_at_every_moment() {
    explore("table: find and replace", Size::Pair, || {
        let world = one_line(&[1]);
        let (found, replaced) = both(
            &world,
            |world| [world.get(1), world.get(1)].map(Option::unwrap),
            |world| world.replace(1, |_| 10),
        );
        assert_eq!(replaced, Some(1));
        assert!([[1, 1], [1, 10], [10, 10]].contains(&found), "{found:?}");
        assert_eq!(alone(world).contents(), [(1, 10)]);
    });
}

#[test]
fn a_value_that_is_replaced_twice_is_found_at_every_moment() {
    explore("table: find and two replacements", Size::Pair, || {
        let world = one_line(&[1]);
        let (found, ()) = both(
            &world,
            |world| world.get(1).unwrap(),
            |world| {
                world.replace(1, |_| 10);
                world.replace(1, |_| 20);
            },
        );
        assert!([1, 10, 20].contains(&found));
        assert_eq!(alone(world).contents(), [(1, 20)]);
    });
}

#[test]
fn a_value_that_is_replaced_and_removed_stays_removed() {
    explore("table: replace and remove", Size::Pair, || {
        let world = one_line(&[1]);
        let (replaced, removed) = both(
            &world,
            |world| world.replace(1, |_| 10),
            |world| world.remove(1),
        );
        assert_eq!(removed, Some(if replaced.is_some() { 10 } else { 1 }));
        assert!(alone(world).contents().is_empty());
    });
}

#[test]
fn of_two_updates_none_is_lost() {
    explore("table: update and update", Size::Pair, || {
        let world = one_line(&[1]);
        let update = |world: &World| world.replace(1, |number| number + 1).unwrap();
        let (one, two) = both(&world, update, update);
        assert_eq!(one + two, 1 + 2);
        assert_eq!(alone(world).contents(), [(1, 3)]);
    });
}

#[test]
fn an_update_of_a_record_that_is_being_inserted_comes_after_it_or_finds_none() {
    explore("table: insert and update", Size::Pair, || {
        let world = one_line(&[]);
        let (inserted, updated) = both(
            &world,
            |world| world.insert(1, 1),
            |world| world.replace(1, |number| number + 1),
        );
        assert!(inserted);
        let number = if updated.is_some() { 2 } else { 1 };
        assert_eq!(alone(world).contents(), [(1, number)]);
    });
}

#[test]
fn an_update_a_removal_and_a_look_up_agree() {
    explore("table: update, remove and find", Size::Trio, || {
        let world = one_line(&[1]);
        let (updated, removed, found) = three(
            &world,
            |world| world.replace(1, |_| 10),
            |world| world.remove(1),
            |world| world.get(1),
        );
        assert_eq!(removed, Some(if updated.is_some() { 10 } else { 1 }));
        assert!(found != Some(10) || updated.is_some());
        assert!(alone(world).contents().is_empty());
    });
}

#[test]
fn a_key_that_is_inserted_again_is_found_at_every_moment() {
    explore(
        "table: insert a taken key, and two look-ups",
        Size::Trio,
        || {
            let world = one_line(&[1]);
            let (one, two, replaced) = three(
                &world,
                |world| world.get(1),
                |world| world.get(1),
                |world| world.put(1, 10),
            );
            assert_eq!(replaced, Some(1));
            assert!(one.is_some() && two.is_some(), "it vanished");
            assert_eq!(alone(world).contents(), [(1, 10)]);
        },
    );
}

#[test]
fn of_two_who_insert_a_taken_key_each_replaces_what_was_there() {
    explore("table: insert a taken key twice", Size::Pair, || {
        let world = one_line(&[1]);
        let (one, two) = both(&world, |world| world.put(1, 10), |world| world.put(1, 20));
        let number = match (one.unwrap(), two.unwrap()) {
            (1, 10) => 20,
            (20, 1) => 10,
            wrong => panic!("{wrong:?}"),
        };
        assert_eq!(alone(world).contents(), [(1, number)]);
    });
}

#[test]
fn who_inserts_a_key_that_comes_and_goes_replaces_it_or_is_the_first() {
    explore(
        "table: insert a key twice, and remove it",
        Size::LongTrio,
        || {
            let world = one_line(&[]);
            let (one, two, removed) = three(
                &world,
                |world| world.put(1, 10),
                |world| world.put(1, 20),
                |world| world.remove(1),
            );
            let created = [one, two].iter().filter(|before| before.is_none()).count();
            let contents = alone(world).contents();
            assert_eq!(created, contents.len() + usize::from(removed.is_some()));
        },
    );
}

#[test]
fn a_withdrawn_key_is_not_dropped_under_those_who_compare_it() {
    explore(
        "table: two insertions of the same key, and a look-up",
        Size::Trio,
        || {
            let world = one_line(&[]);
            let (one, two, found) = three(
                &world,
                |world| world.insert(1, 10),
                |world| world.insert(1, 20),
                |world| world.get(1),
            );
            assert!(one != two);
            assert!(found.is_none_or(|number| number == if one { 10 } else { 20 }));
        },
    );
}

#[test]
fn an_iteration_visits_what_is_there_all_the_time_once() {
    explore(
        "table: iterate, beside insertions and removals",
        Size::Trio,
        || {
            let world = one_line(&[1, 3]);
            let (visited, ()) = both(&world, World::contents, |world| {
                world.insert(5, 5);
                world.remove(3);
                world.replace(1, |_| 10);
            });
            let of = |key| visited.iter().filter(|visited| visited.0 == key).count();
            assert_eq!(of(1), 1);
            assert!(of(3) <= 1 && of(5) <= 1);
        },
    );
}
