//! Writes of attributes, beside each other and beside the session's end.

use super::{add_one, at, conclude, was_done, world};
use crate::explore::{Size, both, explore};
use crate::models::map::DUE;
use dwell::session::{Changes, SessionError};

#[test]
fn of_two_updates_of_an_attribute_none_is_lost() {
    explore("session: update and update", Size::Layered, || {
        let world = world();
        let (one, two) = both(
            &world,
            |world| *world.session().update("operations", add_one).unwrap(),
            |world| *world.session().update("operations", add_one).unwrap(),
        );
        assert_eq!(one + two, 1 + 2);
        let seen = world.session().snapshot().unwrap();
        assert_eq!(
            *seen.attributes.get::<u32>("operations").unwrap().unwrap(),
            2
        );
        assert_eq!(seen.version, 3);
        conclude(world);
    });
}

#[test]
fn two_requests_that_set_a_key_each_keep_both() {
    explore("session: set and set", Size::Layered, || {
        let world = world();
        both(
            &world,
            |world| world.session().set("cart", 1_u32).unwrap(),
            |world| world.session().set("name", 2_u32).unwrap(),
        );
        assert_eq!(world.session().keys().unwrap(), ["cart", "name"]);
        conclude(world);
    });
}

#[test]
fn of_two_who_take_an_attribute_one_gets_it() {
    explore("session: take and take", Size::Layered, || {
        let world = world();
        world.session().set("flash", 7_u32).unwrap();
        let (one, two) = both(
            &world,
            |world| world.session().take::<u32>("flash").unwrap(),
            |world| world.session().take::<u32>("flash").unwrap(),
        );
        assert!(one.is_some() != two.is_some());
        conclude(world);
    });
}

#[test]
fn of_two_who_write_at_a_version_one_does() {
    explore("session: apply_at and apply_at", Size::Layered, || {
        let world = world();
        let apply = |world: &super::World| {
            let changes = Changes::default().set("cart", 1_u32).unwrap();
            match world.session().apply_at(1, &changes) {
                Ok(_) => true,
                Err(SessionError::Conflict { .. }) => false,
                Err(error) => panic!("{error}"),
            }
        };
        let (one, two) = both(&world, apply, apply);
        assert!(one != two);
        assert_eq!(world.session().version().unwrap(), 2);
        conclude(world);
    });
}

#[test]
fn an_update_does_not_bring_a_destroyed_session_back() {
    explore("session: update and destroy", Size::Layered, || {
        let world = world();
        let session = world.session();
        let (updated, destroyed) = both(
            &world,
            move |_| was_done(session.update("operations", add_one)),
            |world| world.session().destroy().unwrap(),
        );
        assert!(destroyed);
        assert!(world.store.find(&world.id).is_none());
        let stats = world.store.stats();
        assert_eq!(stats.refused_writes, u64::from(!updated));
        assert_eq!((stats.live, stats.destroyed), (0, 1));
        conclude(world);
    });
}

#[test]
fn an_update_keeps_a_session_that_lapses_or_comes_too_late() {
    explore("session: update and collect", Size::Layered, || {
        let world = world();
        let session = world.session();
        let (updated, ended) = both(
            &world,
            move |_| {
                at(5);
                was_done(session.update("operations", add_one))
            },
            |world| {
                at(DUE);
                world.store.collect()
            },
        );
        assert!(updated != (ended == 1));
        conclude(world);
    });
}
