//! By which terms sessions live on after a restart, and what the program may decide about each.

use crate::machine::Machine;
use crate::sessions::{IDLE, millis, seconds};
use dwell::session::{SessionId, SessionStore, Settings};
use dwell::snapshot::RestoreReport;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3_600);

/// Writes a store, and restores it with other settings.
fn with(
    machine: &Machine,
    store: &SessionStore,
    settings: Settings,
) -> (SessionStore, RestoreReport) {
    machine.file().write(store).unwrap();
    let builder = machine.builder(settings);
    machine.file().restore(builder).unwrap()
}

fn left(store: &SessionStore, id: &SessionId) -> Duration {
    store.time_left(&id.key()).expect("it lives")
}

#[test]
fn what_came_from_the_settings_follows_the_settings() {
    let machine = Machine::new();
    let long = Settings::new(HOUR).max_lifetime(HOUR * 2);
    let store = machine.builder(long).build().unwrap();
    let id = *store.create().unwrap().id();
    machine.advance(seconds(30));

    let short = Settings::new(seconds(60)).max_lifetime(seconds(120));
    let (store, _) = with(&machine, &store, short);
    assert_eq!(
        left(&store, &id),
        seconds(30),
        "counted from its last access"
    );
    let before = store.peek(&id).unwrap();
    assert_eq!(before.lifetime_left, Some(seconds(90)), "from its creation");
    machine.advance(seconds(29));
    store.find(&id).unwrap();
    machine.advance(seconds(59));
    store.find(&id).unwrap();
    machine.advance(seconds(2) - millis(1));
    assert!(store.peek(&id).is_some());
    machine.advance(millis(1));
    assert!(store.peek(&id).is_none(), "to the millisecond");
    assert!(store.find(&id).is_none());
}

#[test]
fn settings_reach_a_session_after_any_number_of_restarts() {
    let machine = Machine::new();
    let mut store = machine.builder(Settings::new(HOUR)).build().unwrap();
    let id = *store.create().unwrap().id();
    for (idle, lifetime) in [
        (60, Some(500)),
        (1_000, None),
        (30, Some(300)),
        (45, Some(200)),
    ] {
        let mut settings = Settings::new(seconds(idle));
        settings.max_lifetime = lifetime.map(seconds);
        store = with(&machine, &store, settings).0;
        assert_eq!(
            left(&store, &id),
            seconds(idle.min(lifetime.unwrap_or(idle)))
        );
        let lifetime_left = store.peek(&id).unwrap().lifetime_left;
        assert_eq!(lifetime_left, lifetime.map(seconds));
    }
}

#[test]
fn what_settings_do_not_let_live_any_more_has_lapsed() {
    let machine = Machine::new();
    let store = machine.builder(Settings::new(HOUR)).build().unwrap();
    let (old, idle) = (*store.create().unwrap().id(), *store.create().unwrap().id());
    machine.advance(seconds(100));
    store.find(&old).unwrap();
    let young = *store.create().unwrap().id();
    let settings = Settings::new(seconds(60)).max_lifetime(seconds(80));
    let (store, restored) = with(&machine, &store, settings);
    assert_eq!((restored.sessions, restored.lapsed), (1, 2));
    assert!(store.peek(&young).is_some());
    assert!(store.peek(&old).is_none() && store.peek(&idle).is_none());
}

#[test]
fn what_the_program_set_for_a_session_stays() {
    let machine = Machine::new();
    let store = machine.builder(Settings::new(HOUR)).build().unwrap();
    let remembered = store.create().unwrap();
    remembered.set_idle_timeout(HOUR * 24).unwrap();
    remembered.set_lifetime(HOUR * 48).unwrap();
    let public = store.create().unwrap();
    public.set_idle_timeout(seconds(20)).unwrap();
    let step_up = store.create().unwrap();
    step_up.set_lifetime(seconds(25)).unwrap();
    let ids = [*remembered.id(), *public.id(), *step_up.id()];
    let terms = [HOUR * 24, seconds(20), seconds(25)];
    // Twice: the second file is of restored sessions.
    let short = Settings::new(seconds(60)).max_lifetime(seconds(600));
    let (store, _) = with(&machine, &store, short);
    let (store, _) = with(&machine, &store, Settings::new(seconds(30)));
    assert_eq!(ids.map(|id| left(&store, &id)), terms);
    let lifetimes = ids.map(|id| store.peek(&id).unwrap().lifetime_left);
    assert_eq!(lifetimes, [Some(HOUR * 48), None, Some(seconds(25))]);
}

