//! Sessions that are created, changed and looked at while others do the same.

use super::{
    DUE, Map, at, builder, collect_at, conclude, fill, get, insert, map, remove, try_insert, update,
};
use crate::explore::{Size, both, explore, three};
use crate::watched::{Key, Value};

#[test]
fn a_session_that_is_created_during_a_collection_is_found_and_not_collected() {
    explore("map: insert, get and collect", Size::LongTrio, || {
        let map = map(&[3]);
        let (inserted, found, ended) = three(
            &map,
            |map| {
                at(DUE);
                try_insert(map, 1, 10)
            },
            |map| {
                at(DUE);
                get(map, 1)
            },
            collect_at(DUE),
        );
        assert!(inserted);
        assert!(found.is_none_or(|number| number == 10));
        assert_eq!(ended, 1);
        let stats = conclude(map);
        assert_eq!((stats.live, stats.expired), (1, 1));
    });
}

#[test]
fn an_update_does_not_bring_a_removed_session_back() {
    explore("map: update and remove", Size::LongPair, || {
        let map = map(&[1]);
        let (updated, removed) = both(&map, |map| update(map, 1), |map| remove(map, 1));
        assert_eq!(removed, Some(if updated.is_some() { 2 } else { 1 }));
        assert!(map.peek(&1).is_none());
        let stats = conclude(map);
        assert_eq!((stats.live, stats.removed), (0, 1));
        assert_eq!(stats.replaced, u64::from(updated.is_some()));
    });
}

#[test]
fn an_update_does_not_bring_a_collected_session_back() {
    explore("map: update and collect", Size::LongPair, || {
        let map = map(&[1]);
        let (updated, ended) = both(
            &map,
            |map| {
                at(5);
                update(map, 1)
            },
            collect_at(DUE),
        );
        assert!(updated.is_some() != (ended == 1));
        assert_eq!(conclude(map).live, usize::from(updated.is_some()));
    });
}

#[test]
fn of_two_updates_none_is_lost() {
    explore("map: update and update", Size::LongPair, || {
        let map = map(&[1]);
        let (one, two) = both(&map, |map| update(map, 1), |map| update(map, 1));
        assert_eq!(one.unwrap() + two.unwrap(), 2 + 3);
        assert_eq!(get(&map, 1), Some(3));
        let stats = conclude(map);
        assert_eq!((stats.live, stats.replaced), (1, 2));
    });
}

#[test]
fn a_full_map_stays_within_its_bound() {
    explore(
        "map: insert and insert, at capacity",
        Size::LongTrio,
        || {
            let map = fill(builder().capacity(1).build().unwrap(), &[1]);
            let (one, two) = both(
                &map,
                |map| try_insert(map, 2, 2),
                |map| try_insert(map, 3, 3),
            );
            assert!(one && two);
            assert!(map.len() <= 1);
            at(1);
            assert!(try_insert(&map, 4, 4));
            assert_eq!(map.len(), 1);
            let stats = conclude(map);
            assert_eq!((stats.created, stats.evicted), (4, 3));
        },
    );
}

#[test]
fn a_full_map_stays_within_its_bound_beside_a_collection() {
    explore(
        "map: insert at capacity, and collect",
        Size::LongPair,
        || {
            let map = fill(builder().capacity(1).build().unwrap(), &[1]);
            at(5);
            assert!(map.touch(&1));
            let (inserted, ended) = both(
                &map,
                |map| {
                    at(DUE);
                    try_insert(map, 2, 2)
                },
                collect_at(DUE),
            );
            assert!(inserted && ended == 0);
            assert_eq!(conclude(map).live, 1);
        },
    );
}

#[test]
fn a_session_that_is_too_heavy_goes_alone_though_it_is_touched() {
    explore(
        "map: insert what is too heavy, and touch",
        Size::LongPair,
        || {
            let weigher = |_: &Key, value: &Value| value.number() as u32;
            let map = builder().weight_capacity(10, weigher).build().unwrap();
            let map = fill(map, &[1]);
            both(
                &map,
                |map| insert(map, 2, 50),
                |map| {
                    at(1);
                    map.touch(&2)
                },
            );
            assert_eq!(get(&map, 1), Some(1));
            assert_eq!(conclude(map).weight, 1);
        },
    );
}

#[test]
fn a_session_that_is_removed_before_it_is_counted_makes_no_room() {
    explore(
        "map: insert, remove and insert, at capacity",
        Size::Longest,
        || {
            let map = fill(builder().capacity(1).build().unwrap(), &[1]);
            three(
                &map,
                |map| try_insert(map, 2, 2),
                |map| remove(map, 2),
                |map| try_insert(map, 3, 3),
            );
            assert!(conclude(map).live <= 1);
        },
    );
}

#[test]
fn of_two_who_create_a_session_one_does() {
    explore("map: try_insert and try_insert", Size::LongPair, || {
        let map = map(&[]);
        let (one, two) = both(
            &map,
            |map| try_insert(map, 1, 10),
            |map| try_insert(map, 1, 20),
        );
        assert!(one != two);
        assert_eq!(get(&map, 1), Some(if one { 10 } else { 20 }));
        assert_eq!(conclude(map).created, 1);
    });
}

#[test]
fn two_who_find_or_create_a_session_share_it() {
    explore("map: get_or_insert_with, twice", Size::LongPair, || {
        let map = map(&[]);
        let act = |number| {
            move |map: &Map| {
                map.get_or_insert_with(Key::new(1), || Value::new(number))
                    .number()
            }
        };
        let (one, two) = both(&map, act(10), act(20));
        assert_eq!(one, two);
        assert_eq!(conclude(map).created, 1);
    });
}

