//! What a session is at a moment, for whoever asks.

use super::attributes::Attributes;
use super::id::{SessionId, SessionKey};
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

/// What a session is at a moment. Shares what the session holds, and copies nothing.
///
/// ```
/// use dwell::session::SessionStore;
/// use std::time::Duration;
///
/// let store = SessionStore::new(Duration::from_secs(60));
/// let session = store.create()?;
/// session.set("visits", 1_u32)?;
/// let seen = session.snapshot()?;
/// assert_eq!((seen.version, seen.owner), (2, None));
/// assert_eq!(*seen.attributes.get::<u32>("visits")?.unwrap(), 1);
/// # Ok::<(), dwell::session::SessionError>(())
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Snapshot {
    /// The session's key: the same for as long as it lives.
    pub key: SessionKey,
    /// Its attributes.
    pub attributes: Attributes,
    /// Whose it is.
    pub owner: Option<Arc<str>>,
    /// How many writes made it what it is, its creation included.
    pub version: u64,
    /// For how long it exists.
    pub age: Duration,
    /// How long it lives at most from now on; none if it has no absolute deadline.
    pub lifetime_left: Option<Duration>,
    /// Whether it was read by an id that is not the newest any more, and still answers in its
    /// grace. To send the client such an id once more would take the newest one away from it.
    pub is_superseded: bool,
}

impl Snapshot {
    /// A snapshot, for providers that get one from elsewhere. `key`, `attributes` and `version` are
    /// what they say; the session has no owner, no age, and no absolute deadline, and was not read
    /// by an old id.
    pub fn new(key: SessionKey, attributes: Attributes, version: u64) -> Self {
        Self {
            key,
            attributes,
            owner: None,
            version,
            age: Duration::ZERO,
            lifetime_left: None,
            is_superseded: false,
        }
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("key", &self.key)
            .field("attributes", &self.attributes)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// A session with an id that was just issued for it.
///
/// ```
/// use dwell::session::{Attributes, IssuedSession, SessionId, Snapshot};
///
/// let id = SessionId::generate()?;
/// let snapshot = Snapshot::new(id.key(), Attributes::default(), 1);
/// let issued = IssuedSession { id, snapshot };
/// assert_eq!(issued.id.key(), issued.snapshot.key);
/// # Ok::<(), dwell::session::SessionError>(())
/// ```
#[derive(Debug, Clone)]
pub struct IssuedSession {
    /// The id, for the client.
    pub id: SessionId,
    /// The session.
    pub snapshot: Snapshot,
}

/// A session as a list shows it to somebody without its id: an administrator, or its owner.
///
/// Dereferences to its [`Snapshot`].
///
/// ```
/// use dwell::session::SessionStore;
/// use std::time::Duration;
///
/// let store = SessionStore::new(Duration::from_secs(60));
/// let session = store.create()?;
/// session.set_owner("ann")?;
/// let info = &store.owned_by("ann")[0];
/// assert_eq!(info.key, session.key());
/// assert!(info.idle_for <= Duration::from_secs(60));
/// # Ok::<(), dwell::session::SessionError>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SessionInfo {
    /// What the session was when it was listed.
    pub snapshot: Snapshot,
    /// How long nobody had accessed it.
    pub idle_for: Duration,
    /// How long it would still live if nobody did.
    pub time_left: Duration,
}

impl SessionInfo {
    /// What a list says of a session, for providers that get one from elsewhere.
    pub fn new(snapshot: Snapshot, idle_for: Duration, time_left: Duration) -> Self {
        Self {
            snapshot,
            idle_for,
            time_left,
        }
    }
}

impl Deref for SessionInfo {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.snapshot
    }
}
