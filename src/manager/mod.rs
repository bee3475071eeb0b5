//! Layer 3: the manager. Sessions for a web application: cookies in front, a provider behind.
//!
//! It works on the types of the `http` crate, so any framework can call it: headers go in, headers
//! come out.
//!
//! ```
//! use dwell::manager::Manager;
//! use http::{HeaderMap, header};
//! use std::time::Duration;
//!
//! # pollster::block_on(async {
//! let manager = Manager::new("memory", "sid", Duration::from_secs(30 * 60))?;
//!
//! // A request comes in without a cookie, and the handler stores something.
//! let session = manager.start(&HeaderMap::new()).await?;
//! session.set("cart", vec![String::from("tea")]).await?;
//! let mut response = HeaderMap::new();
//! manager.finish(session, &mut response);
//! let cookie = response[header::SET_COOKIE].to_str()?;
//! assert!(cookie.starts_with("__Host-sid=") && cookie.contains("HttpOnly"));
//!
//! // The next request brings the cookie.
//! let mut request = HeaderMap::new();
//! request.insert(header::COOKIE, cookie.split(';').next().unwrap().parse()?);
//! let session = manager.start(&request).await?;
//! assert_eq!(*session.get::<Vec<String>>("cart").await?.unwrap(), ["tea"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod builder;
mod cookie;
mod error;
mod ids;
mod inner;
mod observe;
mod session;
mod stage;
mod steps;
mod terms;

pub use builder::Builder;
pub use cookie::SameSite;
pub use error::ManagerError;
pub use session::Session;

use crate::Collector;
use crate::provider::Provider;
use crate::session::SessionError;
#[cfg(feature = "tower")]
use crate::session::SessionId;
use http::HeaderMap;
use inner::Inner;
use std::sync::Arc;
use std::time::Duration;

/// Starts and finishes the sessions of requests.
///
/// Sessions are created when something is first stored in them: a visitor who stores nothing gets
/// no cookie and costs nothing. Cookies that make no sense, and ids that answer to no session,
/// count as no cookie at all, and are [counted](Self::stats). While the manager lives, a thread
/// frees what has ended; it stops at once when the manager is dropped.
///
/// ```
/// use dwell::manager::Manager;
/// use dwell::session::Settings;
/// use std::time::Duration;
///
/// let settings = Settings::new(Duration::from_secs(30 * 60))
///     .max_lifetime(Duration::from_secs(12 * 60 * 60))
///     .capacity(1_000_000);
/// let manager = Manager::builder("sid").settings(settings).build()?;
/// # Ok::<(), dwell::manager::ManagerError>(())
/// ```
#[doc(alias("session manager", "session middleware"))]
#[derive(Debug)]
#[must_use = "it collects what has ended only until it is dropped"]
pub struct Manager {
    inner: Arc<Inner>,
    /// Stops when it is dropped.
    _collector: Option<Collector>,
}

/// What clients presented, from [`Manager::stats`]. What the sessions themselves do is counted by
/// their provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ManagerStats {
    /// Session cookies whose value cannot be an id.
    pub malformed: u64,
    /// Requests whose cookies were too large to be looked at.
    pub oversized: u64,
    /// Requests with several session cookies of different values.
    pub duplicate: u64,
    /// Ids that answer to no session. Many of them: somebody is guessing.
    pub unknown: u64,
}

impl Manager {
    /// A manager over the provider of this name in the [process-wide
    /// registry](crate::provider::Registry::global), for sessions that may idle for `lifetime`.
    ///
    /// The cookie is called `__Host-` and `cookie`. [`builder`](Self::builder) has the rest, an
    /// absolute lifetime above all.
    ///
    /// # Errors
    /// If there is no such provider, if it cannot be opened, or if the cookie's name is none.
    ///
    /// ```
    /// use dwell::manager::Manager;
    /// use std::time::Duration;
    /// assert!(Manager::new("memory", "sid", Duration::from_secs(3_600)).is_ok());
    /// assert!(Manager::new("no such provider", "sid", Duration::from_secs(3_600)).is_err());
    /// ```
    pub fn new(provider: &str, cookie: &str, lifetime: Duration) -> Result<Self, ManagerError> {
        Self::builder(cookie)
            .provider_named(provider)
            .settings(crate::session::Settings::new(lifetime))
            .build()
    }

