//! The store: sessions in this process, in one [`IdleMap`].
//!
//! A session is one record: its key leads to an immutable state, and a write is one atomic update
//! of the record. Whatever concerns one session is decided there, by layer 1: what comes first of a
//! write, a renewal, a destruction and an expiry. There is no second structure that must agree,
//! except for the owner index (see `owner`).

use super::builder::Builder;
use super::by::Named;
use super::error::SessionError;
use super::event::{Event, EventKind, Events};
use super::id::{Random, Secret, SessionId, SessionKey};
use super::live::LiveSession;
use super::owner::OwnerIndex;
use super::state::{Secrets, State};
use super::{Attributes, IssuedSession, Settings, Snapshot};
use crate::count::{Balance, Count};
use crate::{Clock, CoarseClock, Collector, Handle, IdleMap, RemovalCause};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub(super) type Entry = Handle<SessionKey, State>;

/// Sessions that live in this process. A clone is another reference to the same store.
///
/// Reading never copies a session and never waits for a writer; writes of concurrent requests lose
/// nothing; a session that has ended never returns. All methods are lock-free, and take `&self`.
/// Expiry is exact on read; [`collect`](Self::collect), or a [collector](Self::spawn_collector),
/// ends what nobody asks for.
///
/// ```
/// use dwell::session::{SessionId, SessionStore};
/// use std::time::Duration;
///
/// let store = SessionStore::new(Duration::from_secs(30 * 60));
/// let session = store.create()?;
/// session.set("name", String::from("Ann"))?;
/// let cookie = session.id().to_cookie();
///
/// let id = SessionId::parse(&cookie).expect("the client sent what it was given");
/// let session = store.find(&id).expect("it is live");
/// assert_eq!(*session.get::<String>("name")?.unwrap(), "Ann");
/// session.destroy();
/// assert!(store.find(&id).is_none());
/// # Ok::<(), dwell::session::SessionError>(())
/// ```
#[doc(alias = "MemoryStore")]
#[derive(Clone)]
pub struct SessionStore {
    pub(super) store: Arc<Store>,
}

pub(super) struct Store {
    pub(super) sessions: Arc<IdleMap<SessionKey, State>>,
    pub(super) shared: Arc<Shared>,
    pub(super) settings: Settings,
    /// None for the default clock.
    pub(super) clock: Option<Arc<dyn Clock>>,
    pub(super) random: Random,
}

/// What the map's removal listener needs as well.
pub(super) struct Shared {
    pub(super) owners: OwnerIndex,
    pub(super) events: Option<Events>,
    /// Sessions that have an owner.
    pub(super) owned: Balance,
    pub(super) bytes: Balance,
    pub(super) renewed: Count,
    pub(super) refused_writes: Count,
    pub(super) unknown_ids: Count,
}

impl Shared {
    pub(super) fn new(events: Option<Events>) -> Self {
        Self {
            owners: OwnerIndex::new(),
            events,
            owned: Balance::default(),
            bytes: Balance::default(),
            renewed: Count::default(),
            refused_writes: Count::default(),
            unknown_ids: Count::default(),
        }
    }

    /// The one path for all ends of a session: the map calls it once for each, after the end.
    pub(super) fn ended(&self, session: &Entry, cause: RemovalCause) {
        let key = *session.key();
        if let Some(owner) = &session.owner {
            self.owners.remove(owner, key);
            self.owned.down(1);
        }
        self.bytes.down(session.size());
        self.tell(EventKind::of_end(cause), key, session);
    }

    /// A session takes so many bytes now.
    fn resized(&self, before: u64, now: u64) {
        // Mostly it takes as many, and then no other thread is disturbed.
        if now > before {
            self.bytes.up(now - before);
        } else if now < before {
            self.bytes.down(before - now);
        }
    }

    pub(super) fn tell(&self, kind: EventKind, key: SessionKey, state: &State) {
        if let Some(events) = &self.events {
            events.send(Event {
                kind,
                key,
                owner: state.owner.clone(),
                attributes: state.attributes.clone(),
            });
        }
    }
}

/// Why nothing was written.
enum Declined<R> {
    Unchanged(R),
    Refused(SessionError),
}

