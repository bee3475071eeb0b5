//! Session layers within each other, and responses that are made outside of them.

use dwell::manager::{Manager, Session};
use dwell::provider::MemoryProvider;
use dwell::session::{SessionError, SessionStore};
use dwell::web::SessionLayer;
use http::header::{COOKIE, SET_COOKIE};
use http::{Request, Response};
use pollster::block_on;
use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceExt, service_fn};

type Text = Response<String>;
type Boxed<E> = BoxCloneSyncService<Request<String>, Text, E>;

/// A store, and managers over it: one for each cookie name.
struct Shop {
    store: SessionStore,
    provider: Arc<MemoryProvider>,
}

impl Shop {
    fn new() -> Self {
        let store = SessionStore::new(Duration::from_secs(60));
        let provider = Arc::new(MemoryProvider::new(store.clone()));
        Self { store, provider }
    }

    fn manager(&self, cookie: &str) -> Arc<Manager> {
        let manager = Manager::builder(cookie).provider(self.provider.clone());
        Arc::new(manager.without_collector().build().unwrap())
    }
}

fn request(cookies: &[String]) -> Request<String> {
    let mut request = Request::new(String::new());
    for cookie in cookies {
        request
            .headers_mut()
            .append(COOKIE, cookie.parse().unwrap());
    }
    request
}

/// Name and value of each cookie that is set.
fn cookies(response: &Text) -> Vec<String> {
    let set = response.headers().get_all(SET_COOKIE).iter();
    set.map(|set| set.to_str().unwrap().split(';').next().unwrap().to_owned())
        .collect()
}

fn session(request: &Request<String>) -> Session {
    request
        .extensions()
        .get::<Session>()
        .expect("a layer")
        .clone()
}

/// A handler, or a middleware without its inner service: stores under a key, and tells the keys
/// that there are.
async fn stores(request: Request<String>, key: &'static str) -> Result<Text, Infallible> {
    let session = session(&request);
    session.set(key, true).await.unwrap();
    Ok(Response::new(session.keys().await.unwrap().join(" ")))
}

/// A middleware that stores under a key before it calls what is inside.
fn storing<S>(key: &'static str, inner: S) -> Boxed<Infallible>
where
    S: Service<Request<String>, Response = Text, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static,
{
    BoxCloneSyncService::new(service_fn(move |request: Request<String>| {
        let inner = inner.clone();
        async move {
            session(&request).set(key, true).await.unwrap();
            inner.oneshot(request).await
        }
    }))
}

fn handler() -> Boxed<Infallible> {
    BoxCloneSyncService::new(service_fn(|request| stores(request, "handler")))
}

#[test]
fn a_layer_within_one_of_the_same_manager_gives_the_same_session() {
    let shop = Shop::new();
    let manager = shop.manager("sid");
    // Another manager of one provider and one cookie name has the same sessions.
    for same in [Arc::clone(&manager), shop.manager("sid")] {
        let inside = storing("inside", SessionLayer::new(same).layer(handler()));
        let site = SessionLayer::new(Arc::clone(&manager)).layer(storing("outside", inside));
        let ended = shop.store.stats().live;
        let first = block_on(site.clone().oneshot(request(&[]))).unwrap();
        assert_eq!(first.body(), "handler inside outside");
        assert_eq!(shop.store.stats().live, ended + 1);
        let cookies = cookies(&first);
        assert_eq!(cookies.len(), 1);
        let second = block_on(site.oneshot(request(&cookies))).unwrap();
        assert_eq!(second.body(), "handler inside outside");
        assert!(!second.headers().contains_key(SET_COOKIE));
    }
    assert_eq!(manager.stats().unknown, 0);
}

#[test]
fn a_login_inside_reaches_the_client_through_the_layer_outside() {
    let shop = Shop::new();
    let manager = shop.manager("sid");
    let login = service_fn(async |request: Request<String>| {
        let session = session(&request);
        session.renew_with_grace(Duration::ZERO).await.unwrap();
        session.set_owner("ann").await.unwrap();
        Ok::<_, Infallible>(Response::new(String::new()))
    });
    let inside = SessionLayer::new(Arc::clone(&manager)).layer(login);
    let site = SessionLayer::new(Arc::clone(&manager)).layer(storing("outside", inside));
    let mut held = vec![];
    for _ in 0..2 {
        let response = block_on(site.clone().oneshot(request(&held))).unwrap();
        held = cookies(&response);
        assert_eq!(held.len(), 1);
    }
    let session = block_on(manager.start(request(&held).headers())).unwrap();
    assert_eq!(block_on(session.owner()).unwrap().as_deref(), Some("ann"));
    assert_eq!(shop.store.owned_by("ann").len(), 1);
}

#[test]
fn layers_of_different_managers_have_each_a_session_and_the_handler_that_of_the_innermost() {
    let shop = Shop::new();
    let (a, b) = (shop.manager("a"), shop.manager("b"));
    let layer = |manager: &Arc<Manager>| SessionLayer::new(Arc::clone(manager));
    let two = layer(&a).layer(storing("of-a", layer(&b).layer(handler())));
    let response = block_on(two.clone().oneshot(request(&[]))).unwrap();
    assert_eq!(response.body(), "handler");
    let held = cookies(&response);
    let names: Vec<_> = held
        .iter()
        .map(|cookie| cookie.split_once('=').unwrap().0)
        .collect();
    assert_eq!(names, ["__Host-b", "__Host-a"]);
    let again = block_on(two.oneshot(request(&held))).unwrap();
    assert_eq!(cookies(&again).len(), 0);

    // Within them once more the first: its own session, not a third one.
    let inner = layer(&b).layer(storing("of-b", layer(&a).layer(handler())));
    let three = layer(&a).layer(storing("of-a", inner));
    let response = block_on(three.oneshot(request(&held))).unwrap();
    assert_eq!(response.body(), "handler of-a");
    assert_eq!((cookies(&response).len(), shop.store.stats().live), (0, 2));
}

/// Creates a session, and fails.
fn failing(seen: mpsc::Sender<Session>) -> Boxed<&'static str> {
    BoxCloneSyncService::new(service_fn(move |request: Request<String>| {
        let session = session(&request);
        seen.send(session.clone()).unwrap();
        async move {
            session.set("before", true).await.unwrap();
            Err("too slow")
        }
    }))
}

