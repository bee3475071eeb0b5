//! The site: its routes, and what all of its pages share.

pub mod accounts;
mod devices;
pub mod keep;
mod operator;
mod pages;
mod shop;

use std::{collections::BTreeMap, error::Error, sync::Arc};

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use dwell::{
    manager::{Manager, ManagerError, Session},
    provider::MemoryProvider,
    session::{SessionError, SessionStore, Settings},
    snapshot::SnapshotFile,
    web::SessionLayer,
};
use tokio::sync::watch;

const COOKIE: &str = "session";
/// Nothing is loaded from elsewhere, nothing is inline, and nobody may frame a page.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
                      img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The keys of what the site keeps in sessions.
pub mod keys {
    pub const VISITS: &str = "visits";
    pub const CART: &str = "cart";
    /// A message that is shown once.
    pub const FLASH: &str = "flash";
    /// What happened to the session before, shown once.
    pub const NOTICE: &str = "notice";
    pub const BROWSER: &str = "browser";
}

/// The store behind the sessions, the accounts, and what operators watch.
pub struct Site {
    pub store: SessionStore,
    pub accounts: accounts::Accounts,
    pub watch: operator::Watch,
}

impl Site {
    pub fn new(
        settings: Settings,
        operators_password: &str,
        file: Option<&SnapshotFile>,
        stopping: watch::Receiver<bool>,
    ) -> Result<Self, Box<dyn Error>> {
        let watch = operator::Watch::new(stopping);
        let builder = || SessionStore::builder(settings).on_event(watch.listener());
        let store = match file {
            Some(file) => keep::restored(file, builder)?,
            None => builder().build()?,
        };
        Ok(Self {
            store,
            accounts: accounts::Accounts::new(operators_password),
            watch,
        })
    }

    /// `plain_http`, because this server speaks nothing else. A real site leaves it out: its cookie
    /// is `Secure` and has the prefix `__Host-` then.
    fn manager(&self) -> Result<Manager, ManagerError> {
        let provider = Arc::new(MemoryProvider::new(self.store.clone()));
        Manager::builder(COOKIE)
            .provider(provider)
            .plain_http()
            .build()
    }
}

/// # Panics
/// If the cookie's name is none.
pub fn router(site: Arc<Site>) -> Router {
    let manager = site.manager().expect("the cookie's name is one");
    operator::spawn_sampler(&site);
    Router::new()
        .route("/", get(shop::home))
        .route("/cart", get(shop::cart).post(shop::add))
        .route("/cart/remove", post(shop::remove))
        .route("/cart/order", post(shop::order))
        .route(
            "/signup",
            get(accounts::sign_up_form).post(accounts::sign_up),
        )
        .route("/login", get(accounts::log_in_form).post(accounts::log_in))
        .route("/logout", post(accounts::log_out))
        .route("/devices", get(devices::list))
        .route("/devices/end", post(devices::end))
        .route("/devices/end-others", post(devices::end_others))
        .route("/devices/end-all", post(devices::end_all))
        .route("/sessions", get(operator::page))
        .layer(middleware::from_fn(notice))
        .route("/sessions/events", get(operator::events))
        .layer(SessionLayer::new(manager))
        // What is below has nothing to do with anybody's session, and touches none.
        .route("/stats.json", get(stats))
        .route(
            "/site.css",
            get(|| asset("text/css", include_str!("assets/site.css"))),
        )
        .route(
            "/operator.js",
            get(|| asset("text/javascript", include_str!("assets/operator.js"))),
        )
        .route(
            "/countdown.js",
            get(|| asset("text/javascript", include_str!("assets/countdown.js"))),
        )
        .fallback(missing)
        .method_not_allowed_fallback(not_allowed)
        .layer(middleware::from_fn(careful))
        .with_state(site)
}

/// A visitor who comes with the id of a session that has ended is told so, instead of finding the
/// cart empty.
async fn notice(session: Session, request: Request, next: Next) -> Result<Response, Failure> {
    let mut cookies = request.headers().get_all(header::COOKIE).iter();
    let named = format!("{COOKIE}=");
    let has_id = cookies.any(|cookie| cookie.to_str().is_ok_and(|text| text.contains(&named)));
    if has_id && session.is_new() {
        let ended = "Your session had ended: you are logged out, and the cart is empty.";
        session.set(keys::NOTICE, ended.to_owned()).await?;
    }
    Ok(next.run(request).await)
}

pub async fn missing() -> impl IntoResponse {
    let page = pages::plain(
        "There is no such page",
        "It may have moved, or never have been.",
    );
    (StatusCode::NOT_FOUND, page)
}

async fn not_allowed() -> impl IntoResponse {
    let page = pages::plain(
        "This is not how it works",
        "The page is there for its own form only.",
    );
    (StatusCode::METHOD_NOT_ALLOWED, page)
}

async fn asset(kind: &'static str, text: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, kind)], text)
}

/// Refuses forms of other sites, and tells the browser what pages may do.
///
/// The session cookie is `SameSite=Lax`, so a POST from another site comes without it; this also
/// keeps others from logging a visitor in as somebody else.
async fn careful(request: Request, next: Next) -> Response {
    let from = request.headers().get("sec-fetch-site");
    let is_own = from.is_none_or(|from| from == "same-origin" || from == "none");
    let mut response = if request.method().is_safe() || is_own {
        next.run(request).await
    } else {
        StatusCode::FORBIDDEN.into_response()
    };
    let headers = response.headers_mut();
    for (name, value) in [
        ("content-security-policy", POLICY),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
        ("cache-control", "no-store"),
    ] {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    response
}

/// Counts only: they tell nothing about anybody.
async fn stats(State(site): State<Arc<Site>>) -> Json<BTreeMap<&'static str, u64>> {
    let stats = site.store.stats();
    Json(BTreeMap::from([
        ("live", stats.live as u64),
        ("anonymous", stats.anonymous as u64),
        ("created", stats.created),
        ("expired", stats.expired),
        ("evicted", stats.evicted),
        ("destroyed", stats.destroyed),
        ("renewed", stats.renewed),
        ("unknown ids", stats.unknown_ids),
        ("bytes", stats.bytes),
    ]))
}

/// What a handler answers.
pub type Answer = Result<Response, Failure>;

/// The session could not be used.
pub struct Failure(SessionError);

impl From<SessionError> for Failure {
    fn from(error: SessionError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self.0 {
            // It ended, or got a new id, while this request was under way: the next one sees how
            // things are.
            SessionError::Ended | SessionError::Superseded => Redirect::to("/").into_response(),
            error => {
                eprintln!("server: {error:?}");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}

/// Shows a message on the next page, once.
pub async fn flash(session: &Session, message: String) -> Result<(), SessionError> {
    session.set(keys::FLASH, message).await
}
