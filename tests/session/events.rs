//! Events: each told or counted exactly once, off the hot path, within bounds, and harmless if the
//! listener is not.

use crate::sessions::{IDLE, Rig, kinds, millis, seconds, together};
use dwell::session::EventKind::{
    self, Created, Destroyed, Evicted, ExpiredIdle, ExpiredLifetime, Lost, Renewed,
};
use dwell::session::{Attributes, Event, SessionStore, Settings};
use std::collections::HashMap;
use std::sync::mpsc::{Receiver, Sender, channel};
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
    rig.store.destroy_all();
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

/// A store whose listener hears nothing before it is let go on, and what it heard then.
struct Slow {
    store: SessionStore,
    let_go_on: Sender<()>,
    heard: Receiver<Event>,
}

fn slow(settings: Settings) -> Slow {
    let (let_go_on, hold) = channel::<()>();
    let (report, heard) = channel();
    let store = SessionStore::builder(settings)
        .on_event(move |event| {
            let _ = hold.recv();
            let _ = report.send(event.clone());
        })
        .build()
        .unwrap();
    Slow {
        store,
        let_go_on,
        heard,
    }
}

impl Slow {
    /// Lets the listener hear all, and ends the store.
    fn all(self) -> Vec<Event> {
        drop((self.let_go_on, self.store));
        self.heard.iter().collect()
    }
}

fn lost(events: &[Event]) -> u64 {
    let lost = events.iter().map(|event| match event.kind {
        Lost(number) => number,
        _ => 0,
    });
    lost.sum()
}

/// What waits for the listener, in bytes.
const QUEUE: usize = 16 << 20;

/// How many events without attributes and owner have room.
fn room() -> usize {
    QUEUE.div_ceil(256 + Attributes::default().size())
}

#[test]
fn no_operation_waits_for_a_listener_and_what_it_is_too_slow_for_is_counted() {
    let slow = slow(Settings::new(IDLE));
    for _ in 0..40_000 {
        slow.store.create().unwrap().destroy().unwrap();
    }
    assert!(slow.store.is_empty());
    let stats = slow.store.stats();
    let taken = room();
    assert_eq!(stats.lost_events, 80_000 - taken as u64);
    let events = slow.all();
    // Those that are told are the first, in their order, and then comes the loss.
    let told = &events[..taken];
    assert!(told.iter().step_by(2).all(|event| event.kind == Created));
    assert!(
        told.iter()
            .skip(1)
            .step_by(2)
            .all(|event| event.kind == Destroyed)
    );
    assert_eq!(events.len(), told.len() + 1);
    let last = events.last().unwrap();
    assert_eq!(last.kind, Lost(stats.lost_events));
    assert!(last.attributes.is_empty() && last.owner.is_none());
    // The session of the first that was lost: its end if its creation was told last.
    let told_of = told.iter().filter(|event| event.key == last.key).count();
    assert_eq!(told_of, taken % 2);
}

#[test]
fn what_waits_for_a_listener_keeps_no_more_alive_than_the_bound() {
    const VALUE: usize = 1 << 20;
    let slow = slow(Settings::new(IDLE));
    for _ in 0..100 {
        let mut attributes = Attributes::default();
        attributes.set("value", "a".repeat(VALUE)).unwrap();
        slow.store
            .create_with(attributes)
            .unwrap()
            .destroy()
            .unwrap();
    }
    let waiting = slow.store.stats().created * 2 - slow.store.stats().lost_events;
    // The last one may exceed it.
    assert!(
        (2..=QUEUE as u64 / VALUE as u64 + 1).contains(&waiting),
        "{waiting}"
    );
    let events = slow.all();
    assert_eq!(events.len() as u64, waiting + 1);
    assert_eq!(lost(&events), 200 - waiting);
}

#[test]
fn owners_that_wait_for_a_listener_count_too() {
    let slow = slow(Settings::new(IDLE));
    let owner = "a".repeat(1 << 20);
    for _ in 0..50 {
        let session = slow.store.create().unwrap();
        session.set_owner(&owner).unwrap();
        session.destroy().unwrap();
    }
    let events = slow.all();
    let owned = events.iter().filter(|event| event.owner.is_some()).count();
    assert!((2..=17).contains(&owned), "{owned}");
    assert_eq!(lost(&events) + (events.len() - 1) as u64, 100);
}

