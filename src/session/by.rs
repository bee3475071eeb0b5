//! By what a caller names a session, and the operations that take such a name.
//!
//! A request is admitted by an id. Each of its steps asks again whether that id answers, in the
//! same step that reads or changes the session: from the moment at which the id stops to answer, a
//! request that came with it can neither read, write nor end the session, however early it began.

use super::error::{AttributeError, SessionError};
use super::id::{Secret, SessionId, SessionKey};
use super::state::State;
use super::store::{Entry, SessionStore, Store};
use super::{Attributes, Changes, IssuedSession, Snapshot};
use std::sync::Arc;
use std::time::Duration;

/// By what a caller names a session: a request by the id that it came with, the application itself
/// by the session's key.
///
/// ```
/// use dwell::provider::{Access, MemoryProvider, Provider};
/// use dwell::session::{Attributes, By, SessionError, SessionStore};
/// use std::time::Duration;
///
/// # pollster::block_on(async {
/// let provider = MemoryProvider::new(SessionStore::new(Duration::from_secs(60)));
/// let old = provider.init(Attributes::default()).await?.id;
/// provider.renew(&old, Some(Duration::ZERO)).await?;
///
/// // The old id is worth nothing from here on; the key always names the session.
/// let refused = provider.read(By::Id(old), Access::Touch).await;
/// assert!(matches!(refused, Err(SessionError::Superseded)));
/// assert!(provider.read(By::Key(old.key()), Access::Peek).await?.is_some());
/// # Ok::<(), SessionError>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// An id that a client showed. Names the session for as long as the id answers: while it is the
    /// newest, and in its grace.
    Id(SessionId),
    /// A key, for whoever acts on the application's behalf. Names the session until it ends.
    Key(SessionKey),
}

impl By {
    /// The key of the session that is named.
    pub fn key(&self) -> SessionKey {
        match self {
            Self::Id(id) => id.key(),
            Self::Key(key) => *key,
        }
    }

    pub(super) fn named(&self) -> Named<'_> {
        match self {
            Self::Id(id) => Named::by_id(id),
            Self::Key(key) => Named::by_key(key),
        }
    }
}

/// The same, borrowed.
#[derive(Clone, Copy)]
pub(super) struct Named<'n> {
    pub(super) key: &'n SessionKey,
    /// None for a caller that names it by its key.
    secret: Option<&'n Secret>,
}

impl<'n> Named<'n> {
    pub(super) fn by_id(id: &'n SessionId) -> Self {
        Self {
            key: id.key_ref(),
            secret: Some(id.secret()),
        }
    }

    pub(super) fn by_key(key: &'n SessionKey) -> Self {
        Self { key, secret: None }
    }
}

/// Whether a look at a session counts as an access.
///
/// ```
/// use dwell::provider::{Access, MemoryProvider, Provider};
/// use dwell::session::{Attributes, By, SessionStore};
/// use std::time::Duration;
///
/// # pollster::block_on(async {
/// let provider = MemoryProvider::new(SessionStore::new(Duration::from_secs(60)));
/// let id = provider.init(Attributes::default()).await?.id;
/// assert!(provider.read(By::Id(id), Access::Peek).await?.is_some());
/// # Ok::<(), dwell::session::SessionError>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It does: the idle time starts anew.
    Touch,
    /// It does not.
    Peek,
}

/// The judge of one step: whether each state that the step meets is that of the session that is
/// named, and what to answer if none was.
pub(super) struct Admission<'s> {
    named: Named<'s>,
    store: &'s Store,
    verdict: Verdict,
}

/// What was said of the last state.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    None,
    /// The session is named by its newest id, or by its key.
    Newest,
    /// By an id that is in its grace.
    InGrace,
    Refused,
}

impl Admission<'_> {
    /// Whether the step may be taken. Called once for each state that it meets; the last one
    /// decides.
    #[inline]
    pub(super) fn admits(&mut self, state: &State) -> bool {
        self.verdict = match self.named.secret {
            Some(secret) if !state.secrets.is_current(secret) => self.in_grace(state, secret),
            _ => Verdict::Newest,
        };
        self.verdict != Verdict::Refused
    }

    #[cold]
    fn in_grace(&self, state: &State, secret: &Secret) -> Verdict {
        match state.secrets.is_in_grace(secret, self.store.now()) {
            true => Verdict::InGrace,
            false => Verdict::Refused,
        }
    }

    fn is_refused(&self) -> bool {
        self.verdict == Verdict::Refused
    }

    /// Why the step was not taken.
    pub(super) fn error(&self) -> SessionError {
        match self.is_refused() {
            true => SessionError::Superseded,
            false => SessionError::Ended,
        }
    }
}

/// A session as a look-up found it.
#[derive(Clone)]
pub(crate) struct Found {
    entry: Entry,
    /// Whether the id that named it is not the newest any more.
    is_superseded: bool,
}

impl Found {
    pub(crate) fn is_superseded(&self) -> bool {
        self.is_superseded
    }

    pub(crate) fn attributes(&self) -> &Attributes {
        &self.entry.attributes
    }

    pub(crate) fn owner(&self) -> Option<&Arc<str>> {
        self.entry.owner.as_ref()
    }
}

impl Store {
    pub(super) fn admission<'s>(&'s self, named: Named<'s>) -> Admission<'s> {
        Admission {
            named,
            store: self,
            verdict: Verdict::None,
        }
    }

