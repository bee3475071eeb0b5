//! The operator's page: live sessions by idle time, rates, and what ends and why, as it happens.

use super::{Answer, Failure, Site, accounts::OPERATOR, pages};
use axum::{
    extract::State,
    http::StatusCode,
    response::{
        IntoResponse, Redirect, Response,
        sse::{Event as Message, KeepAlive, Sse},
    },
};
use dwell::{
    manager::Session,
    session::{Event, EventKind, SessionKey, SessionStats},
};
use futures_util::stream::unfold;
use maud::html;
use serde::Serialize;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{broadcast, watch};

/// Classes of idle time, each this part of the idle timeout.
const CLASSES: usize = 20;
/// Sessions and events that a page shows.
const MOST_LISTED: usize = 20;
const MOST_EVENTS: usize = 25;
/// Between two looks, at the least.
const PERIOD: Duration = Duration::from_millis(500);
/// Of the time, a look may take one part in so many: it visits all sessions.
const SHARE: u32 = 20;

/// What pages are told by: the newest view, and each event; and that the server is about to stop.
pub struct Watch {
    views: watch::Sender<Arc<str>>,
    events: broadcast::Sender<Line>,
    stopping: watch::Receiver<bool>,
}

/// An event, as a page shows it: with the tag, never the id.
#[derive(Clone, Serialize)]
struct Line {
    kind: &'static str,
    tag: String,
    owner: Option<Arc<str>>,
}

impl Watch {
    pub fn new(stopping: watch::Receiver<bool>) -> Self {
        Self {
            views: watch::channel(Arc::from("null")).0,
            events: broadcast::channel(MOST_EVENTS).0,
            stopping,
        }
    }

    /// Whom the store is to tell its events.
    pub fn listener(&self) -> impl FnMut(&Event) + Send + 'static {
        let events = self.events.clone();
        move |event: &Event| {
            // Nobody listens while nobody looks at the page.
            let _ = events.send(Line {
                kind: name(event.kind),
                tag: event.key.tag().to_string(),
                owner: event.owner.clone(),
            });
        }
    }
}

fn name(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Created => "created",
        EventKind::Renewed => "renewed",
        EventKind::Destroyed => "destroyed",
        EventKind::ExpiredIdle => "lapsed",
        EventKind::ExpiredLifetime => "too old",
        EventKind::Evicted => "evicted",
        _ => "other",
    }
}

/// What a page is told, twice a second.
#[derive(Serialize)]
struct View {
    live: usize,
    anonymous: usize,
    owners: usize,
    bytes: u64,
    created: u64,
    renewed: u64,
    lapsed: u64,
    evicted: u64,
    destroyed: u64,
    refused_writes: u64,
    unknown_ids: u64,
    /// Seconds since the last view.
    elapsed: f64,
    /// Since the last view.
    fresh: Fresh,
    /// Live sessions by how much of their idle timeout is over.
    idle: [u32; CLASSES],
    idle_timeout: f64,
    sessions: Vec<Row>,
}

/// What happened since the last view.
#[derive(Serialize)]
struct Fresh {
    created: u64,
    lapsed: u64,
    evicted: u64,
    destroyed: u64,
}

#[derive(Serialize)]
struct Row {
    tag: String,
    owner: Option<Arc<str>>,
    values: usize,
    age: f64,
    idle: f64,
    left: f64,
}

/// Looks at the store while somebody looks at the page: one look for all of them.
pub fn spawn_sampler(site: &Arc<Site>) {
    let site = Arc::downgrade(site);
    tokio::spawn(async move {
        let mut last = (Instant::now(), SessionStats::default());
        let mut pause = PERIOD;
        loop {
            tokio::time::sleep(pause).await;
            let Some(site) = site.upgrade() else { return };
            let now = (Instant::now(), site.store.stats());
            if site.watch.views.receiver_count() > 0 {
                let elapsed = now.0 - last.0;
                let view = look(&site, &last.1, &now.1, elapsed);
                let text = serde_json::to_string(&view).expect("numbers and texts are JSON");
                site.watch.views.send_replace(text.into());
                pause = PERIOD.max(now.0.elapsed() * SHARE);
            }
            last = now;
        }
    });
}

