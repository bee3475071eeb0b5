//! Logins and logouts of a request: which id answers after them, and what is left when they fail.

use crate::sessions::{IDLE, seconds, together};
use crate::site::{NAME, Site, issued, more, request, set_cookie};
use dwell::manager::Manager;
use dwell::provider::{Access, Answer, By, MemoryProvider, Provider};
use dwell::session::{
    Attributes, Changes, IssuedSession, SessionError, SessionId, SessionInfo, SessionKey,
    SessionStore, Settings, Snapshot,
};
use http::{HeaderMap, header};
use pollster::block_on;
use std::future::{Future, pending};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

fn is_superseded<T>(result: Result<T, SessionError>) -> bool {
    matches!(result, Err(SessionError::Superseded))
}

#[test]
fn a_login_takes_the_session_from_whoever_knew_the_old_id() {
    let site = Site::with(Settings::new(IDLE).grace(seconds(5)));
    let planted = site.visit();
    // The attacker's request begins before the login, and goes on after it.
    let under_way = site.start_as(&planted);
    let session = site.start_as(&planted);
    block_on(session.log_in("ann")).unwrap();
    block_on(session.set("secret", String::from("hers"))).unwrap();
    let id = issued(&site.finish(session)).expect("a new id");
    assert_ne!(id, planted);

    block_on(async {
        assert!(is_superseded(under_way.snapshot().await));
        assert!(is_superseded(under_way.get::<String>("secret").await));
        assert!(is_superseded(under_way.set("visits", 9_u64).await));
        assert!(is_superseded(under_way.update("visits", more).await));
        assert!(is_superseded(under_way.set_owner("eve").await));
        assert!(is_superseded(under_way.clear_owner().await));
        assert!(is_superseded(under_way.set_idle_timeout(IDLE * 9).await));
        assert!(is_superseded(under_way.set_lifetime(IDLE).await));
        assert!(is_superseded(under_way.renew().await));
        assert!(is_superseded(under_way.log_in("eve").await));
        assert!(is_superseded(under_way.destroy().await));
    });
    assert!(
        site.finish(under_way).is_empty(),
        "nobody's cookie is touched"
    );
    assert!(site.start_as(&planted).is_new());

    let session = site.start_as(&id);
    let seen = block_on(session.snapshot()).unwrap().unwrap();
    assert_eq!(seen.owner.as_deref(), Some("ann"));
    assert_eq!(*seen.attributes.get::<u64>("visits").unwrap().unwrap(), 1);
    assert!(seen.lifetime_left.is_none());
}

#[test]
fn a_request_goes_on_in_the_grace_of_its_id_and_not_after() {
    let site = Site::with(Settings::new(IDLE).grace(seconds(5)));
    let old = site.visit();
    let slow = site.start_as(&old);
    block_on(site.start_as(&old).renew()).unwrap();
    site.clock.advance(seconds(5) - Duration::from_millis(1));
    block_on(slow.update("visits", more)).unwrap();
    site.clock.advance(Duration::from_millis(1));
    assert!(is_superseded(block_on(slow.update("visits", more))));
}

#[test]
fn a_login_of_a_visitor_without_a_session_makes_one() {
    let site = Site::new();
    let session = site.start(&[]);
    block_on(session.log_in("ann")).unwrap();
    assert_eq!(block_on(session.owner()).unwrap().as_deref(), Some("ann"));
    let id = issued(&site.finish(session)).expect("an id");
    assert!(!site.start_as(&id).is_new());
    assert_eq!(site.store.owned_by("ann").len(), 1);
}

