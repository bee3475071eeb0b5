//! What the tests of the web layer share: a site over real HTTP, with handlers for all that a
//! handler may do.

use crate::http::{Answer, Server};
use ::http::StatusCode;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Router, extract::State};
use dwell::ManualClock;
use dwell::manager::{Manager, Session};
use dwell::provider::MemoryProvider;
use dwell::session::{SessionError, SessionStore, Settings};
use dwell::web::SessionLayer;
use futures_util::stream::try_unfold;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Barrier, Notify};

pub const IDLE: Duration = Duration::from_secs(60);
pub const CROWD: usize = 50;

pub struct Site {
    pub server: Server,
    pub store: SessionStore,
    pub manager: Arc<Manager>,
    pub clock: ManualClock,
    pub gates: Arc<Gates>,
}

/// Where handlers wait for each other, so that their requests overlap for sure.
pub struct Gates {
    crowd: Barrier,
    pub slow_has_begun: Notify,
    pub slow_may_end: Notify,
}

pub type Outcome = Result<String, Failure>;

pub struct Failure(SessionError);

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

pub async fn count(session: Session) -> Outcome {
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
    pub fn new() -> Self {
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

    pub fn get(&self, path: &str, cookie: &str) -> Answer {
        self.server.get(path, Some(cookie))
    }

    /// A client with a session that has counted 1. Returns its cookie.
    pub fn visit(&self) -> String {
        let answer = self.server.get("/count", None);
        assert_eq!(answer.body(), "1");
        answer.cookie().expect("a cookie").to_owned()
    }
}
