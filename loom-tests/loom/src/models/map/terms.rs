//! A session's own timeout and lifetime, set while others act on it.

use super::{DUE, at, collect_at, conclude, get, map, remove, update};
use crate::explore::{Size, both, explore};
use crate::watched::Value;
use std::time::Duration;

#[test]
fn a_longer_timeout_keeps_the_session_or_comes_too_late() {
    explore("map: set_idle_timeout and collect", Size::LongPair, || {
        let map = map(&[1]);
        let (set, ended) = both(
            &map,
            |map| map.set_idle_timeout(&1, Duration::from_millis(50)),
            collect_at(DUE),
        );
        assert!(set != (ended == 1));
        at(DUE);
        assert_eq!(get(&map, 1).is_some(), set);
        conclude(map);
    });
}

#[test]
fn a_shorter_timeout_counts_for_a_collection_at_once() {
    explore("map: set_idle_timeout and touch", Size::LongPair, || {
        let map = map(&[1]);
        let (set, touched) = both(
            &map,
            |map| map.set_idle_timeout(&1, Duration::from_millis(2)),
            |map| {
                at(1);
                map.touch(&1)
            },
        );
        assert!(set && touched);
        assert_eq!(collect_at(2)(&map), 0);
        assert_eq!(collect_at(4)(&map), 1);
        assert_eq!(conclude(map).live, 0);
    });
}

#[test]
fn a_shorter_lifetime_counts_for_a_collection_at_once() {
    explore("map: set_lifetime and touch", Size::LongPair, || {
        let map = map(&[1]);
        let (set, touched) = both(
            &map,
            |map| map.set_lifetime(&1, Duration::from_millis(3)),
            |map| {
                at(1);
                map.touch(&1)
            },
        );
        assert!(set && touched);
        assert_eq!(collect_at(2)(&map), 0);
        assert_eq!(collect_at(4)(&map), 1);
        assert_eq!(conclude(map).live, 0);
    });
}

#[test]
fn a_timeout_that_others_have_acted_on_was_set() {
    explore(
        "map: set_idle_timeout and get, later",
        Size::LongPair,
        || {
            let map = map(&[1]);
            let (set, found) = both(
                &map,
                |map| {
                    at(3);
                    map.set_idle_timeout(&1, Duration::from_millis(5))
                },
                |map| {
                    at(8);
                    get(map, 1)
                },
            );
            // A look-up that comes first makes the session last until 13.
            assert!(set, "at 3, and by the timeout it had until 10, it was live");
            at(8);
            assert_eq!(get(&map, 1).is_some(), found.is_some());
            conclude(map);
        },
    );
}

#[test]
fn a_timeout_by_which_the_session_is_over_ends_it_for_who_set_it() {
    explore(
        "map: set_idle_timeout, over, and get",
        Size::LongPair,
        || {
            let map = map(&[1]);
            let (set, found) = both(
                &map,
                |map| {
                    at(5);
                    map.set_idle_timeout(&1, Duration::from_millis(2))
                },
                |map| {
                    at(6);
                    get(map, 1)
                },
            );
            assert!(set, "ended by a timeout that was not set");
            at(6);
            // A look-up that comes first makes the session last for two milliseconds more.
            assert_eq!(get(&map, 1), found);
            conclude(map);
        },
    );
}

#[test]
fn a_session_that_is_removed_while_its_lifetime_is_over_ends_once() {
    explore(
        "map: set_lifetime, over, and remove",
        Size::LongPair,
        || {
            let map = map(&[1]);
            let (set, removed) = both(
                &map,
                |map| map.set_lifetime(&1, Duration::ZERO),
                |map| remove(map, 1),
            );
            assert!(set != removed.is_some());
            let stats = conclude(map);
            assert_eq!((stats.live, stats.expired), (0, u64::from(set)));
        },
    );
}

#[test]
fn a_timeout_and_a_lifetime_that_are_set_at_the_same_time_both_count() {
    explore(
        "map: set_idle_timeout and set_lifetime",
        Size::LongPair,
        || {
            let map = map(&[1]);
            let set = both(
                &map,
                |map| map.set_idle_timeout(&1, Duration::from_millis(50)),
                |map| map.set_lifetime(&1, Duration::from_millis(20)),
            );
            assert_eq!(set, (true, true));
            assert_eq!(map.time_left(&1), Some(Duration::from_millis(20)));
            assert_eq!(collect_at(DUE)(&map), 0);
            assert_eq!(collect_at(21)(&map), 1);
            conclude(map);
        },
    );
}

#[test]
fn a_timeout_that_is_set_during_an_update_is_kept() {
    explore("map: set_idle_timeout and update", Size::LongPair, || {
        let map = map(&[1]);
        let (set, updated) = both(
            &map,
            |map| map.set_idle_timeout(&1, Duration::from_millis(50)),
            |map| update(map, 1),
        );
        assert!(set && updated == Some(2));
        assert_eq!(map.time_left(&1), Some(Duration::from_millis(50)));
        assert_eq!(collect_at(DUE)(&map), 0);
        assert_eq!(collect_at(51)(&map), 1);
        conclude(map);
    });
}

#[test]
fn an_update_that_takes_its_time_does_not_outlive_the_session() {
    explore("map: update, slowly, and get", Size::LongPair, || {
        let map = map(&[1]);
        let (updated, found) = both(
            &map,
            |map| {
                map.update(&1, |value| {
                    at(DUE);
                    Value::new(value.number() + 1)
                })
                .is_some()
            },
            |map| {
                at(5);
                get(map, 1)
            },
        );
        // Without an access before it, the session ended at 10.
        assert_eq!(found, updated.then_some(1));
        assert_eq!(conclude(map).live, usize::from(updated));
    });
}
