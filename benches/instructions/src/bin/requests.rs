//! Requests through axum, for callgrind to count as the map's paths (see `main.rs`): with dwell's
//! layer, with tower-sessions over dwell's store and over its own `MemoryStore`, and with a layer
//! that only puts a value into the extensions, which is what the others are compared with.

use axum::body::{Body, to_bytes};
use axum::routing::get;
use axum::{Extension, Router};
use dwell::manager::{Manager, Session};
use dwell::session::{AttributeError, Attributes, Settings};
use dwell::web::SessionLayer;
use dwell::web::tower_sessions_014::RecordStore;
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderValue, Request};
use std::time::Duration;
use tower_service::Service;
use tower_sessions::cookie::time;
use tower_sessions::{Expiry, MemoryStore, SessionManagerLayer, SessionStore};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Calls in each measured function, and sessions.
const CALLS: usize = 1_000;
const IDLE: Duration = Duration::from_secs(1_800);
const TEXTS: [&str; 5] = ["name", "mail", "language", "theme", "token"];
const TEXT: &str = "some twenty letters.";

/// Only what is called from these functions is counted.
mod measured {
    use crate::{Site, ask};

    macro_rules! measured {
        ($($name:ident: $path:literal;)*) => {
            $(
                #[inline(never)]
                pub fn $name(site: &mut Site) {
                    // Functions that are alike would be merged.
                    std::hint::black_box(stringify!($name));
                    for cookie in &site.cookies {
                        std::hint::black_box(ask(&mut site.router, $path, Some(cookie)));
                    }
                }
            )*
        };
    }

    measured! {
        bare_ignore: "/ignore";
        bare_read: "/read";
        bare_read_six: "/read-six";
        bare_update: "/update";
        bare_create: "/create";
        request_ignore: "/ignore";
        request_read: "/read";
        request_read_six: "/read-six";
        request_update: "/update";
        request_create: "/create";
        tower_read: "/read";
        tower_read_six: "/read-six";
        tower_update: "/update";
        tower_create: "/create";
        memory_store_read: "/read";
        memory_store_read_six: "/read-six";
        memory_store_update: "/update";
        memory_store_create: "/create";
    }
}

/// A router, and the cookies of its sessions.
pub struct Site {
    router: Router,
    cookies: Vec<HeaderValue>,
}

impl Site {
    fn new(router: Router) -> Self {
        let mut router = router;
        let cookies = (0..CALLS).map(|_| {
            let cookie = ask(&mut router, "/create", None).1;
            cookie.unwrap_or_else(|| HeaderValue::from_static("id=none"))
        });
        let cookies = cookies.collect();
        Self { router, cookies }
    }
}

/// Sends a request. Returns the length of the answer, and the cookie that it sets.
fn ask(
    router: &mut Router,
    path: &str,
    cookie: Option<&HeaderValue>,
) -> (usize, Option<HeaderValue>) {
    let mut request = Request::get(path);
    // A visitor that comes for a session of its own has none.
    if let Some(cookie) = cookie.filter(|_| path != "/create") {
        request = request.header(COOKIE, cookie);
    }
    let request = request.body(Body::empty()).expect("a valid request");
    pollster::block_on(async {
        let Ok(response) = router.call(request).await;
        let cookie = response.headers().get(SET_COOKIE).map(|set| {
            let (pair, _) = set
                .to_str()
                .expect("text")
                .split_once(';')
                .expect("attributes");
            HeaderValue::from_str(pair).expect("text")
        });
        let body = to_bytes(response.into_body(), usize::MAX).await;
        (body.expect("a short body").len(), cookie)
    })
}

fn bare() -> Router {
    Router::new()
        .route("/ignore", get(async || "ignored"))
        .route("/read", get(async || 1_u64.to_string()))
        .route("/read-six", get(async || 101_u64.to_string()))
        .route("/update", get(async || 2_u64.to_string()))
        .route("/create", get(async || "created"))
        .layer(Extension(1_u64))
}

