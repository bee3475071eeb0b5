//! What can only be shown from inside: failures of the generator, races, one step after the other,
//! and an owner's set.

use super::by::Named;
use super::id::system_random;
use super::owned::{Owned, Times};
use super::*;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::cell::RefCell;
use std::collections::BTreeMap;
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
        .write(Named::by_key(key), |_, new| {
            new.owner = Some(owner.into());
            Ok::<_, SessionError>(())
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
    // One login has claimed the first session, which another request makes bob's. That one is
    // stopped before it takes it out of ann's index.
    let claimed = store.store.claim_surplus("ann", 1, &two.key());
    owners.add(&"bob".into(), one.key());
    write_owner(&store, &one.key(), "bob");
    // The login goes on: it ends nobody.
    assert_eq!(claimed, [one.key()]);
    assert!(!store.store.end_claimed("ann", claimed));
    // A third request makes the session ann's again, from beginning to end, and the second one goes
    // on.
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
    let claimed = store.store.claim_surplus("ann", 1, &one.key());
    store.store.end_surplus("ann", 1, two.key());
    assert!(one.peek().is_some());
    claimed.iter().for_each(|key| assert!(store.destroy(key)));
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

/// An owner's sessions as a plain list, and the times that a look at them finds.
#[derive(Default)]
struct Plain {
    owned: Owned,
    shares: BTreeMap<SessionKey, (u32, bool)>,
    times: BTreeMap<SessionKey, Times>,
    looks: usize,
}

impl Plain {
    fn add(&mut self, key: SessionKey, times: Times) {
        self.owned = self.owned.counted(key);
        self.shares.entry(key).or_default().0 += 1;
        // As long as the session is there, its end is only put off.
        let known = self.times.entry(key).or_insert(times);
        known.accessed = times.accessed;
        known.ends = known.ends.max(times.ends);
    }

    fn claim(&mut self, most: usize, newest: &SessionKey, now: u64) -> Vec<SessionKey> {
        let live = |times: &Times| (now < times.ends).then_some(*times);
        let mut looks = 0;
        let look = |key: &SessionKey| {
            looks += 1;
            self.times.get(key).and_then(live)
        };
        let claimed = self.owned.claim(most, newest, now, look);
        self.looks += looks;
        let Some((owned, claimed)) = claimed else {
            assert!(self.shares.get(newest).is_none_or(|(_, claimed)| *claimed));
            return Vec::new();
        };
        self.owned = owned;
        let free = self.shares.iter().filter(|(_, (_, claimed))| !claimed);
        let mut free: Vec<_> = free
            .filter_map(|(key, _)| Some((live(self.times.get(key)?)?.accessed, *key)))
            .collect();
        let surplus = free.len().saturating_sub(most);
        free.retain(|(_, key)| key != newest);
        free.sort_by_key(|(accessed, _)| *accessed);
        assert_eq!(claimed.len(), surplus.min(free.len()));
        for (key, expected) in claimed.iter().zip(free) {
            let accessed = self.times[key].accessed;
            assert_eq!(accessed, expected.0, "the most idle first");
            let share = self.shares.get_mut(key).unwrap();
            assert!(!std::mem::replace(&mut share.1, true), "claimed twice");
        }
        claimed
    }
}

fn plain_key(bytes: u128) -> SessionKey {
    let text = URL_SAFE_NO_PAD.encode(bytes.to_be_bytes());
    SessionKey::parse(&text).expect("16 bytes")
}

fn key(number: u128) -> SessionKey {
    // Spread over all bits, as random ones are.
    let bytes = number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    plain_key(bytes)
}

#[test]
fn an_owners_set_does_what_a_plain_list_does() {
    let mut random = fastrand::Rng::with_seed(7);
    for round in 0..300 {
        let (mut plain, most, keys) = (Plain::default(), random.usize(1..6), random.u128(2..40));
        // Keys that differ in their last bits only, too.
        let key = |number| match round % 3 {
            0 => plain_key(number),
            _ => key(number),
        };
        for now in 0..400_u64 {
            let key = key(random.u128(0..keys));
            let accessed = now;
            match random.u8(0..10) {
                0..4 => plain.add(
                    key,
                    Times {
                        accessed,
                        ends: now + random.u64(5..200),
                    },
                ),
                4..6 => {
                    plain.owned = plain.owned.discounted(&key);
                    if let Some(share) = plain.shares.get_mut(&key) {
                        share.0 -= 1;
                        if share.0 == 0 {
                            plain.shares.remove(&key);
                        }
                    }
                }
                6..8 => {
                    // An access puts the end off.
                    if let Some(times) = plain.times.get_mut(&key) {
                        times.accessed = now;
                        times.ends = times.ends.max(now + 50);
                    }
                }
                8 => {
                    // Shorter terms.
                    if let Some(times) = plain.times.get_mut(&key) {
                        times.ends = now + random.u64(1..5);
                    }
                    plain.owned = plain.owned.doubted(&key).unwrap_or(plain.owned);
                }
                _ => {
                    for claimed in plain.claim(most, &key, now) {
                        if random.bool() {
                            plain.owned = plain.owned.unclaimed(&claimed).unwrap();
                            plain.shares.get_mut(&claimed).unwrap().1 = false;
                        }
                    }
                }
            }
            assert_eq!(plain.owned.len(), plain.shares.len());
            assert_eq!(plain.owned.is_empty(), plain.shares.is_empty());
            assert!(plain.owned.keys().eq(plain.shares.keys().copied()));
        }
    }
}

#[test]
fn a_search_looks_at_those_that_were_used_since_the_last_one() {
    const SESSIONS: u128 = 20_000;
    let mut plain = Plain::default();
    for number in 0..SESSIONS {
        let accessed = number as u64;
        plain.add(
            key(number),
            Times {
                accessed,
                ends: u64::MAX,
            },
        );
    }
    let mut now = SESSIONS as u64;
    let mut login = |plain: &mut Plain, most: usize| {
        now += 1;
        let newest = key(now.into());
        plain.add(
            newest,
            Times {
                accessed: now,
                ends: u64::MAX,
            },
        );
        plain.looks = 0;
        let claimed = plain.claim(most, &newest, now);
        for key in &claimed {
            plain.owned = plain.owned.discounted(key);
            plain.shares.remove(key);
        }
        (claimed, plain.looks)
    };
    // The first one knows nothing.
    let (claimed, looks) = login(&mut plain, SESSIONS as usize);
    assert_eq!((claimed, looks), (vec![key(0)], SESSIONS as usize + 2));
    // Those that nobody uses are looked at no more: there is the newest, and the one that ends.
    for number in 1..100 {
        let (claimed, looks) = login(&mut plain, SESSIONS as usize);
        assert_eq!((claimed, looks), (vec![key(number)], 2));
    }
    // Of those that were used, each is looked at once, and a few others on the way.
    for number in 100..400 {
        plain.times.get_mut(&key(number)).unwrap().accessed += SESSIONS as u64;
    }
    let (claimed, looks) = login(&mut plain, SESSIONS as usize);
    assert_eq!(claimed, [key(400)]);
    assert!((302..330).contains(&looks), "{looks}");
    let (claimed, looks) = login(&mut plain, SESSIONS as usize);
    assert_eq!((claimed, looks), (vec![key(401)], 2));
    // A lower bound, as after a restart.
    let (claimed, looks) = login(&mut plain, SESSIONS as usize / 2);
    assert_eq!(
        (claimed.len(), looks),
        (SESSIONS as usize / 2 + 1, SESSIONS as usize / 2 + 2)
    );
}