    /// Builds a manager whose cookie has this name, after the prefix `__Host-`.
    pub fn builder(cookie: &str) -> Builder {
        Builder::new(cookie)
    }

    /// The provider: for lists of an owner's sessions, and to end them.
    pub fn provider(&self) -> &Arc<dyn Provider> {
        &self.inner.provider
    }

    /// The session of a request: the one that its cookie answers to, touched, or a new one. A new
    /// one is not created before something is stored in it.
    ///
    /// # Errors
    /// If the provider fails.
    pub async fn start(&self, request: &HeaderMap) -> Result<Session, SessionError> {
        match self.inner.begin(request, None) {
            Ok(session) => Ok(session),
            Err(id) => self.inner.ask(id, None).await,
        }
    }

    /// The session of a request, or the id to [ask](Self::ask) for. `outer` is that of a layer
    /// further out.
    #[cfg(feature = "tower")]
    #[inline]
    pub(crate) fn begin(
        &self,
        request: &HeaderMap,
        outer: Option<&Session>,
    ) -> Result<Session, SessionId> {
        self.inner.begin(request, outer)
    }

    /// The session of a request that presents an id.
    #[cfg(feature = "tower")]
    pub(crate) async fn ask(
        &self,
        id: SessionId,
        outer: Option<&Session>,
    ) -> Result<Session, SessionError> {
        self.inner.ask(id, outer).await
    }

    /// As [`unavailable`](Self::unavailable).
    #[cfg(feature = "tower")]
    pub(crate) fn unavailable_within(&self, outer: Option<&Session>) -> Session {
        self.inner.unavailable(outer)
    }

