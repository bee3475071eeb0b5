//! The tower layer and axum's extractor, over real HTTP.
#![cfg(feature = "axum")]

mod http;

use ::http::StatusCode;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Router, extract::State};
use dwell::ManualClock;
use dwell::manager::{Manager, Session};
use dwell::provider::{Access, Answer, MemoryProvider, Provider};
use dwell::session::{
    Attributes, Changes, Issued, Listed, SessionError, SessionId, SessionKey, SessionStore,
    Settings, Snapshot,
};
use dwell::web::SessionLayer;
use futures_util::stream::try_unfold;
use http::Server;
use std::io::Write;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::sync::{Barrier, Notify};

const IDLE: Duration = Duration::from_secs(60);
const CROWD: usize = 50;

struct Site {
    server: Server,
    store: SessionStore,
    manager: Arc<Manager>,
    clock: ManualClock,
    gates: Arc<Gates>,
}

/// Where handlers wait for each other, so that their requests overlap for sure.
struct Gates {
    crowd: Barrier,
    slow_has_begun: Notify,
    slow_may_end: Notify,
}

type Outcome = Result<String, Failure>;

struct Failure(SessionError);

impl From<SessionError> for Failure {
    fn from(error: SessionError) -> Self {
        Self(error)
    }
}

impl axum::response::IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = match self.0 {
            SessionError::Ended => StatusCode::GONE,
            _ => StatusCode::CONFLICT,
        };
        (status, self.0.to_string()).into_response()
    }
}

fn more(count: Option<&u64>) -> u64 {
    count.map_or(1, |count| count + 1)
}

async fn count(session: Session) -> Outcome {
    Ok(session.update("count", more).await?.to_string())
}

async fn look(session: Session) -> Outcome {
    Ok(format!("{:?}", session.keys().await?))
}

async fn log_in(session: Session) -> Outcome {
    session.renew_with_grace(Duration::ZERO).await?;
    session.set_owner("ann").await?;
    Ok("logged in".into())
}

async fn log_out(session: Session) -> Outcome {
    Ok(session.destroy().await?.to_string())
}

async fn crowd(
    State(gates): State<Arc<Gates>>,
    session: Session,
    Path(key): Path<String>,
) -> Outcome {
    // Everybody has the session before anybody writes.
    session.keys().await?;
    gates.crowd.wait().await;
    session.set(&key, true).await?;
    count(session).await
}

async fn slow(State(gates): State<Arc<Gates>>, session: Session) -> Outcome {
    session.keys().await?;
    gates.slow_has_begun.notify_one();
    gates.slow_may_end.notified().await;
    session.set("late", true).await?;
    Ok("stored".into())
}

async fn upload(session: Session, body: Bytes) -> Outcome {
    session.set("uploaded", body.len()).await?;
    Ok("stored".into())
}

async fn panics(session: Session) -> Outcome {
    session.set("before", true).await?;
    panic!("as a handler may");
}

/// Two handlers' worth in one request: both store something in a session that there is not yet.
async fn together(session: Session, same: Session) -> Outcome {
    let (one, two) = tokio::join!(session.set("one", 1_u32), same.set("two", 2_u32));
    one?;
    two?;
    look(session).await
}

/// A body that uses the session while it is sent.
async fn stream(session: Session) -> Response {
    let chunk = async |(session, sent): (Session, u32)| -> Result<_, SessionError> {
        let text = match sent {
            0..3 => format!("{} ", session.update("count", more).await?),
            3 => match session.renew().await {
                Err(SessionError::Finished) => String::from("no new id"),
                other => format!("{other:?}"),
            },
            _ => return Ok(None),
        };
        Ok(Some((text, (session, sent + 1))))
    };
    Response::new(Body::from_stream(try_unfold((session, 0), chunk)))
}

async fn mark(session: Session, request: Request, next: Next) -> Response {
    if request.uri().path() == "/marked" {
        session.set("mark", true).await.unwrap();
    }
    next.run(request).await
}

