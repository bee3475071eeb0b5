//! A full store: sessions with an owner go last, and nobody is refused.

use crate::sessions::{IDLE, Rig, millis, seconds};
use dwell::BuildError;
use dwell::session::{LiveSession, SessionStore, Settings};
use std::time::Duration;

const CAPACITY: usize = 200;
const USERS: usize = 50;
const BYTES: u64 = 400_000;

fn full_store(users: usize) -> (Rig, Vec<LiveSession>) {
    let rig = Rig::with(Settings::new(IDLE).grace(Duration::ZERO).capacity(CAPACITY));
    let users = (0..users).map(|_| rig.owned("ann")).collect();
    // They are idle for half of their time, and strangers are not.
    rig.advance(seconds(30));
    (rig, users)
}

fn live(rig: &Rig, sessions: &[LiveSession]) -> usize {
    let is_live = |session: &&LiveSession| rig.store.peek_key(&session.key()).is_some();
    sessions.iter().filter(is_live).count()
}

/// Twice the capacity of visitors, each of whom comes back so often. None is refused.
fn flood(rig: &Rig, returns: usize) -> Vec<LiveSession> {
    let visit = |_| {
        let session = rig.create();
        for _ in 0..returns {
            rig.advance(millis(1));
            assert!(rig.store.find(session.id()).is_some());
        }
        session
    };
    (0..2 * CAPACITY).map(visit).collect()
}

#[test]
fn a_flood_that_comes_back_ends_no_session_with_an_owner() {
    for returns in 0..4 {
        let (rig, users) = full_store(USERS);
        let strangers = flood(&rig, returns);
        assert_eq!(live(&rig, &users), USERS, "{returns} returns");
        assert_eq!(live(&rig, &strangers), CAPACITY - USERS);
        assert_eq!(rig.store.stats().evicted as usize, CAPACITY + USERS);
    }
}

#[test]
fn a_flood_of_visitors_who_write_ends_no_session_with_an_owner() {
    let (rig, users) = full_store(USERS);
    for _ in 0..2 * CAPACITY {
        rig.create().set("cart", 1).unwrap();
    }
    assert_eq!(live(&rig, &users), USERS);
}

#[test]
fn a_store_full_of_owned_sessions_admits_a_login_in_the_place_of_the_longest_idle_one() {
    let (rig, users) = full_store(CAPACITY);
    rig.store.find(users[0].id()).unwrap();
    let login = rig.owned("bob");
    assert_eq!(live(&rig, &users), CAPACITY - 1);
    assert_eq!(live(&rig, &users[..1]), 1, "it was the last that was used");
    // Strangers take one more place, all of them together.
    let strangers = flood(&rig, 1);
    assert_eq!(live(&rig, &users), CAPACITY - 2);
    assert_eq!(live(&rig, &strangers), 1);
    assert_eq!(live(&rig, &strangers[2 * CAPACITY - 1..]), 1, "the newest");
    assert_eq!(live(&rig, &[login]), 1);
}

#[test]
fn a_flood_of_logins_ends_those_first_who_were_idle_longest() {
    let (rig, users) = full_store(USERS);
    let strangers = flood(&rig, 1);
    rig.advance(seconds(1));
    let logins: Vec<_> = (0..CAPACITY).map(|_| rig.owned("mallory")).collect();
    assert_eq!(live(&rig, &strangers), 0);
    assert_eq!(live(&rig, &users), 0);
    assert_eq!(live(&rig, &logins), CAPACITY);
}

#[test]
fn who_logs_out_is_a_stranger_again() {
    let (rig, users) = full_store(USERS);
    for user in &users[..20] {
        user.clear_owner().unwrap();
    }
    let strangers = flood(&rig, 1);
    assert_eq!(live(&rig, &users[..20]), 0);
    assert_eq!(live(&rig, &users[20..]), USERS - 20);
    // A visitor that logs in is kept from then on.
    for stranger in &strangers[2 * CAPACITY - 20..] {
        stranger.set_owner("ann").unwrap();
    }
    flood(&rig, 1);
    assert_eq!(live(&rig, &strangers[2 * CAPACITY - 20..]), 20);
}