#[test]
fn of_parallel_logins_one_wins_and_the_others_keep_their_way_back() {
    for _ in 0..50 {
        let site = Site::new();
        let id = site.visit();
        let start = Arc::new(site.start_as(&id));
        let others = [site.start_as(&id), site.start_as(&id), (*start).clone()];
        let results = together(3, |number| block_on(others[number].log_in("ann")));
        let won = results.iter().filter(|result| result.is_ok()).count();
        assert_eq!(won, 1);
        assert_eq!(
            site.store.owned_by("ann").len(),
            1,
            "no session is left over"
        );
        for (session, result) in others.into_iter().zip(results) {
            match result {
                Ok(()) => assert!(issued(&site.finish(session)).is_some()),
                Err(SessionError::Superseded) => {
                    let other = session.clone();
                    assert!(site.finish(session).is_empty());
                    drop(other);
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[test]
fn who_lost_a_login_may_have_a_session_of_its_own() {
    let site = Site::new();
    let id = site.visit();
    let (one, two) = (site.start_as(&id), site.start_as(&id));
    block_on(async {
        one.log_in("ann").await.unwrap();
        assert!(is_superseded(two.log_in("ann").await));
        two.start_over();
        two.log_in("ann").await.unwrap();
        assert_ne!(one.id(), two.id());
        assert_eq!(*one.get::<u64>("visits").await.unwrap().unwrap(), 1);
        assert!(two.get::<u64>("visits").await.unwrap().is_none());
    });
    assert_eq!(site.store.owned_by("ann").len(), 2);
}

#[test]
fn clones_of_a_request_follow_its_renewals() {
    let site = Site::with(Settings::new(IDLE).grace(Duration::ZERO));
    let session = site.start_as(&site.visit());
    let clone = session.clone();
    together(2, |number| {
        for _ in 0..200 {
            match number {
                0 => block_on(session.renew()).unwrap(),
                // Between the provider's step and the request's the old id answers no more, and
                // the request does not have the new one yet.
                _ => while is_superseded(block_on(clone.update("visits", more)).map(drop)) {},
            }
        }
    });
    let visits = block_on(session.get::<u64>("visits")).unwrap().unwrap();
    assert_eq!(*visits, 201);
}

/// A provider whose ends fail, or never end, until it is told otherwise.
#[derive(Debug)]
struct Flaky {
    memory: MemoryProvider,
    mood: Mutex<Mood>,
    asked: AtomicUsize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Mood {
    Works,
    Fails,
    Hangs,
    /// Does it, and loses the answer.
    DoesItAndHangs,
    /// Does it, and answers when it is asked once more.
    DoesItLate,
}

impl Flaky {
    fn site() -> (Arc<Self>, Manager, SessionStore) {
        let store = SessionStore::new(IDLE);
        let provider = Arc::new(Self {
            memory: MemoryProvider::new(store.clone()),
            mood: Mutex::new(Mood::Works),
            asked: AtomicUsize::new(0),
        });
        let manager = Manager::builder("sid").provider(provider.clone());
        (provider, manager.build().unwrap(), store)
    }

    fn is(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    fn answer<'a, T: Send + 'a>(&self, answer: Answer<'a, T>) -> Answer<'a, T> {
        let mood = *self.mood.lock().unwrap();
        match mood {
            Mood::Works => answer,
            Mood::Fails => Answer::later(async { Err(SessionError::Backend("not there".into())) }),
            Mood::Hangs => Answer::later(pending()),
            Mood::DoesItAndHangs => Answer::later(async move {
                answer.await?;
                pending().await
            }),
            Mood::DoesItLate => Answer::later(async move {
                let result = answer.await;
                let mut is_late = true;
                std::future::poll_fn(|_| match std::mem::take(&mut is_late) {
                    true => Poll::Pending,
                    false => Poll::Ready(()),
                })
                .await;
                result
            }),
        }
    }
}

impl Provider for Flaky {
    fn init(&self, attributes: Attributes) -> Answer<'_, IssuedSession> {
        self.memory.init(attributes)
    }
    fn read(&self, session: By, access: Access) -> Answer<'_, Option<Snapshot>> {
        self.memory.read(session, access)
    }
    fn apply(&self, session: By, changes: Changes, version: Option<u64>) -> Answer<'_, Snapshot> {
        self.memory.apply(session, changes, version)
    }
    fn touch(&self, session: By) -> Answer<'_, ()> {
        self.memory.touch(session)
    }
    fn destroy(&self, session: By) -> Answer<'_, bool> {
        self.asked.fetch_add(1, SeqCst);
        // The memory provider works when it is called: only what is asked for may be done.
        match *self.mood.lock().unwrap() {
            Mood::Works | Mood::DoesItAndHangs | Mood::DoesItLate => {}
            Mood::Fails => {
                return Answer::later(async { Err(SessionError::Backend("not there".into())) });
            }
            Mood::Hangs => return Answer::later(pending()),
        }
        self.answer(self.memory.destroy(session))
    }
    fn renew<'a>(
        &'a self,
        id: &'a SessionId,
        grace: Option<Duration>,
    ) -> Answer<'a, IssuedSession> {
        self.memory.renew(id, grace)
    }
    fn log_in<'a>(&'a self, id: &'a SessionId, owner: &'a str) -> Answer<'a, IssuedSession> {
        self.answer(self.memory.log_in(id, owner))
    }
    fn set_owner<'a>(&'a self, session: By, owner: Option<&'a str>) -> Answer<'a, ()> {
        if *self.mood.lock().unwrap() == Mood::Fails {
            return Answer::later(async { Err(SessionError::Backend("not there".into())) });
        }
        self.memory.set_owner(session, owner)
    }
    fn owned_by<'a>(&'a self, owner: &'a str) -> Answer<'a, Vec<SessionInfo>> {
        self.memory.owned_by(owner)
    }
    fn destroy_owned_by<'a>(
        &'a self,
        owner: &'a str,
        except: Option<&'a SessionKey>,
    ) -> Answer<'a, usize> {
        self.memory.destroy_owned_by(owner, except)
    }
    fn set_idle_timeout(&self, session: By, timeout: Duration) -> Answer<'_, ()> {
        self.memory.set_idle_timeout(session, timeout)
    }
    fn set_lifetime(&self, session: By, lifetime: Duration) -> Answer<'_, ()> {
        self.memory.set_lifetime(session, lifetime)
    }
    fn collect(&self) -> Answer<'_, usize> {
        self.memory.collect()
    }
}