impl<R> From<SessionError> for Declined<R> {
    fn from(error: SessionError) -> Self {
        Self::Refused(error)
    }
}

impl Store {
    pub(super) fn now(&self) -> u64 {
        match &self.clock {
            None => CoarseClock.now_millis(),
            Some(clock) => clock.now_millis(),
        }
    }

    /// Counts an id that answers to nothing.
    pub(super) fn note_unknown<T>(
        &self,
        found: Result<T, SessionError>,
    ) -> Result<T, SessionError> {
        found.inspect_err(|_| self.shared.unknown_ids.one())
    }

    /// Creates a session.
    fn create(&self, attributes: Attributes) -> Result<(SessionId, Entry), SessionError> {
        let key = SessionKey::random(self.random).map_err(SessionError::Random)?;
        let secret = Secret::random(self.random).map_err(SessionError::Random)?;
        let now = self.now();
        let state = State {
            secrets: Secrets::new(secret),
            attributes,
            owner: None,
            version: 1,
            created: now,
        };
        state.check(self.settings.session_bound())?;
        if self.sessions.contains_key(&key) {
            return Err(SessionError::Collision);
        }
        // Told and counted before anybody can end it.
        self.shared.bytes.up(state.size());
        self.shared.tell(EventKind::Created, key, &state);
        match self.sessions.try_insert(key, state) {
            Ok(entry) => Ok((SessionId::new(key, secret), entry)),
            Err(occupied) => {
                // Another thread got the same 16 random bytes, just now.
                let state = &occupied.value;
                self.shared.bytes.down(state.size());
                self.shared.tell(EventKind::Destroyed, key, state);
                Err(SessionError::Collision)
            }
        }
    }

    /// Writes: puts the state that `change` makes in the place of the old one, which it is given
    /// along with a copy of the next version. If `change` fails, or makes the session too large,
    /// nothing is changed, and the session is not touched.
    pub(super) fn write<R, E: From<SessionError>>(
        &self,
        named: Named<'_>,
        mut change: impl FnMut(&State, &mut State) -> Result<R, E>,
    ) -> Result<(Entry, R), E> {
        let bound = self.settings.session_bound();
        let mut admission = self.admission(named);
        let written = self.sessions.try_update_and_return(named.key, |old| {
            if !admission.admits(old) {
                return Err(E::from(SessionError::Superseded));
            }
            let mut new = old.successor(|| self.now());
            let result = change(old, &mut new)?;
            let (before, now) = (old.size(), new.size());
            new.check_growth(now, old, bound)?;
            Ok((new, (result, before, now)))
        })?;
        let Some((entry, (result, before, now))) = written else {
            self.shared.refused_writes.one();
            return Err(E::from(SessionError::Ended));
        };
        self.shared.resized(before, now);
        Ok((entry, result))
    }

    /// Writes attributes. If `change` puts nothing in and takes nothing out, nothing is written,
    /// there is no entry, and the session is not touched.
    pub(super) fn change<R>(
        &self,
        named: Named<'_>,
        mut change: impl FnMut(&State, &mut Attributes) -> Result<R, SessionError>,
    ) -> Result<(Option<Entry>, R), SessionError> {
        let written = self.write(named, |old, new| {
            let result = change(old, &mut new.attributes)?;
            match new.attributes.are(&old.attributes) {
                true => Err(Declined::Unchanged(result)),
                false => Ok(result),
            }
        });
        match written {
            Ok((entry, result)) => Ok((Some(entry), result)),
            Err(Declined::Unchanged(result)) => Ok((None, result)),
            Err(Declined::Refused(error)) => Err(error),
        }
    }

    /// Gives a session a new id in the place of its newest one, in the write that also makes
    /// `change`.
    pub(super) fn reissue<R>(
        &self,
        id: &SessionId,
        grace: Duration,
        mut change: impl FnMut(&State, &mut State) -> R,
    ) -> Result<(IssuedSession, R), SessionError> {
        let key = id.key();
        let is_current = |state: &State| state.secrets.is_current(id.secret());
        let secret = Secret::random(self.random).map_err(SessionError::Random)?;
        let now = self.now();
        let grace = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        let (entry, changed) = self.write(Named::by_key(&key), |old, new| {
            if !is_current(old) {
                return Err(SessionError::Superseded);
            }
            new.secrets.replace(secret, now, grace);
            Ok(change(old, new))
        })?;
        self.shared.renewed.one();
        self.shared.tell(EventKind::Renewed, key, &entry);
        let issued = IssuedSession {
            id: SessionId::new(key, secret),
            snapshot: self.snapshot(&entry),
        };
        Ok((issued, changed))
    }