#[test]
fn a_smaller_bound_of_an_owner_ends_those_that_were_idle_longest() {
    let machine = Machine::new();
    let store = machine.builder(Settings::new(HOUR)).build().unwrap();
    let mut ids = Vec::new();
    for number in 0..8 {
        let session = store.create().unwrap();
        session
            .set_owner(if number % 4 == 3 { "bob" } else { "ann" })
            .unwrap();
        ids.push(*session.id());
        machine.advance(seconds(1));
    }
    store.find(&ids[0]).unwrap();
    let (store, restored) = with(&machine, &store, Settings::new(HOUR).max_per_owner(2));
    assert_eq!((restored.sessions, restored.lapsed), (4, 4));
    let live: Vec<_> = (0..8)
        .filter(|at| store.peek(&ids[*at]).is_some())
        .collect();
    assert_eq!(live, [0, 3, 6, 7]);
    assert_eq!(
        (store.owned_by("ann").len(), store.owned_by("bob").len()),
        (2, 2)
    );
}

/// What a crash brings back, as the documentation says.
#[test]
fn a_crash_brings_back_what_ended_since_the_file_was_written() {
    let machine = Machine::new();
    let store = machine.builder(Settings::new(IDLE)).build().unwrap();
    let mut session = store.create().unwrap();
    let (stolen, destroyed) = (*session.id(), store.create().unwrap());
    let gone = *destroyed.id();
    machine.file().write(&store).unwrap();
    session.renew_with_grace(Duration::ZERO).unwrap();
    let renewed = *session.id();
    destroyed.destroy().unwrap();
    // The program crashes here.
    let (store, _) = machine
        .file()
        .restore(machine.builder(Settings::new(IDLE)))
        .unwrap();
    assert!(store.peek(&gone).is_some(), "a session that was destroyed");
    assert!(store.peek(&stolen).is_some(), "an id that was renewed away");
    assert!(
        store.peek(&renewed).is_none(),
        "the user's own does not answer"
    );
}

#[test]
fn the_program_decides_what_a_restored_session_may_do() {
    let machine = Machine::new();
    let store = machine
        .builder(Settings::new(HOUR).max_lifetime(HOUR))
        .build()
        .unwrap();
    let ids: Vec<_> = (0..4_u64)
        .map(|number| {
            let session = store.create().unwrap();
            session.set("number", number).unwrap();
            session.set("roles", vec![String::from("admin")]).unwrap();
            session.set_owner("ann").unwrap();
            *session.id()
        })
        .collect();
    machine.advance(seconds(10));
    machine.file().write(&store).unwrap();
    machine.wall.advance(seconds(5));
    let seen = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&seen);
    let file = machine.file().on_restore(move |session| {
        count.fetch_add(1, Ordering::Relaxed);
        assert_eq!(
            (session.idle_for(), session.age()),
            (seconds(15), seconds(15))
        );
        assert_eq!(session.idle_timeout, HOUR);
        assert_eq!(session.lifetime_left, Some(HOUR - seconds(15)));
        session.attributes.delete("roles");
        match *session.attributes.get::<u64>("number").unwrap().unwrap() {
            0 => session.owner = None,
            1 => session.idle_timeout = seconds(20),
            2 => session.lifetime_left = Some(seconds(3)),
            _ => return false,
        }
        true
    });
    for restored in [
        file.restore(machine.builder(Settings::new(HOUR).max_lifetime(HOUR))),
        file.recover(machine.builder(Settings::new(HOUR).max_lifetime(HOUR))),
    ] {
        let (store, restored) = restored.unwrap();
        assert_eq!(
            (restored.sessions, restored.left_out, restored.lapsed),
            (3, 1, 0)
        );
        assert_eq!(store.stats().owners, 1);
        assert_eq!(store.owned_by("ann").len(), 2);
        assert!(store.peek(&ids[0]).unwrap().owner.is_none());
        assert_eq!(left(&store, &ids[1]), seconds(5));
        assert_eq!(left(&store, &ids[2]), seconds(3));
        assert!(store.peek(&ids[3]).is_none());
        let keeps_roles = |id| store.peek(id).unwrap().attributes.contains("roles");
        assert!(!ids[..3].iter().any(keeps_roles));
        let size = ids[..3]
            .iter()
            .map(|id| store.peek(id).unwrap().attributes.size());
        assert!(store.stats().bytes >= size.sum::<usize>() as u64);
    }
    assert_eq!(seen.load(Ordering::Relaxed), 8);
    // Those that have lapsed are not shown.
    machine.wall.advance(HOUR);
    let restored = file
        .restore(machine.builder(Settings::new(HOUR)))
        .unwrap()
        .1;
    assert_eq!((restored.lapsed, seen.load(Ordering::Relaxed)), (4, 8));
}

#[test]
fn no_term_is_so_long_that_it_cannot_be_kept() {
    let machine = Machine::new();
    let store = machine.builder(Settings::new(HOUR)).build().unwrap();
    let id = *store.create().unwrap().id();
    machine.file().write(&store).unwrap();
    let file = machine.file().on_restore(|session| {
        session.idle_timeout = Duration::MAX;
        session.lifetime_left = Some(Duration::MAX);
        true
    });
    let (store, _) = file.restore(machine.builder(Settings::new(HOUR))).unwrap();
    let years = Duration::from_secs(365 * 24 * 3_600);
    assert!((years * 34..years * 35).contains(&left(&store, &id)));
}