fn look(site: &Site, last: &SessionStats, now: &SessionStats, elapsed: Duration) -> View {
    let timeout = site.store.settings().idle_timeout;
    let mut idle = [0; CLASSES];
    let mut newest: Vec<Row> = Vec::new();
    for session in site.store.iter() {
        let part = session.idle_for.as_secs_f64() / timeout.as_secs_f64();
        idle[((part * CLASSES as f64) as usize).min(CLASSES - 1)] += 1;
        newest.push(Row {
            tag: session.key.tag().to_string(),
            owner: session.owner.clone(),
            values: session.attributes.len(),
            age: session.age.as_secs_f64(),
            idle: session.idle_for.as_secs_f64(),
            left: session.time_left.as_secs_f64(),
        });
        if newest.len() >= 4 * MOST_LISTED {
            keep_most_recent(&mut newest);
        }
    }
    keep_most_recent(&mut newest);
    View {
        live: now.live,
        anonymous: now.anonymous,
        owners: now.owners,
        bytes: now.bytes,
        created: now.created,
        renewed: now.renewed,
        lapsed: now.expired,
        evicted: now.evicted,
        destroyed: now.destroyed,
        refused_writes: now.refused_writes,
        unknown_ids: now.unknown_ids,
        elapsed: elapsed.as_secs_f64(),
        fresh: Fresh {
            created: now.created - last.created,
            lapsed: now.expired - last.expired,
            evicted: now.evicted - last.evicted,
            destroyed: now.destroyed - last.destroyed,
        },
        idle,
        idle_timeout: timeout.as_secs_f64(),
        sessions: newest,
    }
}

fn keep_most_recent(rows: &mut Vec<Row>) {
    rows.sort_by(|one, two| one.idle.total_cmp(&two.idle));
    rows.truncate(MOST_LISTED);
}

/// A visitor who is not the operator does not learn that there is a page.
async fn guard(session: &Session) -> Result<Result<SessionKey, Response>, Failure> {
    match (session.owner().await?, session.key()) {
        (Some(owner), Some(key)) if &*owner == OPERATOR => Ok(Ok(key)),
        (Some(_), _) => Ok(Err(super::missing().await.into_response())),
        (None, _) => Ok(Err(Redirect::to("/login").into_response())),
    }
}

pub async fn page(session: Session) -> Answer {
    if let Err(response) = guard(&session).await? {
        return Ok(response);
    }
    let tile = |id: &str, name: &str| {
        html! { div .tile { span .value #(id) { "–" } span .hint { (name) } } }
    };
    let content = html! {
        p #state .hint { "Connecting …" }
        div .tiles {
            (tile("live", "live"))
            (tile("anonymous", "anonymous"))
            (tile("owners", "users"))
            (tile("bytes", "memory"))
            (tile("refused_writes", "late writes"))
            (tile("unknown_ids", "unknown ids"))
        }
        section {
            h2 { "Rates" }
            p .hint { "per second, over the last minute" }
            div #rates .rates {}
        }
        section {
            h2 { "Live sessions by idle time" }
            p .hint { "From just used, at the left, to about to lapse, at the right." }
            div #idle .bars {}
            p .axis { span { "0 s" } span #timeout {} }
        }
        div .columns {
            section {
                h2 { "Used last" }
                table {
                    thead { tr { th { "Session" } th { "User" } th .number { "Age" } th .number { "Idle" } th .number { "Left" } } }
                    tbody #sessions {}
                }
            }
            section {
                h2 { "Events" }
                ol #events .events {}
            }
        }
        noscript { p .refusal { "This page draws what the server tells it: it needs its script." } }
    };
    let page = pages::frame(&session, "Sessions", &["/operator.js"], content).await?;
    Ok(page.into_response())
}

/// The stream behind the page. It ends with the operator's session, which it does not touch: a page
/// that is left open keeps nobody logged in. It ends with the server, too: a stream that goes on
/// would keep it from stopping.
pub async fn events(State(site): State<Arc<Site>>, session: Session) -> Answer {
    let Ok(key) = guard(&session).await? else {
        // Not the way to the login: a stream does not follow it.
        return Ok(StatusCode::NOT_FOUND.into_response());
    };
    let Watch {
        views,
        events,
        stopping,
    } = &site.watch;
    let start = (views.subscribe(), events.subscribe(), stopping.clone());
    let messages = unfold(start, move |(mut views, mut lines, mut stopping)| {
        let site = Arc::clone(&site);
        async move {
            let message = tokio::select! {
                _ = stopping.wait_for(|is_stopping| *is_stopping) => return None,
                changed = views.changed() => {
                    changed.ok()?;
                    let view = Arc::clone(&views.borrow_and_update());
                    Message::default().event("view").data(view)
                }
                line = lines.recv() => match line {
                    Ok(line) => Message::default().event("line").json_data(line).ok()?,
                    Err(broadcast::error::RecvError::Lagged(missed)) => {
                        Message::default().event("missed").data(missed.to_string())
                    }
                    Err(broadcast::error::RecvError::Closed) => return None,
                },
            };
            let operator = site.store.peek_key(&key)?;
            let is_operator = operator.owner.as_deref() == Some(OPERATOR);
            is_operator.then_some((Ok::<_, Infallible>(message), (views, lines, stopping)))
        }
    });
    let stream = Sse::new(messages).keep_alive(KeepAlive::default());
    Ok(stream.into_response())
}
