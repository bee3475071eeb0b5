//! The manager: cookies in front, a provider behind, over the types of `http`.

use crate::sessions::{IDLE, seconds};
use crate::site::{Site, issued, more};
use dwell::ManualClock;
use dwell::manager::{Manager, ManagerError, SameSite};
use dwell::provider::{MemoryProvider, Registry};
use dwell::session::{Changes, SessionError, SessionStore, Settings};
use http::HeaderMap;
use pollster::block_on;
use std::sync::Arc;
use std::time::Duration;

#[test]
fn who_stores_nothing_gets_no_cookie_and_costs_nothing() {
    let site = Site::new();
    for _ in 0..100 {
        let session = site.start(&[]);
        assert!(block_on(session.get::<u64>("visits")).unwrap().is_none());
        assert!(!block_on(session.delete("visits")).unwrap());
        assert!(block_on(session.take::<u64>("flash")).unwrap().is_none());
        block_on(session.clear()).unwrap();
        block_on(session.clear_owner()).unwrap();
        assert!(block_on(session.keys()).unwrap().is_empty());
        assert!(session.is_new() && session.id().is_none());
        assert!(site.finish(session).is_empty());
    }
    assert_eq!(site.store.stats().created, 0);
}

#[test]
fn the_first_value_creates_the_session_and_the_next_request_finds_it() {
    let site = Site::new();
    let id = site.visit();
    assert_eq!(site.store.len(), 1);
    let session = site.start_as(&id);
    assert_eq!(*block_on(session.update("visits", more)).unwrap(), 2);
    assert_eq!(block_on(session.keys()).unwrap(), ["visits"]);
    assert!(site.finish(session).is_empty(), "the client knows its id");
    assert_eq!(site.store.len(), 1);
}

#[test]
fn what_is_stored_is_read_deleted_and_cleared() {
    let site = Site::new();
    let session = site.start_as(&site.visit());
    let id = session.id().expect("the client's");
    assert_eq!(session.key(), Some(id.key()));
    assert!(format!("{session:?}").contains(&id.tag().to_string()));
    block_on(async {
        assert!(session.contains("visits").await.unwrap());
        session.set("name", String::from("Ann")).await.unwrap();
        assert!(session.delete("visits").await.unwrap());
        assert!(!session.contains("visits").await.unwrap());
        assert_eq!(session.keys().await.unwrap(), ["name"]);
        session.clear().await.unwrap();
        assert!(session.keys().await.unwrap().is_empty());
        session.set_owner("ann").await.unwrap();
        session.clear_owner().await.unwrap();
        assert!(session.owner().await.unwrap().is_none());
    });
}

#[test]
fn a_change_of_a_version_is_refused_if_another_one_came_first() {
    let site = Site::new();
    let session = site.start_as(&site.visit());
    let version = block_on(session.snapshot()).unwrap().unwrap().version;
    let change = || session.apply_at(version, Changes::default().delete("visits"));
    assert!(block_on(change()).unwrap().attributes.is_empty());
    let refused = block_on(change());
    assert!(matches!(refused, Err(SessionError::Conflict { .. })));
}

#[test]
fn a_session_may_have_terms_of_its_own() {
    let site = Site::new();
    let session = site.start(&[]);
    block_on(session.set_idle_timeout(seconds(600))).unwrap();
    let id = issued(&site.finish(session)).unwrap();
    site.clock.advance(seconds(599));
    assert!(!site.start_as(&id).is_new());
}

#[test]
fn expired_sessions_are_freed_by_the_manager_or_by_the_application() {
    let site = Site::new();
    site.visit();
    site.clock.advance(IDLE * 2);
    while !site.store.is_empty() {
        std::thread::yield_now();
    }
    let clock = ManualClock::new();
    let store = SessionStore::builder(Settings::new(IDLE)).clock(clock.clone());
    let provider = Arc::new(MemoryProvider::new(store.build().unwrap()));
    let manager = Manager::builder("sid")
        .provider(provider.clone())
        .without_collector();
    let manager = manager.build().unwrap();
    provider.store().create().unwrap();
    clock.advance(IDLE * 2);
    assert_eq!(block_on(manager.collect()).unwrap(), 1);
    assert_eq!(block_on(manager.collect()).unwrap(), 0);
}

#[test]
fn a_session_may_idle_for_half_an_hour_if_nothing_else_is_said() {
    let manager = Manager::builder("sid").build().unwrap();
    let session = block_on(manager.start(&HeaderMap::new())).unwrap();
    block_on(session.set_owner("ann")).unwrap();
    let listed = block_on(manager.provider().owned_by("ann")).unwrap();
    assert!(listed[0].time_left > seconds(25 * 60) && listed[0].time_left <= seconds(30 * 60));
}

#[test]
fn managers_live_side_by_side_and_go_when_they_are_dropped() {
    let (one, two) = (Site::new(), Site::new());
    let id = one.visit();
    assert!(two.start_as(&id).is_new());
    let Site { manager, .. } = one;
    let provider = Arc::downgrade(manager.provider());
    drop(manager);
    assert!(provider.upgrade().is_none(), "its thread has stopped");
}

#[test]
fn nonsense_is_refused_when_the_manager_is_built() {
    for name in ["", "a b", "a=b", "a;b", "ключ", "a\n"] {
        assert!(matches!(
            Manager::new("memory", name, IDLE),
            Err(ManagerError::CookieName { .. })
        ));
    }
    let unknown = Manager::new("redis", "sid", IDLE).unwrap_err();
    assert!(
        unknown.to_string().contains("register it first"),
        "{unknown}"
    );
    assert!(Manager::new("memory", "sid", Duration::ZERO).is_err());
    let cross_site = Manager::builder("sid")
        .plain_http()
        .same_site(SameSite::None);
    assert!(matches!(
        cross_site.build(),
        Err(ManagerError::InsecureCrossSite)
    ));
    let empty = Registry::new();
    assert!(Manager::builder("sid").build_from(&empty).is_err());
}

#[test]
fn a_flood_of_visitors_who_read_what_they_just_stored_pushes_nobody_out() {
    let site = Site::with(Settings::new(IDLE).capacity(64));
    let regular = site.visit();
    site.clock.advance(seconds(1));
    site.start_as(&regular);
    for _ in 0..1_000 {
        let session = site.start(&[]);
        block_on(session.set("visits", 1_u64)).unwrap();
        site.clock.advance(Duration::from_millis(5));
        assert!(block_on(session.get::<u64>("visits")).unwrap().is_some());
        assert!(block_on(session.take::<String>("flash")).unwrap().is_none());
        site.finish(session);
    }
    assert!(!site.start_as(&regular).is_new(), "who came back stays");
}
