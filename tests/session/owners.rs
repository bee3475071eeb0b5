//! The owner index: exact after every kind of end.

use crate::sessions::{IDLE, Rig, millis, seconds, together};
use dwell::session::{LiveSession, SessionError, SessionKey, Settings};
use std::time::Duration;

#[test]
fn an_owner_has_the_sessions_that_say_so() {
    let rig = Rig::new();
    let (one, two, other) = (rig.owned("ann"), rig.owned("ann"), rig.owned("bob"));
    let mut both = [one.key(), two.key()];
    both.sort();
    assert_eq!(rig.keys_of("ann"), both);
    one.set_owner("bob").unwrap();
    two.clear_owner().unwrap();
    two.set_owner("ann").unwrap();
    two.set_owner("ann").unwrap();
    assert_eq!(rig.keys_of("ann"), [two.key()]);
    assert_eq!(rig.keys_of("bob").len(), 2);
    two.clear_owner().unwrap();
    other.clear_owner().unwrap();
    one.clear_owner().unwrap();
    let stats = rig.store.stats();
    assert_eq!((stats.live, stats.anonymous, stats.owners), (3, 3, 0));
    assert_eq!(one.owner().unwrap(), None);
}

#[test]
fn the_index_is_exact_after_each_kind_of_end() {
    let settings = Settings::new(IDLE)
        .max_lifetime(seconds(90))
        .capacity(1_000);
    type End = fn(&Rig, SessionKey);
    let ends: [(&str, End); 7] = [
        ("destroyed", |rig, key| assert!(rig.store.destroy(&key))),
        ("idle, and collected", |rig, _| {
            rig.advance(IDLE * 2);
            assert_eq!(rig.store.collect(), 1);
        }),
        ("idle, and met by a read", |rig, key| {
            rig.advance(IDLE);
            assert!(rig.store.peek_key(&key).is_none());
        }),
        ("too old", |rig, key| {
            for _ in 0..3 {
                rig.advance(seconds(30));
                let _ = rig.store.peek_key(&key);
                rig.store.owned_by("ann");
            }
        }),
        ("cleared", |rig, _| rig.store.destroy_all()),
        ("ended with the owner's others", |rig, _| {
            assert_eq!(rig.store.destroy_owned_by("ann", None), 1);
        }),
        ("evicted", |rig, key| {
            // Sessions without an owner would go before it.
            for other in 0..1_100 {
                rig.advance(millis(1));
                rig.owned(&other.to_string());
            }
            assert!(rig.store.peek_key(&key).is_none());
            rig.store.destroy_all();
        }),
    ];
    for (name, end) in ends {
        let rig = Rig::with(settings);
        let session = rig.owned("ann");
        assert_eq!(rig.store.stats().owners, 1);
        end(&rig, session.key());
        assert!(rig.keys_of("ann").is_empty(), "{name}");
        let stats = rig.store.stats();
        assert_eq!(stats.owners, 0, "{name}");
        assert_eq!(stats.anonymous, stats.live, "{name}");
    }
}

#[test]
fn logging_out_everywhere_or_everywhere_else() {
    let rig = Rig::new();
    let (phone, laptop, library) = (rig.owned("ann"), rig.owned("ann"), rig.owned("ann"));
    let other = rig.owned("bob");
    assert_eq!(rig.store.destroy_owned_by("ann", Some(&phone.key())), 2);
    assert_eq!(rig.keys_of("ann"), [phone.key()]);
    assert!(laptop.peek().is_none() && library.peek().is_none());
    assert_eq!(rig.store.destroy_owned_by("ann", None), 1);
    assert_eq!(rig.store.destroy_owned_by("ann", None), 0);
    assert_eq!(rig.keys_of("bob"), [other.key()]);
}

