//! Renewal: data moves in one step; the old id answers for the grace, and never after.

use crate::sessions::{IDLE, Rig, millis, seconds, together};
use dwell::session::{LiveSession, SessionError, SessionId, Settings};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

fn rig(grace: Duration) -> Rig {
    Rig::with(
        Settings::new(IDLE)
            .max_lifetime(seconds(1_000))
            .grace(grace),
    )
}

fn renewed(session: &LiveSession) -> LiveSession {
    let mut session = session.clone();
    session.renew().unwrap();
    session
}

#[test]
fn a_renewed_session_keeps_its_data_owner_and_deadlines() {
    let rig = rig(seconds(5));
    let old = rig.owned("ann");
    old.set("cart", 3_u64).unwrap();
    old.set_idle_timeout(seconds(600)).unwrap();
    old.set_lifetime(seconds(500)).unwrap();
    rig.advance(seconds(100));
    let new = renewed(&old);
    assert_ne!(new.id(), old.id());
    assert_eq!(new.key(), old.key());
    assert_eq!(*new.get::<u64>("cart").unwrap().unwrap(), 3);
    assert_eq!(new.owner().unwrap().as_deref(), Some("ann"));
    assert_eq!(new.peek().unwrap().lifetime_left, Some(seconds(400)));
    assert_eq!(new.time_left().unwrap(), seconds(400));
    assert_eq!(rig.keys_of("ann"), [new.key()]);
    assert_eq!((rig.store.len(), rig.store.stats().renewed), (1, 1));
}

#[test]
fn the_grace_is_exact() {
    for grace in [Duration::ZERO, millis(1), seconds(5)] {
        let rig = rig(grace);
        let old = rig.create();
        let new = renewed(&old);
        if grace > Duration::ZERO {
            assert!(rig.store.find(old.id()).is_some());
            rig.advance(grace - millis(1));
            assert!(rig.store.find(old.id()).is_some());
            assert!(rig.store.peek(old.id()).is_some());
            rig.advance(millis(1));
        }
        assert!(rig.store.find(old.id()).is_none());
        assert!(rig.store.peek(old.id()).is_none());
        assert!(rig.store.find(new.id()).is_some());
    }
}

#[test]
fn each_old_id_has_its_own_grace() {
    let rig = rig(seconds(5));
    let first = rig.create();
    let second = renewed(&first);
    rig.advance(seconds(3));
    let third = renewed(&second);
    let answers = |session: &LiveSession| rig.store.peek(session.id()).is_some();
    assert!(answers(&first) && answers(&second) && answers(&third));
    rig.advance(seconds(2));
    assert!(!answers(&first) && answers(&second) && answers(&third));
    rig.advance(seconds(3));
    assert!(!answers(&first) && !answers(&second) && answers(&third));
}

#[test]
fn a_renewal_may_have_a_grace_of_its_own() {
    let rig = rig(seconds(5));
    let old = rig.create();
    let mut new = old.clone();
    new.renew_with_grace(Duration::ZERO).unwrap();
    assert!(rig.store.find(old.id()).is_none());
}

#[test]
fn an_old_id_gets_the_live_session_and_no_more() {
    let rig = rig(seconds(5));
    let old = rig.create();
    let new = renewed(&old);
    let in_parallel = rig.store.find(old.id()).unwrap();
    in_parallel.set("key", 1_u64).unwrap();
    assert!(new.contains("key").unwrap());
    // It cannot make itself the newest again.
    assert!(matches!(
        in_parallel.clone().renew(),
        Err(SessionError::Superseded)
    ));
    rig.advance(seconds(5));
    assert!(matches!(
        in_parallel.clone().renew(),
        Err(SessionError::Superseded)
    ));
    // What came in time has lost the session, too.
    assert!(matches!(
        in_parallel.set("key", 2_u64),
        Err(SessionError::Superseded)
    ));
    assert!(matches!(
        in_parallel.destroy(),
        Err(SessionError::Superseded)
    ));
    assert_eq!(*new.get::<u64>("key").unwrap().unwrap(), 1);
    assert!(rig.store.find(old.id()).is_none());
}

#[test]
fn logging_out_by_an_old_id_in_its_grace_ends_the_session() {
    let rig = rig(seconds(5));
    let old = rig.create();
    let new = renewed(&old);
    assert!(rig.store.find(old.id()).unwrap().destroy().unwrap());
    assert!(rig.store.find(new.id()).is_none());
    assert!(rig.store.is_empty());
}

