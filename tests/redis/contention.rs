//! Many requests that change one session at the same time: each is done once, in its turn, or told
//! that it was not.

use crate::redis_server::asking::run;
use crate::redis_server::{LONG, Server};
use dwell::manager::{Manager, Session};
use dwell::provider::RedisProvider;
use dwell::session::{SessionError, Settings};
use http::HeaderMap;
use std::sync::Arc;
use std::time::Duration;

const IDLE: Duration = Duration::from_secs(600);

async fn session(server: &Server, timeout: Duration) -> Session {
    let builder = RedisProvider::builder(server.address(), "shop", Settings::new(IDLE));
    let provider = builder.timeout(timeout).build().unwrap();
    let manager = Manager::builder("sid").provider(Arc::new(provider));
    let session = manager.build().unwrap().start(&HeaderMap::new()).await;
    let session = session.unwrap();
    session.set("n", 0_u64).await.unwrap();
    session
}

fn one_more(n: Option<&u64>) -> u64 {
    n.map_or(0, |n| n + 1)
}

#[test]
fn of_256_requests_at_once_each_needs_one_attempt() {
    const REQUESTS: u64 = 256;
    run(async {
        let server = Server::start();
        let session = session(&server, LONG).await;
        session.update("n", |_: Option<&u64>| 0).await.unwrap();
        session.update("n", |_: Option<&u64>| 0_u64).await.unwrap();
        server.must("CONFIG RESETSTAT");
        let updates = (0..REQUESTS).map(|_| {
            let session = session.clone();
            tokio::spawn(async move { session.update("n", one_more).await })
        });
        for update in updates.collect::<Vec<_>>() {
            update.await.unwrap().unwrap();
        }
        // Each takes up what the one before it left. The first one reads, and so does one that
        // finds no queue.
        let asked = server.scripts();
        assert!(
            (REQUESTS + 1..=REQUESTS + REQUESTS / 8).contains(&asked),
            "{asked}"
        );
        assert_eq!(*session.get::<u64>("n").await.unwrap().unwrap(), REQUESTS);
    });
}

/// Each attempt meets another writer.
#[test]
fn a_change_that_never_finds_time_is_given_up_and_was_not_made() {
    run(async {
        let server = Server::start();
        let session = session(&server, Duration::from_millis(300)).await;
        let name = server.keys().remove(0);
        let mut attempts = 0;
        let contended = session.update_all(|attributes| {
            attempts += 1;
            server.must(&format!("HINCRBY {name} v 1"));
            attributes.set("n", 7_u64)
        });
        let contended = contended.await;
        assert!(
            matches!(contended, Err(SessionError::Contended)),
            "{contended:?}"
        );
        assert!(attempts > 1);
        assert_eq!(*session.get::<u64>("n").await.unwrap().unwrap(), 0);
        session.update("n", one_more).await.unwrap();
        assert_eq!(*session.get::<u64>("n").await.unwrap().unwrap(), 1);
    });
}
