//! Bad input, and what breaks midway, over real HTTP.

use crate::http::Server;
use crate::site::{Failure, IDLE, Site, count};
use axum::Router;
use axum::routing::{get, post};
use dwell::manager::{Manager, Session};
use dwell::provider::{Access, Answer, By, Provider};
use dwell::session::{
    Attributes, Changes, IssuedSession, SessionError, SessionId, SessionInfo, SessionKey, Snapshot,
};
use dwell::web::SessionLayer;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

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
        format!("Cookie: __Host-sid=; {cookie}\r\n").into(),
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

/// Whatever a client puts into its headers, none of it becomes a line of the answer.
#[test]
fn no_header_is_injected() {
    let site = Site::new();
    let id = site.visit();
    let injections: [&[u8]; 6] = [
        b"\r\nSet-Cookie: evil=1",
        b"\nSet-Cookie: evil=1",
        b"\rSet-Cookie: evil=1",
        b"\0Set-Cookie: evil=1",
        b"%0d%0aSet-Cookie: evil=1",
        b"\xe5\x98\x8a\xe5\x98\x8dSet-Cookie: evil=1",
    ];
    for injection in injections {
        for before in [
            "Cookie: __Host-sid=",
            "Cookie: ",
            "X-Forwarded-For: ",
            "Host: ",
        ] {
            let headers = [before.as_bytes(), injection, b"\r\n"].concat();
            let answer = site.server.send("/login", &headers);
            let shown = format!("{before}{:?}", String::from_utf8_lossy(injection));
            assert!(matches!(answer.status(), Some(200 | 400)), "{shown}");
            let cookies = answer.headers("set-cookie");
            assert!(
                cookies
                    .iter()
                    .all(|cookie| cookie.starts_with("__Host-sid=")),
                "{shown}"
            );
            assert!(!answer.head().contains("evil"), "{shown}");
        }
    }
    assert_eq!(site.get("/count", &id).body(), "2");
}

/// The server's own limits come first: the layer does not even see such a request.
#[test]
fn a_head_without_end_is_refused() {
    let site = Site::new();
    let id = site.visit();
    let long = format!("Cookie: {id}; other={}\r\n", "x".repeat(1_000_000));
    let many = format!("Cookie: {id}\r\n").repeat(1_000);
    for headers in [long, many] {
        let answer = site.server.send("/count", headers.as_bytes());
        assert!(
            matches!(answer.status(), Some(431) | None),
            "{:?}",
            answer.status()
        );
    }
    assert_eq!(site.get("/count", &id).body(), "2");
}

/// Storage that is not there.
#[derive(Debug)]
struct Broken;

fn broken<'a, T: Send + 'a>() -> Answer<'a, T> {
    Answer::later(async { Err(SessionError::Backend("the storage is not there".into())) })
}

impl Provider for Broken {
    fn init(&self, _: Attributes) -> Answer<'_, IssuedSession> {
        broken()
    }
    fn read(&self, _: By, _: Access) -> Answer<'_, Option<Snapshot>> {
        broken()
    }
    fn apply(&self, _: By, _: Changes, _: Option<u64>) -> Answer<'_, Snapshot> {
        broken()
    }
    fn touch(&self, _: By) -> Answer<'_, ()> {
        broken()
    }
    fn destroy(&self, _: By) -> Answer<'_, bool> {
        broken()
    }
    fn renew<'a>(&'a self, _: &'a SessionId, _: Option<Duration>) -> Answer<'a, IssuedSession> {
        broken()
    }
    fn log_in<'a>(&'a self, _: &'a SessionId, _: &'a str) -> Answer<'a, IssuedSession> {
        broken()
    }
    fn set_owner<'a>(&'a self, _: By, _: Option<&'a str>) -> Answer<'a, ()> {
        broken()
    }
    fn owned_by<'a>(&'a self, _: &'a str) -> Answer<'a, Vec<SessionInfo>> {
        broken()
    }
    fn destroy_owned_by<'a>(&'a self, _: &'a str, _: Option<&'a SessionKey>) -> Answer<'a, usize> {
        broken()
    }
    fn set_idle_timeout(&self, _: By, _: Duration) -> Answer<'_, ()> {
        broken()
    }
    fn set_lifetime(&self, _: By, _: Duration) -> Answer<'_, ()> {
        broken()
    }
    fn collect(&self) -> Answer<'_, usize> {
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

/// The user that is logged in, asked for after the whole body has come.
async fn whose(session: Session, _: axum::body::Bytes) -> String {
    match session.owner().await {
        Ok(owner) => format!("{owner:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_request_that_began_under_a_planted_id_has_no_part_in_the_login() {
    let manager = Manager::new("memory", "sid", Duration::from_secs(60)).unwrap();
    let log_in = async |session: Session| session.log_in("ann").await.map_err(Failure::from);
    let router = Router::new()
        .route("/count", get(count))
        .route("/whose", post(whose))
        .route("/log-in", get(log_in))
        .layer(SessionLayer::new(manager));
    let server = Server::new(router);
    let planted = server.get("/count", None);
    let planted = planted.cookie().expect("an id");
    let mut attacker = server.connect();
    let head = format!(
        "POST /whose HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nCookie: {planted}\r\n\
         Content-Length: 10\r\nExpect: 100-continue\r\n\r\n"
    );
    attacker.write_all(head.as_bytes()).unwrap();
    // The server asks for the body once the handler reads it: the session was looked up before.
    let mut line = [0; 25];
    attacker.read_exact(&mut line).unwrap();
    assert_eq!(&line, b"HTTP/1.1 100 Continue\r\n\r\n");

    let logged_in = server.get("/log-in", Some(planted));
    let id = logged_in.cookie().expect("a new id");
    assert_ne!(id, planted);
    attacker.write_all(b"0123456789").unwrap();
    let answer = crate::http::Answer::read(attacker);
    assert_eq!(answer.body(), SessionError::Superseded.to_string());
    assert_eq!(answer.cookie(), None);
    assert_eq!(
        server.get("/count", Some(planted)).body(),
        "1",
        "a stranger"
    );
    assert_eq!(server.get("/count", Some(id)).body(), "2");
}
