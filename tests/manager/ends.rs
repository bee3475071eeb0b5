//! A request's session: its renewals, its end, and what may come after it.

use crate::sessions::{IDLE, seconds};
use crate::site::{Site, attributes, issued, set_cookie};
use dwell::session::{SessionError, Settings};
use http::{HeaderMap, header};
use pollster::block_on;
use std::time::Duration;

#[test]
fn logging_out_ends_the_session_at_the_server_and_at_the_client() {
    let site = Site::new();
    let id = site.visit();
    let mut response = HeaderMap::new();
    let session = site.start_as(&id);
    assert!(block_on(site.manager.destroy(session, &mut response)).unwrap());
    assert!(set_cookie(&response).unwrap().starts_with("__Host-sid=;"));
    let attributes = attributes(&response);
    for part in ["Max-Age=0", "Path=/", "Secure"] {
        assert!(
            attributes.iter().any(|attribute| attribute == part),
            "{attributes:?}"
        );
    }
    assert_eq!(response[header::CACHE_CONTROL], "no-store");
    assert!(site.store.is_empty());
    assert!(site.start_as(&id).is_new());
    // Without a session there is nothing to end.
    let mut response = HeaderMap::new();
    assert!(!block_on(site.manager.destroy(site.start(&[]), &mut response)).unwrap());
    assert!(response.is_empty());
}

#[test]
fn a_session_that_this_request_ended_stays_ended() {
    let site = Site::new();
    let session = site.start_as(&site.visit());
    assert!(block_on(session.destroy()).unwrap());
    assert!(session.id().is_none() && !session.is_new());
    assert!(matches!(
        block_on(session.set("flash", 1_u64)),
        Err(SessionError::Ended)
    ));
    assert!(matches!(
        block_on(session.renew()),
        Err(SessionError::Ended)
    ));
    assert!(matches!(
        block_on(session.set_owner("ann")),
        Err(SessionError::Ended)
    ));
    assert!(!block_on(session.destroy()).unwrap());
    assert!(
        set_cookie(&site.finish(session))
            .unwrap()
            .contains("Max-Age=0")
    );
}

#[test]
fn a_login_changes_the_id_and_keeps_the_data() {
    let site = Site::with(Settings::new(IDLE).grace(seconds(5)));
    let before = site.visit();
    let session = site.start_as(&before);
    block_on(session.renew()).unwrap();
    block_on(session.set_owner("ann")).unwrap();
    let after = issued(&site.finish(session)).unwrap();
    assert_ne!(before, after);
    // A request that was under way with the old id is not logged out, and gets no cookie.
    let parallel = site.start_as(&before);
    assert_eq!(block_on(parallel.owner()).unwrap().as_deref(), Some("ann"));
    assert!(site.finish(parallel).is_empty());
    site.clock.advance(seconds(5));
    let late = site.start_as(&before);
    assert!(late.is_new());
    assert!(
        site.finish(late).is_empty(),
        "the client's new cookie is left alone"
    );
    let session = site.start_as(&after);
    assert_eq!(*block_on(session.get::<u64>("visits")).unwrap().unwrap(), 1);
}

#[test]
fn a_renewal_without_a_grace_ends_the_old_id_at_once() {
    let site = Site::with(Settings::new(IDLE).grace(seconds(5)));
    let before = site.visit();
    let session = site.start_as(&before);
    block_on(session.renew_with_grace(Duration::ZERO)).unwrap();
    let after = issued(&site.finish(session)).unwrap();
    assert!(site.start_as(&before).is_new());
    assert!(!site.start_as(&after).is_new());
}

#[test]
fn a_renewal_through_the_manager_tells_the_client_once() {
    let site = Site::new();
    let mut response = HeaderMap::new();
    let session = site.start_as(&site.visit());
    let session = block_on(site.manager.renew(session, &mut response)).unwrap();
    site.manager.finish(session, &mut response);
    assert!(issued(&response).is_some());
}

#[test]
fn an_id_that_could_not_reach_the_client_is_not_issued() {
    let site = Site::new();
    let (new, known) = (site.start(&[]), site.start_as(&site.visit()));
    let clones = (new.clone(), known.clone());
    site.finish(new);
    assert!(issued(&site.finish(known)).is_none());
    block_on(async {
        let refused = clones.0.set("late", 1_u64).await;
        assert!(matches!(refused, Err(SessionError::Finished)));
        let refused = clones.1.renew().await;
        assert!(matches!(refused, Err(SessionError::Finished)));
        clones.1.set("late", 1_u64).await.unwrap();
        assert!(clones.1.destroy().await.unwrap());
    });
    assert_eq!(site.store.len(), 0);
    assert_eq!(site.store.stats().renewed, 0);
}

#[test]
fn a_request_may_start_over_after_a_logout() {
    let site = Site::new();
    let before = site.visit();
    let session = site.start_as(&before);
    block_on(async {
        session.destroy().await.unwrap();
        session.start_over();
        assert!(session.is_new());
        session.set("flash", String::from("bye")).await.unwrap();
    });
    let after = issued(&site.finish(session)).expect("a new id");
    assert_ne!(before, after);
    assert!(site.start_as(&before).is_new());
    assert_eq!(block_on(site.start_as(&after).keys()).unwrap(), ["flash"]);
}
