//! Requests while the provider fails: what becomes of them, and of the visitor's session.

use crate::remote::Remote;
use dwell::manager::{Manager, Session};
use dwell::session::{Changes, SessionError};
use dwell::web::{ErrorHook, OnError, SessionLayer};
use http::header::{COOKIE, SET_COOKIE};
use http::request::Parts;
use http::{HeaderMap, Request, Response, StatusCode};
use pollster::block_on;
use std::convert::Infallible;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use tower::{Layer, ServiceExt, service_fn};

type Text = Response<String>;

/// Sends a request through a layer to a handler.
fn send<H, F>(
    layer: &SessionLayer<H>,
    cookie: Option<&str>,
    handler: impl Fn(Session) -> F + Clone + Send + 'static,
) -> Text
where
    H: ErrorHook<String>,
    F: Future<Output = String> + Send + 'static,
{
    let mut request = Request::get("/shop").body(()).unwrap();
    if let Some(cookie) = cookie {
        request
            .headers_mut()
            .insert(COOKIE, cookie.parse().unwrap());
    }
    let service = layer.layer(service_fn(move |request: Request<()>| {
        let session = request.extensions().get::<Session>().cloned();
        let answer = handler(session.expect("a session"));
        async { Ok::<_, Infallible>(Response::new(answer.await)) }
    }));
    block_on(service.oneshot(request)).unwrap()
}

/// A visitor with a cart. Returns the cookie.
fn visit(manager: &Manager) -> String {
    let session = block_on(manager.start(&HeaderMap::new())).unwrap();
    block_on(session.set("cart", 3_u32)).unwrap();
    let mut response = HeaderMap::new();
    manager.finish(session, &mut response);
    let cookie = response[SET_COOKIE].to_str().unwrap();
    cookie.split(';').next().unwrap().to_owned()
}

/// What each method of a session says.
async fn all_methods(session: &Session) -> Vec<Result<(), SessionError>> {
    let second = Duration::from_secs(1);
    vec![
        session.snapshot().await.map(drop),
        session.get::<u32>("cart").await.map(drop),
        session.contains("cart").await.map(drop),
        session.keys().await.map(drop),
        session.owner().await.map(drop),
        session.set("cart", 1_u32).await,
        session.delete("cart").await.map(drop),
        session.take::<u32>("cart").await.map(drop),
        session.clear().await,
        session.update("cart", |_: Option<&u32>| 1).await.map(drop),
        session.apply_at(1, Changes::default()).await.map(drop),
        session.renew().await,
        session.renew_with_grace(second).await,
        session.log_in("ann").await,
        session.set_owner("ann").await,
        session.clear_owner().await,
        session.set_idle_timeout(second).await,
        session.set_lifetime(second).await,
        session.destroy().await.map(drop),
    ]
}

#[test]
fn a_session_that_could_not_be_looked_up_is_neither_read_nor_replaced() {
    let (remote, manager, store) = Remote::site();
    let cookie = visit(&manager);
    let layer =
        SessionLayer::new(manager.clone()).on_error(|_: &SessionError, _: &Parts| OnError::GoOn);
    remote.is_down.store(true, SeqCst);
    let back = remote.clone();
    let page = send(&layer, Some(&cookie), move |session| {
        let back = back.clone();
        async move {
            assert!(session.id().is_none() && session.key().is_none() && !session.is_new());
            // Nor when the provider is back before the request is over.
            for is_down in [true, false] {
                back.is_down.store(is_down, SeqCst);
                let mut said = all_methods(&session).await;
                session.start_over();
                said.append(&mut all_methods(&session).await);
                for (at, said) in said.into_iter().enumerate() {
                    assert!(
                        matches!(said, Err(SessionError::Unavailable)),
                        "{at}: {said:?}"
                    );
                }
            }
            "a page without a cart".into()
        }
    });
    assert_eq!(
        (page.status(), &**page.body()),
        (StatusCode::OK, "a page without a cart")
    );
    assert!(!page.headers().contains_key(SET_COOKIE));
    assert_eq!(store.stats().live, 1);
    let cart = send(&layer, Some(&cookie), |session| async move {
        session
            .get::<u32>("cart")
            .await
            .unwrap()
            .unwrap()
            .to_string()
    });
    assert_eq!(cart.body(), "3");
}

#[test]
fn the_hook_refuses_with_a_response_of_its_own() {
    let (remote, manager, store) = Remote::site();
    let cookie = visit(&manager);
    remote.is_down.store(true, SeqCst);
    let unused = |_| async { unreachable!("the handler is not called") };
    let empty = send(&SessionLayer::new(manager.clone()), Some(&cookie), unused);
    assert_eq!((empty.status().as_u16(), &**empty.body()), (503, ""));

    let layer = SessionLayer::new(manager).on_error(|error: &SessionError, request: &Parts| {
        assert!(matches!(error, SessionError::Backend(_)));
        let mut response = Response::new(format!("no {} today", request.uri.path()));
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        OnError::Refuse(response)
    });
    let refused = send(&layer, Some(&cookie), unused);
    assert_eq!(
        (refused.status().as_u16(), &**refused.body()),
        (502, "no /shop today")
    );
    assert!(!refused.headers().contains_key(SET_COOKIE));

    // Without a cookie there is nothing to look up.
    let stranger = send(&layer, None, |session| async move {
        format!("{:?}", session.set("cart", 1_u32).await.is_err())
    });
    assert_eq!(
        (stranger.status().as_u16(), &**stranger.body()),
        (200, "true")
    );
    assert!(!stranger.headers().contains_key(SET_COOKIE));
    assert_eq!(store.stats().live, 1);
}

#[test]
fn a_layer_inside_asks_no_second_time() {
    let (remote, manager, _store) = Remote::site();
    let cookie = visit(&manager);
    remote.took();
    remote.is_down.store(true, SeqCst);
    let inside =
        SessionLayer::new(manager.clone()).layer(service_fn(async |request: Request<()>| {
            let session = request.extensions().get::<Session>().unwrap();
            let said = session.set("cart", 1_u32).await;
            Ok::<_, Infallible>(Response::new(format!("{said:?}")))
        }));
    let site = SessionLayer::new(manager)
        .on_error(|_: &SessionError, _: &Parts| OnError::GoOn)
        .layer(inside);
    let request = Request::builder().header(COOKIE, cookie).body(()).unwrap();
    let answer = block_on(site.oneshot(request)).unwrap();
    assert_eq!(answer.body(), "Err(Unavailable)");
    assert_eq!(remote.took(), 1);
}

#[test]
fn a_probe_learns_whether_the_provider_answers_and_changes_nothing() {
    let (remote, manager, store) = Remote::site();
    visit(&manager);
    let before = store.stats();
    block_on(manager.ping()).unwrap();
    remote.is_down.store(true, SeqCst);
    assert!(matches!(
        block_on(manager.ping()),
        Err(SessionError::Backend(_))
    ));
    remote.is_down.store(false, SeqCst);
    block_on(manager.ping()).unwrap();
    assert_eq!(store.stats(), before);
    assert_eq!(manager.stats(), Default::default());
}
