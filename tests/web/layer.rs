//! The tower layer and axum's extractor, over real HTTP.

use crate::remote::Remote;
use crate::site::{CROWD, IDLE, Site};
use ::http::Request;
use ::http::header::COOKIE;
use dwell::manager::Manager;
use dwell::web::SessionLayer;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;
use tower::{Layer, Service, ServiceExt};

#[test]
fn the_cookie_is_set_when_it_is_needed_and_only_then() {
    let site = Site::new();
    let nothing = site.server.get("/look", None);
    assert_eq!((nothing.body(), nothing.cookie()), ("[]", None));
    assert_eq!(site.store.len(), 0);

    let created = site.server.get("/count", None);
    let before = created.cookie().expect("a cookie").to_owned();
    assert!(before.starts_with("__Host-sid="));
    assert_eq!(created.headers("cache-control"), ["no-store"]);

    for path in ["/count", "/look", "/missing", "/nowhere"] {
        let used = site.get(path, &before);
        assert_eq!(
            (used.cookie(), used.headers("cache-control")),
            (None, vec![]),
            "{path}"
        );
    }

    let renewed = site.get("/login", &before);
    let after = renewed.cookie().expect("a cookie").to_owned();
    assert_ne!(before, after);
    assert_eq!(site.get("/look", &before).body(), "[]");
    assert_eq!(site.get("/count", &after).body(), "3");

    let removed = site.get("/logout", &after);
    assert_eq!(removed.cookie(), Some("__Host-sid="));
    assert!(removed.headers("set-cookie")[0].contains("Max-Age=0"));
}

#[test]
fn a_request_has_one_session_however_often_it_is_asked_for() {
    let site = Site::new();
    assert_eq!(site.server.get("/marked", None).body(), "[\"mark\"]");
    assert_eq!(site.store.len(), 1);

    let both = site.server.get("/together", None);
    assert_eq!(both.body(), "[\"one\", \"two\"]");
    assert_eq!(site.store.len(), 2);
    assert_eq!(
        site.get("/look", both.cookie().unwrap()).body(),
        "[\"one\", \"two\"]"
    );
}

#[test]
fn overlapping_requests_of_one_session_lose_nothing() {
    let site = Site::new();
    let cookie = site.visit();
    thread::scope(|scope| {
        for request in 0..CROWD {
            let (site, cookie) = (&site, &cookie);
            scope.spawn(move || site.get(&format!("/crowd/key{request}"), cookie));
        }
    });
    assert_eq!(site.get("/count", &cookie).body(), (CROWD + 2).to_string());
    let keys = site.get("/look", &cookie).body().matches("key").count();
    assert_eq!(keys, CROWD);
}

#[test]
fn a_logout_during_a_slow_request_stays() {
    let site = Site::new();
    let cookie = site.visit();
    let slow = thread::scope(|scope| {
        let slow = scope.spawn(|| site.get("/slow", &cookie));
        pollster::block_on(site.gates.slow_has_begun.notified());
        assert_eq!(site.get("/logout", &cookie).body(), "true");
        site.gates.slow_may_end.notify_one();
        slow.join().unwrap()
    });
    assert_eq!((slow.status(), slow.cookie()), (Some(410), None));
    assert_eq!(site.store.len(), 0);
}

#[test]
fn a_session_lapses_by_the_clock_and_every_request_touches_it() {
    let site = Site::new();
    let cookie = site.visit();
    for _ in 0..3 {
        site.clock.advance(IDLE - Duration::from_secs(1));
        // The handler of this one does not even exist.
        site.get("/nowhere", &cookie);
    }
    assert_eq!(site.get("/count", &cookie).body(), "2");
    site.clock.advance(IDLE);
    assert_eq!(site.get("/count", &cookie).body(), "1");
}

#[test]
fn a_body_is_streamed_as_it_is_and_its_session_is_there_meanwhile() {
    let site = Site::new();
    let cookie = site.visit();
    let answer = site.get("/stream", &cookie);
    assert_eq!(answer.headers("transfer-encoding"), ["chunked"]);
    let chunks: Vec<_> = answer.body().split("\r\n").skip(1).step_by(2).collect();
    assert_eq!(chunks, ["2 ", "3 ", "4 ", "no new id", ""]);
    // Without a session, the first id would be issued too late: the body breaks off.
    let refused = site.server.get("/stream", None);
    assert_eq!((refused.status(), site.store.len()), (None, 1));
}

#[test]
fn a_route_outside_of_the_layer_says_what_is_missing() {
    let site = Site::new();
    let answer = site.get("/outside", &site.visit());
    assert_eq!(answer.status(), Some(500));
    assert!(answer.body().contains("SessionLayer"));
}

type Response = ::http::Response<String>;

/// A service that is ready for a request when it is asked for the second time. A clone has to be
/// asked anew.
#[derive(Default)]
struct Slow {
    asked: u32,
}

impl Clone for Slow {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Service<Request<String>> for Slow {
    type Response = Response;
    type Error = Infallible;
    type Future = Ready<Result<Response, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.asked += 1;
        if self.asked < 2 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<String>) -> Self::Future {
        assert_eq!(self.asked, 2, "it is not ready");
        self.asked = 0;
        ready(Ok(Response::new("done".into())))
    }
}

#[test]
fn a_service_gets_no_request_before_it_is_ready() {
    let memory = Manager::new("memory", "sid", IDLE).unwrap();
    let (_remote, over_network, store) = Remote::site();
    let cookie = format!("__Host-sid={}", store.create().unwrap().id().to_cookie());
    for manager in [Arc::new(memory), over_network] {
        let mut service = SessionLayer::new(manager).layer(Slow::default());
        for _ in 0..2 {
            let request = Request::builder().header(COOKIE, &cookie);
            let request = request.body(String::new()).unwrap();
            let answer = pollster::block_on(async {
                let service = service.ready().await?;
                service.call(request).await
            });
            assert_eq!(answer.unwrap().body(), "done");
        }
    }
}
