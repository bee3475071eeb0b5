//! How far a request's session has come: the state that its clones share.

use super::cookie::Notice;
use super::session::Session;
use crate::provider::Provider;
use crate::session::{IssuedSession, SessionId, SessionKey};
use arc_swap::{ArcSwap, Guard};
use std::sync::Arc;

/// What the clones of a request's session share.
pub(super) struct Shared {
    provider: Arc<dyn Provider>,
    stage: ArcSwap<Stage>,
}

/// How far the request's session has come. Immutable: a step puts a new one in its place.
#[derive(Clone, Copy)]
pub(super) struct Stage {
    pub(super) link: Link,
    /// What the client is to be told.
    pub(super) notice: Notice,
    /// Whether this request created the session. To read what was just stored is no access of its own then:
    /// in a full store, who never came back goes before who did.
    pub(super) is_created: bool,
    /// Whether the response is on its way, so that no id can reach the client any more.
    pub(super) is_finished: bool,
}

/// What the request has of a session.
#[derive(Clone, Copy)]
pub(super) enum Link {
    /// None yet.
    New,
    /// One that was live when it was last looked at.
    Live(SessionId),
    /// None any more: this request destroyed it.
    Ended,
    /// Nobody knows: it could not be looked up. It stays so, and nothing takes its place.
    Unknown,
}

impl Link {
    /// Whether it is at the session of a key.
    pub(super) fn is_at(self, session: SessionKey) -> bool {
        matches!(self, Self::Live(id) if id.key() == session)
    }
}

impl Session {
    pub(super) fn new(provider: Arc<dyn Provider>) -> Self {
        Self::at(provider, Link::New)
    }

    pub(super) fn live(provider: Arc<dyn Provider>, id: SessionId) -> Self {
        Self::at(provider, Link::Live(id))
    }

    pub(super) fn unknown(provider: Arc<dyn Provider>) -> Self {
        Self::at(provider, Link::Unknown)
    }

    fn at(provider: Arc<dyn Provider>, link: Link) -> Self {
        let stage = ArcSwap::from_pointee(Stage {
            link,
            notice: Notice::Nothing,
            is_created: false,
            is_finished: false,
        });
        Self {
            shared: Arc::new(Shared { provider, stage }),
        }
    }

    pub(super) fn provider(&self) -> &dyn Provider {
        &*self.shared.provider
    }

    pub(super) fn stage(&self) -> Stage {
        **self.shared.stage.load()
    }

    pub(super) fn link(&self) -> Link {
        self.stage().link
    }

    /// Puts the stage that `next` makes of the current one in its place, if it makes one. Returns the stage
    /// that it was made of, or that `next` declined.
    pub(super) fn step(&self, next: impl Fn(Stage) -> Option<Stage>) -> Result<Stage, Stage> {
        let mut current = self.shared.stage.load_full();
        loop {
            let Some(new) = next(*current) else {
                return Err(*current);
            };
            let stage = &self.shared.stage;
            let seen = stage.compare_and_swap(&current, Arc::new(new));
            if Arc::ptr_eq(&seen, &current) {
                return Ok(*current);
            }
            current = Guard::into_inner(seen);
        }
    }

    /// What the client is to be told, once.
    pub(super) fn take_notice(&self) -> Notice {
        let without = |stage| Stage {
            notice: Notice::Nothing,
            ..stage
        };
        match self.step(|stage| Some(without(stage))) {
            Ok(stage) | Err(stage) => stage.notice,
        }
    }

    /// What the client is to be told, once and for the last time.
    pub(super) fn finish(&self) -> Notice {
        let finished = |stage| Stage {
            notice: Notice::Nothing,
            is_finished: true,
            ..stage
        };
        match self.step(|stage| Some(finished(stage))) {
            Ok(stage) | Err(stage) => stage.notice,
        }
    }

    /// Takes up an id that was issued, if the request is still at a link that `expects` it, and can still
    /// tell the client.
    pub(super) fn issued(&self, issued: IssuedSession, expects: impl Fn(Link) -> bool) -> bool {
        let IssuedSession { id, snapshot } = issued;
        let step = self.step(|stage| {
            (expects(stage.link) && !stage.is_finished).then_some(Stage {
                link: Link::Live(id),
                notice: Notice::Issued(id, snapshot.lifetime_left),
                is_created: stage.is_created || matches!(stage.link, Link::New),
                is_finished: false,
            })
        });
        step.is_ok()
    }
}
