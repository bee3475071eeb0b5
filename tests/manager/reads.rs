//! What a request reads: the newest state, and what it has seen itself where only a step over the
//! network can tell.

use crate::remote::Remote;
use crate::sessions::{IDLE, millis, seconds};
use crate::site::{Site, more};
use dwell::ManualClock;
use dwell::manager::{Manager, Session};
use dwell::session::{Changes, SessionError, SessionStore, Settings};
use pollster::block_on;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::task::{Context, Poll, Waker};

/// A site whose provider is asked over a network, and that provider.
fn over_network(settings: Settings) -> (Site, Arc<Remote>) {
    let clock = ManualClock::new();
    let store = SessionStore::builder(settings).clock(clock.clone());
    let store = store.build().unwrap();
    let remote = Remote::new(&store);
    let manager = Manager::builder("sid").provider(remote.clone());
    let site = Site {
        manager: manager.build().unwrap(),
        store,
        clock,
    };
    (site, remote)
}

fn visits(session: &Session) -> Option<u64> {
    let visits = block_on(session.get::<u64>("visits")).unwrap();
    visits.map(|visits| *visits)
}

#[test]
fn a_request_takes_one_step_over_the_network_however_much_it_reads() {
    let (site, remote) = over_network(Settings::new(IDLE));
    let id = site.visit();
    remote.took();
    let session = site.start_as(&id);
    for _ in 0..5 {
        assert_eq!(visits(&session), Some(1));
        assert!(block_on(session.contains("visits")).unwrap());
        assert_eq!(block_on(session.keys()).unwrap(), ["visits"]);
        assert!(block_on(session.owner()).unwrap().is_none());
    }
    assert_eq!(remote.took(), 1);
}

#[test]
fn a_change_starts_from_what_the_request_has_seen() {
    let (site, remote) = over_network(Settings::new(IDLE));
    let id = site.visit();
    remote.took();
    let session = site.start_as(&id);
    for expected in 2..5 {
        assert_eq!(*block_on(session.update("visits", more)).unwrap(), expected);
        assert_eq!(visits(&session), Some(expected));
    }
    assert_eq!(remote.took(), 1 + 3);

    // Another request wrote meanwhile: nothing is lost.
    block_on(site.start_as(&id).update("visits", more)).unwrap();
    assert_eq!(*block_on(session.update("visits", more)).unwrap(), 6);
}

#[test]
fn a_change_that_changes_nothing_is_no_step() {
    let (site, remote) = over_network(Settings::new(IDLE));
    let session = site.start_as(&site.visit());
    remote.took();
    assert!(!block_on(session.delete("none")).unwrap());
    assert!(block_on(session.take::<u64>("none")).unwrap().is_none());
    assert_eq!(remote.took(), 0);
}

#[test]
fn reads_see_the_requests_own_writes() {
    let (site, _) = over_network(Settings::new(IDLE));
    for site in [site, Site::new()] {
        let session = site.start_as(&site.visit());
        let clone = session.clone();
        block_on(async {
            session.set("name", String::from("Ann")).await.unwrap();
            assert!(clone.contains("name").await.unwrap());
            session.set_owner("ann").await.unwrap();
            assert_eq!(clone.owner().await.unwrap().as_deref(), Some("ann"));
            session.renew().await.unwrap();
            assert!(clone.contains("name").await.unwrap());
            session.clear_owner().await.unwrap();
            assert!(clone.owner().await.unwrap().is_none());
            session.log_in("bob").await.unwrap();
            assert_eq!(clone.owner().await.unwrap().as_deref(), Some("bob"));
            let version = session.snapshot().await.unwrap().unwrap().version;
            let changes = Changes::default().delete("name");
            session.apply_at(version, changes).await.unwrap();
            assert!(!clone.contains("name").await.unwrap());
            session.clear().await.unwrap();
            assert!(clone.keys().await.unwrap().is_empty());
        });
    }
}

#[test]
fn a_write_whose_end_nobody_saw_is_not_read_over() {
    let (site, remote) = over_network(Settings::new(IDLE));
    let session = site.start_as(&site.visit());
    remote.is_slow.store(true, SeqCst);
    {
        let mut write = pin!(session.set("visits", 7_u64));
        let mut context = Context::from_waker(Waker::noop());
        assert!(matches!(write.as_mut().poll(&mut context), Poll::Pending));
    }
    remote.is_slow.store(false, SeqCst);
    assert_eq!(visits(&session), Some(7));
}

