//! A small site whose sessions live in a `dwell::IdleMap`: it counts visits, logs users in and
//! out, and lets sessions lapse when they are left alone. Start it and open the address it prints:
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
    fmt,
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
    http::{StatusCode, header},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::Parser;
use dwell::{Clock, CoarseClock, IdleMap};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde::Deserialize;

const COOKIE: &str = "session";
const LONGEST_NAME: usize = 64;

/// A site whose sessions live in a dwell map.
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

/// What a browser presents to be recognised: whoever knows it has the session, so it is never
/// shown in debug output.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct SessionId([u8; 32]);

impl SessionId {
    fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// Accepts exactly the text `to_cookie` writes: 32 bytes have one spelling only, and anything
    /// else is refused before the store is asked.
    fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
            Ok(32) => Some(Self(bytes)),
            _ => None,
        }
    }

    fn presented(jar: &CookieJar) -> Option<Self> {
        Self::parse(jar.get(COOKIE)?.value())
    }

    /// A real site adds `secure(true)`. It is missing here because this server speaks plain http,
    /// over which not every browser would send a secure cookie back.
    ///
    /// `SameSite=Lax` is also the defence against forged requests from other sites: browsers leave
    /// the cookie out of cross-site POSTs, and only POSTs log a session in or out. (A login form on
    /// another site needs no cookie; where a login means more than here, check `Origin` as well.)
    fn to_cookie(self) -> Cookie<'static> {
        Cookie::build((COOKIE, URL_SAFE_NO_PAD.encode(self.0)))
            .http_only(true)
            .same_site(SameSite::Lax)
            .path("/")
            .build()
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(..)")
    }
}

/// A session never changes in place: every request that changes it swaps in a new value through
/// `IdleMap::update`, which is why requests running in parallel lose no visit.
#[derive(Clone, Default)]
struct Session {
    user: Option<String>,
    visits: u64,
}

impl Session {
    fn visited(&self) -> Self {
        Self {
            visits: self.visits + 1,
            ..self.clone()
        }
    }
}

type Sessions = Arc<IdleMap<SessionId, Session>>;

/// The system gave no random bytes, so no session can be issued.
struct NoRandomness(getrandom::Error);

impl From<getrandom::Error> for NoRandomness {
    fn from(error: getrandom::Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for NoRandomness {
    fn into_response(self) -> Response {
        eprintln!("server: no random bytes from the system: {}", self.0);
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}

/// Counts a visit. Whoever presents no session, or one the store does not hold, gets a new
/// session under a new id: an id the store did not issue is never taken up.
async fn home(
    State(sessions): State<Sessions>,
    mut jar: CookieJar,
) -> Result<impl IntoResponse, NoRandomness> {
    let known = SessionId::presented(&jar)
        .and_then(|id| Some((id, sessions.update(&id, Session::visited)?)));
    let (id, session) = match known {
        Some(known) => known,
        None => {
            let id = SessionId::random()?;
            jar = jar.add(id.to_cookie());
            let first = || Session::default().visited();
            (id, sessions.get_or_insert_with(id, first))
        }
    };
    let page = home_page(&session, time_left(&sessions, &id));
    Ok((jar, [(header::CACHE_CONTROL, "no-store")], page))
}

/// How long the session still has if nobody touches it.
fn time_left(sessions: &Sessions, id: &SessionId) -> Duration {
    let now = Duration::from_millis(CoarseClock.now_millis());
    let end = sessions.expires_at(id).unwrap_or_default();
    end.saturating_sub(now)
}

#[derive(Deserialize)]
struct Login {
    name: String,
}

/// Logging in changes the id, so that an id somebody planted or saw before the login is worth
/// nothing after it. The old session is taken out first: removal hands it to one request only, and
/// with every visit counted until then.
async fn log_in(
    State(sessions): State<Sessions>,
    jar: CookieJar,
    Form(login): Form<Login>,
) -> Result<Response, NoRandomness> {
    let name = login.name.trim();
    if name.is_empty() || name.chars().count() > LONGEST_NAME {
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, refusal_page()).into_response());
    }
    let id = SessionId::random()?;
    let old = SessionId::presented(&jar).and_then(|old| sessions.remove(&old));
    let session = Session {
        user: Some(name.to_owned()),
        visits: old.map_or(0, |old| old.visits),
    };
    sessions.insert(id, session);
    Ok((jar.add(id.to_cookie()), Redirect::to("/")).into_response())
}

/// The session ends here, not just in the browser: its id is worth nothing to anyone who kept it.
async fn log_out(State(sessions): State<Sessions>, jar: CookieJar) -> impl IntoResponse {
    if let Some(id) = SessionId::presented(&jar) {
        sessions.remove(&id);
    }
    (
        jar.remove(Cookie::build(COOKIE).path("/")),
        Redirect::to("/"),
    )
}

async fn stats(State(sessions): State<Sessions>) -> impl IntoResponse {
    ([(header::REFRESH, "1")], stats_page(&numbers(&sessions)))
}

async fn stats_json(State(sessions): State<Sessions>) -> Json<BTreeMap<&'static str, u64>> {
    Json(BTreeMap::from(numbers(&sessions)))
}

fn numbers(sessions: &Sessions) -> [(&'static str, u64); 6] {
    let stats = sessions.stats();
    [
        ("live", stats.live as u64),
        ("created", stats.created),
        ("expired", stats.expired),
        ("evicted", stats.evicted),
        ("removed", stats.removed),
        ("replaced", stats.replaced),
    ]
}

fn home_page(session: &Session, left: Duration) -> Markup {
    let seconds = left.as_millis().div_ceil(1000);
    let content = html! {
        p .visits { "visits: " (session.visits) }
        @if let Some(user) = &session.user {
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
            "created = live + expired + evicted + removed. Each counted visit replaces a value. "
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
    let sessions: Sessions = Arc::new(
        IdleMap::builder()
            .idle_timeout(Duration::from_secs(args.idle.get()))
            .capacity(args.capacity.get())
            .build()?,
    );
    let _collector = sessions.spawn_collector();

    // No handler needs a blocking thread: no call on the map ever waits for a lock.
    let site = Router::new()
        .route("/", get(home))
        .route("/login", post(log_in))
        .route("/logout", post(log_out))
        .route("/stats", get(stats))
        .route("/stats.json", get(stats_json))
        .with_state(sessions);

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

    axum::serve(listener, site)
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