#[test]
fn a_listener_that_catches_up_hears_of_all_that_follows_and_of_each_loss() {
    let slow = slow(Settings::new(IDLE));
    let mut expected = 0;
    let mut told = 0;
    for round in 0..3 {
        let flood = room() + 100 * (round + 1);
        (0..flood).for_each(|_| drop(slow.store.create().unwrap()));
        expected += flood as u64;
        // The listener hears all of it, and the loss, and has room again.
        loop {
            slow.let_go_on.send(()).unwrap();
            match slow.heard.recv().unwrap().kind {
                Lost(number) => {
                    told += number;
                    break;
                }
                _ => told += 1,
            }
        }
        assert_eq!(told, expected);
    }
    assert_eq!(slow.store.stats().lost_events, 600);
    assert!(slow.all().is_empty());
}

#[test]
fn each_event_is_told_or_counted_as_lost_exactly_once_whatever_races() {
    let (report, heard) = channel();
    let (let_go_on, hold) = channel::<()>();
    let mut number = 0_u32;
    let store = SessionStore::builder(Settings::new(IDLE))
        .on_event(move |event| {
            // Not before the first loss.
            let _ = hold.recv();
            report.send(event.clone()).unwrap();
            number += 1;
            if number.is_multiple_of(1_000) {
                std::panic::resume_unwind(Box::new("a listener's fault"));
            }
        })
        .build()
        .unwrap();
    // Values of 3 MB: the queue is full and empty in turn.
    let value = "a".repeat(3 << 20);
    let mut large = Attributes::default();
    large.set("value", value).unwrap();
    let let_go_on = Mutex::new(Some(let_go_on));
    together(4, |_| {
        for _ in 0..2_000 {
            let mut session = store.create_with(large.clone()).unwrap();
            session.renew().unwrap();
            session.destroy().unwrap();
            if store.stats().lost_events > 0 {
                drop(let_go_on.lock().unwrap().take());
            }
        }
    });
    let stats = store.stats();
    drop(store);
    let events: Vec<_> = heard.iter().collect();
    let mut told: HashMap<_, Vec<EventKind>> = HashMap::new();
    for event in &events {
        if !matches!(event.kind, Lost(_)) {
            told.entry(event.key).or_default().push(event.kind);
        }
    }
    let happened = stats.created + stats.renewed + stats.destroyed;
    assert_eq!(happened, 24_000);
    assert!(stats.lost_events > 0);
    assert_eq!(lost(&events), stats.lost_events);
    let of_sessions: usize = told.values().map(Vec::len).sum();
    assert_eq!(of_sessions as u64 + stats.lost_events, happened);
    for kinds in told.values_mut() {
        assert!(
            kinds.iter().skip(1).all(|kind| *kind != Created),
            "{kinds:?}"
        );
        kinds.sort_by_key(|kind| format!("{kind:?}"));
        let before = kinds.len();
        kinds.dedup();
        assert_eq!(kinds.len(), before, "told twice: {kinds:?}");
    }
}

#[test]
fn dropping_the_store_waits_for_a_listener_but_not_for_ever() {
    let (hold, held) = channel::<()>();
    let (report, heard) = channel();
    let store = SessionStore::builder(Settings::new(IDLE))
        .on_event(move |event| {
            report.send(event.kind).unwrap();
            let _ = held.recv();
        })
        .build()
        .unwrap();
    store.create().unwrap().destroy().unwrap();
    assert_eq!(heard.recv(), Ok(Created));
    // The listener does not return before this does.
    drop(store);
    assert!(heard.try_recv().is_err());
    // The thread goes on by itself, and ends.
    drop(hold);
    assert_eq!(heard.recv(), Ok(Destroyed));
    assert!(heard.recv().is_err());
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

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            std::panic::resume_unwind(Box::new("a payload's fault"));
        }
    }
}

#[test]
fn a_panic_whose_payload_panics_costs_one_event() {
    let (report, reported) = channel();
    let mut is_first = true;
    let store = SessionStore::builder(Settings::new(IDLE))
        .on_event(move |event| {
            if std::mem::take(&mut is_first) {
                std::panic::resume_unwind(Box::new(Bomb));
            }
            report.send(event.kind).unwrap();
        })
        .build()
        .unwrap();
    for _ in 0..10 {
        store.create().unwrap().destroy().unwrap();
    }
    let told: Vec<_> = reported.iter().take(19).collect();
    assert_eq!(told.len(), 19);
    assert_eq!(store.stats().listener_panics, 1);
}
