//! Many sessions: an owner's, all of them, and counts.

use super::by::By;
use super::error::SessionError;
use super::id::{SessionId, SessionKey};
use super::owned::{Keys, Times};
use super::snapshot::{IssuedSession, SessionInfo, Snapshot};
use super::state::State;
use super::store::{SessionStore, Store};
use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

/// Counts and gauges of a [`SessionStore`]. Each is exact when nothing else is going on.
///
/// ```
/// use dwell::session::SessionStore;
/// use std::time::Duration;
///
/// let store = SessionStore::new(Duration::from_secs(60));
/// let session = store.create()?;
/// session.destroy();
/// let stats = store.stats();
/// assert_eq!((stats.live, stats.created, stats.destroyed), (0, 1, 1));
/// # Ok::<(), dwell::session::SessionError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SessionStats {
    /// Sessions, those included that are past their deadline and were not met by anybody yet.
    pub live: usize,
    /// Those of them that have no owner.
    pub anonymous: usize,
    /// Owners that have a session.
    pub owners: usize,
    /// Sessions created. `created == live + expired + evicted + destroyed`.
    pub created: u64,
    /// Sessions that ended by a deadline.
    pub expired: u64,
    /// Sessions that ended because the store was full.
    pub evicted: u64,
    /// Sessions that were destroyed.
    pub destroyed: u64,
    /// Ids renewed.
    pub renewed: u64,
    /// Writes refused because their session had ended.
    pub refused_writes: u64,
    /// Ids shown that answer to no session: ended, renewed long ago, or never issued.
    pub unknown_ids: u64,
    /// What the sessions take in memory at most, as
    /// [`Settings::capacity_bytes`](super::Settings::capacity_bytes) counts.
    pub bytes: u64,
    /// Calls of the event listener that panicked.
    pub listener_panics: u64,
    /// Events that the listener was too slow for.
    pub lost_events: u64,
}

impl Store {
    fn info(&self, key: &SessionKey) -> Option<SessionInfo> {
        let idle_for = self.sessions.idle_for(key)?;
        let time_left = self.sessions.time_left(key)?;
        let entry = self.sessions.peek(key)?;
        Some(SessionInfo::new(self.snapshot(&entry), idle_for, time_left))
    }

    /// When the session of a key was accessed, and when it ends; none if it is not the owner's.
    fn times_if_owned(&self, key: &SessionKey, owner: &str) -> Option<Times> {
        let (entry, history) = self.sessions.peek_history(key)?;
        let ends = history.last_access.saturating_add(history.idle_timeout);
        (entry.owner.as_deref() == Some(owner)).then(|| Times {
            accessed: history.last_access,
            ends: ends.min(history.absolute_deadline.unwrap_or(u64::MAX)),
        })
    }

    fn destroy_if_owned(&self, key: &SessionKey, owner: &str) -> bool {
        let is_owned = |state: &State| state.owner.as_deref() == Some(owner);
        self.sessions.remove_if(key, is_owned).is_some()
    }

    /// Ends an owner's surplus, those first that were idle longest. `newest` counts, and stays.
    pub(super) fn end_surplus(&self, owner: &str, most: usize, newest: SessionKey) {
        // What was given up counts again: there may be surplus without it, now.
        while !self.end_claimed(owner, self.claim_surplus(owner, most, &newest)) {}
    }

    /// Keeps the index and the counts in step with a write that gives a session an owner, or none.
    /// `write` returns whose it was before, along with its result.
    fn change_owner<R>(
        &self,
        key: SessionKey,
        owner: Option<&str>,
        write: impl FnOnce(&Option<Arc<str>>) -> Result<(R, Option<Arc<str>>), SessionError>,
    ) -> Result<R, SessionError> {
        let shared = &self.shared;
        let owner: Option<Arc<str>> = owner.map(Arc::from);
        if let Some(owner) = &owner {
            shared.owners.add(owner, key);
        }
        let (result, before) = match write(&owner) {
            Ok(written) => written,
            Err(error) => {
                if let Some(owner) = &owner {
                    shared.owners.remove(owner, key);
                }
                return Err(error);
            }
        };
        shared.owned.up(u64::from(owner.is_some()));
        shared.owned.down(u64::from(before.is_some()));
        if let Some(before) = before {
            shared.owners.remove(&before, key);
        }
        if let (Some(owner), Some(most)) = (&owner, self.settings.max_per_owner) {
            self.end_surplus(owner, most, key);
        }
        Ok(result)
    }

    /// In one step: of two logins at the same time, the first decides who goes. A session that does
    /// not say yet whose it is looks for surplus itself, when it does.
    pub(super) fn claim_surplus(
        &self,
        owner: &str,
        most: usize,
        newest: &SessionKey,
    ) -> Vec<SessionKey> {
        let look = |key: &SessionKey| self.times_if_owned(key, owner);
        let owners = &self.shared.owners;
        owners.claim(owner, most, newest, self.now(), look)
    }