    /// A session for a request whose own could not be looked up, so that it can go on without.
    ///
    /// Its methods fail with [`SessionError::Unavailable`]. It reads nothing, writes nothing and
    /// takes the place of nothing: the visitor's own session and cookie stay as they are, for when
    /// the provider answers again.
    ///
    /// ```
    /// # use dwell::manager::{Manager, Session};
    /// use dwell::session::SessionError;
    /// use http::HeaderMap;
    /// # use std::time::Duration;
    ///
    /// /// For a page that is better without a visitor's name than not there.
    /// async fn start(manager: &Manager, request: &HeaderMap) -> Session {
    ///     match manager.start(request).await {
    ///         Ok(session) => session,
    ///         Err(_) => manager.unavailable(),
    ///     }
    /// }
    /// # pollster::block_on(async {
    /// # let manager = Manager::new("memory", "sid", Duration::from_secs(60))?;
    /// # start(&manager, &HeaderMap::new()).await;
    /// let written = manager.unavailable().set("cart", 1_u32).await;
    /// assert!(matches!(written, Err(SessionError::Unavailable)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn unavailable(&self) -> Session {
        self.inner.unavailable(None)
    }

    /// Ends a request: if its session got an id, or was destroyed, tells the client so by
    /// `Set-Cookie`, and every cache by `Cache-Control: no-store`.
    ///
    /// Call it for each response, failures included: otherwise the client does not learn its new
    /// id.
    pub fn finish(&self, session: Session, response: &mut HeaderMap) {
        session.answer(response);
    }

    /// Ends a session, at the provider and at the client. Whether it had not ended before.
    ///
    /// # Errors
    /// As [`Session::destroy`]. The client keeps its cookie then, so that it can log out again.
    ///
    /// ```
    /// # use dwell::manager::Manager;
    /// # use http::{HeaderMap, header};
    /// # use std::time::Duration;
    /// # pollster::block_on(async {
    /// # let manager = Manager::new("memory", "sid", Duration::from_secs(60))?;
    /// let session = manager.start(&HeaderMap::new()).await?;
    /// session.set("name", String::from("Ann")).await?;
    /// let mut response = HeaderMap::new();
    /// assert!(manager.destroy(session, &mut response).await?);
    /// assert!(response[header::SET_COOKIE].to_str()?.contains("Max-Age=0"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    #[doc(alias("logout", "log_out", "invalidate"))]
    pub async fn destroy(
        &self,
        session: Session,
        response: &mut HeaderMap,
    ) -> Result<bool, SessionError> {
        let destroyed = session.destroy().await;
        self.finish(session, response);
        destroyed
    }

    /// Gives a session a new id and the client the new cookie: at each change of privileges. For a
    /// login, [`Session::log_in`] does that and more.
    ///
    /// # Errors
    /// As [`Session::renew`].
    ///
    /// ```
    /// # use dwell::manager::Manager;
    /// # use http::{HeaderMap, header};
    /// # use std::time::Duration;
    /// # pollster::block_on(async {
    /// # let manager = Manager::new("memory", "sid", Duration::from_secs(60))?;
    /// let session = manager.start(&HeaderMap::new()).await?;
    /// session.set_owner("ann").await?;
    /// let before = session.id();
    /// let mut response = HeaderMap::new();
    /// let session = manager.renew(session, &mut response).await?;
    /// assert_ne!(session.id(), before);
    /// assert!(response.contains_key(header::SET_COOKIE));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    #[doc(alias("session id rotation", "rotate", "regenerate", "cycle_id"))]
    pub async fn renew(
        &self,
        session: Session,
        response: &mut HeaderMap,
    ) -> Result<Session, SessionError> {
        session.renew().await?;
        self.inner.answer(session.take_notice(), response);
        Ok(session)
    }

    /// Frees what has ended, for an application that collects by itself
    /// ([`without_collector`](Builder::without_collector)). Returns how many sessions it ended.
    ///
    /// In memory it does a bounded part at a time, and lets other tasks run in between.
    ///
    /// ```
    /// use dwell::manager::Manager;
    /// use std::sync::Arc;
    /// use std::time::Duration;
    ///
    /// /// A tokio task in the place of the collector's thread.
    /// async fn collect(manager: Arc<Manager>) {
    ///     let mut often = tokio::time::interval(Duration::from_secs(10));
    ///     loop {
    ///         often.tick().await;
    ///         if let Err(error) = manager.collect().await {
    ///             eprintln!("sessions are not collected: {error:?}");
    ///         }
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// If the provider fails.
    pub async fn collect(&self) -> Result<usize, SessionError> {
        let collected = self.provider().collect().await;
        collected.inspect_err(observe::failed)
    }

    /// Whether the provider answers, for a readiness probe: asks it for a session that there is
    /// not.
    ///
    /// A provider in this process always does. One that is asked over a network does what each
    /// request does, up to its own timeout. Changes nothing and touches nothing.
    ///
    /// ```
    /// use axum::{Router, http::StatusCode, routing::get};
    /// use dwell::manager::Manager;
    /// use std::sync::Arc;
    ///
    /// /// Outside of the session layer: the probe brings no cookie, and wants none.
    /// fn probe(manager: Arc<Manager>) -> Router {
    ///     let ready = async move || match manager.ping().await {
    ///         Ok(()) => StatusCode::OK,
    ///         Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    ///     };
    ///     Router::new().route("/ready", get(ready))
    /// }
    /// ```
    ///
    /// # Errors
    /// If the provider fails.
    pub async fn ping(&self) -> Result<(), SessionError> {
        let answered = self.provider().ping().await;
        answered.inspect_err(observe::failed)
    }

    /// What clients presented that was no session's id.
    ///
    /// ```
    /// # use dwell::manager::Manager;
    /// # use http::{HeaderMap, HeaderValue, header};
    /// # use std::time::Duration;
    /// # pollster::block_on(async {
    /// # let manager = Manager::new("memory", "sid", Duration::from_secs(60))?;
    /// let mut request = HeaderMap::new();
    /// request.insert(header::COOKIE, HeaderValue::from_static("__Host-sid=chosen-by-somebody"));
    /// assert!(manager.start(&request).await?.id().is_none());
    /// assert_eq!(manager.stats().malformed, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn stats(&self) -> ManagerStats {
        self.inner.counts.stats()
    }
}
