//! How sessions live and end: ids, expiry, destruction.

use crate::sessions::{IDLE, Rig, millis, seconds, together};
use dwell::session::{SessionError, SessionId, SessionKey, SessionStore, Settings};
use dwell::{BuildError, ManualClock};
use proptest::prelude::*;
use std::collections::HashSet;
use std::time::Duration;

#[test]
fn each_access_starts_the_idle_time_anew_and_a_peek_does_not() {
    let rig = Rig::new();
    let session = rig.create();
    let accesses: [&dyn Fn(); 6] = [
        &|| drop(rig.store.find(session.id()).unwrap()),
        &|| drop(session.get::<u64>("none").unwrap()),
        &|| session.set("some", 1_u64).unwrap(),
        &|| drop(session.keys().unwrap()),
        &|| session.touch().unwrap(),
        &|| drop(session.take::<u64>("some").unwrap()),
    ];
    for access in accesses {
        rig.advance(IDLE - millis(1));
        access();
    }
    rig.advance(IDLE - millis(1));
    let peeks: [&dyn Fn() -> bool; 6] = [
        &|| session.peek().is_some(),
        &|| rig.store.peek(session.id()).is_some(),
        &|| rig.store.peek_key(&session.key()).is_some(),
        &|| rig.store.iter().count() == 1,
        &|| session.idle_for() == Some(IDLE - millis(1)),
        &|| session.time_left() == Some(millis(1)),
    ];
    for peek in peeks {
        assert!(peek());
    }
    rig.advance(millis(1));
    assert!(session.peek().is_none());
    assert!(rig.store.find(session.id()).is_none());
}

#[test]
fn expiry_is_exact_on_read_whether_or_not_anybody_collects() {
    let rig = Rig::new();
    let early = rig.create();
    rig.advance(millis(1));
    let late = rig.create();
    rig.advance(IDLE - millis(1));
    assert!(rig.store.find(early.id()).is_none());
    assert!(rig.store.find(late.id()).is_some());
}

#[test]
fn an_absolute_lifetime_ends_a_session_that_is_in_use() {
    let rig = Rig::with(Settings::new(IDLE).max_lifetime(seconds(100)));
    let session = rig.create();
    for _ in 0..9 {
        rig.advance(seconds(10));
        session.set("key", 1_u64).unwrap();
    }
    assert_eq!(session.peek().unwrap().lifetime_left, Some(seconds(10)));
    assert_eq!(session.peek().unwrap().age, seconds(90));
    rig.advance(seconds(10) - millis(1));
    session.touch().unwrap();
    rig.advance(millis(1));
    assert!(matches!(session.touch(), Err(SessionError::Ended)));
}

#[test]
fn a_session_may_have_terms_of_its_own() {
    let rig = Rig::with(Settings::new(IDLE).max_lifetime(seconds(1_000)));
    let remembered = rig.create();
    let hasty = rig.create();
    remembered.set_idle_timeout(seconds(600)).unwrap();
    remembered.set_lifetime(seconds(5_000)).unwrap();
    hasty.set_idle_timeout(seconds(1)).unwrap();
    rig.advance(seconds(1));
    assert!(hasty.peek().is_none());
    remembered.touch().unwrap();
    for _ in 0..8 {
        rig.advance(seconds(599));
        remembered.touch().unwrap();
    }
    assert_eq!(remembered.peek().unwrap().lifetime_left, Some(seconds(207)));
    rig.advance(seconds(207));
    assert!(remembered.peek().is_none());
    for late in [
        remembered.set_idle_timeout(IDLE),
        remembered.set_lifetime(IDLE),
    ] {
        assert!(matches!(late, Err(SessionError::Ended)));
    }
}

#[test]
fn a_lifetime_of_zero_ends_the_session() {
    let rig = Rig::new();
    let session = rig.create();
    session.set_lifetime(Duration::ZERO).unwrap();
    assert!(session.peek().is_none());
    assert_eq!(rig.store.stats().expired, 1);
}