#[test]
fn a_read_that_began_before_a_write_does_not_hide_it() {
    let (site, remote) = over_network(Settings::new(IDLE));
    let session = site.start_as(&site.visit());
    remote.is_slow.store(true, SeqCst);
    let mut read = pin!(session.snapshot());
    let mut context = Context::from_waker(Waker::noop());
    assert!(matches!(read.as_mut().poll(&mut context), Poll::Pending));
    remote.is_slow.store(false, SeqCst);
    block_on(session.set("visits", 7_u64)).unwrap();
    let before = block_on(read).unwrap().unwrap();
    assert_eq!(*before.attributes.get::<u64>("visits").unwrap().unwrap(), 1);
    assert_eq!(visits(&session), Some(7));
}

#[test]
fn a_snapshot_is_the_newest_and_so_is_what_is_read_after_it() {
    let (site, remote) = over_network(Settings::new(IDLE));
    let id = site.visit();
    let session = site.start_as(&id);
    block_on(site.start_as(&id).update("visits", more)).unwrap();
    assert_eq!(visits(&session), Some(1), "seen before, and not long ago");
    let newest = block_on(session.snapshot()).unwrap().unwrap();
    assert_eq!(*newest.attributes.get::<u64>("visits").unwrap().unwrap(), 2);
    remote.took();
    assert_eq!(visits(&session), Some(2));
    assert_eq!(remote.took(), 0);
}

#[test]
fn after_a_step_that_was_refused_every_read_asks() {
    for ends in [true, false] {
        let (site, _) = over_network(Settings::new(IDLE));
        let id = site.visit();
        let session = site.start_as(&id);
        let other = site.start_as(&id);
        match ends {
            true => drop(block_on(other.destroy()).unwrap()),
            false => block_on(other.log_in("ann")).unwrap(),
        }
        assert_eq!(visits(&session), Some(1), "seen before, and not long ago");
        let refused = block_on(session.set("visits", 9_u64)).unwrap_err();
        let expected = |error: &SessionError| match ends {
            true => matches!(error, SessionError::Ended),
            false => matches!(error, SessionError::Superseded),
        };
        assert!(expected(&refused), "{refused}");
        for _ in 0..2 {
            let refused = block_on(session.get::<u64>("visits")).unwrap_err();
            assert!(expected(&refused), "{refused}");
        }
    }
}

#[test]
fn in_memory_each_read_sees_the_newest_state_the_end_and_the_time() {
    let site = Site::new();
    let id = site.visit();
    let session = site.start_as(&id);
    assert_eq!(visits(&session), Some(1));
    block_on(site.start_as(&id).update("visits", more)).unwrap();
    assert_eq!(visits(&session), Some(2));
    // A read is an access, whether or not there was a look-up for it.
    site.clock.advance(IDLE - millis(1));
    assert_eq!(visits(&session), Some(2));
    site.clock.advance(IDLE - millis(1));
    assert_eq!(visits(&session), Some(2));
    site.clock.advance(IDLE);
    let late = block_on(session.get::<u64>("visits"));
    assert!(matches!(late, Err(SessionError::Ended)));

    let id = site.visit();
    let session = site.start_as(&id);
    block_on(site.start_as(&id).destroy()).unwrap();
    let late = block_on(session.owner());
    assert!(matches!(late, Err(SessionError::Ended)));
}

#[test]
fn in_memory_an_old_id_reads_for_its_grace_and_not_after() {
    let site = Site::with(Settings::new(IDLE).grace(seconds(5)));
    let id = site.visit();
    block_on(site.start_as(&id).renew()).unwrap();
    let session = site.start_as(&id);
    assert_eq!(visits(&session), Some(1));
    site.clock.advance(seconds(5));
    let late = block_on(session.get::<u64>("visits"));
    assert!(matches!(late, Err(SessionError::Superseded)));
}

#[test]
fn the_request_that_creates_a_session_does_not_touch_it_by_reading() {
    let site = Site::new();
    let session = site.start(&[]);
    block_on(session.set("visits", 1_u64)).unwrap();
    site.clock.advance(IDLE - millis(1));
    assert_eq!(visits(&session), Some(1));
    site.clock.advance(millis(1));
    let late = block_on(session.get::<u64>("visits"));
    assert!(matches!(late, Err(SessionError::Ended)));
}