fn with_cookie(store: &SessionStore) -> (SessionId, HeaderMap) {
    let id = *store.create().unwrap().id();
    (id, request(&[&format!("{NAME}={}", id.to_cookie())]))
}

#[test]
fn a_logout_that_fails_leaves_the_client_its_cookie_and_can_be_tried_again() {
    let (provider, manager, store) = Flaky::site();
    let (id, request) = with_cookie(&store);
    let session = block_on(manager.start(&request)).unwrap();
    provider.is(Mood::Fails);
    for _ in 0..2 {
        let failed = block_on(session.destroy());
        assert!(matches!(failed, Err(SessionError::Backend(_))));
    }
    assert_eq!(provider.asked.load(SeqCst), 2);
    assert_eq!(session.id(), Some(id));
    let mut response = HeaderMap::new();
    let failed = block_on(manager.destroy(session.clone(), &mut response));
    assert!(failed.is_err());
    assert!(set_cookie(&response).is_none(), "the client keeps its id");
    assert!(store.find(&id).is_some());

    provider.is(Mood::Works);
    let session = block_on(manager.start(&request)).unwrap();
    assert!(block_on(manager.destroy(session, &mut response)).unwrap());
    assert!(
        response[header::SET_COOKIE]
            .to_str()
            .unwrap()
            .contains("Max-Age=0")
    );
    assert!(store.find(&id).is_none());
}

#[test]
fn a_logout_whose_future_is_dropped_can_be_tried_again() {
    for (mood, is_done) in [(Mood::Hangs, false), (Mood::DoesItAndHangs, true)] {
        let (provider, manager, store) = Flaky::site();
        let (id, request) = with_cookie(&store);
        let session = block_on(manager.start(&request)).unwrap();
        provider.is(mood);
        {
            let mut logout = pin!(session.destroy());
            let mut context = Context::from_waker(Waker::noop());
            assert!(matches!(logout.as_mut().poll(&mut context), Poll::Pending));
        }
        assert_eq!(store.find(&id).is_none(), is_done);
        assert_eq!(session.id(), Some(id), "nothing was told as done");
        provider.is(Mood::Works);
        assert_eq!(block_on(session.destroy()).unwrap(), !is_done);
        assert!(store.find(&id).is_none());
        let mut response = HeaderMap::new();
        manager.finish(session, &mut response);
        assert!(set_cookie(&response).unwrap().contains("Max-Age=0"));
    }
}

#[test]
fn a_login_that_fails_leaves_no_session_behind() {
    let (provider, manager, store) = Flaky::site();
    let session = block_on(manager.start(&HeaderMap::new())).unwrap();
    provider.is(Mood::Fails);
    // The session that was made for it could not be ended either: nobody has its id.
    assert!(block_on(session.log_in("ann")).is_err());
    assert!(session.is_new() && store.owned_by("ann").is_empty());
    provider.is(Mood::Works);
    block_on(session.log_in("ann")).unwrap();
    assert_eq!(store.owned_by("ann").len(), 1);
}

/// Calls a clone of the request's session while a login is under way.
fn overtaken(meanwhile: impl FnOnce(&dwell::manager::Session)) -> (SessionStore, SessionError) {
    let (provider, manager, store) = Flaky::site();
    let (_, request) = with_cookie(&store);
    let session = block_on(manager.start(&request)).unwrap();
    let clone = session.clone();
    provider.is(Mood::DoesItLate);
    let mut login = pin!(session.log_in("ann"));
    let mut context = Context::from_waker(Waker::noop());
    assert!(matches!(login.as_mut().poll(&mut context), Poll::Pending));
    meanwhile(&clone);
    provider.is(Mood::Works);
    let mut response = HeaderMap::new();
    manager.finish(clone, &mut response);
    let error = block_on(login).unwrap_err();
    (store, error)
}

#[test]
fn a_login_whose_id_can_reach_nobody_leaves_no_session() {
    let (store, error) = overtaken(|_| {});
    assert!(matches!(error, SessionError::Finished), "{error}");
    assert!(store.owned_by("ann").is_empty() && store.is_empty());
    let (store, error) = overtaken(|clone| clone.start_over());
    assert!(matches!(error, SessionError::Ended), "{error}");
    assert!(store.owned_by("ann").is_empty() && store.is_empty());
}
