//! How far a request's session has come: the state that its clones share.

use super::cookie::Notice;
use crate::provider::Access;
use crate::session::{Attributes, Found, SessionError, SessionId, SessionKey, Snapshot};
use arc_swap::{ArcSwap, Guard};
use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// How far the request's session has come. Immutable: a step puts a new stage in its place.
#[derive(Clone)]
pub(super) struct Stage {
    pub(super) link: Link,
    /// What the request has last seen of its session, if that may still do for a read.
    pub(super) seen: Option<Seen>,
    /// Writes of the request that have begun, each of which makes void what a step before it finds.
    pub(super) writes: u64,
    /// What the client is to be told.
    pub(super) notice: Notice,
    /// Whether this request created the session. To read what was just stored is no access of its
    /// own then: in a full store, sessions that nobody came back to go before those that somebody
    /// did.
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

/// What a step of the request found under the id that the request has.
#[derive(Clone)]
pub(super) enum Seen {
    /// In this process: the state itself, which tells whether it still is the session's.
    Here(Found),
    /// Over a network, and when.
    There(Arc<(Snapshot, Instant)>),
}

impl Seen {
    /// What a step over a network has just found.
    pub(super) fn told(snapshot: Snapshot) -> Self {
        Self::There(Arc::new((snapshot, Instant::now())))
    }

    pub(super) fn attributes(&self) -> &Attributes {
        match self {
            Self::Here(found) => found.attributes(),
            Self::There(told) => &told.0.attributes,
        }
    }

    pub(super) fn owner(&self) -> Option<&Arc<str>> {
        match self {
            Self::Here(found) => found.owner(),
            Self::There(told) => told.0.owner.as_ref(),
        }
    }
}

impl Link {
    /// Whether it is at the session of a key.
    pub(super) fn is_at(self, session: SessionKey) -> bool {
        matches!(self, Self::Live(id) if id.key() == session)
    }
}

impl Stage {
    pub(super) fn new(link: Link, seen: Option<Seen>) -> Self {
        Self {
            link,
            seen,
            writes: 0,
            notice: Notice::Nothing,
            is_created: false,
            is_finished: false,
        }
    }

    /// The request's id, and how its reads count; none if there is no session yet.
    #[inline]
    pub(super) fn live(&self) -> Result<Option<(SessionId, Access)>, SessionError> {
        match self.link {
            Link::New => Ok(None),
            Link::Ended => Err(SessionError::Ended),
            Link::Unknown => Err(SessionError::Unavailable),
            Link::Live(id) if self.is_created => Ok(Some((id, Access::Peek))),
            Link::Live(id) => Ok(Some((id, Access::Touch))),
        }
    }
}

/// The stage that a request's session is at. The first one lies in its place: most requests do not
/// get further.
pub(super) struct StageCell {
    first: Stage,
    later: OnceLock<ArcSwap<Stage>>,
}

/// The stage at a moment.
pub(super) enum Current<'a> {
    First(&'a Stage),
    Later(Guard<Arc<Stage>>),
}

impl Deref for Current<'_> {
    type Target = Stage;

    #[inline]
    fn deref(&self) -> &Stage {
        match self {
            Self::First(stage) => stage,
            Self::Later(stage) => stage,
        }
    }
}

impl StageCell {
    pub(super) fn new(first: Stage) -> Self {
        Self {
            first,
            later: OnceLock::new(),
        }
    }

