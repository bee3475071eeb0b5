//! A full store: sessions with an owner go last, and nobody is refused.
#![cfg(feature = "sessions")]

mod sessions;

use dwell::session::{LiveSession, Settings};
use sessions::{IDLE, Rig, millis, seconds};
use std::time::Duration;

const CAPACITY: usize = 200;
const USERS: usize = 50;

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
    // Who logs in is kept from then on.
    for stranger in &strangers[2 * CAPACITY - 20..] {
        stranger.set_owner("ann").unwrap();
    }
    flood(&rig, 1);
    assert_eq!(live(&rig, &strangers[2 * CAPACITY - 20..]), 20);
}

#[test]
fn a_stranger_that_grows_costs_few_sessions_with_an_owner_and_goes_itself() {
    const BYTES: u64 = 400_000;
    let rig = Rig::with(Settings::new(IDLE).capacity_bytes(BYTES));
    let stranger = rig.create();
    let mut users = Vec::new();
    while rig.store.stats().bytes < BYTES * 9 / 10 {
        users.push(rig.owned(&format!("user {}", users.len())));
    }
    let _ = stranger.set("large", "x".repeat(BYTES as usize * 8 / 10));
    assert!(users.len() > 200, "{}", users.len());
    assert!(live(&rig, &users) >= users.len() - 16);
    assert!(rig.store.stats().bytes <= BYTES);
    // A large one that is a user's has the room that it needs.
    let user = users.last().unwrap();
    user.set("large", "x".repeat(BYTES as usize / 2)).unwrap();
    assert!(user.peek().is_some());
}
