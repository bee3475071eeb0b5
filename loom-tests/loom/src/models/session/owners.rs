//! The owner index: exact, whatever its sessions do at the same time.

use super::{at, conclude, settings, was_done, world, world_with};
use crate::explore::{Size, both, explore};
use crate::models::map::DUE;

#[test]
fn a_session_that_lapses_while_it_gets_an_owner_leaves_no_trace() {
    explore("session: set_owner and collect", Size::LongLayered, || {
        let world = world();
        let session = world.session();
        let (set, ended) = both(
            &world,
            move |_| {
                at(5);
                was_done(session.set_owner("ann"))
            },
            |world| {
                at(DUE);
                world.store.collect()
            },
        );
        assert!(set != (ended == 1));
        at(DUE);
        assert_eq!(world.store.stats().owners, usize::from(set));
        conclude(world);
    });
}

#[test]
fn a_session_that_is_destroyed_while_it_gets_an_owner_leaves_no_trace() {
    explore("session: set_owner and destroy", Size::LongLayered, || {
        let world = world();
        let session = world.session();
        let (_, destroyed) = both(
            &world,
            move |_| was_done(session.set_owner("ann")),
            |world| world.session().destroy().unwrap(),
        );
        assert!(destroyed);
        assert_eq!(world.store.stats().owners, 0);
        conclude(world);
    });
}

#[test]
fn a_session_that_lapses_while_its_owner_changes_leaves_no_trace() {
    explore(
        "session: set another owner, and lapse",
        Size::LongLayered,
        || {
            let world = world();
            let session = world.session();
            session.set_owner("ann").unwrap();
            let (set, found) = both(
                &world,
                move |_| {
                    at(5);
                    was_done(session.set_owner("bob"))
                },
                |world| {
                    at(DUE);
                    world.store.peek(&world.id).is_some()
                },
            );
            assert_eq!(set, found);
            at(DUE);
            assert!(world.store.owned_by("ann").is_empty());
            conclude(world);
        },
    );
}

#[test]
fn two_owners_that_are_set_at_the_same_time_leave_one() {
    explore(
        "session: set_owner and set_owner",
        Size::LongLayered,
        || {
            let world = world();
            both(
                &world,
                |world| world.session().set_owner("ann").unwrap(),
                |world| world.session().set_owner("bob").unwrap(),
            );
            assert_eq!(world.store.stats().owners, 1);
            conclude(world);
        },
    );
}

#[test]
fn an_owner_that_is_set_again_while_it_is_cleared_is_in_the_index_or_not_in_the_session() {
    explore(
        "session: set_owner and clear_owner",
        Size::LongLayered,
        || {
            let world = world();
            world.session().set_owner("ann").unwrap();
            both(
                &world,
                |world| world.session().set_owner("ann").unwrap(),
                |world| world.session().clear_owner().unwrap(),
            );
            conclude(world);
        },
    );
}

#[test]
fn an_owner_whose_last_session_ends_while_another_comes_stays() {
    explore(
        "session: set_owner, and destroy the other one",
        Size::LongLayered,
        || {
            let world = world();
            world.session().set_owner("ann").unwrap();
            let other = world.store.create().unwrap();
            let (set, destroyed) = both(
                &world,
                move |_| was_done(other.set_owner("ann")),
                |world| world.session().destroy().unwrap(),
            );
            assert!(set && destroyed);
            assert_eq!(world.store.owned_by("ann").len(), 1);
            conclude(world);
        },
    );
}

#[test]
fn of_two_logins_where_one_is_allowed_one_session_stays() {
    explore("session: two logins of one", Size::LongLayered, || {
        let world = world_with(settings().max_per_owner(1));
        let other = world.store.create().unwrap();
        both(
            &world,
            |world| was_done(world.session().set_owner("ann")),
            move |_| was_done(other.set_owner("ann")),
        );
        assert_eq!(world.store.owned_by("ann").len(), 1);
        conclude(world);
    });
}