    #[inline]
    pub(super) fn load(&self) -> Current<'_> {
        match self.later.get() {
            None => Current::First(&self.first),
            Some(later) => Current::Later(later.load()),
        }
    }

    /// Puts the stage that `next` makes of the current one in its place, and returns what else it
    /// makes of it. None if it makes none.
    pub(super) fn step<R>(&self, next: impl Fn(&Stage) -> Option<(Stage, R)>) -> Option<R> {
        let later = match self.later.get() {
            Some(later) => later,
            None => {
                let (stage, result) = next(&self.first)?;
                match self.later.set(ArcSwap::from_pointee(stage)) {
                    Ok(()) => return Some(result),
                    // A clone was faster.
                    Err(_) => self.later.get().expect("a clone has set it"),
                }
            }
        };
        let mut current = later.load_full();
        loop {
            let (stage, result) = next(&current)?;
            let found = later.compare_and_swap(&current, Arc::new(stage));
            if Arc::ptr_eq(&found, &current) {
                return Some(result);
            }
            current = Guard::into_inner(found);
        }
    }

    /// What the client is to be told, once.
    pub(super) fn take_notice(&self) -> Notice {
        let without = |stage: &Stage| Stage {
            notice: Notice::Nothing,
            ..stage.clone()
        };
        let notice = self.step(|stage| Some((without(stage), stage.notice)));
        notice.unwrap_or(Notice::Nothing)
    }

    /// What the client is to be told, once and for the last time.
    pub(super) fn finish(&self) -> Notice {
        let finished = |stage: &Stage| Stage {
            notice: Notice::Nothing,
            is_finished: true,
            ..stage.clone()
        };
        let notice = self.step(|stage| Some((finished(stage), stage.notice)));
        notice.unwrap_or(Notice::Nothing)
    }

    /// What the client is to be told, where no clone is left that could ask for more.
    pub(super) fn last_notice(&mut self) -> Notice {
        self.load().notice
    }

    /// Takes up an id that was issued, if the request is still at a link that `expects` it, and can
    /// still tell the client.
    pub(super) fn issued(
        &self,
        id: SessionId,
        notice: Notice,
        writes: u64,
        seen: Option<&Seen>,
        expects: impl Fn(Link) -> bool,
    ) -> bool {
        let next = |stage: &Stage| Stage {
            link: Link::Live(id),
            seen: seen.filter(|_| stage.writes == writes).cloned(),
            writes: stage.writes + 1,
            notice,
            is_created: stage.is_created || matches!(stage.link, Link::New),
            is_finished: false,
        };
        let step = self
            .step(|stage| (expects(stage.link) && !stage.is_finished).then(|| (next(stage), ())));
        step.is_some()
    }

    /// Has another session, or none, in the place of one that `leaves` says it has no more. The
    /// client is told of an end.
    pub(super) fn goes_to(&self, link: Link, leaves: impl Fn(Link) -> bool) {
        self.step(|stage| {
            let next = || Stage {
                link,
                seen: None,
                notice: match link {
                    Link::Ended => Notice::Ended,
                    _ => stage.notice,
                },
                ..stage.clone()
            };
            leaves(stage.link).then(|| (next(), ()))
        });
    }

    /// Has the client told its id once more, and for how long the session lives from now on.
    pub(super) fn tells_again(&self, lifetime: Duration) {
        self.step(|stage| match stage.link {
            Link::Live(id) if !stage.is_finished => {
                let notice = Notice::Issued(id, Some(lifetime));
                let stage = stage.clone();
                Some((Stage { notice, ..stage }, ()))
            }
            _ => None,
        });
    }

    /// Takes note of what a step found, if no write of the request has begun since it had begun so
    /// many.
    pub(super) fn note(&self, session: SessionKey, writes: u64, seen: &Seen) {
        self.step(|stage| {
            let is_newest = stage.link.is_at(session) && stage.writes == writes;
            let next = || Stage {
                seen: Some(seen.clone()),
                ..stage.clone()
            };
            is_newest.then(|| (next(), ()))
        });
    }

    /// Begins a write to the session of a key: what was seen before it is over. Returns how many
    /// have begun.
    pub(super) fn begin_write(&self, session: SessionKey) -> u64 {
        let begun = self.step(|stage| {
            let writes = stage.writes + 1;
            let next = || Stage {
                seen: None,
                writes,
                ..stage.clone()
            };
            stage.link.is_at(session).then(|| (next(), writes))
        });
        begun.unwrap_or(0)
    }

    /// Forgets what was seen of the session of a key: the next read asks.
    pub(super) fn forget(&self, session: SessionKey) {
        self.step(|stage| {
            let next = || Stage {
                seen: None,
                ..stage.clone()
            };
            let knows = stage.link.is_at(session) && stage.seen.is_some();
            knows.then(|| (next(), ()))
        });
    }
}
