//! A small site whose sessions are dwell's: it counts visits, logs users in and out, and lets sessions
//! lapse when they are left alone. Start it and open the address it prints:
//!
//! ```text
//! cargo run --release --example server -- --idle 30
//! ```
//!
//! This is a demonstration for one's own machine: it speaks plain http, listens on 127.0.0.1
//! only, and believes whatever name a user logs in with.

use std::{
    collections::BTreeMap,
    error::Error,
    io::ErrorKind,
    net::Ipv4Addr,
    num::{NonZeroU64, NonZeroUsize},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use axum::{
    Form, Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use clap::Parser;
use dwell::{
    manager::{Manager, Session},
    provider::MemoryProvider,
    session::{SessionError, SessionKey, SessionStore, Settings},
};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde::Deserialize;

const COOKIE: &str = "session";
const LONGEST_NAME: usize = 64;

/// A site whose sessions are dwell's.
#[derive(Parser)]
struct Args {
    /// Port on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 3000)]
    port: u16,
    /// Seconds a session may be left alone before it lapses
    #[arg(long, value_name = "SECONDS", default_value = "30")]
    idle: NonZeroU64,
    /// Most sessions to hold; beyond it, each new one evicts another
    #[arg(long, value_name = "SESSIONS", default_value = "1000000")]
    capacity: NonZeroUsize,
}

/// The manager for requests, and the store behind it for the statistics.
struct Site {
    manager: Manager,
    store: SessionStore,
}

impl Site {
    /// `plain_http`, because this server speaks nothing else. A real site leaves it out: its cookie is
    /// `Secure` then.
    ///
    /// The cookie is `SameSite=Lax`, which is also the defence against forged requests from other sites:
    /// browsers leave it out of cross-site POSTs, and only POSTs log a session in or out. (A login form on
    /// another site needs no cookie; where a login means more than here, check `Origin` as well.)
    fn new(settings: Settings) -> Result<Self, Box<dyn Error>> {
        let store = SessionStore::builder(settings).build()?;
        let provider = Arc::new(MemoryProvider::new(store.clone()));
        let manager = Manager::builder(COOKIE)
            .provider(provider)
            .plain_http()
            .build()?;
        Ok(Self { manager, store })
    }

    /// A response that tells the browser what became of its session.
    fn respond(&self, session: Session, response: impl IntoResponse) -> Response {
        let mut response = response.into_response();
        self.manager.finish(session, response.headers_mut());
        response
    }
}

/// The session could not be had: the system gave no random bytes for an id, say.
struct Failure(SessionError);

impl From<SessionError> for Failure {
    fn from(error: SessionError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        eprintln!("server: {}", self.0);
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}

/// Counts a visit, atomically: requests running in parallel lose none. Whoever presents no session, or one
/// that the store does not hold, gets a new one under a new id.
async fn home(State(site): State<Arc<Site>>, request: HeaderMap) -> Result<Response, Failure> {
    let count = |visits: Option<&u64>| visits.map_or(1, |visits| visits + 1);
    let mut session = site.manager.start(&request).await?;
    let visits = match session.update("visits", count).await {
        // It ended since it was found.
        Err(SessionError::Ended) => {
            session = site.manager.start(&HeaderMap::new()).await?;
            session.update("visits", count).await?
        }
        result => result?,
    };
    let user = session.owner().await?;
    let left = session.key().map(|key| time_left(&site.store, &key));
    let page = home_page(*visits, user.as_deref(), left.unwrap_or_default());
    let response = ([(header::CACHE_CONTROL, "no-store")], page);
    Ok(site.respond(session, response))
}

/// How long the session still has if nobody touches it.
fn time_left(store: &SessionStore, key: &SessionKey) -> Duration {
    store
        .idle_and_left(key)
        .map_or(Duration::ZERO, |(_, left)| left)
}

#[derive(Deserialize)]
struct Login {
    name: String,
}

/// Logging in changes the id, so that an id somebody planted or saw before the login is worth nothing after
/// it. The session stays the same, with every visit counted until then.
async fn log_in(
    State(site): State<Arc<Site>>,
    request: HeaderMap,
    Form(login): Form<Login>,
) -> Result<Response, Failure> {
    let name = login.name.trim();
    if name.is_empty() || name.chars().count() > LONGEST_NAME {
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, refusal_page()).into_response());
    }
    let session = site.manager.start(&request).await?;
    match session.renew_with_grace(Duration::ZERO).await {
        Ok(()) => session.set_owner(name).await?,
        // Clicked twice: the other request's response brings the new id.
        Err(SessionError::Superseded | SessionError::Ended) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(site.respond(session, Redirect::to("/")))
}

/// The session ends here, not just in the browser: its id is worth nothing to anyone who kept it.
async fn log_out(State(site): State<Arc<Site>>, request: HeaderMap) -> Result<Response, Failure> {
    let session = site.manager.start(&request).await?;
    let mut response = Redirect::to("/").into_response();
    site.manager
        .destroy(session, response.headers_mut())
        .await?;
    Ok(response)
}

async fn stats(State(site): State<Arc<Site>>) -> impl IntoResponse {
    ([(header::REFRESH, "1")], stats_page(&numbers(&site)))
}

async fn stats_json(State(site): State<Arc<Site>>) -> Json<BTreeMap<&'static str, u64>> {
    Json(BTreeMap::from(numbers(&site)))
}

fn numbers(site: &Site) -> [(&'static str, u64); 9] {
    let stats = site.store.stats();
    [
        ("live", stats.live as u64),
        ("anonymous", stats.anonymous as u64),
        ("created", stats.created),
        ("expired", stats.expired),
        ("evicted", stats.evicted),
        ("destroyed", stats.destroyed),
        ("renewed", stats.renewed),
        ("unknown ids", stats.unknown_ids),
        ("bytes", stats.bytes),
    ]
}

fn home_page(visits: u64, user: Option<&str>, left: Duration) -> Markup {
    let seconds = left.as_millis().div_ceil(1000);
    let content = html! {
        p .visits { "visits: " (visits) }
        @if let Some(user) = user {
            p { "logged in as " strong { (user) } }
            form method="post" action="/logout" { button { "Log out" } }
        } @else {
            form method="post" action="/login" {
                input name="name" placeholder="any name" aria-label="Name" maxlength=(LONGEST_NAME) required;
                button { "Log in" }
            }
            p .hint { "This is a demo: there are no passwords." }
        }
        p {
            "Left alone, this session lapses in "
            span #left { (seconds) } " s; every visit starts the time afresh."
        }
        p { a href="/" { "Visit again" } " · " a href="/stats" { "Statistics" } }
        script { (PreEscaped(COUNTDOWN)) }
    };
    page("A session in dwell", content)
}

fn stats_page(numbers: &[(&str, u64)]) -> Markup {
    let content = html! {
        table {
            @for (name, number) in numbers {
                tr { td { (name) } td .number { (number) } }
            }
        }
        p .hint {
            "created = live + expired + evicted + destroyed. "
            "The page refreshes every second, and does not touch your session: see it lapse."
        }
        p { a href="/" { "Back" } " · " a href="/stats.json" { "as JSON" } }
    };
    page("Sessions", content)
}

fn refusal_page() -> Markup {
    let content = html! {
        p { "A name has 1 to " (LONGEST_NAME) " characters." }
        p { a href="/" { "Back" } }
    };
    page("Not logged in", content)
}

/// maud escapes whatever is spliced in, user names included.
fn page(title: &str, content: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                link rel="icon" href="data:,";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { h1 { (title) } (content) }
        }
    }
}

