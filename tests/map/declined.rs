//! What is declined or refused changes nothing: values, idle times, memory.

use crate::allocator::counted;
use crate::common::{MINUTE, Rig, Value, millis, panics};
use dwell::RemovalCause::ExpiredIdle;
use std::cell::Cell;
use std::convert::Infallible;
use std::time::Duration;

/// Does something to a rig that has a record under 1 and must refuse it, and finds that nothing
/// came of it.
#[track_caller]
fn assert_nothing_comes_of(refused: impl Fn(&Rig)) {
    let rig = Rig::new();
    rig.insert(1);
    rig.map.touch(&1);
    rig.clock.advance(millis(10));
    let handle = rig.map.peek(&1).unwrap();
    let before = (rig.map.stats(), rig.map.time_left(&1));
    assert_eq!(counted(|| refused(&rig)).0, 0);
    assert_eq!((rig.map.stats(), rig.map.time_left(&1)), before);
    assert_eq!(rig.map.idle_for(&1), Some(millis(10)));
    assert!(handle.is_live());
    drop(handle);
    rig.clock.advance(MINUTE - millis(10));
    assert!(!rig.map.contains_key(&1));
    rig.finish();
}

#[test]
fn what_is_declined_changes_nothing() {
    assert_nothing_comes_of(|rig| {
        let declined = rig.map.try_update(&1, |_| Err("no"));
        assert_eq!(declined.unwrap_err(), "no");
    });
    assert_nothing_comes_of(|rig| {
        let declined = rig
            .map
            .try_update_and_return(&1, |_| Err::<(Value, ()), _>("no"));
        assert_eq!(declined.unwrap_err(), "no");
    });
    assert_nothing_comes_of(|rig| assert!(rig.map.get_if(&1, |_| false).is_none()));
    assert_nothing_comes_of(|rig| assert!(!rig.map.touch_if(&1, |_| false)));
    assert_nothing_comes_of(|rig| assert!(rig.map.remove_if(&1, |_| false).is_none()));
}

#[test]
fn a_change_that_panics_changes_nothing() {
    let rig = Rig::new();
    rig.insert(1);
    rig.clock.advance(millis(10));
    assert!(panics(|| rig
        .map
        .update(&1, |_| crate::common::panic_quietly())));
    assert!(panics(|| rig.map.try_update(&1, |_| -> Result<_, ()> {
        crate::common::panic_quietly()
    })));
    assert!(panics(|| rig
        .map
        .get_if(&1, |_| crate::common::panic_quietly())));
    assert_eq!(rig.map.idle_for(&1), Some(millis(10)));
    assert_eq!(rig.map.peek(&1).unwrap().number(), 1);
    rig.finish();
}

#[test]
fn what_is_not_declined_is_an_update() {
    let rig = Rig::new();
    rig.insert(1);
    rig.clock.advance(millis(10));
    let next = |old: &Value| Ok::<_, Infallible>((old.next(), old.number()));
    let Ok(updated) = rig.map.try_update_and_return(&1, next);
    let (new, old) = updated.unwrap();
    assert_eq!((new.number(), old), (2, 1));
    assert_eq!(rig.map.idle_for(&1), Some(Duration::ZERO));
    let Ok(none) = rig.map.try_update_and_return(&2, next);
    assert!(none.is_none());
    assert_eq!(rig.map.stats().replaced, 1);
    drop(new);
    rig.finish();
}

#[test]
fn what_has_ended_is_not_judged() {
    let rig = Rig::new();
    rig.insert_all(1..=3);
    rig.clock.advance(MINUTE);
    let unreachable = |_: &Value| -> bool { unreachable!("it has ended") };
    assert!(rig.map.get_if(&1, unreachable).is_none());
    assert!(!rig.map.touch_if(&2, unreachable));
    let declined = rig
        .map
        .try_update(&3, |_| -> Result<_, ()> { unreachable!("it has ended") });
    assert!(declined.unwrap().is_none());
    assert_eq!(
        rig.removals(),
        [(1, ExpiredIdle), (2, ExpiredIdle), (3, ExpiredIdle)]
    );
    rig.finish();
}

#[test]
fn a_judge_sees_the_value_that_is_returned() {
    let rig = Rig::new();
    rig.insert(1);
    let found = rig.map.get_if(&1, |value| value.number() == 1);
    assert_eq!(found.unwrap().number(), 1);
    // Replaced while it is judged, before it is touched: the new value is judged as well.
    rig.clock.advance(millis(1));
    let judged = Cell::new(0);
    let found = rig.map.get_if(&1, |value| {
        judged.set(judged.get() + 1);
        if value.number() == 1 {
            rig.map.update(&1, Value::next);
        }
        true
    });
    assert_eq!((found.unwrap().number(), judged.get()), (2, 2));
    rig.clock.advance(millis(1));
    assert!(
        rig.map
            .get_if(&1, |value| {
                let is_old = value.number() == 2;
                rig.map.update(&1, Value::next);
                is_old
            })
            .is_none()
    );
    rig.finish();
}

#[test]
fn a_change_that_was_overtaken_is_judged_by_the_time_it_is_then() {
    let rig = Rig::new();
    rig.insert(1);
    let runs = Cell::new(0);
    // The first value is replaced while the change runs for longer than the second one lives.
    let changed = rig.map.try_update(&1, |old| {
        runs.set(runs.get() + 1);
        if runs.get() == 1 {
            rig.map.update(&1, Value::next);
            rig.clock.advance(2 * MINUTE);
        }
        Err::<Value, _>(old.number()).or_else(|number| {
            if number == 1 {
                Ok(old.next())
            } else {
                Err(number)
            }
        })
    });
    assert!(changed.unwrap().is_none());
    assert_eq!(runs.get(), 1);
    rig.finish();
}

#[test]
fn a_resolution_longer_than_a_records_own_timeout_does_not_end_it_in_use() {
    let second = millis(1_000);
    for own in [1_001, 1_500, 2_000, 10_000, 30_000, 59_999, 60_000] {
        let rig = Rig::with(|builder| builder.idle_timeout(30 * MINUTE).touch_resolution(MINUTE));
        rig.insert(1);
        rig.map.set_idle_timeout(&1, millis(own));
        for n in 0..300 {
            rig.clock.advance(second);
            assert!(rig.map.touch(&1), "own timeout {own} ms, touch {n}");
        }
        rig.clock.advance(millis(own));
        assert!(!rig.map.contains_key(&1));
        rig.finish();
    }
}

#[test]
fn a_resolution_applies_in_full_to_a_record_whose_own_timeout_is_longer() {
    let rig = Rig::with(|builder| builder.touch_resolution(10 * MINUTE));
    rig.insert(1);
    rig.map.set_idle_timeout(&1, 60 * MINUTE);
    rig.map.touch(&1);
    rig.clock.advance(9 * MINUTE);
    rig.map.touch(&1);
    assert_eq!(rig.map.idle_for(&1), Some(9 * MINUTE));
    rig.clock.advance(MINUTE);
    rig.map.touch(&1);
    assert_eq!(rig.map.idle_for(&1), Some(Duration::ZERO));
    rig.finish();
}
