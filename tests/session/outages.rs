//! The allocator has no more for the session store.

use crate::allocator::fail_each;
use crate::sessions::millis;
use dwell::ManualClock;
use dwell::session::{SessionStore, Settings};

/// What the session layer allocates beside the map: ids, attributes, states, owners.
fn allocate_for_sessions() {
    let clock = ManualClock::new();
    let builder = SessionStore::builder(Settings::new(millis(100)).max_per_owner(1));
    let store = builder.clock(clock.clone()).build().unwrap();
    for number in 0..2_u32 {
        let mut session = store.create().unwrap();
        session.set("number", number).unwrap();
        session.set_owner("ann").unwrap();
        session.renew().unwrap();
        assert!(store.find(session.id()).is_some());
        session
            .update("number", |old| old.unwrap_or(&0_u32) + 1)
            .unwrap();
        assert!(session.take::<u32>("number").unwrap().is_some());
        assert!(!store.owned_by("ann").is_empty());
    }
    clock.advance(millis(101));
    store.collect();
    assert_eq!(store.stats().owners, 0);
}

#[test]
fn an_allocator_that_fails_a_session_ends_the_process_and_nothing_worse() {
    fail_each(
        "outages::an_allocator_that_fails_a_session_ends_the_process_and_nothing_worse",
        60,
        allocate_for_sessions,
    );
}
