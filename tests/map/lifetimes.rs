//! When records end, at the edges: maps without an idle timeout, many changes of terms, the end of
//! the map.

use crate::common::{MINUTE, Rig, Value, YEAR, millis};
use dwell::IdleMap;
use dwell::RemovalCause::{ExpiredIdle, ExpiredLifetime};

#[test]
fn records_without_an_idle_timeout_stay() {
    let rig = Rig::with(|builder| builder.no_idle_timeout());
    rig.insert(1);
    rig.clock.advance(YEAR * 33);
    assert_eq!(rig.map.collect(), 0);
    assert_eq!(rig.map.collect_idle(YEAR * 34), 0);
    assert!(rig.map.time_left(&1).unwrap() > YEAR / 2);
    assert_eq!(rig.map.collect_idle(YEAR), 1);
    assert_eq!(rig.removals(), [(1, ExpiredIdle)]);
    rig.finish();
}

#[test]
fn their_lifetimes_and_own_timeouts_are_collected_within_two_minutes() {
    let lifetime = 60 * 24 * MINUTE;
    for max_lifetime in [None, Some(lifetime)] {
        let rig = Rig::with(|builder| {
            let builder = builder.no_idle_timeout();
            max_lifetime
                .into_iter()
                .fold(builder, |builder, lifetime| builder.max_lifetime(lifetime))
        });
        rig.insert_all(1..=3);
        rig.map.set_lifetime(&1, lifetime);
        rig.map.set_idle_timeout(&2, 2 * lifetime);
        rig.map.set_lifetime(&2, 3 * lifetime);
        rig.clock.advance(lifetime - millis(1));
        assert_eq!(rig.map.collect(), 0);
        rig.clock.advance(2 * MINUTE);
        rig.map.collect();
        let removals = rig.removals();
        assert!(removals.contains(&(1, ExpiredLifetime)));
        assert_eq!(removals.len(), if max_lifetime.is_some() { 2 } else { 1 });
        rig.clock.advance(lifetime);
        assert_eq!(rig.map.collect(), 1);
        assert_eq!(rig.removals(), [(2, ExpiredIdle)]);
        rig.finish();
    }
}

#[test]
fn a_short_lifetime_is_collected_in_proportion_to_it() {
    let rig = Rig::with(|builder| builder.no_idle_timeout().max_lifetime(MINUTE));
    rig.insert(1);
    rig.clock.advance(MINUTE + millis(200));
    assert_eq!(rig.map.collect(), 1);
    rig.finish();
}

#[test]
fn a_full_map_without_an_idle_timeout_evicts_what_was_not_accessed_for_the_longest_time() {
    let rig = Rig::with(|builder| builder.no_idle_timeout().capacity(8));
    for key in 1..=8 {
        rig.insert(key);
        rig.clock.advance(millis(1));
        rig.map.touch(&key);
        rig.clock.advance(3 * MINUTE);
    }
    rig.map.touch(&1);
    rig.insert(9);
    rig.map.touch(&9);
    rig.insert(10);
    rig.map.touch(&10);
    let keys = rig.keys();
    assert!(keys.contains(&1), "{keys:?}");
    assert!(!keys.contains(&2), "{keys:?}");
    rig.finish();
}

#[test]
fn a_reference_to_a_map_is_iterated() {
    let map = IdleMap::without_idle_timeout();
    map.insert(1, 10);
    map.insert(2, 20);
    let mut sum = 0;
    for record in &map {
        sum += record.key() * *record;
    }
    assert_eq!(sum, 50);
}

#[test]
fn a_map_is_used_across_a_caught_panic() {
    let map = IdleMap::without_idle_timeout();
    map.insert(1, 10);
    let handle = map.get(&1).unwrap();
    // Without `AssertUnwindSafe`.
    let caught = std::panic::catch_unwind(|| map.with(&1, |_| crate::common::panic_quietly()));
    assert!(caught.is_err());
    assert!(std::panic::catch_unwind(|| *handle + 1).is_ok());
    assert_eq!(map.with(&1, |value| *value), Some(10));
}

#[test]
fn changes_of_terms_do_not_count_as_accesses_however_many_they_are() {
    let rig = Rig::new();
    rig.insert(1);
    for n in 0..100_000 {
        rig.map.set_idle_timeout(&1, MINUTE * (1 + n % 2));
    }
    rig.map.set_idle_timeout(&1, MINUTE);
    assert_eq!(rig.map.time_left(&1), Some(MINUTE));
    assert_eq!(rig.map.stats().live, 1);
    rig.map.touch(&1);
    rig.clock.advance(MINUTE);
    assert!(!rig.map.contains_key(&1));
    rig.finish();
}

#[test]
fn no_handle_is_live_when_its_map_is_gone() {
    let rig = Rig::new();
    rig.insert_all(1..=3);
    rig.map.touch(&2);
    let mut handles: Vec<_> = rig.map.iter().collect();
    handles.push(rig.map.update(&3, Value::next).unwrap());
    assert_eq!(handles.iter().filter(|handle| handle.is_live()).count(), 3);
    drop(rig.map);
    assert!(handles.iter().all(|handle| !handle.is_live()));
    drop(handles);
    rig.tally.assert_alive(0);
}