#[test]
fn an_owner_lists_sessions_without_touching_them_and_ends_one_by_its_key() {
    let rig = Rig::new();
    let phone = rig.owned("ann");
    rig.advance(seconds(10));
    let laptop = rig.owned("ann");
    let listed = rig.store.owned_by("ann");
    let idle = |key| listed.iter().find(|s| s.key == key).unwrap().idle_for;
    assert_eq!(idle(phone.key()), seconds(10));
    assert_eq!(idle(laptop.key()), Duration::ZERO);
    let form = phone.key().to_text();
    assert!(rig.store.destroy(&SessionKey::parse(&form).unwrap()));
    assert_eq!(rig.keys_of("ann"), [laptop.key()]);
}

#[test]
fn of_too_many_sessions_of_an_owner_those_end_that_were_idle_longest() {
    let rig = Rig::with(Settings::new(IDLE).max_per_owner(2));
    let first = rig.owned("ann");
    rig.advance(millis(1));
    let second = rig.owned("ann");
    rig.advance(millis(1));
    first.touch().unwrap();
    rig.advance(millis(1));
    let third = rig.owned("ann");
    let mut expected = [first.key(), third.key()];
    expected.sort();
    assert_eq!(rig.keys_of("ann"), expected);
    assert!(second.peek().is_none());
    assert_eq!(rig.owned("bob").owner().unwrap().as_deref(), Some("bob"));
}

#[test]
fn concurrent_logins_beyond_the_bound_leave_as_many_as_allowed() {
    for most in [1, 2] {
        for _ in 0..200 {
            let rig = Rig::with(Settings::new(IDLE).max_per_owner(most));
            together(4, |_| {
                let session = rig.create();
                match session.set_owner("ann") {
                    Ok(()) | Err(SessionError::Ended) => {}
                    Err(error) => panic!("{error}"),
                }
            });
            assert_eq!(rig.keys_of("ann").len(), most);
            assert_eq!(rig.store.len(), most);
        }
    }
}

#[test]
fn an_owner_has_a_thousand_sessions_at_the_most_unless_the_bound_is_lifted() {
    for (settings, expected) in [
        (Settings::new(IDLE), 1_000),
        (Settings::new(IDLE).max_per_owner(None), 1_100),
        (Settings::new(IDLE).max_per_owner(7), 7),
    ] {
        let rig = Rig::with(settings);
        let mut newest = None;
        for _ in 0..1_100 {
            rig.advance(millis(1));
            newest = Some(rig.owned("ann").key());
        }
        rig.owned("bob");
        assert_eq!(rig.keys_of("ann").len(), expected);
        assert_eq!(rig.store.len(), expected + 1);
        assert!(rig.store.peek_key(&newest.unwrap()).is_some());
    }
}

#[test]
fn a_session_that_is_over_pushes_nobody_out_whatever_ended_it() {
    type Step = fn(&Rig, &LiveSession);
    let nothing: Step = |_, _| {};
    let ends: [(&str, Step, Step); 6] = [
        ("its own idle timeout", nothing, |rig, session| {
            session.set_idle_timeout(millis(2)).unwrap();
            rig.advance(millis(2));
        }),
        ("its own lifetime", nothing, |rig, session| {
            session.set_lifetime(millis(2)).unwrap();
            rig.advance(millis(2));
        }),
        (
            "a lifetime that it had before",
            |_, session| session.set_lifetime(millis(2)).unwrap(),
            |rig, _| rig.advance(millis(2)),
        ),
        ("no lifetime at all", nothing, |_, session| {
            session.set_lifetime(Duration::ZERO).unwrap();
        }),
        ("a logout", nothing, |_, session| {
            session.clone().destroy().unwrap();
        }),
        ("another owner", nothing, |_, session| {
            session.set_owner("bob").unwrap();
        }),
    ];
    for (name, before, end) in ends {
        let rig = Rig::with(Settings::new(IDLE).max_per_owner(3));
        let login = || {
            rig.advance(millis(1));
            rig.owned("ann")
        };
        let (idle, second, third) = (login(), login(), login());
        rig.advance(millis(1));
        // The one that was accessed last, and that everybody takes note of: the bound is exceeded.
        let over = rig.create();
        before(&rig, &over);
        over.set_owner("ann").unwrap();
        assert!(idle.peek().is_none());
        end(&rig, &over);
        let newest = login();
        let mut expected = [second.key(), third.key(), newest.key()];
        expected.sort();
        assert_eq!(rig.keys_of("ann"), expected, "{name}");
    }
}

