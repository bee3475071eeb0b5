//! What can only be shown from inside: failures of the generator, and races, one step after the other.

use super::id::system_random;
use super::*;
use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::time::Duration;

const IDLE: Duration = Duration::from_secs(60);

fn store() -> SessionStore {
    SessionStore::new(IDLE)
}

fn set_random(store: &mut SessionStore, random: fn(&mut [u8]) -> io::Result<()>) {
    Arc::get_mut(&mut store.store).expect("one owner").random = random;
}

fn keys_of(store: &SessionStore, owner: &str) -> Vec<SessionKey> {
    store
        .owned_by(owner)
        .iter()
        .map(|session| session.key)
        .collect()
}

fn write_owner(store: &SessionStore, key: &SessionKey, owner: &str) {
    store
        .store
        .write(By::Key(*key), |_, new| {
            new.owner = Some(owner.into());
            Ok(())
        })
        .expect("the session is live");
}

#[test]
fn without_random_bytes_no_id_is_issued_and_no_session_created() {
    let mut store = store();
    set_random(&mut store, |_| Err(io::Error::other("no entropy")));
    for _ in 0..3 {
        assert!(matches!(store.create(), Err(SessionError::Random(_))));
    }
    assert_eq!(store.stats().created, 0);
}

#[test]
fn a_renewal_without_random_bytes_leaves_the_old_id() {
    let mut store = store();
    let id = *store.create().unwrap().id();
    set_random(&mut store, |_| Err(io::Error::other("no entropy")));
    let mut session = store.find(&id).unwrap();
    assert!(matches!(session.renew(), Err(SessionError::Random(_))));
    assert_eq!(*session.id(), id);
    assert!(store.find(&id).is_some());
}

#[test]
fn a_generator_that_repeats_itself_takes_over_no_session() {
    let mut store = store();
    set_random(&mut store, |bytes| {
        bytes.fill(7);
        Ok(())
    });
    let first = store.create().unwrap();
    first.set("name", String::from("Ann")).unwrap();
    assert!(matches!(store.create(), Err(SessionError::Collision)));
    assert_eq!(store.len(), 1);
    assert!(first.contains("name").unwrap());
}

thread_local! {
    /// What another request does while this one waits for random bytes.
    static MEANWHILE: RefCell<Option<Box<dyn FnOnce()>>> = RefCell::default();
}

fn random_after_others(bytes: &mut [u8]) -> io::Result<()> {
    if let Some(meanwhile) = MEANWHILE.take() {
        meanwhile();
    }
    system_random(bytes)
}

#[test]
fn a_renewal_that_is_overtaken_by_another_one_fails() {
    let mut store = store();
    let id = *store.create().unwrap().id();
    set_random(&mut store, random_after_others);
    let (mut early, mut late) = (store.find(&id).unwrap(), store.find(&id).unwrap());
    let (report, reported) = std::sync::mpsc::channel();
    MEANWHILE.set(Some(Box::new(move || {
        early.renew().unwrap();
        report.send(*early.id()).unwrap();
    })));
    assert!(matches!(late.renew(), Err(SessionError::Superseded)));
    let newest = reported.recv().unwrap();
    assert!(store.find(&newest).is_some());
    assert_eq!(store.stats().renewed, 1);
}

#[test]
fn a_renewal_that_is_overtaken_by_a_logout_fails() {
    let mut store = store();
    let id = *store.create().unwrap().id();
    set_random(&mut store, random_after_others);
    let (other, mut late) = (store.find(&id).unwrap(), store.find(&id).unwrap());
    MEANWHILE.set(Some(Box::new(move || assert!(other.destroy().unwrap()))));
    assert!(matches!(late.renew(), Err(SessionError::Ended)));
    assert!(store.is_empty());
}