    /// Ends what was claimed. A session that has ended meanwhile or is another owner's by now is
    /// given up. Whether there was none.
    pub(super) fn end_claimed(&self, owner: &str, mut claimed: Vec<SessionKey>) -> bool {
        claimed.retain(|key| !self.destroy_if_owned(key, owner));
        for key in &claimed {
            self.shared.owners.unclaim(owner, key);
        }
        claimed.is_empty()
    }

    /// A session's terms were changed: it may end sooner than the index thinks.
    pub(super) fn terms_changed(&self, key: &SessionKey) {
        if self.settings.max_per_owner.is_some()
            && let Some(entry) = self.sessions.peek(key)
            && let Some(owner) = &entry.owner
        {
            self.shared.owners.doubt(owner, key);
        }
    }
}

/// An owner's sessions one by one, for whoever takes breaks in between.
impl SessionStore {
    /// The keys of the sessions that an owner has now.
    pub(crate) fn keys_of(&self, owner: &str) -> Keys {
        self.store().shared.owners.keys(owner)
    }

    /// A session, if it is the owner's.
    pub(crate) fn info_if_owned(&self, key: &SessionKey, owner: &str) -> Option<SessionInfo> {
        let info = self.store().info(key)?;
        (info.owner.as_deref() == Some(owner)).then_some(info)
    }

    /// Ends a session, if it is the owner's. Whether it was.
    pub(crate) fn destroy_if_owned(&self, key: &SessionKey, owner: &str) -> bool {
        self.store().destroy_if_owned(key, owner)
    }
}

impl SessionStore {
    pub(crate) fn set_owner(&self, by: By, owner: Option<&str>) -> Result<(), SessionError> {
        let store = self.store();
        store.change_owner(by.key(), owner, |owner| {
            let written = store.write(by.named(), |old, new| {
                new.owner.clone_from(owner);
                Ok(old.owner.clone())
            });
            written.map(|(_, before)| ((), before))
        })
    }

    pub(crate) fn log_in(
        &self,
        id: &SessionId,
        owner: &str,
    ) -> Result<IssuedSession, SessionError> {
        let store = self.store();
        store.change_owner(id.key(), Some(owner), |owner| {
            store.reissue(id, Duration::ZERO, |old, new| {
                new.owner.clone_from(owner);
                old.owner.clone()
            })
        })
    }

    /// The sessions of an owner, in no particular order. Does not touch them.
    ///
    /// A session is listed if it was the owner's, and live, when it was looked at. Costs in
    /// proportion to the owner's sessions, about a microsecond each, all of it in this call:
    /// [`MemoryProvider`](crate::provider::MemoryProvider) lists them in parts. Lock-free.
    ///
    /// ```
    /// use dwell::session::SessionStore;
    /// use std::time::Duration;
    /// let store = SessionStore::new(Duration::from_secs(60));
    /// store.create()?.set_owner("ann")?;
    /// store.create()?;
    /// assert_eq!(store.owned_by("ann").len(), 1);
    /// # Ok::<(), dwell::session::SessionError>(())
    /// ```
    pub fn owned_by(&self, owner: &str) -> Vec<SessionInfo> {
        self.keys_of(owner)
            .filter_map(|key| self.info_if_owned(&key, owner))
            .collect()
    }

    /// Ends the sessions of an owner, all of them or all but one. Returns how many it ended.
    ///
    /// A session that becomes the owner's meanwhile may stay. Costs in proportion to the owner's
    /// sessions, a few microseconds each, all of it in this call: an async task should ask
    /// [`MemoryProvider`](crate::provider::MemoryProvider), which ends them in parts. Lock-free.
    ///
    /// ```
    /// use dwell::session::SessionStore;
    /// use std::time::Duration;
    /// let store = SessionStore::new(Duration::from_secs(60));
    /// let phone = store.create()?;
    /// phone.set_owner("ann")?;
    /// store.create()?.set_owner("ann")?;
    /// assert_eq!(store.destroy_owned_by("ann", Some(&phone.key())), 1);
    /// assert_eq!(store.destroy_owned_by("ann", None), 1);
    /// # Ok::<(), dwell::session::SessionError>(())
    /// ```
    #[doc(alias("logout everywhere", "log out everywhere", "revoke"))]
    pub fn destroy_owned_by(&self, owner: &str, except: Option<&SessionKey>) -> usize {
        self.keys_of(owner)
            .filter(|key| Some(key) != except)
            .filter(|key| self.destroy_if_owned(key, owner))
            .count()
    }

    /// The session of a key at this moment. Does not touch it.
    ///
    /// ```
    /// use dwell::session::SessionStore;
    /// use std::time::Duration;
    /// let store = SessionStore::new(Duration::from_secs(60));
    /// let key = store.create()?.key();
    /// assert_eq!(store.peek_key(&key).unwrap().version, 1);
    /// # Ok::<(), dwell::session::SessionError>(())
    /// ```
    pub fn peek_key(&self, key: &SessionKey) -> Option<Snapshot> {
        let entry = self.store().sessions.peek(key)?;
        Some(self.store().snapshot(&entry))
    }

