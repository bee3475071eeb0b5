//! Requests that overlap, and clones of one request's session.

use crate::sessions::together;
use crate::site::{Site, issued, more};
use dwell::session::SessionError;
use pollster::block_on;

#[test]
fn fifty_overlapping_requests_that_each_set_their_own_key_keep_fifty() {
    let site = Site::new();
    let id = site.visit();
    together(50, |number| {
        let session = site.start_as(&id);
        block_on(session.set(&format!("key {number}"), number)).unwrap();
        block_on(session.update("visits", more)).unwrap();
    });
    let session = site.start_as(&id);
    assert_eq!(block_on(session.keys()).unwrap().len(), 51);
    assert_eq!(
        *block_on(session.get::<u64>("visits")).unwrap().unwrap(),
        51
    );
}

#[test]
fn an_update_that_is_overtaken_runs_again() {
    let site = Site::new();
    let id = site.visit();
    let mut overtakes = Some(site.start_as(&id));
    let session = site.start_as(&id);
    let updated = session.update("visits", |visits| {
        if let Some(other) = overtakes.take() {
            block_on(other.set("visits", 10_u64)).unwrap();
        }
        more(visits)
    });
    assert_eq!(*block_on(updated).unwrap(), 11);
}

#[test]
fn of_clones_that_both_create_the_session_the_first_does() {
    let site = Site::new();
    let session = site.start(&[]);
    let mut overtakes = Some(session.clone());
    let updated = session.update("visits", |visits| {
        if let Some(clone) = overtakes.take() {
            block_on(clone.set("visits", 10_u64)).unwrap();
        }
        more(visits)
    });
    assert_eq!(*block_on(updated).unwrap(), 11);
    assert_eq!(site.store.len(), 1);
}

#[test]
fn a_flash_message_is_taken_by_one_of_parallel_requests() {
    let site = Site::new();
    let id = site.visit();
    block_on(site.start_as(&id).set("flash", 7_u64)).unwrap();
    let taken = together(4, |_| {
        block_on(site.start_as(&id).take::<u64>("flash")).unwrap()
    });
    assert_eq!(taken.into_iter().flatten().count(), 1);
}

#[test]
fn of_parallel_logins_with_one_id_one_wins_and_the_other_is_told() {
    let site = Site::new();
    let id = site.visit();
    let results = together(4, |_| {
        let session = site.start_as(&id);
        block_on(session.renew()).map(|()| issued(&site.finish(session)).unwrap())
    });
    let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    for lost in lost {
        assert!(matches!(lost, Err(SessionError::Superseded)));
    }
    let id = won.into_iter().flatten().next().unwrap();
    assert!(!site.start_as(&id).is_new());
}

#[test]
fn clones_of_a_session_create_one_and_agree_on_its_end() {
    let site = Site::new();
    let session = site.start(&[]);
    let clone = session.clone();
    block_on(async {
        clone.set("visits", 1_u64).await.unwrap();
        assert_eq!(*session.get::<u64>("visits").await.unwrap().unwrap(), 1);
        assert_eq!(session.id(), clone.id());
        session.renew().await.unwrap();
        assert_eq!(session.id(), clone.id());
        assert!(clone.destroy().await.unwrap());
        assert!(matches!(
            session.set("late", 1).await,
            Err(SessionError::Ended)
        ));
        assert!(!session.destroy().await.unwrap(), "once");
    });
    assert_eq!(site.store.len(), 0);
}

#[test]
fn the_client_is_told_once_whichever_clone_goes_first() {
    let site = Site::new();
    let session = site.start(&[]);
    block_on(session.set("visits", 1_u64)).unwrap();
    let clone = session.clone();
    assert!(issued(&site.finish(clone)).is_some());
    assert!(site.finish(session).is_empty());
}

#[test]
fn a_logout_during_a_slow_request_stays() {
    let site = Site::new();
    let id = site.visit();
    let slow = site.start_as(&id);
    block_on(site.start_as(&id).destroy()).unwrap();
    assert!(matches!(
        block_on(slow.set("visits", 2_u64)),
        Err(SessionError::Ended)
    ));
    assert!(matches!(
        block_on(slow.update("visits", more)),
        Err(SessionError::Ended)
    ));
    assert!(matches!(
        block_on(slow.get::<u64>("visits")),
        Err(SessionError::Ended)
    ));
    assert!(matches!(block_on(slow.renew()), Err(SessionError::Ended)));
    assert!(matches!(
        block_on(slow.set_owner("ann")),
        Err(SessionError::Ended)
    ));
    assert!(
        site.finish(slow).is_empty(),
        "no cookie for a session that has ended"
    );
    assert!(site.store.is_empty());
}