#[test]
fn of_two_who_insert_one_session_the_second_replaces_the_first() {
    explore("map: insert and insert", Size::LongPair, || {
        let map = map(&[]);
        let (one, two) = both(&map, |map| insert(map, 1, 10), |map| insert(map, 1, 20));
        let last = match (one, two) {
            (None, Some(10)) => 20,
            (Some(20), None) => 10,
            wrong => panic!("{wrong:?}"),
        };
        assert_eq!(get(&map, 1), Some(last));
        let stats = conclude(map);
        assert_eq!((stats.created, stats.replaced, stats.live), (1, 1, 1));
    });
}

#[test]
fn a_session_that_is_inserted_again_is_there_all_the_time() {
    explore("map: insert and get, a taken key", Size::LongPair, || {
        let map = map(&[1]);
        let (found, replaced) = both(&map, |map| get(map, 1), |map| insert(map, 1, 10));
        assert!(found == Some(1) || found == Some(10));
        assert_eq!(replaced, Some(1));
        let stats = conclude(map);
        assert_eq!((stats.created, stats.replaced, stats.live), (1, 1, 1));
    });
}

#[test]
fn an_insertion_and_a_removal_of_a_taken_key_come_one_after_the_other() {
    explore(
        "map: insert and remove, a taken key",
        Size::LongPair,
        || {
            let map = map(&[1]);
            let (replaced, removed) = both(&map, |map| insert(map, 1, 10), |map| remove(map, 1));
            let left = match (replaced, removed) {
                (Some(1), Some(10)) => None,
                (None, Some(1)) => Some(10),
                wrong => panic!("{wrong:?}"),
            };
            assert_eq!(get(&map, 1), left);
            assert_eq!(conclude(map).removed, 1);
        },
    );
}

#[test]
fn a_session_that_is_inserted_again_while_it_expires_is_new() {
    explore(
        "map: insert an expired key, and collect",
        Size::LongPair,
        || {
            let map = map(&[1]);
            let (replaced, ended) = both(
                &map,
                |map| {
                    at(DUE);
                    insert(map, 1, 10)
                },
                collect_at(DUE),
            );
            assert_eq!(replaced, None, "it had expired");
            assert!(ended <= 1);
            at(DUE);
            assert_eq!(get(&map, 1), Some(10));
            let stats = conclude(map);
            assert_eq!((stats.created, stats.expired, stats.live), (2, 1, 1));
        },
    );
}

#[test]
fn a_session_that_is_created_while_all_are_removed_stays_or_goes() {
    explore("map: clear and insert", Size::LongTrio, || {
        let map = map(&[1]);
        let (inserted, ()) = both(&map, |map| try_insert(map, 3, 3), Map::clear);
        assert!(inserted);
        assert!(get(&map, 1).is_none());
        let stats = conclude(map);
        assert_eq!((stats.created, stats.removed as usize), (2, 2 - stats.live));
    });
}

#[test]
fn an_iteration_meets_what_is_there_all_the_time_once() {
    explore("map: iterate, remove and insert", Size::LongPair, || {
        let map = map(&[1, 3]);
        let (found, ()) = both(
            &map,
            |map| map.iter().map(|value| value.number()).collect::<Vec<_>>(),
            |map| {
                remove(map, 3);
                insert(map, 5, 5);
                update(map, 1);
            },
        );
        let of_1 = found.iter().filter(|&&number| number <= 2).count();
        assert_eq!(of_1, 1, "{found:?}");
        assert_eq!(conclude(map).live, 2);
    });
}

#[test]
fn a_map_that_grows_loses_nobody() {
    explore("map: grow, insert and get", Size::LongPair, || {
        let map = map(&[1, 2, 3, 4, 5, 6, 7, 8, 9]);
        let slots = map.stats().table_slots;
        let (found, inserted) = both(
            &map,
            |map| [get(map, 1), get(map, 2)],
            // One of these adds a line to a chain, and finds the table too small.
            |map| [10, 11, 12].map(|key| try_insert(map, key, key)),
        );
        assert_eq!(found, [Some(1), Some(2)]);
        assert_eq!(inserted, [true; 3]);
        assert!(map.stats().table_slots > slots);
        assert!((1..=12).all(|key| get(&map, key) == Some(key)));
        assert_eq!(conclude(map).live, 12);
    });
}

#[test]
fn a_new_session_in_a_full_map_is_spared() {
    explore("map: insert at capacity, and touch", Size::LongPair, || {
        let map = fill(builder().capacity(1).build().unwrap(), &[1]);
        let (inserted, _) = both(
            &map,
            |map| try_insert(map, 2, 2),
            |map| {
                at(1);
                map.touch(&1)
            },
        );
        assert!(inserted);
        assert_eq!(get(&map, 2), Some(2));
        assert!(map.len() <= 2);
        conclude(map);
    });
}

#[test]
fn an_iteration_meets_a_session_once_while_two_create_it() {
    explore("map: iterate, insert and insert", Size::LongTrio, || {
        let map = map(&[]);
        let (found, ..) = three(
            &map,
            |map| map.iter().map(|value| value.number()).collect::<Vec<_>>(),
            |map| insert(map, 1, 10),
            |map| insert(map, 1, 20),
        );
        assert!(found.len() <= 1, "{found:?}");
        conclude(map);
    });
}

#[test]
fn retain_asks_about_a_session_once_while_it_is_created_anew() {
    explore("map: retain, insert and insert", Size::Longest, || {
        let map = map(&[1]);
        let (asked, ..) = three(
            &map,
            |map| {
                let mut asked = 0;
                map.retain(|_, _| {
                    asked += 1;
                    true
                });
                asked
            },
            |map| insert(map, 1, 10),
            |map| insert(map, 1, 20),
        );
        assert_eq!(asked, 1);
        conclude(map);
    });
}