impl Site {
    fn new() -> Self {
        let clock = ManualClock::new();
        let settings = Settings::new(IDLE).grace(Duration::from_secs(5));
        let store = SessionStore::builder(settings).clock(clock.clone());
        let store = store.build().unwrap();
        let provider = Arc::new(MemoryProvider::new(store.clone()));
        let manager = Manager::builder("sid").provider(provider).build();
        let manager = Arc::new(manager.unwrap());
        let gates = Arc::new(Gates {
            crowd: Barrier::new(CROWD),
            slow_has_begun: Notify::new(),
            slow_may_end: Notify::new(),
        });
        let router = Router::new()
            .route("/count", get(count))
            .route("/look", get(look))
            .route("/marked", get(look))
            .route("/login", get(log_in))
            .route("/logout", get(log_out))
            .route("/crowd/{key}", get(crowd))
            .route("/slow", get(slow))
            .route("/upload", post(upload))
            .route("/panics", get(panics))
            .route("/together", get(together))
            .route("/stream", get(stream))
            .route("/missing", get(async || StatusCode::NOT_FOUND))
            .layer(middleware::from_fn(mark))
            .layer(SessionLayer::new(Arc::clone(&manager)))
            .route("/outside", get(look))
            .with_state(Arc::clone(&gates));
        Self {
            server: Server::new(router),
            store,
            manager,
            clock,
            gates,
        }
    }

    fn get(&self, path: &str, cookie: &str) -> http::Answer {
        self.server.get(path, Some(cookie))
    }