#[test]
fn of_requests_that_renew_the_same_id_one_succeeds() {
    for _ in 0..100 {
        let rig = rig(Duration::ZERO);
        let old = rig.create();
        let results = together(4, |_| {
            let mut session = old.clone();
            session.renew().map(|()| session)
        });
        let winners: Vec<_> = results.into_iter().flatten().collect();
        assert_eq!(winners.len(), 1);
        assert!(rig.store.find(winners[0].id()).is_some());
        assert!(rig.store.find(old.id()).is_none());
        assert_eq!(rig.store.len(), 1);
    }
}

#[test]
fn a_client_that_renews_without_end_does_not_grow_its_session() {
    let rig = rig(seconds(5));
    let mut session = rig.create();
    let mut ids: Vec<SessionId> = Vec::new();
    for _ in 0..100 {
        ids.push(*session.id());
        session.renew().unwrap();
    }
    let answering = ids.iter().filter(|id| rig.store.peek(id).is_some());
    assert_eq!(answering.count(), 8);
    assert!(rig.store.peek(&ids[99]).is_some(), "the newest ones answer");
}

#[test]
fn a_renewal_shortens_the_grace_of_all_older_ids_to_its_own() {
    let rig = rig(seconds(5));
    let first = rig.create();
    let mut session = first.clone();
    session.renew_with_grace(seconds(50)).unwrap();
    let second = session.clone();
    session.renew().unwrap();
    rig.advance(seconds(5) - Duration::from_millis(1));
    assert!(first.touch().is_ok() && second.touch().is_ok());
    rig.advance(Duration::from_millis(1));
    for old in [&first, &second] {
        assert!(matches!(old.touch(), Err(SessionError::Superseded)));
    }
    let third = session.clone();
    session.renew_with_grace(seconds(50)).unwrap();
    session.log_in("ann").unwrap();
    assert!(matches!(third.touch(), Err(SessionError::Superseded)));
    assert!(session.touch().is_ok());
}

#[test]
fn without_a_grace_the_session_is_there_all_the_time_and_no_replaced_id_answers() {
    let rig = rig(Duration::ZERO);
    let session = rig.create();
    let key = session.key();
    // The id before the last renewal that was announced, and the id after it.
    let announced = Mutex::new((None::<SessionId>, *session.id()));
    let is_done = AtomicBool::new(false);
    together(3, |number| {
        if number == 0 {
            let mut session = session.clone();
            for _ in 0..300 {
                let old = *session.id();
                session.renew().unwrap();
                *announced.lock().unwrap() = (Some(old), *session.id());
            }
            is_done.store(true, Ordering::SeqCst);
            return;
        }
        loop {
            let is_last = is_done.load(Ordering::SeqCst);
            let (old, new) = *announced.lock().unwrap();
            assert!(old.is_none_or(|old| rig.store.find(&old).is_none()));
            assert!(rig.store.peek_key(&key).is_some());
            assert_eq!(rig.store.len(), 1);
            // While renewals go on, the newest one may not have been announced yet.
            let answers = rig.store.find(&new).is_some();
            if is_last {
                assert!(answers);
                return;
            }
        }
    });
}

#[test]
fn with_a_grace_every_reader_finds_the_session_all_the_time() {
    let rig = rig(seconds(5));
    let session = rig.create();
    session.set("name", String::from("Ann")).unwrap();
    let newest = Mutex::new(*session.id());
    let is_done = AtomicBool::new(false);
    together(3, |number| {
        if number == 0 {
            let mut session = session.clone();
            for _ in 0..300 {
                session.renew().unwrap();
                *newest.lock().unwrap() = *session.id();
                // The clock stands, so every old id is in its grace; a store keeps eight of them.
                std::thread::yield_now();
            }
            is_done.store(true, Ordering::SeqCst);
            return;
        }
        while !is_done.load(Ordering::SeqCst) {
            let announced = newest.lock().unwrap();
            let id = *announced;
            // At most one renewal passes while the announcement is held.
            let found = rig
                .store
                .find(&id)
                .expect("one of the two ids always answers");
            assert_eq!(*found.get::<String>("name").unwrap().unwrap(), "Ann");
        }
    });
}

#[test]
fn a_renewal_that_races_a_logout_leaves_no_session() {
    for _ in 0..300 {
        let rig = rig(seconds(5));
        let old = rig.create();
        let results = together(2, |number| {
            let mut session = old.clone();
            if number == 0 {
                return session.destroy().unwrap().then_some(old.clone());
            }
            session.renew().ok().map(|()| session)
        });
        for session in results.into_iter().flatten() {
            assert!(rig.store.find(session.id()).is_none());
        }
        assert!(rig.store.is_empty());
    }
}