    /// The session, if it is admitted.
    #[inline]
    fn look_up(&self, access: Access, admission: &mut Admission<'_>) -> Option<Entry> {
        let key = admission.named.key;
        match access {
            Access::Touch => self.sessions.get_if(key, |state| admission.admits(state)),
            Access::Peek => {
                let entry = self.sessions.peek(key);
                entry.filter(|entry| admission.admits(entry))
            }
        }
    }

    /// What `read` finds in the session, which is touched. `read` should do nothing but compute:
    /// the thread counts as being inside of an operation.
    #[inline]
    pub(super) fn look<R>(
        &self,
        named: Named<'_>,
        read: impl Fn(&State) -> R,
    ) -> Result<R, SessionError> {
        let mut admission = self.admission(named);
        let mut found = None;
        let is_touched = self.sessions.touch_if(named.key, |state| {
            found = admission.admits(state).then(|| read(state));
            found.is_some()
        });
        match found {
            Some(found) if is_touched => Ok(found),
            _ => Err(admission.error()),
        }
    }

    /// The session, touched.
    pub(super) fn entry(&self, named: Named<'_>) -> Result<Entry, SessionError> {
        let mut admission = self.admission(named);
        let entry = self.look_up(Access::Touch, &mut admission);
        entry.ok_or_else(|| admission.error())
    }

    /// The session, not touched.
    pub(super) fn peek(&self, named: Named<'_>) -> Result<Entry, SessionError> {
        let mut admission = self.admission(named);
        let entry = self.look_up(Access::Peek, &mut admission);
        entry.ok_or_else(|| admission.error())
    }

    /// Ends a session. Whether there was one.
    pub(super) fn destroy(&self, named: Named<'_>) -> Result<bool, SessionError> {
        let mut admission = self.admission(named);
        let ended = self
            .sessions
            .remove_if(named.key, |state| admission.admits(state));
        match ended {
            Some(_) => Ok(true),
            None if admission.is_refused() => Err(SessionError::Superseded),
            None => Ok(false),
        }
    }
}

impl SessionStore {
    /// The session, for a request that goes on with what it has found.
    #[inline]
    pub(crate) fn look_up(&self, by: By, access: Access) -> Result<Found, SessionError> {
        let store = self.store();
        let mut admission = store.admission(by.named());
        if let Some(entry) = store.look_up(access, &mut admission) {
            let is_superseded = admission.verdict == Verdict::InGrace;
            return Ok(Found {
                entry,
                is_superseded,
            });
        }
        if let By::Id(_) = by {
            store.shared.unknown_ids.one();
        }
        Err(admission.error())
    }

    /// Whether a session still is what this store found. An access counts. Costs no look-up; false
    /// too if only a look-up can tell.
    #[inline]
    pub(crate) fn is_still(&self, found: &Found, access: Access) -> bool {
        let sessions = &self.store().sessions;
        // Whether an old id still answers is a question of time.
        !found.is_superseded
            && match access {
                Access::Touch => sessions.touch_again(&found.entry),
                Access::Peek => sessions.is_still(&found.entry),
            }
    }

    pub(crate) fn read(&self, by: By, access: Access) -> Result<Option<Snapshot>, SessionError> {
        match self.look_up(by, access) {
            Ok(found) => Ok(Some(Snapshot {
                is_superseded: found.is_superseded,
                ..self.store().snapshot(&found.entry)
            })),
            Err(SessionError::Ended) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Changes attributes in one step. If `change` fails, or puts nothing in and takes nothing out,
    /// nothing is written.
    pub(crate) fn change<R>(
        &self,
        by: By,
        mut change: impl FnMut(&mut Attributes) -> Result<R, AttributeError>,
    ) -> Result<R, SessionError> {
        let written = self
            .store()
            .change(by.named(), |_, attributes| Ok(change(attributes)?));
        written.map(|(_, result)| result)
    }

    pub(crate) fn touch(&self, by: By) -> Result<(), SessionError> {
        self.store().look(by.named(), |_| ())
    }

    pub(crate) fn destroy_by(&self, by: By) -> Result<bool, SessionError> {
        self.store().destroy(by.named())
    }

    /// Applies changes to a session in one step, if it is at a version, or at any.
    pub(crate) fn apply(
        &self,
        by: By,
        changes: &Changes,
        version: Option<u64>,
    ) -> Result<Snapshot, SessionError> {
        let store = self.store();
        let (entry, ()) = store.change(by.named(), |old, attributes| {
            if let Some(expected) = version
                && old.version != expected
            {
                let current = old.version;
                return Err(SessionError::Conflict { expected, current });
            }
            changes.apply_to(attributes);
            Ok(())
        })?;
        let entry = entry.map_or_else(|| store.peek(by.named()), Ok)?;
        Ok(store.snapshot(&entry))
    }

    pub(crate) fn renew(
        &self,
        id: &SessionId,
        grace: Option<Duration>,
    ) -> Result<IssuedSession, SessionError> {
        let grace = grace.unwrap_or(self.settings().grace);
        self.store().renew(id, grace)
    }

    pub(crate) fn set_terms(
        &self,
        by: By,
        idle_timeout: Option<Duration>,
        lifetime: Option<Duration>,
    ) -> Result<(), SessionError> {
        let store = self.store();
        let mut admission = store.admission(by.named());
        let judge = |state: &State| admission.admits(state);
        let key = by.key();
        if store
            .sessions
            .set_terms_if(&key, idle_timeout, lifetime, judge)
        {
            store.terms_changed(&key);
            return Ok(());
        }
        store.shared.refused_writes.one();
        Err(admission.error())
    }
}
