//! Events: each exactly once, off the hot path, and harmless if the listener is not.
#![cfg(feature = "sessions")]

mod sessions;

use dwell::session::EventKind::{
    self, Created, Destroyed, Evicted, ExpiredIdle, ExpiredLifetime, Renewed,
};
use dwell::session::{SessionStore, Settings};
use sessions::{IDLE, Rig, kinds, millis, seconds, together};
use std::collections::HashMap;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

#[test]
fn each_kind_of_event_is_told_with_its_reason() {
    let rig = Rig::with(Settings::new(IDLE).max_lifetime(seconds(100)).capacity(4));
    let mut renewed = rig.create();
    renewed.renew().unwrap();
    let destroyed = rig.owned("ann");
    destroyed.set("cart", 1_u64).unwrap();
    destroyed.clone().destroy().unwrap();
    rig.advance(seconds(50));
    renewed.touch().unwrap();
    let idle = rig.create();
    idle.set_idle_timeout(millis(1)).unwrap();
    rig.advance(millis(1));
    rig.store.collect();
    assert!(idle.peek().is_none());
    rig.advance(seconds(50));
    rig.store.collect();
    let evicted = rig.create();
    (0..20).for_each(|_| drop(rig.create()));
    assert!(evicted.peek().is_none());
    let keys = [&renewed, &destroyed, &idle, &evicted].map(|session| session.key());

    let live = rig.store.len();
    drop((renewed, destroyed, idle, evicted));
    let events = rig.events();
    assert_eq!(kinds(&events, keys[0]), [Created, Renewed, ExpiredLifetime]);
    assert_eq!(kinds(&events, keys[1]), [Created, Destroyed]);
    assert_eq!(kinds(&events, keys[2]), [Created, ExpiredIdle]);
    assert_eq!(kinds(&events, keys[3]), [Created, Evicted]);
    let ends = events
        .iter()
        .filter(|event| !matches!(event.kind, Created | Renewed));
    assert_eq!(ends.count(), 24 - live);
    let logout = events.iter().find(|event| event.kind == Destroyed).unwrap();
    assert_eq!(logout.owner.as_deref(), Some("ann"));
    assert!(
        logout.attributes.contains("cart"),
        "what is to be cleaned up"
    );
    assert!(format!("{logout:?}").contains("Destroyed"));
}

#[test]
fn each_session_is_created_once_and_ends_once_whatever_races() {
    let rig = Rig::with(Settings::new(IDLE).capacity(20));
    together(4, |thread| {
        for round in 0..200 {
            let session = rig.create();
            let _ = session.set("key", round as u64);
            let _ = session.clone().renew();
            match (thread + round) % 4 {
                0 => drop(session.destroy()),
                1 => drop(session.set_lifetime(millis(0))),
                2 => {
                    rig.advance(IDLE / 50);
                    rig.store.collect();
                }
                _ => {}
            }
        }
    });
    rig.store.end_all();
    let renewed = rig.store.stats().renewed;
    let events = rig.events();
    let mut lives: HashMap<_, Vec<EventKind>> = HashMap::new();
    for event in &events {
        lives.entry(event.key).or_default().push(event.kind);
    }
    assert_eq!(lives.len(), 800);
    for kinds in lives.values() {
        assert_eq!(kinds[0], Created);
        let ends = kinds
            .iter()
            .filter(|kind| !matches!(kind, Created | Renewed));
        assert_eq!(ends.count(), 1, "{kinds:?}");
        assert_eq!(kinds.iter().filter(|kind| **kind == Created).count(), 1);
    }
    let told = events.iter().filter(|event| event.kind == Renewed).count();
    assert_eq!(told as u64, renewed);
}

#[test]
fn a_listener_that_panics_harms_nothing() {
    let (report, told) = channel();
    let store = SessionStore::builder(Settings::new(IDLE))
        .on_event(move |event| {
            report.send(event.kind).unwrap();
            if event.kind == Created {
                // Not `panic!`: that would print.
                std::panic::resume_unwind(Box::new("a listener's fault"));
            }
        })
        .build()
        .unwrap();
    for _ in 0..10 {
        assert!(store.create().unwrap().destroy().unwrap());
    }
    for _ in 0..10 {
        // If the thread were gone, so would be the sender.
        assert_eq!(told.recv(), Ok(Created));
        assert_eq!(told.recv(), Ok(Destroyed));
    }
    assert_eq!(store.stats().listener_panics, 10);
}

#[test]
fn no_operation_waits_for_the_listener() {
    let (release, hold) = channel::<()>();
    let store = SessionStore::builder(Settings::new(IDLE))
        .on_event(move |_| {
            let _ = hold.recv();
        })
        .build()
        .unwrap();
    for _ in 0..1_000 {
        store.create().unwrap().destroy().unwrap();
    }
    assert!(store.is_empty());
    drop(release);
}

#[test]
fn a_listener_may_drop_the_last_reference_to_the_store() {
    let slot: Arc<Mutex<Option<SessionStore>>> = Arc::default();
    let (report, reported) = channel();
    let own = Arc::clone(&slot);
    let store = SessionStore::builder(Settings::new(IDLE))
        .on_event(move |_| {
            drop(own.lock().unwrap().take());
            let _ = report.send(());
        })
        .build()
        .unwrap();
    // The event waits for the lock, so that the listener finds the store there.
    let mut held = slot.lock().unwrap();
    store.create().unwrap();
    *held = Some(store);
    drop(held);
    reported.recv().unwrap();
    assert!(slot.lock().unwrap().is_none());
}
