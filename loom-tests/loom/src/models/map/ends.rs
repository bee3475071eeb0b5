//! How a session ends: touched, removed, collected, evicted, or held on to at the same time.

use super::{
    DUE, IDLE, Map, at, builder, collect_at, conclude, fill, get, insert, map, remove, update,
};
use crate::explore::{Size, both, explore, three};
use crate::watched::{Key, Value};
use dwell::RemovalCause;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

#[test]
fn a_touch_that_races_collection_keeps_the_session_or_comes_too_late() {
    explore("map: touch and collect", Size::LongPair, || {
        let map = map(&[1]);
        let (touched, ended) = both(
            &map,
            |map| {
                at(5);
                map.touch(&1)
            },
            collect_at(DUE),
        );
        assert!(touched != (ended == 1));
        let stats = conclude(map);
        assert_eq!(
            (stats.live, stats.expired as usize),
            (usize::from(touched), ended)
        );
    });
}

#[test]
fn a_touch_that_goes_the_long_way_keeps_the_session_or_comes_too_late() {
    explore(
        "map: touch in a further line, and collect",
        Size::LongPair,
        || {
            let map = builder().build().unwrap();
            // These fill the line, and are not due.
            at(5);
            insert(&map, 2, 2);
            insert(&map, 4, 4);
            at(0);
            let map = fill(map, &[5]);
            let (touched, ended) = both(
                &map,
                |map| {
                    at(5);
                    map.touch(&5)
                },
                collect_at(DUE),
            );
            assert!(touched != (ended == 1));
            conclude(map);
        },
    );
}

#[test]
fn a_session_that_is_removed_while_it_is_collected_ends_once() {
    explore("map: remove and collect", Size::LongPair, || {
        let map = map(&[1]);
        let (removed, ended) = both(&map, |map| remove(map, 1), collect_at(DUE));
        assert!(removed.is_some() != (ended == 1));
        let stats = conclude(map);
        assert_eq!(stats.live, 0);
        assert_eq!(
            (stats.removed, stats.expired),
            (1 - ended as u64, ended as u64)
        );
    });
}

#[test]
fn a_touch_a_removal_and_a_collection_have_one_winner() {
    explore("map: touch, remove and collect", Size::LongTrio, || {
        let map = map(&[1]);
        let (touched, removed, ended) = three(
            &map,
            |map| {
                at(5);
                map.touch(&1)
            },
            |map| remove(map, 1),
            collect_at(DUE),
        );
        assert!(removed.is_some() != (ended == 1));
        assert!(!touched || ended == 0, "collected by an old observation");
        assert_eq!(conclude(map).live, 0);
    });
}

#[test]
fn an_expired_session_is_gone_for_every_reader_and_ends_once() {
    explore("map: get and get, expired", Size::LongPair, || {
        let map = map(&[1]);
        let look = |map: &Map| {
            at(IDLE);
            get(map, 1)
        };
        let found = both(&map, look, look);
        assert_eq!(found, (None, None));
        let stats = conclude(map);
        assert_eq!((stats.live, stats.expired), (0, 1));
    });
}

#[test]
fn collections_by_idle_time_and_by_deadline_end_each_session_once() {
    explore("map: collect_idle and collect", Size::Longest, || {
        let map = map(&[1, 2]);
        let (idle, due) = both(
            &map,
            |map| {
                at(5);
                map.collect_idle(Duration::from_millis(5))
            },
            collect_at(DUE),
        );
        assert!(idle + due <= 2);
        let left = collect_at(DUE)(&map);
        assert_eq!(idle + due + left, 2);
        assert_eq!(conclude(map).expired, 2);
    });
}

#[test]
fn a_session_that_is_touched_is_not_evicted_before_one_that_was_not() {
    explore("map: evict and touch", Size::LongPair, || {
        let map = map(&[1, 2]);
        let (evicted, touched) = both(
            &map,
            |map| map.evict(1),
            |map| {
                at(1);
                map.touch(&1)
            },
        );
        assert_eq!(evicted, 1);
        assert_eq!(get(&map, 1).is_some(), touched);
        assert_eq!(get(&map, 2).is_some(), !touched);
        let stats = conclude(map);
        assert_eq!((stats.live, stats.evicted), (1, 1));
    });
}

#[test]
fn a_session_that_is_evicted_while_it_is_removed_ends_once() {
    explore("map: evict and remove", Size::LongPair, || {
        let map = map(&[1]);
        let (evicted, removed) = both(&map, |map| map.evict(1), |map| remove(map, 1));
        assert!(removed.is_some() != (evicted == 1));
        assert_eq!(conclude(map).live, 0);
    });
}