#[test]
fn a_touch_resolution_writes_seldom_and_never_prolongs() {
    let rig = Rig::with(Settings::new(IDLE).touch_resolution(seconds(10)));
    let session = rig.create();
    session.touch().unwrap();
    rig.advance(seconds(9));
    session.touch().unwrap();
    assert_eq!(session.idle_for().unwrap(), seconds(9));
    rig.advance(seconds(1));
    session.touch().unwrap();
    assert_eq!(session.idle_for().unwrap(), Duration::ZERO);
}

#[test]
fn collection_by_hand_and_in_the_background_ends_what_is_due() {
    let rig = Rig::new();
    (0..100).for_each(|_| drop(rig.create()));
    rig.advance(IDLE * 2);
    assert_eq!(
        (rig.store.len(), rig.store.collect(), rig.store.len()),
        (100, 100, 0)
    );

    let collector = rig.store.spawn_collector();
    (0..100).for_each(|_| drop(rig.create()));
    rig.advance(IDLE * 2);
    while !rig.store.is_empty() {
        std::thread::yield_now();
    }
    assert!(collector.is_running());
    drop(collector);
    assert_eq!(rig.store.stats().expired, 200);
}

#[test]
fn a_logout_during_a_slow_request_stays() {
    let rig = Rig::new();
    let id = *rig.create().id();
    let slow = rig.store.find(&id).unwrap();
    slow.set("name", String::from("Ann")).unwrap();
    let read_before = slow.snapshot().unwrap();
    assert!(rig.store.find(&id).unwrap().destroy().unwrap());

    let writes: [&dyn Fn() -> Result<(), SessionError>; 6] = [
        &|| slow.set("key", 1_u64),
        &|| slow.delete("name").map(drop),
        &|| slow.update("key", |_: Option<&u64>| 1).map(drop),
        &|| slow.clear(),
        &|| slow.set_owner("ann"),
        &|| slow.clone().renew(),
    ];
    for (count, write) in (1..).zip(writes) {
        assert!(matches!(write(), Err(SessionError::Ended)));
        assert_eq!(rig.store.stats().refused_writes, count);
    }
    assert!(matches!(slow.get::<u64>("key"), Err(SessionError::Ended)));
    assert!(rig.store.find(&id).is_none());
    assert!(rig.store.is_empty());
    assert!(rig.store.owned_by("ann").is_empty());
    assert!(!slow.destroy().unwrap());
    // What it read before, it may go on using.
    assert!(read_before.attributes.contains("name"));
}

#[test]
fn a_destroyed_session_never_returns_whatever_races() {
    for _ in 0..300 {
        let rig = Rig::new();
        let session = rig.create();
        let destroyed = together(4, |number| match number {
            0 => rig.store.destroy(&session.key()),
            1 => {
                let _ = session.clone().renew();
                false
            }
            2 => {
                let _ = session.set_owner("ann");
                false
            }
            _ => {
                let _ = session.set("key", 1_u64);
                false
            }
        });
        assert!(destroyed[0]);
        assert!(rig.store.find(session.id()).is_none());
        assert!(rig.store.is_empty());
        assert!(rig.store.owned_by("ann").is_empty());
        let stats = rig.store.stats();
        assert_eq!((stats.owners, stats.anonymous, stats.bytes), (0, 0, 0));
    }
}

#[test]
fn an_id_that_the_store_did_not_issue_is_never_adopted() {
    let rig = Rig::new();
    let planted = SessionId::parse(&"B".repeat(SessionId::TEXT_LENGTH)).unwrap();
    for count in 1..=3 {
        assert!(rig.store.find(&planted).is_none());
        assert_eq!(rig.store.stats().unknown_ids, count);
    }
    assert!(rig.store.is_empty());
    assert!(rig.create().key() != planted.key());
    assert!(rig.store.find(&planted).is_none());
}