    /// A client with a session that has counted 1. Returns its cookie.
    fn visit(&self) -> String {
        let answer = self.server.get("/count", None);
        assert_eq!(answer.body(), "1");
        answer.cookie().expect("a cookie").to_owned()
    }
}

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
fn a_destroyed_id_that_is_replayed_answers_to_nothing() {
    let site = Site::new();
    let cookie = site.visit();
    site.get("/logout", &cookie);
    for _ in 0..3 {
        let answer = site.get("/look", &cookie);
        assert_eq!((answer.body(), answer.cookie()), ("[]", None));
    }
    assert_eq!(site.store.len(), 0);
    let fresh = site.get("/count", &cookie);
    assert_eq!(fresh.body(), "1");
    assert_ne!(fresh.cookie().expect("a cookie"), cookie);
    assert_eq!(site.manager.stats().unknown, 4);
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
fn cookies_that_make_no_sense_count_as_none() {
    let site = Site::new();
    let cookie = site.visit();
    let id = cookie.split_once('=').unwrap().1;
    let oversized = format!("Cookie: other={}; {cookie}\r\n", "x".repeat(20_000));
    let senseless: [Vec<u8>; 10] = [
        b"Cookie: __Host-sid=\r\n".into(),
        b"Cookie: __Host-sid=%0d%0aSet-Cookie:%20evil=1\r\n".into(),
        b"Cookie: __Host-sid=\xff\xfe\x80\r\n".into(),
        b"Cookie: ;;;===;;\r\n".into(),
        format!("Cookie: __Host-sid={}\r\n", "A".repeat(64)).into(),
        format!("Cookie: __Host-sid={id}A\r\n").into(),
        format!("Cookie: __Host-sid={}\r\n", &id[1..]).into(),
        format!("Cookie: {cookie}; {cookie}\r\n").into(),
        format!("Cookie: {cookie}\r\nCookie: __Host-sid=planted\r\n").into(),
        oversized.into(),
    ];
    for headers in senseless {
        let shown = String::from_utf8_lossy(&headers[..headers.len().min(60)]).into_owned();
        let answer = site.server.send("/count", &headers);
        assert_eq!(
            (answer.status(), answer.body()),
            (Some(200), "1"),
            "{shown}"
        );
        let issued = answer.cookie().expect("a cookie");
        assert_eq!(issued.len(), "__Host-sid=".len() + 64, "{shown}");
        assert!(!answer.headers("set-cookie")[0].contains("evil"), "{shown}");
    }
    let stats = site.manager.stats();
    assert_eq!((stats.oversized, stats.duplicate, stats.unknown), (1, 2, 1));
    assert_eq!(
        site.get("/count", &cookie).body(),
        "2",
        "nothing of it changed the session"
    );
}

#[test]
fn a_body_that_aborts_midway_stores_nothing() {
    let site = Site::new();
    let cookie = site.visit();
    let aborted = site.server.abort("/upload", &cookie);
    assert_ne!(aborted.status(), Some(200));
    assert_eq!(site.get("/look", &cookie).body(), "[\"count\"]");
    assert_eq!(site.store.len(), 1);
}

#[test]
fn a_handler_that_panics_ends_its_request_and_nothing_else() {
    let site = Site::new();
    let cookie = site.visit();
    let answer = site.get("/panics", &cookie);
    assert_eq!(answer.status(), None, "the server hangs up");
    assert_eq!(site.get("/look", &cookie).body(), "[\"before\", \"count\"]");
    // A session that nobody was told of ends like any other that is left alone.
    site.server.get("/panics", None);
    assert_eq!(site.store.len(), 2);
    site.clock.advance(2 * IDLE);
    site.store.collect();
    assert_eq!(site.store.len(), 0);
}

#[test]
fn a_client_that_goes_away_leaves_the_session_as_it_is() {
    let site = Site::new();
    let cookie = site.visit();
    let mut stream = site.server.connect();
    let request = format!("GET /slow HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    pollster::block_on(site.gates.slow_has_begun.notified());
    drop(stream);
    assert_eq!(site.get("/count", &cookie).body(), "2");
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

/// Storage that is not there.
#[derive(Debug)]
struct Broken;

fn broken<'a, T: Send + 'a>() -> Answer<'a, T> {
    Box::pin(async { Err(SessionError::Backend("the storage is not there".into())) })
}

impl Provider for Broken {
    fn init(&self, _: Attributes) -> Answer<'_, Issued> {
        broken()
    }
    fn read<'a>(&'a self, _: &'a SessionId) -> Answer<'a, Option<Snapshot>> {
        broken()
    }
    fn load<'a>(&'a self, _: &'a SessionKey, _: Access) -> Answer<'a, Option<Snapshot>> {
        broken()
    }
    fn apply<'a>(&'a self, _: &'a SessionKey, _: Changes, _: Option<u64>) -> Answer<'a, Snapshot> {
        broken()
    }
    fn update<'a>(&'a self, _: &'a SessionKey) -> Answer<'a, ()> {
        broken()
    }
    fn destroy<'a>(&'a self, _: &'a SessionKey) -> Answer<'a, bool> {
        broken()
    }
    fn renew<'a>(&'a self, _: &'a SessionId, _: Option<Duration>) -> Answer<'a, Issued> {
        broken()
    }
    fn set_owner<'a>(&'a self, _: &'a SessionKey, _: Option<&'a str>) -> Answer<'a, ()> {
        broken()
    }
    fn owned_by<'a>(&'a self, _: &'a str) -> Answer<'a, Vec<Listed>> {
        broken()
    }
    fn destroy_owned_by<'a>(&'a self, _: &'a str, _: Option<&'a SessionKey>) -> Answer<'a, usize> {
        broken()
    }
    fn set_idle_timeout<'a>(&'a self, _: &'a SessionKey, _: Duration) -> Answer<'a, ()> {
        broken()
    }
    fn set_lifetime<'a>(&'a self, _: &'a SessionKey, _: Duration) -> Answer<'a, ()> {
        broken()
    }
    fn gc(&self) -> Answer<'_, usize> {
        broken()
    }
}

#[test]
fn a_provider_that_fails_is_not_taken_for_a_visitor_without_a_session() {
    let manager = Manager::builder("sid").provider(Arc::new(Broken)).build();
    let router = Router::new()
        .route("/", get(async || "no session was needed"))
        .route("/count", get(count))
        .layer(SessionLayer::new(manager.unwrap()));
    let server = Server::new(router);
    assert_eq!(server.get("/", None).body(), "no session was needed");
    let id = SessionId::generate().unwrap().to_cookie();
    let answer = server.get("/", Some(&format!("__Host-sid={id}")));
    assert_eq!((answer.status(), answer.cookie()), (Some(503), None));
    assert_eq!(server.get("/count", None).status(), Some(409));
}