#[test]
fn every_end_is_announced_once() {
    explore("map: remove, collect and announce", Size::LongPair, || {
        let announced = Arc::new([const { AtomicUsize::new(0) }; 2]);
        let counts = Arc::clone(&announced);
        let listener = move |handle: &dwell::Handle<Key, Value>, cause| {
            assert!(!handle.is_live());
            let of_cause = match cause {
                RemovalCause::Removed => 0,
                RemovalCause::ExpiredIdle => 1,
                other => panic!("{other:?}"),
            };
            counts[of_cause].fetch_add(1, Ordering::Relaxed);
        };
        let map = fill(builder().on_removal(listener).build().unwrap(), &[1]);
        let (removed, ended) = both(&map, |map| remove(map, 1), collect_at(DUE));
        let counts = announced
            .each_ref()
            .map(|count| count.load(Ordering::Relaxed));
        assert_eq!(counts, [usize::from(removed.is_some()), ended]);
        conclude(map);
    });
}

#[test]
fn a_listener_may_use_the_map() {
    explore(
        "map: a listener that inserts, and get",
        Size::LongPair,
        || {
            let shared: Arc<std::sync::OnceLock<std::sync::Weak<Map>>> = Arc::default();
            let back = Arc::clone(&shared);
            let listener = move |handle: &dwell::Handle<Key, Value>, _| {
                let map = back.get().and_then(std::sync::Weak::upgrade).unwrap();
                insert(&map, 3, handle.number());
            };
            let map = fill(builder().on_removal(listener).build().unwrap(), &[1]);
            shared.set(Arc::downgrade(&map)).unwrap();
            let (removed, found) = both(&map, |map| remove(map, 1), |map| get(map, 3));
            assert_eq!(removed, Some(1));
            assert!(found.is_none_or(|number| number == 1));
            assert_eq!(get(&map, 3), Some(1));
            conclude(map);
        },
    );
}
#[test]
fn a_handle_keeps_its_value_beyond_the_removal_of_the_session() {
    explore("map: get and remove", Size::LongPair, || {
        let map = map(&[1]);
        let (handle, removed) = both(&map, |map| map.get(&1), |map| map.remove(&1));
        let removed = removed.unwrap();
        assert_eq!(removed.number(), 1);
        let stats = conclude(map);
        assert_eq!((stats.live, stats.removed), (0, 1));
        // The map is gone.
        if let Some(handle) = handle {
            assert_eq!(handle.number(), 1);
            assert!(!handle.is_live());
        }
        assert!(!removed.is_live());
    });
}

#[test]
fn a_handle_that_is_dropped_with_the_last_of_its_session_drops_the_value_once() {
    explore("map: drop a handle and remove", Size::LongPair, || {
        let map = map(&[1]);
        let handle = map.get(&1).unwrap();
        let (removed, ()) = both(
            &map,
            |map| remove(map, 1),
            move |_| {
                assert_eq!(handle.clone().number(), 1);
                drop(handle);
            },
        );
        assert_eq!(removed, Some(1));
        conclude(map);
    });
}

#[test]
fn two_evictions_end_two_sessions() {
    explore("map: evict and evict", Size::LongPair, || {
        let map = map(&[1, 2]);
        let evicted = both(&map, |map| map.evict(1), |map| map.evict(1));
        assert_eq!(evicted, (1, 1));
        let stats = conclude(map);
        assert_eq!((stats.live, stats.evicted), (0, 2));
    });
}

#[test]
fn an_eviction_and_a_collection_share_what_is_due() {
    explore("map: evict and collect", Size::LongPair, || {
        let map = map(&[1]);
        let (evicted, ended) = both(&map, |map| map.evict(1), collect_at(DUE));
        assert_eq!(evicted + ended, 1);
        let stats = conclude(map);
        assert_eq!(
            (stats.evicted, stats.expired),
            (evicted as u64, ended as u64)
        );
    });
}

#[test]
fn a_session_that_is_updated_while_it_is_evicted_ends_once() {
    explore("map: evict and update", Size::LongPair, || {
        let map = map(&[1]);
        let (evicted, updated) = both(&map, |map| map.evict(1), |map| update(map, 1));
        // None is evicted if the token was in the hands of the update then.
        assert!(evicted == 1 || updated == Some(2));
        assert!(updated.is_none_or(|number| number == 2));
        assert_eq!(map.peek(&1).is_some(), evicted == 0);
        let stats = conclude(map);
        assert_eq!(stats.live + evicted, 1);
        assert_eq!(stats.evicted, evicted as u64);
    });
}
