//! The seed's ten defects (a session manager in Go), each with the test that shows it gone. The
//! numbers are those of the table in `docs/sessions.md`.

use crate::sessions::{IDLE, Rig, millis, seconds, together};
use dwell::manager::Manager;
use dwell::provider::{MemoryProvider, Registry, RegistryError};
use dwell::session::{SessionId, SessionStore, Settings};
use http::{HeaderMap, header};
use pollster::block_on;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc::channel;

#[test]
fn defect_1_a_new_session_does_not_hide_older_expired_ones_from_collection() {
    let rig = Rig::new();
    (0..10).for_each(|_| drop(rig.create()));
    rig.advance(IDLE * 2);
    let never_touched = rig.create();
    assert_eq!(rig.store.collect(), 10);
    assert_eq!(rig.store.len(), 1);
    assert!(never_touched.peek().is_some());
}

#[test]
fn defect_2_everything_may_run_at_the_same_time() {
    let rig = Rig::new();
    let shared = rig.create();
    shared.set("visits", 0_u64).unwrap();
    together(4, |thread| {
        for round in 0..500 {
            let own = rig.create();
            own.set("key", round as u64).unwrap();
            shared
                .update("visits", |visits: Option<&u64>| visits.unwrap() + 1)
                .unwrap();
            assert_eq!(*own.get::<u64>("key").unwrap().unwrap(), round as u64);
            if thread % 2 == 0 {
                own.destroy().unwrap();
            } else {
                rig.store.collect();
            }
        }
    });
    assert_eq!(*shared.get::<u64>("visits").unwrap().unwrap(), 2_000);
}

#[test]
fn defect_3_an_id_from_the_client_creates_nothing() {
    let rig = Rig::new();
    let chosen = SessionId::parse(&"x".repeat(SessionId::TEXT_LENGTH)).unwrap();
    assert!(rig.store.find(&chosen).is_none());
    assert!(rig.store.is_empty());
    assert_eq!(rig.store.stats().unknown_ids, 1);
}

#[test]
fn defect_4_an_expired_session_is_gone_for_every_read_though_nobody_collects() {
    let rig = Rig::new();
    let session = rig.create();
    session.set("name", String::from("Ann")).unwrap();
    rig.advance(IDLE);
    assert_eq!(rig.store.len(), 1, "nobody has collected");
    assert!(session.get::<String>("name").is_err());
    assert!(rig.store.find(session.id()).is_none());
}

#[test]
fn defect_5_an_hour_is_an_hour_for_the_collection_too() {
    // The seed waits nanoseconds instead of seconds. Here a unit cannot be mistaken, and a
    // collection with nothing due ends nothing; that the collector sleeps in between is shown in
    // `tests/map/collector.rs`.
    let rig = Rig::with(Settings::new(seconds(3_600)));
    let _collector = rig.store.spawn_collector();
    (0..100).for_each(|_| drop(rig.create()));
    rig.advance(seconds(3_599));
    assert_eq!(rig.store.collect(), 0);
    assert_eq!(rig.store.iter().count(), 100);
    rig.advance(seconds(1));
    assert_eq!(rig.store.iter().count(), 0);
}

#[test]
fn defect_6_a_slow_provider_call_holds_up_nobody_else() {
    // A change that takes its time, to one session; all others go on, and so does this one.
    let rig = Rig::new();
    let slow = rig.create();
    let (entered, wait_for_entry) = channel();
    let (go_on, may_go_on) = channel::<()>();
    let slow_too = slow.clone();
    let worker = std::thread::spawn(move || {
        let mut is_first = true;
        slow_too.update_all(|attributes| {
            if std::mem::take(&mut is_first) {
                entered.send(()).unwrap();
                may_go_on.recv().unwrap();
            }
            attributes.set("slow", 1_u64)
        })
    });
    wait_for_entry.recv().unwrap();
    slow.set("fast", 1_u64).unwrap();
    assert!(slow.contains("fast").unwrap());
    assert!(rig.create().destroy().unwrap());
    rig.store.collect();
    go_on.send(()).unwrap();
    worker.join().unwrap().unwrap();
    assert_eq!(slow.keys().unwrap(), ["fast", "slow"]);
}

#[test]
fn defect_7_a_logout_ends_the_session_at_the_server() {
    let store = SessionStore::new(IDLE);
    let provider = Arc::new(MemoryProvider::new(store.clone()));
    let manager = Manager::builder("sid").provider(provider).build().unwrap();
    for _ in 0..100 {
        let session = block_on(manager.start(&HeaderMap::new())).unwrap();
        block_on(session.set("name", String::from("Ann"))).unwrap();
        let mut response = HeaderMap::new();
        manager.finish(session, &mut response);
        // What a browser sends back, byte by byte.
        let cookie = response[header::SET_COOKIE].to_str().unwrap();
        let mut request = HeaderMap::new();
        let pair = cookie.split(';').next().unwrap();
        request.insert(header::COOKIE, pair.parse().unwrap());
        assert!(!pair.contains('%'), "there is nothing to escape");
        let session = block_on(manager.start(&request)).unwrap();
        assert!(block_on(manager.destroy(session, &mut HeaderMap::new())).unwrap());
        assert!(block_on(manager.start(&request)).unwrap().is_new());
    }
    assert!(store.is_empty());
}

#[test]
fn defect_8_every_id_is_random_and_none_is_empty() {
    // That a failing generator is an error is shown in `session::store::tests`.
    let ids: HashSet<_> = (0..1_000)
        .map(|_| SessionId::generate().unwrap().to_cookie())
        .collect();
    assert_eq!(ids.len(), 1_000);
    assert!(ids.iter().all(|id| id.len() == SessionId::TEXT_LENGTH));
    assert!(SessionId::parse("").is_none());
}

#[test]
fn defect_9_milliseconds_a_bound_renewal_a_lifetime_and_a_registry_that_takes_turns() {
    let settings = Settings::new(millis(20))
        .max_lifetime(millis(50))
        .capacity(10);
    let rig = Rig::with(settings);
    let mut session = rig.create();
    rig.advance(millis(19));
    session.renew().unwrap();
    rig.advance(millis(19));
    session.touch().unwrap();
    rig.advance(millis(12));
    assert!(session.peek().is_none());
    (0..100).for_each(|_| drop(rig.create()));
    assert!(rig.store.len() <= 11);
    let registry = Registry::with_memory();
    let taken = together(4, |_| {
        let twice = registry.register("memory", |_| Err("never opened".into()));
        matches!(twice, Err(RegistryError::NameTaken { .. }))
    });
    assert_eq!(taken, [true; 4]);
}

#[test]
fn defect_10_a_renewed_id_has_nothing_to_do_with_the_time() {
    let rig = Rig::new();
    let (mut one, mut two) = (rig.create(), rig.create());
    // The same clock, to the millisecond.
    one.renew().unwrap();
    two.renew().unwrap();
    let secret = |id: &SessionId| id.to_cookie()[SessionId::TEXT_LENGTH - 42..].to_owned();
    assert_ne!(secret(one.id()), secret(two.id()));
    assert!(rig.store.find(one.id()).is_some());
}