const STYLE: &str = "
:root { color-scheme: light dark }
body { font: 1.1rem/1.6 system-ui, sans-serif; max-width: 34rem; margin: 3rem auto; padding: 0 1rem;
       overflow-wrap: anywhere }
h1 { line-height: 1.2 }
.visits { font-size: 2rem; margin: .5rem 0 }
.hint { opacity: .7; font-size: .9rem }
.number { text-align: right; font-variant-numeric: tabular-nums; padding-left: 2rem }
input, button { font: inherit; padding: .2rem .6rem; margin: 0 .5rem .5rem 0 }
";

const COUNTDOWN: &str = "
const left = document.getElementById('left');
const end = Date.now() + 1000 * left.textContent;
const timer = setInterval(() => {
  const seconds = Math.ceil((end - Date.now()) / 1000);
  left.textContent = Math.max(seconds, 0);
  if (seconds > 0) return;
  clearInterval(timer);
  left.parentElement.textContent =
    'This session has lapsed, if no other tab used it: visit again to see.';
}, 250);
";

async fn serve(args: Args) -> Result<(), Box<dyn Error>> {
    let settings =
        Settings::new(Duration::from_secs(args.idle.get())).capacity(args.capacity.get());
    let site = Arc::new(Site::new(settings)?);

    // No handler needs a blocking thread: no call on the map ever waits for a lock.
    let router = Router::new()
        .route("/", get(home))
        .route("/login", post(log_in))
        .route("/logout", post(log_out))
        .route("/stats", get(stats))
        .route("/stats.json", get(stats_json))
        .with_state(site);

    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, args.port))
        .await
        .map_err(|error| match error.kind() {
            ErrorKind::AddrInUse => format!(
                "port {} is taken; choose another with --port, or any free one with --port 0",
                args.port
            ),
            _ => format!("cannot listen on 127.0.0.1:{}: {error}", args.port),
        })?;
    println!("http://{}", listener.local_addr()?);

    axum::serve(listener, router)
        .with_graceful_shutdown(async {
            if let Err(error) = tokio::signal::ctrl_c().await {
                eprintln!("server: cannot wait for Ctrl-C, stopping: {error}");
            }
        })
        .await?;
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    match serve(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("server: {error}");
            ExitCode::FAILURE
        }
    }
}
