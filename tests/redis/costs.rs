//! What a request costs Redis in commands, as the layer and a handler ask for it: the table in
//! `docs/providers.md`.

use crate::redis_server::asking::run;
use crate::redis_server::{LONG, Server};
use axum::Router;
use axum::body::Body;
use axum::routing::get;
use dwell::manager::{Manager, Session};
use dwell::provider::RedisProvider;
use dwell::session::Settings;
use dwell::web::SessionLayer;
use http::Request;
use http::header::{COOKIE, SET_COOKIE};
use std::sync::Arc;
use std::time::Duration;
use tower::ServiceExt;

const REQUESTS: u64 = 10;

async fn reads(session: Session, times: usize) {
    for _ in 0..times {
        session.get::<u64>("n").await.unwrap();
    }
}

async fn count(session: Session) {
    let added = session.update("n", |n: Option<&u64>| n.map_or(1, |n| n + 1));
    added.await.unwrap();
}

fn site(server: &Server, is_near: bool) -> Router {
    let settings =
        Settings::new(Duration::from_secs(600)).touch_resolution(Duration::from_secs(60));
    let builder = RedisProvider::builder(server.address(), "test", settings);
    let mut builder = builder.timeout(LONG).connections(1);
    if is_near {
        builder = builder.near_cache(10).staleness(LONG);
    }
    let provider = Arc::new(builder.build().unwrap());
    let manager = Manager::builder("sid").plain_http().provider(provider);
    Router::new()
        .route("/none", get(async || {}))
        .route(
            "/one",
            get(async |session: Session| reads(session, 1).await),
        )
        .route(
            "/five",
            get(async |session: Session| reads(session, 5).await),
        )
        .route("/count", get(count))
        .layer(SessionLayer::new(manager.build().unwrap()))
}

/// Asks as a visitor; without a cookie, as a new one. Returns the cookie that was set.
async fn ask(site: &Router, path: &str, cookie: &str) -> Option<String> {
    let mut request = Request::get(path);
    if !cookie.is_empty() {
        request = request.header(COOKIE, cookie);
    }
    let request = request.body(Body::empty()).unwrap();
    let response = site.clone().oneshot(request).await.unwrap();
    assert!(response.status().is_success());
    let cookie = response.headers().get(SET_COOKIE)?;
    Some(cookie.to_str().unwrap().split(';').next()?.to_owned())
}

/// The commands of so many requests to each path, by one visitor.
async fn commands(server: &Server, site: &Router) -> Vec<u64> {
    let cookie = ask(site, "/count", "").await.expect("a session");
    let mut costs = Vec::new();
    for path in ["/none", "/one", "/five", "/count"] {
        // What the path before left is over: a creation costs the next request its copy.
        for _ in 0..2 {
            ask(site, path, &cookie).await;
        }
        server.must("CONFIG RESETSTAT");
        for _ in 0..REQUESTS {
            ask(site, path, &cookie).await;
        }
        costs.push(server.scripts());
    }
    costs
}

#[test]
fn a_request_is_one_command_however_much_it_reads_and_one_more_for_a_write() {
    let server = Server::start();
    run(async {
        let costs = commands(&server, &site(&server, false)).await;
        assert_eq!(costs, [1, 1, 1, 2].map(|each| each * REQUESTS));
    });
}

#[test]
fn with_a_near_cache_only_writing_costs() {
    let server = Server::start();
    run(async {
        let costs = commands(&server, &site(&server, true)).await;
        assert_eq!(costs, [0, 0, 0, 1].map(|each| each * REQUESTS));
    });
}

#[test]
fn a_stranger_costs_nothing() {
    let server = Server::start();
    run(async {
        let site = site(&server, false);
        for path in ["/none", "/one", "/five"] {
            assert!(ask(&site, path, "").await.is_none());
        }
        assert_eq!(server.scripts(), 0);
    });
}