#[test]
fn who_takes_a_session_out_of_an_index_too_late_leaves_what_was_added_meanwhile() {
    let store = store();
    let session = store.create().unwrap();
    let key = session.key();
    session.set_owner("ann").unwrap();
    // One request makes the session bob's, and is stopped before it takes it out of ann's index.
    store.store.shared.owners.add(&"bob".into(), key);
    write_owner(&store, &key, "bob");
    // Another one makes it ann's again, from beginning to end.
    session.set_owner("ann").unwrap();
    // The first one goes on.
    store.store.shared.owners.remove("ann", key);
    assert_eq!(keys_of(&store, "ann"), [key]);
    assert!(keys_of(&store, "bob").is_empty());
}

#[test]
fn who_sets_an_owner_while_another_one_takes_it_away_is_found_in_the_index() {
    let store = store();
    let session = store.create().unwrap();
    let key = session.key();
    session.set_owner("ann").unwrap();
    // One request has begun to make it ann's again, when another one makes it nobody's.
    store.store.shared.owners.add(&"ann".into(), key);
    session.clear_owner().unwrap();
    // The first one goes on: the state before it names nobody.
    write_owner(&store, &key, "ann");
    assert_eq!(keys_of(&store, "ann"), [key]);
    session.destroy().unwrap();
    assert_eq!(store.stats().owners, 0);
}

#[test]
fn who_sets_the_owner_of_a_session_that_ended_leaves_no_trace() {
    let store = store();
    let session = store.create().unwrap();
    session.clone().destroy().unwrap();
    assert!(session.set_owner("ann").is_err());
    assert_eq!(store.stats().owners, 0);
}

#[test]
fn a_login_that_is_spared_because_it_was_anothers_counts_again() {
    let store = store();
    let (one, two) = (store.create().unwrap(), store.create().unwrap());
    one.set_owner("ann").unwrap();
    two.set_owner("ann").unwrap();
    let owners = &store.store.shared.owners;
    // One login has claimed the first session, which another request makes bob's. That one is stopped before it takes
    // it out of ann's index.
    let claimed = owners.claim("ann", |_| vec![one.key()]);
    owners.add(&"bob".into(), one.key());
    write_owner(&store, &one.key(), "bob");
    // The login goes on: it ends nobody.
    store.store.end_claimed("ann", claimed);
    // A third request makes the session ann's again, from beginning to end, and the second one goes on.
    one.set_owner("ann").unwrap();
    owners.remove("ann", one.key());
    store.store.end_surplus("ann", 1, two.key());
    assert_eq!(keys_of(&store, "ann"), [two.key()]);
}

#[test]
fn a_login_that_another_one_has_claimed_ends_nobody() {
    let store = store();
    let (one, two) = (store.create().unwrap(), store.create().unwrap());
    one.set_owner("ann").unwrap();
    two.set_owner("ann").unwrap();
    // The first login has claimed the second one's session, and is about to end it.
    let claimed = store.store.shared.owners.claim("ann", |_| vec![two.key()]);
    store.store.end_surplus("ann", 1, two.key());
    assert!(one.peek().is_some());
    claimed.iter().for_each(|key| assert!(store.end(key)));
    assert_eq!(keys_of(&store, "ann"), [one.key()]);
}

#[test]
fn a_login_that_is_not_written_yet_is_not_surplus() {
    let store = store();
    let (one, two) = (store.create().unwrap(), store.create().unwrap());
    one.set_owner("ann").unwrap();
    // The second login is in the index, and has not said yet whose it is.
    store.store.shared.owners.add(&"ann".into(), two.key());
    store.store.end_surplus("ann", 1, one.key());
    // It goes on.
    write_owner(&store, &two.key(), "ann");
    store.store.end_surplus("ann", 1, two.key());
    assert_eq!(keys_of(&store, "ann"), [two.key()]);
    assert!(one.peek().is_none());
}

#[test]
fn a_login_that_is_not_written_yet_pushes_nobody_out() {
    let store = store();
    let [one, two, late] = [(); 3].map(|()| store.create().unwrap());
    one.set_owner("ann").unwrap();
    two.set_owner("ann").unwrap();
    // The third login is in the index, and may fail.
    store.store.shared.owners.add(&"ann".into(), late.key());
    store.store.end_surplus("ann", 2, two.key());
    assert!(one.peek().is_some());
}