/// Answers in the place of a service that fails.
fn answering<S>(inner: S) -> Boxed<Infallible>
where
    S: Service<Request<String>, Response = Text, Error = &'static str, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static,
{
    BoxCloneSyncService::new(service_fn(move |request| {
        let answer = inner.clone().oneshot(request);
        async {
            Ok(answer
                .await
                .unwrap_or_else(|error| Response::new(error.to_owned())))
        }
    }))
}

#[test]
fn what_answers_for_a_handler_belongs_inside_of_the_layer() {
    let shop = Shop::new();
    let layer = || SessionLayer::new(shop.manager("sid"));
    let (seen, sees) = mpsc::channel();
    let outside = answering(layer().layer(failing(seen.clone())));
    let response = block_on(outside.oneshot(request(&[]))).unwrap();
    assert_eq!(
        (&**response.body(), cookies(&response).len()),
        ("too slow", 0)
    );
    // Nothing can tell the client any more.
    let session = sees.recv().unwrap();
    assert!(matches!(
        block_on(session.renew()),
        Err(SessionError::Finished)
    ));

    let inside = layer().layer(answering(failing(seen.clone())));
    let response = block_on(inside.oneshot(request(&[]))).unwrap();
    assert_eq!(
        (&**response.body(), cookies(&response).len()),
        ("too slow", 1)
    );

    let between = layer().layer(answering(layer().layer(failing(seen))));
    let response = block_on(between.oneshot(request(&[]))).unwrap();
    assert_eq!(
        (&**response.body(), cookies(&response).len()),
        ("too slow", 1)
    );
}

#[test]
fn a_request_that_is_dropped_issues_no_further_id() {
    let shop = Shop::new();
    let (seen, sees) = mpsc::channel();
    let handler = service_fn(move |request: Request<String>| {
        seen.send(session(&request)).unwrap();
        std::future::pending::<Result<Text, Infallible>>()
    });
    let site = SessionLayer::new(shop.manager("sid")).layer(handler);
    {
        let mut answer = pin!(site.oneshot(request(&[])));
        let mut context = Context::from_waker(Waker::noop());
        assert!(matches!(answer.as_mut().poll(&mut context), Poll::Pending));
    }
    let session = sees.recv().unwrap();
    assert!(matches!(
        block_on(session.set("late", true)),
        Err(SessionError::Finished)
    ));
    assert_eq!(shop.store.stats().live, 0);
}