fn fill(attributes: &mut Attributes) -> Result<(), AttributeError> {
    for name in TEXTS {
        attributes.set(name, TEXT.to_owned())?;
    }
    attributes.set("count", 1_u64)
}

mod native {
    use super::*;

    async fn count(session: &Session) -> u64 {
        let count = session.get::<u64>("count").await.expect("a live session");
        count.map_or(0, |count| *count)
    }

    async fn read(session: Session) -> String {
        count(&session).await.to_string()
    }

    async fn read_six(session: Session) -> String {
        let mut sum = count(&session).await;
        for name in TEXTS {
            let text = session.get::<String>(name).await.expect("a live session");
            sum += text.map_or(0, |text| text.len() as u64);
        }
        sum.to_string()
    }

    async fn update(session: Session) -> String {
        let more = |count: Option<&u64>| count.map_or(1, |count| count + 1);
        let count = session.update("count", more).await;
        count.expect("a live session").to_string()
    }

    async fn create(session: Session) -> &'static str {
        session
            .update_all(fill)
            .await
            .expect("values that are JSON");
        "created"
    }

    pub fn router() -> Router {
        let manager = Manager::builder("id").settings(Settings::new(IDLE));
        let manager = manager.plain_http().build().expect("valid settings");
        Router::new()
            .route("/ignore", get(async || "ignored"))
            .route("/read", get(read))
            .route("/read-six", get(read_six))
            .route("/update", get(update))
            .route("/create", get(create))
            .layer(SessionLayer::new(manager))
    }
}

mod tower {
    use super::*;
    use tower_sessions::Session;

    async fn count(session: &Session) -> u64 {
        let count = session.get::<u64>("count").await;
        count.expect("a live session").unwrap_or(0)
    }

    async fn read(session: Session) -> String {
        count(&session).await.to_string()
    }

    async fn read_six(session: Session) -> String {
        let mut sum = count(&session).await;
        for name in TEXTS {
            let text = session.get::<String>(name).await.expect("a live session");
            sum += text.map_or(0, |text| text.len() as u64);
        }
        sum.to_string()
    }

    async fn update(session: Session) -> String {
        let count = count(&session).await + 1;
        let inserted = session.insert("count", count).await;
        inserted.expect("a live session");
        count.to_string()
    }

    async fn create(session: Session) -> &'static str {
        for name in TEXTS {
            session.insert(name, TEXT).await.expect("text is JSON");
        }
        session
            .insert("count", 1_u64)
            .await
            .expect("a number is JSON");
        "created"
    }

    pub fn router(store: impl SessionStore + Clone) -> Router {
        let expiry = Expiry::OnInactivity(time::Duration::try_from(IDLE).expect("half an hour"));
        let layer = SessionManagerLayer::new(store).with_secure(false);
        Router::new()
            .route("/read", get(read))
            .route("/read-six", get(read_six))
            .route("/update", get(update))
            .route("/create", get(create))
            .layer(layer.with_expiry(expiry))
    }
}

fn main() {
    let mut site = Site::new(bare());
    measured::bare_ignore(&mut site);
    measured::bare_read(&mut site);
    measured::bare_read_six(&mut site);
    measured::bare_update(&mut site);
    measured::bare_create(&mut site);
    let mut site = Site::new(native::router());
    measured::request_ignore(&mut site);
    measured::request_read(&mut site);
    measured::request_read_six(&mut site);
    measured::request_update(&mut site);
    measured::request_create(&mut site);
    let mut site = Site::new(tower::router(RecordStore::new(None)));
    measured::tower_read(&mut site);
    measured::tower_read_six(&mut site);
    measured::tower_update(&mut site);
    measured::tower_create(&mut site);
    let mut site = Site::new(tower::router(MemoryStore::default()));
    measured::memory_store_read(&mut site);
    measured::memory_store_read_six(&mut site);
    measured::memory_store_update(&mut site);
    measured::memory_store_create(&mut site);
}
