//! Renewal of an id, beside look-ups, writes and the session's end.

use super::{add_one, at, conclude, world};
use crate::explore::{Size, both, explore, three};
use crate::models::map::DUE;
use dwell::session::{SessionError, SessionId};
use std::time::Duration;

/// The new id, if the session is live; none if another request was first.
fn renew(world: &super::World, grace: u64) -> Option<SessionId> {
    let renewed = world.store.find(&world.id).map(|mut session| {
        session
            .renew_with_grace(Duration::from_millis(grace))
            .map(|()| session)
    });
    match renewed? {
        Ok(session) => Some(*session.id()),
        Err(SessionError::Ended | SessionError::Superseded) => None,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn in_its_grace_the_old_id_answers_all_the_time() {
    explore("session: renew and find", Size::Layered, || {
        let world = world();
        let (new, found) = both(
            &world,
            |world| renew(world, 5).unwrap(),
            |world| {
                at(4);
                world.store.find(&world.id).is_some()
            },
        );
        assert!(found, "the old id is in its grace until 5");
        at(5);
        assert!(world.store.find(&world.id).is_none());
        assert!(world.store.find(&new).is_some());
        conclude(world);
    });
}

#[test]
fn without_grace_the_old_id_ends_with_the_renewal() {
    explore(
        "session: renew without grace, and find twice",
        Size::Layered,
        || {
            let world = world();
            let (new, found) = both(
                &world,
                |world| {
                    let new = renew(world, 0).unwrap();
                    assert!(world.store.peek(&world.id).is_none());
                    assert!(world.store.peek(&new).is_some());
                    new
                },
                |world| [(); 2].map(|()| world.store.peek(&world.id).is_some()),
            );
            assert!(found[0] || !found[1], "it ended, and answered again");
            assert!(world.store.find(&new).is_some());
            conclude(world);
        },
    );
}

#[test]
fn of_two_who_renew_an_id_one_does() {
    explore("session: renew and renew", Size::Layered, || {
        let world = world();
        let (one, two) = both(&world, |world| renew(world, 5), |world| renew(world, 5));
        assert!(one.is_some() != two.is_some());
        let new = one.or(two).unwrap();
        assert!(world.store.find(&new).is_some());
        assert_eq!(world.store.stats().renewed, 1);
        conclude(world);
    });
}

#[test]
fn a_renewal_does_not_bring_a_destroyed_session_back() {
    explore("session: renew and destroy", Size::Layered, || {
        let world = world();
        let (new, destroyed) = both(
            &world,
            |world| renew(world, 5),
            |world| world.store.destroy(&world.id.key()),
        );
        assert!(destroyed);
        assert!(world.store.find(&world.id).is_none());
        assert!(new.is_none_or(|new| world.store.find(&new).is_none()));
        conclude(world);
    });
}

#[test]
fn a_renewal_keeps_a_session_that_lapses_or_comes_too_late() {
    explore("session: renew and collect", Size::Layered, || {
        let world = world();
        let (new, ended) = both(
            &world,
            |world| {
                at(5);
                renew(world, 0)
            },
            |world| {
                at(DUE);
                world.store.collect()
            },
        );
        // A look-up that came first kept the session, also where the renewal did not happen any
        // more.
        assert!(new.is_none() || ended == 0);
        at(DUE);
        assert_eq!(
            new.is_some_and(|new| world.store.find(&new).is_some()),
            ended == 0
        );
        conclude(world);
    });
}

#[test]
fn a_renewal_loses_no_update() {
    explore("session: renew and update", Size::Layered, || {
        let world = world();
        let session = world.session();
        let (new, updated) = both(
            &world,
            |world| renew(world, 0).unwrap(),
            move |_| match session.update("operations", add_one) {
                Ok(_) => 1,
                // It came after the renewal, by an id that does not answer any more.
                Err(SessionError::Superseded) => 0,
                Err(error) => panic!("{error}"),
            },
        );
        let session = world.store.find(&new).unwrap();
        let operations = session.get::<u32>("operations").unwrap();
        assert_eq!(operations.map_or(0, |operations| *operations), updated);
        conclude(world);
    });
}

#[test]
fn a_session_that_is_renewed_and_destroyed_answers_to_no_id() {
    explore(
        "session: renew, find and destroy",
        Size::LongLayered,
        || {
            let world = world();
            let (new, found, destroyed) = three(
                &world,
                |world| renew(world, 5),
                |world| [(); 2].map(|()| world.store.peek(&world.id).is_some()),
                |world| world.store.destroy(&world.id.key()),
            );
            assert!(destroyed);
            assert!(found[0] || !found[1], "it ended, and answered again");
            assert!(new.is_none_or(|new| world.store.peek(&new).is_none()));
            conclude(world);
        },
    );
}
