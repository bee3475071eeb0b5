//! A store for actix-session, with the feature `actix-session`.

use super::records::{Marked, Records};
use crate::session::{SessionError, SessionId};
use crate::{Clock, CoarseClock, Stats};
use actix_session::storage::{LoadError, SaveError, SessionKey, SessionStore, UpdateError};
use std::collections::HashMap;
use std::time::Duration;
use time::Duration as Ttl;

/// What actix-session keeps of a session: JSON under keys.
type State = HashMap<String, String>;

/// A store for actix-session, in this process and without a lock. actix-session itself brings none.
///
/// - `update` merges by key: what the request changed since it loaded the session is applied to the
///   session as it is. Overlapping requests that set different keys keep them all; of two that set
///   the same key, the last one wins.
/// - A session that was deleted stays deleted: an update of it is [counted](Self::refused_saves),
///   and the request is not failed.
/// - A session ends at the end of its time to live, exactly, and a thread frees its memory. The
///   middleware sets that time anew with each write, or with each request:
///   `PersistentSession::session_ttl_extension_policy`.
///
/// What the merge needs to know comes along as one more entry of the session, under the key
/// `dwell.mark`. Keys are made by the operating system's generator. A clone is another reference to
/// the same sessions: make one store, and give a clone of it to each worker.
///
/// ```
/// use actix_session::storage::SessionStore;
/// use dwell::web::actix_session::RecordStore;
/// # use time::Duration;
///
/// # pollster::block_on(async {
/// let store = RecordStore::new(Some(1_000_000));
/// // In the factory of `HttpServer`: `.wrap(SessionMiddleware::new(store.clone(), key.clone()))`.
/// let state = [("visits".to_owned(), "1".to_owned())].into();
/// let key = store.save(state, &Duration::minutes(30)).await?;
/// assert_eq!(store.load(&key).await?.unwrap()["visits"], "1");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct RecordStore {
    records: Records<String, String, ()>,
}

impl Marked for String {
    fn of_mark(mark: &str) -> Self {
        format!("\"{mark}\"")
    }

    fn mark(&self) -> Option<&str> {
        self.strip_prefix('"')?.strip_suffix('"')
    }
}

impl RecordStore {
    /// A store for so many sessions, or without a bound. In a full one those go first that were
    /// never loaded since their creation.
    ///
    /// # Panics
    /// If the capacity is zero, or if the operating system gives no thread to collect with.
    pub fn new(capacity: Option<usize>) -> Self {
        Self::with_clock(capacity, CoarseClock)
    }

    /// A store that goes by a clock of yours: for tests.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    pub fn with_clock(capacity: Option<usize>, clock: impl Clock) -> Self {
        let records = Records::new(capacity, clock);
        Self {
            records: records.expect("give a capacity of at least 1, or None"),
        }
    }

    /// Counts and gauges of the sessions.
    pub fn stats(&self) -> Stats {
        self.records.stats()
    }

    /// Updates that were refused because their session had ended.
    pub fn refused_saves(&self) -> u64 {
        self.records.refused()
    }
}

fn lifetime(ttl: &Ttl) -> Duration {
    (*ttl).try_into().unwrap_or(Duration::ZERO)
}

impl SessionStore for RecordStore {
    async fn load(&self, key: &SessionKey) -> Result<Option<State>, LoadError> {
        Ok(self.records.load(key.as_ref()).map(|(state, ())| state))
    }

    async fn save(&self, state: State, ttl: &Ttl) -> Result<SessionKey, SaveError> {
        // 384 bits from the operating system: as long as an id of dwell's own sessions.
        let id = SessionId::generate().map_err(|error| SaveError::Other(error.into()))?;
        let key = id.to_cookie();
        if !self.records.create(key.clone(), state, (), lifetime(ttl)) {
            return Err(SaveError::Other(SessionError::Collision.into()));
        }
        SessionKey::try_from(key).map_err(|error| SaveError::Other(error.into()))
    }

    async fn update(
        &self,
        key: SessionKey,
        state: State,
        ttl: &Ttl,
    ) -> Result<SessionKey, UpdateError> {
        self.records.save(key.as_ref(), &state, (), lifetime(ttl));
        Ok(key)
    }

    async fn update_ttl(&self, key: &SessionKey, ttl: &Ttl) -> Result<(), anyhow::Error> {
        self.records.set_lifetime(key.as_ref(), lifetime(ttl));
        Ok(())
    }

    async fn delete(&self, key: &SessionKey) -> Result<(), anyhow::Error> {
        self.records.remove(key.as_ref());
        Ok(())
    }
}