    pub(super) fn renew(
        &self,
        id: &SessionId,
        grace: Duration,
    ) -> Result<IssuedSession, SessionError> {
        let (issued, ()) = self.reissue(id, grace, |_, _| ())?;
        Ok(issued)
    }

    pub(super) fn snapshot(&self, entry: &Entry) -> Snapshot {
        let now = self.now();
        Snapshot {
            key: *entry.key(),
            attributes: entry.attributes.clone(),
            owner: entry.owner.clone(),
            version: entry.version,
            age: Duration::from_millis(now.saturating_sub(entry.created)),
            lifetime_left: entry
                .absolute_deadline()
                .map(|deadline| Duration::from_millis(deadline.saturating_sub(now))),
            is_superseded: false,
        }
    }
}

impl SessionStore {
    /// A store with this idle timeout, and defaults for the rest: without a bound. Nothing frees
    /// what has ended until somebody [collects](Self::spawn_collector); a
    /// [`Manager`](crate::manager::Manager) over a
    /// [`MemoryProvider`](crate::provider::MemoryProvider) does.
    ///
    /// # Panics
    /// If the timeout is shorter than a millisecond or longer than 34 years.
    /// [`builder`](Self::builder) returns an error instead.
    pub fn new(idle_timeout: Duration) -> Self {
        Self::builder(Settings::new(idle_timeout))
            .build()
            .expect("give an idle timeout between a millisecond and 34 years")
    }

    /// Builds a store with these settings.
    pub fn builder(settings: Settings) -> Builder {
        Builder::new(settings)
    }