#[test]
fn a_key_without_its_secret_is_no_id_and_does_not_touch() {
    let rig = Rig::new();
    let session = rig.create();
    let text = session.id().to_cookie();
    // The last character belongs to the secret.
    let other = if text.ends_with('A') { "B" } else { "A" };
    let forged = SessionId::parse(&(text[..63].to_owned() + other)).unwrap();
    assert_eq!(forged.key(), session.key());
    assert_ne!(forged, *session.id());
    rig.advance(seconds(30));
    assert!(rig.store.find(&forged).is_none());
    assert!(rig.store.peek(&forged).is_none());
    assert_eq!(rig.store.stats().unknown_ids, 2);
    assert_eq!(session.idle_for().unwrap(), seconds(30));
}

#[test]
fn ids_are_unique_and_shown_to_nobody() {
    let rig = Rig::new();
    let sessions: Vec<_> = (0..1_000).map(|_| rig.create()).collect();
    let texts: HashSet<_> = sessions.iter().map(|s| s.id().to_cookie()).collect();
    assert_eq!(texts.len(), 1_000);
    let session = &sessions[0];
    session.set_owner("ann").unwrap();
    let text = session.id().to_cookie();
    let tag = session.key().tag().to_string();
    let shown = [
        (format!("{:?}", session.id()), &*tag),
        (format!("{:?}", session.key()), &*tag),
        (format!("{session:?}"), &*tag),
        (format!("{:?}", session.snapshot().unwrap()), &*tag),
        (format!("{:?}", rig.store.owned_by("ann")), &*tag),
        (format!("{:?}", rig.store), "live: 1000"),
        (format!("{:?}", session.get::<u64>("none")), "Ok(None)"),
        (
            format!("{:?}", SessionStore::builder(Settings::new(IDLE))),
            "60s",
        ),
        (format!("{:?}", session.key().tag()), &*tag),
        (tag.clone(), &*tag),
    ];
    for (shown, part) in shown {
        assert!(shown.contains(part), "{shown}");
        for start in 0..text.len() - 8 {
            assert!(!shown.contains(&text[start..start + 8]), "{shown}");
        }
    }
    assert_eq!(tag.len(), 16);
}

#[test]
fn a_tag_stays_the_same_when_the_id_is_renewed() {
    let rig = Rig::new();
    let mut session = rig.create();
    let tag = session.id().tag();
    session.renew().unwrap();
    assert_eq!(session.id().tag(), tag);
    assert_ne!(rig.create().id().tag(), tag);
}

#[test]
fn nonsense_is_refused_when_the_store_is_built() {
    let build = |settings| SessionStore::builder(settings).build().map(drop);
    assert!(matches!(
        build(Settings::new(Duration::ZERO)),
        Err(BuildError::TooShort { .. })
    ));
    for settings in [
        Settings::new(IDLE).capacity(0),
        Settings::new(IDLE).capacity_bytes(0),
        Settings::new(IDLE).max_per_owner(0),
    ] {
        assert!(matches!(
            build(settings),
            Err(BuildError::ZeroCapacity { .. })
        ));
    }
}

#[test]
fn a_full_store_ends_those_who_never_came_back() {
    let rig = Rig::with(Settings::new(IDLE).capacity(100));
    let mut user = rig.create();
    user.renew().unwrap();
    user.set_owner("ann").unwrap();
    for _ in 0..10_000 {
        rig.create();
    }
    assert!(
        user.peek().is_some(),
        "a flood of visitors does not log out a user"
    );
    assert!(rig.store.len() <= 101);
    let stats = rig.store.stats();
    assert_eq!(stats.created, stats.live as u64 + stats.evicted);
}

#[test]
fn a_store_is_bounded_by_bytes_too() {
    let rig = Rig::with(Settings::new(IDLE).capacity_bytes(1_000_000));
    for _ in 0..100 {
        rig.create().set("blob", "x".repeat(100_000)).unwrap();
    }
    let stats = rig.store.stats();
    assert!(stats.bytes <= 1_000_000, "{stats:?}");
    assert!(stats.live >= 5, "{stats:?}");
    rig.store.destroy_all();
    assert_eq!(rig.store.stats().bytes, 0);
}