    /// How long nobody has accessed the session of a key; none if there is none. Does not touch it.
    ///
    /// ```
    /// use dwell::session::SessionStore;
    /// use std::time::Duration;
    /// let store = SessionStore::new(Duration::from_secs(60));
    /// let key = store.create()?.key();
    /// assert!(store.idle_for(&key).unwrap() < Duration::from_secs(60));
    /// # Ok::<(), dwell::session::SessionError>(())
    /// ```
    pub fn idle_for(&self, key: &SessionKey) -> Option<Duration> {
        self.store().sessions.idle_for(key)
    }

    /// How long the session of a key still lives if nobody accesses it; none if there is none. Does
    /// not touch it.
    ///
    /// ```
    /// use dwell::session::SessionStore;
    /// use std::time::Duration;
    /// let store = SessionStore::new(Duration::from_secs(60));
    /// let key = store.create()?.key();
    /// assert!(store.time_left(&key).unwrap() <= Duration::from_secs(60));
    /// # Ok::<(), dwell::session::SessionError>(())
    /// ```
    pub fn time_left(&self, key: &SessionKey) -> Option<Duration> {
        self.store().sessions.time_left(key)
    }

    /// All sessions, in no particular order. Does not touch them.
    ///
    /// Weakly consistent, as [`IdleMap::iter`](crate::IdleMap::iter): a session that is there from
    /// the beginning to the end is visited exactly once.
    ///
    /// ```
    /// use dwell::session::SessionStore;
    /// use std::time::Duration;
    /// let store = SessionStore::new(Duration::from_secs(60));
    /// store.create()?;
    /// assert_eq!(store.iter().count(), 1);
    /// # Ok::<(), dwell::session::SessionError>(())
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = SessionInfo> {
        let store = self.store();
        store
            .sessions
            .iter()
            .filter_map(|entry| store.info(entry.key()))
    }

    /// The `most` sessions that were idle longest, the longest first. Does not touch them. Looks at
    /// all, and keeps no more than twice as many as it returns.
    ///
    /// ```
    /// use dwell::session::SessionStore;
    /// use std::time::Duration;
    /// let store = SessionStore::new(Duration::from_secs(60));
    /// store.create()?;
    /// assert_eq!(store.most_idle(10).len(), 1);
    /// # Ok::<(), dwell::session::SessionError>(())
    /// ```
    pub fn most_idle(&self, most: usize) -> Vec<SessionInfo> {
        let keep = |sessions: &mut Vec<SessionInfo>| {
            sessions.sort_by_key(|session| Reverse(session.idle_for));
            sessions.truncate(most);
        };
        let mut sessions = Vec::new();
        for session in self.iter() {
            sessions.push(session);
            if sessions.len() > most.saturating_mul(2) {
                keep(&mut sessions);
            }
        }
        keep(&mut sessions);
        sessions
    }

    /// The sessions that were accessed within the last `window`. Does not touch them. Looks at all.
    ///
    /// ```
    /// use dwell::session::SessionStore;
    /// use std::time::Duration;
    /// let store = SessionStore::new(Duration::from_secs(60));
    /// store.create()?;
    /// assert_eq!(store.active_within(Duration::from_secs(10)).count(), 1);
    /// # Ok::<(), dwell::session::SessionError>(())
    /// ```
    pub fn active_within(&self, window: Duration) -> impl Iterator<Item = SessionInfo> {
        self.iter()
            .filter(move |session| session.idle_for <= window)
    }

    /// The number of sessions, those included that are past their deadline and were not met by
    /// anybody yet.
    pub fn len(&self) -> usize {
        self.store().sessions.len()
    }

    /// Whether [`len`](Self::len) is zero.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Counts and gauges. Costs a few loads for each processor.
    ///
    /// ```
    /// use dwell::session::SessionStore;
    /// use std::time::Duration;
    /// let store = SessionStore::new(Duration::from_secs(60));
    /// store.create()?.set_owner("ann")?;
    /// store.create()?;
    /// let stats = store.stats();
    /// assert_eq!((stats.live, stats.anonymous, stats.owners), (2, 1, 1));
    /// # Ok::<(), dwell::session::SessionError>(())
    /// ```
    pub fn stats(&self) -> SessionStats {
        let shared = &self.store().shared;
        let map = self.store().sessions.stats();
        let owned = usize::try_from(shared.owned.get()).unwrap_or(usize::MAX);
        SessionStats {
            live: map.live,
            anonymous: map.live.saturating_sub(owned),
            owners: shared.owners.len(),
            created: map.created,
            expired: map.expired,
            evicted: map.evicted,
            destroyed: map.removed,
            renewed: shared.renewed.get(),
            refused_writes: shared.refused_writes.get(),
            unknown_ids: shared.unknown_ids.get(),
            bytes: shared.bytes.get(),
            listener_panics: shared.events.as_ref().map_or(0, |events| events.panics()),
            lost_events: shared.events.as_ref().map_or(0, |events| events.lost()),
        }
    }
}
