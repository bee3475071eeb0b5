//! axum with tower-sessions.

use crate::http::{Client, Server};
use crate::{Gates, Site, known_keys};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use dwell::web::tower_sessions_014::RecordStore;
use std::sync::Arc;
use tower_sessions::{Session, SessionManagerLayer};

pub struct TowerSite {
    server: Server,
    gates: Arc<Gates>,
    store: RecordStore,
}

async fn count(session: Session) -> String {
    let count = session.get::<u64>("count").await.unwrap().unwrap_or(0) + 1;
    session.insert("count", count).await.unwrap();
    count.to_string()
}

async fn look(session: Session) -> String {
    let mut keys = Vec::new();
    for key in known_keys() {
        if session.get_value(&key).await.unwrap().is_some() {
            keys.push(key);
        }
    }
    keys.join(" ")
}

async fn crowd(
    State(gates): State<Arc<Gates>>,
    Path(key): Path<String>,
    session: Session,
) -> &'static str {
    session.load().await.unwrap();
    gates.crowd.wait().await;
    session.insert(&key, true).await.unwrap();
    "set"
}

async fn slow(State(gates): State<Arc<Gates>>, session: Session) -> &'static str {
    session.load().await.unwrap();
    gates.slow_has_begun.notify_one();
    gates.slow_may_end.notified().await;
    session.insert("late", true).await.unwrap();
    "set"
}

async fn leave(session: Session) -> &'static str {
    session.flush().await.unwrap();
    "left"
}

async fn panics(session: Session) {
    session.insert("before", true).await.unwrap();
    panic!("as a handler may");
}

async fn upload(session: Session, body: Bytes) -> &'static str {
    session.insert("uploaded", body.len()).await.unwrap();
    "set"
}

impl TowerSite {
    pub fn new() -> Self {
        let store = RecordStore::new(None);
        let gates = Gates::new();
        let router = Router::new()
            .route("/count", get(count))
            .route("/look", get(look))
            .route("/crowd/{key}", get(crowd))
            .route("/slow", get(slow))
            .route("/leave", get(leave))
            .route("/panics", get(panics))
            .route("/upload", post(upload))
            .layer(SessionManagerLayer::new(store.clone()))
            .with_state(Arc::clone(&gates));
        Self {
            server: Server::new(router),
            gates,
            store,
        }
    }
}

impl Site for TowerSite {
    fn client(&self) -> &Client {
        &self.server
    }

    fn gates(&self) -> &Gates {
        &self.gates
    }

    fn counts(&self) -> (usize, u64) {
        (self.store.stats().live, self.store.refused_saves())
    }
}