#[test]
fn the_counts_are_of_what_there_is() {
    let rig = Rig::new();
    let other = rig.create();
    let one = rig.store.stats().bytes;
    let owned = rig.owned("ann");
    let before = rig.store.stats();
    assert_eq!((before.live, before.anonymous, before.owners), (2, 1, 1));
    // Some hundred bytes for each, more for an owner, and what the attributes take.
    assert!(
        (128..1_024).contains(&one) && before.bytes > 2 * one,
        "{before:?}"
    );
    let none = owned.snapshot().unwrap().attributes.size() as u64;
    owned.set("name", String::from("Ann")).unwrap();
    let attributes = owned.snapshot().unwrap().attributes.size() as u64 - none;
    assert_eq!(rig.store.stats().bytes, before.bytes + attributes);
    other.destroy().unwrap();
    let after = rig.store.stats();
    assert_eq!((after.live, after.anonymous, after.destroyed), (1, 0, 1));
    assert_eq!(after.bytes, before.bytes - one + attributes);
}

#[test]
fn several_stores_live_side_by_side() {
    let (one, two) = (Rig::new(), Rig::new());
    let session = one.create();
    assert!(two.store.find(session.id()).is_none());
    assert!(one.store.find(session.id()).is_some());
}

#[test]
fn lists_show_the_most_idle_first_and_the_active_ones() {
    let rig = Rig::new();
    let keys: Vec<_> = (0..5)
        .map(|_| {
            rig.advance(seconds(5));
            rig.create().key()
        })
        .collect();
    let listed: Vec<_> = rig.store.most_idle(3).iter().map(|s| s.key).collect();
    assert_eq!(listed, keys[..3]);
    let mut active: Vec<_> = rig.store.active_within(seconds(5)).map(|s| s.key).collect();
    active.sort();
    let mut expected = keys[3..].to_vec();
    expected.sort();
    assert_eq!(active, expected);
    let first = &rig.store.most_idle(1)[0];
    assert_eq!(
        (first.idle_for, first.time_left),
        (seconds(20), IDLE - seconds(20))
    );
}

#[test]
fn a_clock_that_goes_back_ends_nothing() {
    let clock = ManualClock::new();
    clock.set(seconds(1_000));
    let store = SessionStore::builder(Settings::new(IDLE))
        .clock(clock.clone())
        .build()
        .unwrap();
    let session = store.create().unwrap();
    clock.set(seconds(10));
    session.touch().unwrap();
    assert_eq!(session.peek().unwrap().age, Duration::ZERO);
}

proptest! {
    #[test]
    fn no_text_is_an_id_but_what_the_store_writes(text in ".{0,80}") {
        if let Some(id) = SessionId::parse(&text) {
            prop_assert_eq!(id.to_cookie(), text);
        }
    }

    #[test]
    fn text_of_the_right_alphabet_is_an_id_if_its_length_is_right(text in "[A-Za-z0-9_-]{60,68}") {
        let id = SessionId::parse(&text);
        prop_assert_eq!(id.is_some(), text.len() == SessionId::TEXT_LENGTH);
        if let Some(id) = id {
            prop_assert_eq!(id.to_cookie(), text);
        }
    }

    #[test]
    fn one_wrong_character_is_no_id(at in 0_usize..64, wrong in "[^A-Za-z0-9_-]") {
        let text = "A".repeat(64);
        let spoilt = format!("{}{wrong}{}", &text[..at], &text[at + 1..]);
        prop_assert!(SessionId::parse(&spoilt).is_none());
    }

    #[test]
    fn a_key_has_one_spelling(text in "[A-Za-z0-9_-]{22}") {
        if let Some(key) = SessionKey::parse(&text) {
            prop_assert_eq!(key.to_text(), text);
        }
    }
}