#[test]
fn logins_and_ends_beside_each_other_keep_the_bound_and_the_index() {
    const MOST: usize = 3;
    for round in 0..40_u64 {
        let rig = Rig::with(Settings::new(IDLE).max_per_owner(MOST));
        together(4, |thread| {
            let mut random = fastrand::Rng::with_seed(round * 4 + thread as u64);
            let mut sessions: Vec<LiveSession> = Vec::new();
            for _ in 0..200 {
                let session = match sessions.len() {
                    0..3 => rig.create(),
                    number => sessions.swap_remove(random.usize(0..number)),
                };
                let _ = match random.u8(0..12) {
                    0..5 => session.set_owner("ann"),
                    5..8 => session.set_owner("bob"),
                    8 => session.clear_owner(),
                    9 => session.set_idle_timeout(millis(random.u64(1..20))),
                    10 => {
                        rig.advance(millis(1));
                        session.touch()
                    }
                    _ => {
                        rig.store.destroy(&session.key());
                        Ok(())
                    }
                };
                sessions.push(session);
            }
        });
        for owner in ["ann", "bob"] {
            let keys = rig.keys_of(owner);
            assert!(keys.len() <= MOST, "{owner} has {}", keys.len());
            let mut expected: Vec<_> = rig
                .store
                .iter()
                .filter(|session| session.owner.as_deref() == Some(owner))
                .map(|session| session.key)
                .collect();
            expected.sort();
            assert_eq!(keys, expected);
        }
        // After all, a login finds the bound as it should be.
        for _ in 0..MOST {
            rig.advance(millis(1));
            rig.owned("ann");
        }
        assert_eq!(rig.keys_of("ann").len(), MOST);
        rig.store.destroy_all();
        assert_eq!(rig.store.stats().owners, 0, "nothing is left behind");
    }
}

#[test]
fn a_list_of_the_most_idle_is_what_a_sorted_list_begins_with() {
    let rig = Rig::new();
    let mut keys = Vec::new();
    for _ in 0..50 {
        rig.advance(millis(1));
        keys.push(rig.create().key());
    }
    for most in [0, 1, 7, 49, 50, 51, usize::MAX] {
        let found: Vec<_> = rig.store.most_idle(most).iter().map(|s| s.key).collect();
        assert_eq!(found, keys[..most.min(50)], "{most}");
    }
}

#[test]
fn the_index_is_exact_after_a_storm() {
    for round in 0..20_u64 {
        let rig = Rig::new();
        let sessions: Vec<_> = (0..8).map(|_| rig.create()).collect();
        together(4, |thread| {
            let mut random = round * 4 + thread as u64 + 1;
            for _ in 0..400 {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let session = &sessions[(random >> 33) as usize % 8];
                let _ = match (random >> 40) % 40 {
                    0 => {
                        rig.store.destroy(&session.key());
                        Ok(())
                    }
                    1 => {
                        rig.advance(millis(1));
                        Ok(())
                    }
                    2..10 => session.clear_owner(),
                    10..20 => session.set_owner("ann"),
                    20..30 => session.set_owner("bob"),
                    _ => session.clone().renew(),
                };
            }
        });
        let mut owned = 0;
        for owner in ["ann", "bob"] {
            let mut expected: Vec<_> = rig
                .store
                .iter()
                .filter(|session| session.owner.as_deref() == Some(owner))
                .map(|session| session.key)
                .collect();
            expected.sort();
            assert_eq!(rig.keys_of(owner), expected);
            owned += expected.len();
        }
        let stats = rig.store.stats();
        assert_eq!(stats.live - stats.anonymous, owned);
        rig.store.destroy_all();
        assert_eq!(rig.store.stats().owners, 0, "nothing is left behind");
    }
}