/// A store of 400,000 bytes that users fill to nine tenths, beside one stranger. None of them is
/// idle.
fn nearly_full_of_users() -> (Rig, LiveSession, Vec<LiveSession>) {
    let rig = Rig::with(Settings::new(IDLE).capacity_bytes(BYTES));
    let stranger = rig.create();
    let mut users = Vec::new();
    while rig.store.stats().bytes < BYTES * 9 / 10 {
        users.push(rig.owned(&format!("user {}", users.len())));
    }
    assert!(users.len() > 200, "{}", users.len());
    (rig, stranger, users)
}

/// Users, until there is no room for a further one.
fn fill(rig: &Rig, users: &mut Vec<LiveSession>) {
    while rig.store.stats().evicted == 0 {
        users.push(rig.owned(&format!("user {}", users.len())));
    }
}

#[test]
fn a_stranger_that_grows_at_once_goes_itself() {
    let (rig, stranger, users) = nearly_full_of_users();
    let _ = stranger.set("large", "x".repeat(BYTES as usize * 8 / 10));
    assert!(stranger.peek().is_none());
    assert_eq!(live(&rig, &users), users.len());
    assert_eq!(rig.store.stats().evicted, 1);
    // A large one that is a user's has the room that it needs.
    let user = users.last().unwrap();
    user.set("large", "x".repeat(BYTES as usize / 2)).unwrap();
    assert!(user.peek().is_some());
    assert!(rig.store.stats().bytes <= BYTES);
}

#[test]
fn a_stranger_that_grows_in_small_steps_goes_itself() {
    let (rig, stranger, users) = nearly_full_of_users();
    for step in 1..=100 {
        let _ = stranger.set("large", "x".repeat(1_000 * step));
    }
    assert!(stranger.peek().is_none());
    assert_eq!(live(&rig, &users), users.len());
    assert_eq!(rig.store.stats().evicted, 1);
}

#[test]
fn a_stranger_that_grows_in_a_full_store_takes_the_place_of_other_strangers() {
    let (rig, stranger, mut users) = nearly_full_of_users();
    let others = Vec::from_iter((0..10).map(|_| rig.create()));
    fill(&rig, &mut users);
    assert!(stranger.peek().is_none(), "the first to go");
    assert!(others[9].peek().is_some(), "the last to go");
    for step in 1..=100 {
        let _ = others[9].set("large", "x".repeat(100 * step));
    }
    assert_eq!(live(&rig, &others), 0);
    assert_eq!(live(&rig, &users), users.len());
}

#[test]
fn a_stranger_that_grows_ends_the_sessions_of_users_that_have_expired() {
    let (rig, _, mut users) = nearly_full_of_users();
    fill(&rig, &mut users);
    rig.advance(2 * IDLE);
    let stranger = rig.create();
    for step in 1..=10 {
        stranger.set("large", "x".repeat(5_000 * step)).unwrap();
    }
    assert!(stranger.peek().is_some());
    assert!(rig.store.stats().bytes <= BYTES);
}

#[test]
fn a_bound_of_zero_is_refused_by_the_name_that_the_caller_gave_it() {
    for (settings, name) in [
        (Settings::new(IDLE).capacity(0), "capacity"),
        (Settings::new(IDLE).capacity_bytes(0), "capacity_bytes"),
        (
            Settings::new(IDLE).max_session_bytes(0),
            "max_session_bytes",
        ),
        (Settings::new(IDLE).max_per_owner(0), "max_per_owner"),
    ] {
        let refused = SessionStore::builder(settings).build().unwrap_err();
        assert!(
            matches!(refused, BuildError::ZeroCapacity { setting } if setting == name),
            "{refused}"
        );
    }
}