    pub(super) fn from_parts(store: Store) -> Self {
        Self {
            store: Arc::new(store),
        }
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// What the store was built with.
    pub fn settings(&self) -> &Settings {
        &self.store.settings
    }

    /// Creates a session without attributes, under a new id. A full store ends another one for it.
    ///
    /// # Errors
    /// If the operating system's generator fails: no id is issued then, and no session is created.
    ///
    /// ```
    /// use dwell::session::SessionStore;
    /// use std::time::Duration;
    /// let store = SessionStore::new(Duration::from_secs(60));
    /// assert_ne!(store.create()?.id(), store.create()?.id());
    /// # Ok::<(), dwell::session::SessionError>(())
    /// ```
    pub fn create(&self) -> Result<LiveSession, SessionError> {
        self.create_with(Attributes::default())
    }

    /// Creates a session that has its first attributes from the beginning.
    ///
    /// # Errors
    /// As [`create`](Self::create), or [`SessionError::TooLarge`].
    ///
    /// ```
    /// use dwell::session::{Attributes, SessionStore};
    /// use std::time::Duration;
    /// let store = SessionStore::new(Duration::from_secs(60));
    /// let mut attributes = Attributes::default();
    /// attributes.set("visits", 1_u32)?;
    /// assert_eq!(store.create_with(attributes)?.version()?, 1);
    /// # Ok::<(), dwell::session::SessionError>(())
    /// ```
    pub fn create_with(&self, attributes: Attributes) -> Result<LiveSession, SessionError> {
        let (id, _) = self.store.create(attributes)?;
        Ok(LiveSession::new(self.clone(), id))
    }

    /// The same for a provider.
    pub(crate) fn init(&self, attributes: Attributes) -> Result<IssuedSession, SessionError> {
        let store = self.store();
        let (id, entry) = store.create(attributes)?;
        // A full store of tiny capacity may have ended it again.
        match store.sessions.is_still(&entry) {
            true => Ok(IssuedSession {
                id,
                snapshot: store.snapshot(&entry),
            }),
            false => Err(SessionError::Ended),
        }
    }

    /// The session that an id answers to, and touches it: its idle time starts anew.
    ///
    /// None if there is none; this is counted. An id that the store did not issue is never taken
    /// up. The session that is returned can be used for as long as this id answers: until it ends,
    /// or until the id was renewed and its grace is over.
    ///
    /// ```
    /// use dwell::session::{SessionId, SessionStore};
    /// use std::time::Duration;
    /// let store = SessionStore::new(Duration::from_secs(60));
    /// let planted = SessionId::parse(&"A".repeat(SessionId::TEXT_LENGTH)).unwrap();
    /// assert!(store.find(&planted).is_none());
    /// assert_eq!((store.len(), store.stats().unknown_ids), (0, 1));
    /// ```
    pub fn find(&self, id: &SessionId) -> Option<LiveSession> {
        let found = self.store.look(Named::by_id(id), |_| ());
        self.store.note_unknown(found).ok()?;
        Some(LiveSession::new(self.clone(), *id))
    }

    /// What the session of an id is at this moment. Does not touch it.
    ///
    /// ```
    /// use dwell::session::SessionStore;
    /// use std::time::Duration;
    /// let store = SessionStore::new(Duration::from_secs(60));
    /// let session = store.create()?;
    /// assert!(store.peek(session.id()).unwrap().attributes.is_empty());
    /// # Ok::<(), dwell::session::SessionError>(())
    /// ```
    pub fn peek(&self, id: &SessionId) -> Option<Snapshot> {
        let entry = self.store.peek(Named::by_id(id));
        let entry = self.store.note_unknown(entry).ok()?;
        Some(self.store.snapshot(&entry))
    }

    /// Ends a session by its key. Whether there was one.
    ///
    /// Final: a slow request that still has the session can read what it read, and write nothing.
    ///
    /// ```
    /// use dwell::session::SessionStore;
    /// use std::time::Duration;
    /// let store = SessionStore::new(Duration::from_secs(60));
    /// let session = store.create()?;
    /// assert!(store.destroy(&session.key()));
    /// assert!(!store.destroy(&session.key()));
    /// # Ok::<(), dwell::session::SessionError>(())
    /// ```
    pub fn destroy(&self, key: &SessionKey) -> bool {
        self.store.sessions.remove(key).is_some()
    }

    /// Ends all sessions. Sessions that are created meanwhile may stay. Costs in proportion to the
    /// sessions, a microsecond or two each, all of it in this call.
    ///
    /// ```
    /// use dwell::session::SessionStore;
    /// use std::time::Duration;
    /// let store = SessionStore::new(Duration::from_secs(60));
    /// store.create()?;
    /// store.destroy_all();
    /// assert!(store.is_empty());
    /// # Ok::<(), dwell::session::SessionError>(())
    /// ```
    pub fn destroy_all(&self) {
        self.store.sessions.clear();
    }

    /// Ends what is due, as [`IdleMap::collect`]. Returns how many sessions it ended.
    ///
    /// ```
    /// use dwell::session::SessionStore;
    /// use std::time::Duration;
    /// let store = SessionStore::new(Duration::from_secs(60));
    /// assert_eq!(store.collect(), 0);
    /// ```
    pub fn collect(&self) -> usize {
        self.store.sessions.collect()
    }

    /// A bounded part of that, as [`IdleMap::collect_part`]: none if nothing was left to do.
    ///
    /// ```
    /// use dwell::session::SessionStore;
    /// use std::time::Duration;
    /// let store = SessionStore::new(Duration::from_secs(60));
    /// assert_eq!(store.collect_part(), None);
    /// ```
    pub fn collect_part(&self) -> Option<usize> {
        self.store.sessions.collect_part()
    }

    /// Starts a thread that ends what is due, until the [`Collector`] is dropped.
    ///
    /// # Panics
    /// If the operating system does not give a thread.
    ///
    /// ```
    /// use dwell::session::SessionStore;
    /// use std::time::Duration;
    /// let store = SessionStore::new(Duration::from_secs(60));
    /// let collector = store.spawn_collector();
    /// assert!(collector.is_running());
    /// ```
    pub fn spawn_collector(&self) -> Collector {
        self.store.sessions.spawn_collector()
    }
}

impl fmt::Debug for SessionStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionStore")
            .field("settings", &self.store.settings)
            .field("stats", &self.stats())
            .finish()
    }
}
