//! The server of the load test: one handler over one of four session layers. `.ci/deep/load` runs
//! it.
//!
//! `/new` makes a session with five texts, `/read` reads a number from it, `/write` counts it up.

use axum::Router;
use axum::routing::get;
use clap::{Parser, ValueEnum};
use dwell::manager::Manager;
use dwell::session::{AttributeError, Attributes, Settings};
use dwell::web::SessionLayer;
use dwell::web::tower_sessions_014::RecordStore;
use std::time::Duration;
use time::Duration as Span;
use tower_sessions::{Expiry, MemoryStore, SessionManagerLayer, SessionStore};
use tower_sessions_moka_store::MokaStore;

const IDLE: u32 = 30 * 60;
const TEXTS: [&str; 5] = ["name", "mail", "language", "theme", "token"];
const TEXT: &str = "some twenty letters.";

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Layer {
    /// dwell's own layer
    Native,
    /// tower-sessions with dwell's store
    Dwell,
    /// tower-sessions with its memory store
    Memory,
    /// tower-sessions with its Moka store
    Moka,
}

/// The server of the load test.
#[derive(Parser)]
struct Args {
    layer: Layer,
}

mod native {
    use super::*;
    use dwell::manager::Session;

    fn fill(attributes: &mut Attributes) -> Result<(), AttributeError> {
        for key in TEXTS {
            attributes.set(key, TEXT.to_owned())?;
        }
        attributes.set("count", 1_u64)
    }

    async fn new(session: Session) -> &'static str {
        session.update_all(fill).await.expect("a new session");
        "new"
    }

    async fn read(session: Session) -> String {
        let count = session.get::<u64>("count").await.expect("a session");
        count.map_or(0, |count| *count).to_string()
    }

    async fn write(session: Session) -> String {
        let more = |count: Option<&u64>| count.map_or(1, |count| count + 1);
        let count = session.update("count", more).await;
        count.expect("a session").to_string()
    }

    pub fn router() -> Router {
        let settings = Settings::new(Duration::from_secs(IDLE.into()));
        let manager = Manager::builder("id")
            .settings(settings)
            .plain_http()
            .build();
        Router::new()
            .route("/new", get(new))
            .route("/read", get(read))
            .route("/write", get(write))
            .layer(SessionLayer::new(manager.expect("good settings")))
    }
}

mod other {
    use super::*;
    use tower_sessions::Session;

    async fn new(session: Session) -> &'static str {
        for key in TEXTS {
            session.insert(key, TEXT).await.expect("a new session");
        }
        session.insert("count", 1_u64).await.expect("a new session");
        "new"
    }

    async fn read(session: Session) -> String {
        let count = session.get::<u64>("count").await.expect("a session");
        count.unwrap_or(0).to_string()
    }

    async fn write(session: Session) -> String {
        let count = session.get::<u64>("count").await.expect("a session");
        let count = count.unwrap_or(0) + 1;
        session.insert("count", count).await.expect("a session");
        count.to_string()
    }

    pub fn router(store: impl SessionStore + Clone) -> Router {
        let expiry = Expiry::OnInactivity(Span::seconds(IDLE.into()));
        let layer = SessionManagerLayer::new(store)
            .with_secure(false)
            .with_expiry(expiry);
        Router::new()
            .route("/new", get(new))
            .route("/read", get(read))
            .route("/write", get(write))
            .layer(layer)
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let router = match Args::parse().layer {
        Layer::Native => native::router(),
        Layer::Dwell => other::router(RecordStore::new(None)),
        Layer::Memory => other::router(MemoryStore::default()),
        Layer::Moka => other::router(MokaStore::new(None)),
    };
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("http://{}", listener.local_addr()?);
    axum::serve(listener, router).await
}
