//! What the sessions of all requests share: the provider, the cookie, and the counts.

use super::ManagerStats;
use super::cookie::{Cookies, Notice, Presented};
use super::observe::{self, Outcome};
use super::session::Session;
use super::stage::{Link, Seen, Stage};
use crate::count::Count;
use crate::provider::{Access, By, MemoryProvider, Provider};
use crate::session::{SessionError, SessionId, SessionStore};
use http::HeaderMap;
use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

/// How long a request reads what it has seen, where only a step over the network can tell more.
const FRESH: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) provider: Arc<dyn Provider>,
    /// The provider's store, if it is the memory provider: it can tell whether a session still is
    /// what a request has seen, and takes a change as a closure.
    pub(super) memory: Option<SessionStore>,
    pub(super) cookies: Cookies,
    pub(super) counts: Counts,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) malformed: Count,
    pub(super) oversized: Count,
    pub(super) duplicate: Count,
    pub(super) unknown: Count,
}

impl Counts {
    pub(super) fn stats(&self) -> ManagerStats {
        ManagerStats {
            malformed: self.malformed.get(),
            oversized: self.oversized.get(),
            duplicate: self.duplicate.get(),
            unknown: self.unknown.get(),
        }
    }
}

impl Inner {
    pub(super) fn new(provider: Arc<dyn Provider>, cookies: Cookies) -> Self {
        let any: &dyn Any = &*provider;
        let memory = any.downcast_ref::<MemoryProvider>();
        Self {
            memory: memory.map(|memory| memory.store().clone()),
            provider,
            cookies,
            counts: Counts::default(),
        }
    }

    /// The session of a request, or the id that the provider is to be asked for, which may take a
    /// while. `outer` is that of a layer further out.
    #[inline]
    pub(super) fn begin(
        self: &Arc<Self>,
        request: &HeaderMap,
        outer: Option<&Session>,
    ) -> Result<Session, SessionId> {
        match (self.cookies.presented(request), &self.memory) {
            (Presented::Id(id), None) => Err(id),
            (Presented::Id(id), Some(store)) => Ok(self.find(id, store, outer)),
            (Presented::Nothing, _) => Ok(self.new_visitor(Outcome::NoCookie, outer)),
            (Presented::Malformed, _) => Ok(self.new_visitor(Outcome::Malformed, outer)),
            (Presented::Oversized, _) => Ok(self.new_visitor(Outcome::Oversized, outer)),
            (Presented::Duplicate, _) => Ok(self.new_visitor(Outcome::Duplicate, outer)),
        }
    }

    /// The session of a request that presents an id, from a store in this process.
    #[cfg_attr(
        feature = "tracing",
        tracing::instrument(
            name = "dwell.session.lookup",
            level = "debug",
            skip_all,
            fields(dwell.session.outcome)
        )
    )]
    fn find(
        self: &Arc<Self>,
        id: SessionId,
        store: &SessionStore,
        outer: Option<&Session>,
    ) -> Session {
        match store.look_up(By::Id(id), Access::Touch) {
            Ok(found) => self.found(id, Seen::Here(found), outer),
            Err(_) => self.counted(Outcome::Unknown, outer),
        }
    }

    /// A request without an id that could be looked up.
    #[cfg_attr(
        feature = "tracing",
        tracing::instrument(
            name = "dwell.session.lookup",
            level = "debug",
            skip_all,
            fields(dwell.session.outcome)
        )
    )]
    fn new_visitor(self: &Arc<Self>, outcome: Outcome, outer: Option<&Session>) -> Session {
        self.counted(outcome, outer)
    }

    /// The session of a request that presents an id, from the provider.
    #[cfg_attr(
        feature = "tracing",
        tracing::instrument(
            name = "dwell.session.lookup",
            level = "debug",
            skip_all,
            fields(dwell.session.outcome)
        )
    )]
    pub(super) async fn ask(
        self: &Arc<Self>,
        id: SessionId,
        outer: Option<&Session>,
    ) -> Result<Session, SessionError> {
        match self.provider.read(By::Id(id), Access::Touch).await {
            Ok(Some(snapshot)) => Ok(self.found(id, Seen::told(snapshot), outer)),
            // The cookie is left alone: another request may just have renewed the id, and its
            // response brings the new one.
            Ok(None) | Err(SessionError::Superseded) => Ok(self.counted(Outcome::Unknown, outer)),
            Err(error) => {
                observe::failed(&error);
                observe::looked_up(Outcome::Failed);
                Err(error)
            }
        }
    }

    #[inline]
    fn found(self: &Arc<Self>, id: SessionId, seen: Seen, outer: Option<&Session>) -> Session {
        observe::looked_up(Outcome::Found);
        Session::at(self, Stage::new(Link::Live(id), Some(seen)), outer)
    }

    fn counted(self: &Arc<Self>, outcome: Outcome, outer: Option<&Session>) -> Session {
        match outcome {
            Outcome::Unknown => self.counts.unknown.one(),
            Outcome::Malformed => self.counts.malformed.one(),
            Outcome::Oversized => self.counts.oversized.one(),
            Outcome::Duplicate => self.counts.duplicate.one(),
            Outcome::NoCookie | Outcome::Found | Outcome::Failed => {}
        }
        observe::looked_up(outcome);
        Session::at(self, Stage::new(Link::New, None), outer)
    }

    /// A session that could not be looked up.
    pub(super) fn unavailable(self: &Arc<Self>, outer: Option<&Session>) -> Session {
        Session::at(self, Stage::new(Link::Unknown, None), outer)
    }

    /// Tells the client what it is to be told, and counts it.
    pub(super) fn answer(&self, notice: Notice, response: &mut HeaderMap) {
        if matches!(notice, Notice::Nothing) {
            return;
        }
        observe::told(&notice);
        self.cookies.answer(notice, response);
    }

    /// Whether what the request has seen will do for another read. In memory that is so while
    /// nothing has changed; the read counts as an access as a look-up would. Over the network it is
    /// so for a moment.
    #[inline]
    pub(super) fn is_fresh(&self, seen: &Seen, access: Access) -> bool {
        match (seen, &self.memory) {
            (Seen::Here(found), Some(store)) => store.is_still(found, access),
            (Seen::There(told), _) => told.1.elapsed() < FRESH,
            (Seen::Here(_), None) => false,
        }
    }

    /// Whether a session of the one is a session of the other too.
    #[cfg(feature = "tower")]
    pub(super) fn has_sessions_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.provider, &other.provider) && self.cookies.name() == other.cookies.name()
    }
}
