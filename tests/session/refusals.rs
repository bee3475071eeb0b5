//! What is refused, and what has nothing to change, changes nothing: no version, no event, and the
//! idle time goes on.

use crate::sessions::{IDLE, Rig, seconds};
use dwell::ManualClock;
use dwell::manager::{Manager, Session};
use dwell::provider::MemoryProvider;
use dwell::session::{AttributeError, Changes, LiveSession, SessionError, SessionStore, Settings};
use http::{HeaderMap, header};
use pollster::block_on;
use std::sync::Arc;

fn failure() -> AttributeError {
    AttributeError::Encode {
        key: "key".into(),
        given: "nothing",
        reason: "no".into(),
    }
}

fn outdated() -> Changes {
    Changes::default().set("key", 2_u64).unwrap()
}

type Step<S> = (&'static str, fn(&S));

#[test]
fn in_a_store() {
    let steps: [Step<LiveSession>; 12] = [
        ("a conflict", |session| {
            session.apply_at(1, &outdated()).unwrap_err();
        }),
        ("a change that fails", |session| {
            let failed = session.update_all(|attributes| {
                attributes.set("key", 2_u64)?;
                Err::<(), _>(failure())
            });
            failed.unwrap_err();
        }),
        ("another type", |session| {
            session
                .update("key", |_: Option<&String>| String::new())
                .unwrap_err();
        }),
        ("a take as another type", |session| {
            session.take::<String>("key").unwrap_err();
        }),
        ("a value that does not come back", |session| {
            session.set("key", f64::NAN).unwrap_err();
        }),
        ("an update to a value that does not", |session| {
            session
                .update("other", |_: Option<&f64>| f64::NAN)
                .unwrap_err();
        }),
        ("deleting nothing", |session| {
            assert!(!session.delete("none").unwrap());
        }),
        ("taking nothing", |session| {
            assert!(session.take::<u64>("none").unwrap().is_none());
        }),
        ("changing nothing", |session| {
            session.update_all(|_| Ok(())).unwrap();
        }),
        ("setting what is deleted again", |session| {
            let none = session.update_all(|attributes| {
                attributes.set("none", 1_u64)?;
                Ok(attributes.delete("none"))
            });
            assert!(none.unwrap());
        }),
        ("an update to an equal value", |session| {
            let same = session.update("key", |value: Option<&u64>| *value.unwrap());
            assert_eq!(*same.unwrap(), 1);
        }),
        ("deletions of nothing", |session| {
            let seen = session.apply(&Changes::default().delete("none")).unwrap();
            assert_eq!(seen.version, 2);
        }),
    ];
    for (what, step) in steps {
        let rig = Rig::new();
        let session = rig.create();
        session.set("key", 1_u64).unwrap();
        let allocated = rig.store.stats();
        rig.clock.advance(seconds(40));
        step(&session);
        let idle_for = session.idle_for().unwrap();
        assert_eq!(idle_for, seconds(40), "{what}");
        let seen = session.peek().unwrap();
        assert_eq!(seen.version, 2, "{what}");
        assert_eq!(*seen.attributes.get::<u64>("key").unwrap().unwrap(), 1);
        assert_eq!(rig.store.stats().bytes, allocated.bytes, "{what}");
    }
    let rig = Rig::new();
    let session = rig.create();
    rig.clock.advance(seconds(40));
    session.clear().unwrap();
    assert_eq!(session.idle_for().unwrap(), seconds(40));
    assert_eq!(session.version().unwrap(), 1);
}

#[test]
fn renewing_an_id_that_was_renewed() {
    let rig = Rig::with(Settings::new(IDLE).grace(seconds(50)));
    let mut session = rig.create();
    let mut late = session.clone();
    session.renew().unwrap();
    rig.clock.advance(seconds(40));
    let refused = late.renew();
    assert!(matches!(refused, Err(SessionError::Superseded)));
    assert_eq!(session.idle_for().unwrap(), seconds(40));
    assert_eq!(session.peek().unwrap().version, 2);
    assert_eq!(rig.store.stats().renewed, 1);
}

#[test]
fn in_a_request() {
    let steps: [Step<Session>; 10] = [
        ("a conflict", |session| {
            block_on(session.apply_at(1, outdated())).unwrap_err();
        }),
        ("a change that fails", |session| {
            let failed = session.update_all(|attributes| {
                attributes.set("key", 2_u64)?;
                Err::<(), _>(failure())
            });
            block_on(failed).unwrap_err();
        }),
        ("another type", |session| {
            let update = session.update("key", |_: Option<&String>| String::new());
            block_on(update).unwrap_err();
        }),
        ("a take as another type", |session| {
            block_on(session.take::<String>("key")).unwrap_err();
        }),
        ("a value that does not come back", |session| {
            block_on(session.set("key", f64::NAN)).unwrap_err();
        }),
        ("deleting nothing", |session| {
            assert!(!block_on(session.delete("none")).unwrap());
        }),
        ("taking nothing", |session| {
            assert!(block_on(session.take::<u64>("none")).unwrap().is_none());
        }),
        ("changing nothing", |session| {
            block_on(session.update_all(|_| Ok(()))).unwrap();
        }),
        ("an update to an equal value", |session| {
            let same = session.update("key", |value: Option<&u64>| *value.unwrap());
            assert_eq!(*block_on(same).unwrap(), 1);
        }),
        ("clearing what is empty", |session| {
            // Its attributes are put back: the others look at them.
            block_on(session.update_all(|attributes| {
                let all = attributes.clone();
                attributes.clear();
                for (key, value) in all.values() {
                    attributes.set_value(key, value);
                }
                Ok(())
            }))
            .unwrap();
        }),
    ];
    for (what, step) in steps {
        let clock = ManualClock::new();
        let store = SessionStore::builder(Settings::new(IDLE)).clock(clock.clone());
        let store = store.build().unwrap();
        let provider = Arc::new(MemoryProvider::new(store.clone()));
        let manager = Manager::builder("sid").provider(provider).build().unwrap();
        let live = store.create().unwrap();
        live.set("key", 1_u64).unwrap();
        let mut headers = HeaderMap::new();
        let cookie = format!("__Host-sid={}", live.id().to_cookie());
        headers.insert(header::COOKIE, cookie.parse().unwrap());
        let session = block_on(manager.start(&headers)).unwrap();
        assert!(!session.is_new());
        clock.advance(seconds(40));
        step(&session);
        assert_eq!(live.idle_for().unwrap(), seconds(40), "{what}");
        assert_eq!(live.peek().unwrap().version, 2, "{what}");
    }
}

#[test]
fn a_session_that_is_too_large() {
    let bounded = Settings::new(IDLE).max_session_bytes(16_000);
    let rig = Rig::with(bounded.capacity_bytes(1_000_000));
    let session = rig.create();
    session.set("key", 1_u64).unwrap();
    let before = rig.store.stats();
    rig.clock.advance(seconds(40));
    let large = || "x".repeat(16_000);
    let refusals = [
        session.set("large", large()),
        session
            .update("key", |_: Option<&u64>| 2)
            .map(drop)
            .and_then(|_| session.set(&large(), 1)),
        session.set_owner(&large()),
        session.update_all(|attributes| attributes.set("large", large())),
        session
            .update("large", |_: Option<&String>| large())
            .map(drop),
    ];
    for refused in refusals {
        let error = refused.unwrap_err();
        assert!(matches!(
            error,
            SessionError::TooLarge { bound: 16_000, .. }
        ));
        let text = error.to_string();
        assert!(
            text.contains("16000") && text.contains("max_session_bytes"),
            "{text}"
        );
    }
    assert_eq!(rig.store.stats().bytes, before.bytes);
    assert!(rig.store.owned_by(&large()).is_empty());
    assert_eq!(
        (rig.store.stats().owners, rig.store.stats().anonymous),
        (0, 1)
    );
}

#[test]
fn a_session_that_the_store_has_no_room_for() {
    let store = SessionStore::builder(Settings::new(IDLE).capacity_bytes(64 << 10));
    let store = store.build().unwrap();
    let others: Vec<_> = (0..20).map(|_| store.create().unwrap()).collect();
    let session = store.create().unwrap();
    let refused = session.set("large", "x".repeat(100 << 10));
    assert!(matches!(
        refused,
        Err(SessionError::TooLarge { bound: 65_536, .. })
    ));
    assert!(others.iter().all(|session| session.peek().is_some()));
    // Of any size: not only where the setting says so.
    let store = SessionStore::builder(
        Settings::new(IDLE)
            .capacity_bytes(64 << 20)
            .max_session_bytes(u64::MAX),
    );
    let session = store.build().unwrap().create().unwrap();
    let refused = session.set("large", "x".repeat(17 << 20));
    assert!(matches!(
        refused,
        Err(SessionError::TooLarge {
            bound: 16_000_000,
            ..
        })
    ));
    session.set("large", "x".repeat(15 << 20)).unwrap();
}
