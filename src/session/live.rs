//! A session that lives in this process, as a request holds it.

use super::by::{By, Named};
use super::error::{AttributeError, SessionError};
use super::id::{SessionId, SessionKey};
use super::state::State;
use super::store::{Entry, SessionStore};
use super::value::{Attribute, Typed};
use super::{Attributes, Changes, Snapshot};
use std::fmt;
use std::time::Duration;

/// A session of a [`SessionStore`], as a request holds it: not a copy, but the way to the live one.
///
/// Each read sees the newest state, copies nothing and waits for nobody; each write is one atomic
/// step, of which concurrent requests lose none. Each of both touches the session: its idle time
/// starts anew. When the session has ended, every operation says so ([`SessionError::Ended`]), and
/// nothing brings it back. When the id was renewed elsewhere and its grace is over, every operation
/// fails with
/// [`SessionError::Superseded`]: what was let in by an id is let in for as long as the id answers.
/// Closures given to its methods may run more than once, and should do nothing but compute.
///
/// ```
/// use dwell::session::SessionStore;
/// use std::time::Duration;
///
/// let store = SessionStore::new(Duration::from_secs(60));
/// let mut session = store.create()?;
/// session.set("cart", vec![String::from("tea")])?;
/// session.update("visits", |visits: Option<&u32>| visits.map_or(1, |visits| visits + 1))?;
/// session.log_in("ann")?; // a new id, and no grace for the old one
/// assert_eq!(*session.get::<Vec<String>>("cart")?.unwrap(), ["tea"]);
/// # Ok::<(), dwell::session::SessionError>(())
/// ```
#[derive(Clone)]
pub struct LiveSession {
    pub(super) store: SessionStore,
    id: SessionId,
}

impl LiveSession {
    pub(super) fn new(store: SessionStore, id: SessionId) -> Self {
        Self { store, id }
    }

    /// The id that the session was found or created under, or that [`renew`](Self::renew) gave it.
    pub fn id(&self) -> &SessionId {
        &self.id
    }

    /// The session's key: the same for as long as the session lives.
    pub fn key(&self) -> SessionKey {
        self.id.key()
    }

    pub(super) fn by(&self) -> By {
        By::Id(self.id)
    }

    fn named(&self) -> Named<'_> {
        Named::by_id(&self.id)
    }

    pub(super) fn look<R>(&self, read: impl Fn(&State) -> R) -> Result<R, SessionError> {
        self.store.store().look(self.named(), read)
    }

    pub(super) fn entry(&self) -> Result<Entry, SessionError> {
        self.store.store().entry(self.named())
    }

    /// Changes attributes in one step. What puts nothing in and takes nothing out writes nothing.
    fn change<R>(
        &self,
        change: impl FnMut(&mut Attributes) -> Result<R, AttributeError>,
    ) -> Result<R, SessionError> {
        self.store.change(self.by(), change)
    }

    /// The value under a key; none if there is none.
    ///
    /// # Errors
    /// If the session has ended, if the id does not answer any more, or if the value's JSON does
    /// not decode as this type.
    ///
    /// ```
    /// use dwell::session::SessionStore;
    /// use std::time::Duration;
    /// let session = SessionStore::new(Duration::from_secs(60)).create()?;
    /// session.set("visits", 7_u32)?;
    /// assert_eq!(*session.get::<u32>("visits")?.unwrap(), 7);
    /// assert!(session.get::<u32>("name")?.is_none());
    /// assert!(session.get::<String>("visits").is_err());
    /// # Ok::<(), dwell::session::SessionError>(())
    /// ```
    pub fn get<T: Attribute>(&self, key: &str) -> Result<Option<Typed<T>>, SessionError> {
        Ok(self.look(|state| state.attributes.get(key))??)
    }

    /// Whether there is a value under a key.
    ///
    /// # Errors
    /// if the session has ended, or the id does not answer any more.
    ///
    /// ```
    /// use dwell::session::SessionStore;
    /// use std::time::Duration;
    /// let session = SessionStore::new(Duration::from_secs(60)).create()?;
    /// session.set("visits", 1_u32)?;
    /// assert!(session.contains("visits")?);
    /// # Ok::<(), dwell::session::SessionError>(())
    /// ```
    pub fn contains(&self, key: &str) -> Result<bool, SessionError> {
        self.look(|state| state.attributes.contains(key))
    }

    /// The keys that have a value, in order.
    ///
    /// # Errors
    /// if the session has ended, or the id does not answer any more.
    ///
    /// ```
    /// use dwell::session::SessionStore;
    /// use std::time::Duration;
    /// let session = SessionStore::new(Duration::from_secs(60)).create()?;
    /// session.set("visits", 1_u32)?;
    /// assert_eq!(session.keys()?, ["visits"]);
    /// # Ok::<(), dwell::session::SessionError>(())
    /// ```
    pub fn keys(&self) -> Result<Vec<String>, SessionError> {
        let entry = self.entry()?;
        Ok(entry.attributes.keys().map(str::to_owned).collect())
    }

    /// Puts a value under a key.
    ///
    /// # Errors
    /// If the session has ended, if the id does not answer any more, or if the value would not come
    /// back from JSON as what it is.
    ///
    /// ```
    /// use dwell::session::SessionStore;
    /// use std::time::Duration;
    /// let session = SessionStore::new(Duration::from_secs(60)).create()?;
    /// session.set("name", String::from("Ann"))?;
    /// assert_eq!(*session.get::<String>("name")?.unwrap(), "Ann");
    /// # Ok::<(), dwell::session::SessionError>(())
    /// ```
    pub fn set<T: Attribute>(&self, key: &str, value: T) -> Result<(), SessionError> {
        self.apply(&Changes::default().set(key, value)?)?;
        Ok(())
    }

    /// Removes a value. Whether there was one.
    ///
    /// # Errors
    /// if the session has ended, or the id does not answer any more.
    ///
    /// ```
    /// use dwell::session::SessionStore;
    /// use std::time::Duration;
    /// let session = SessionStore::new(Duration::from_secs(60)).create()?;
    /// session.set("visits", 1_u32)?;
    /// assert!(session.delete("visits")?);
    /// assert!(!session.delete("visits")?);
    /// # Ok::<(), dwell::session::SessionError>(())
    /// ```
    pub fn delete(&self, key: &str) -> Result<bool, SessionError> {
        self.change(|attributes| Ok(attributes.delete(key)))
    }

    /// Puts the value that `change` makes of the old one in its place, in one step. Returns the new
    /// value.
    ///
    /// # Errors
    /// If the session has ended, if the id does not answer any more, if the old value's JSON does
    /// not decode as this type, or if the new one would not come back from it as what it is.
    ///
    /// ```
    /// use dwell::session::SessionStore;
    /// use std::time::Duration;
    /// let session = SessionStore::new(Duration::from_secs(60)).create()?;
    /// let count = |visits: Option<&u32>| visits.map_or(1, |visits| visits + 1);
    /// session.update("visits", count)?;
    /// assert_eq!(*session.update("visits", count)?, 2);
    /// # Ok::<(), dwell::session::SessionError>(())
    /// ```
    pub fn update<T: Attribute>(
        &self,
        key: &str,
        mut change: impl FnMut(Option<&T>) -> T,
    ) -> Result<Typed<T>, SessionError> {
        self.change(|attributes| attributes.update(key, &mut change))
    }

    /// Reads and removes a value, such as a message that is shown once. Of concurrent requests one
    /// gets it.
    ///
    /// # Errors
    /// If the session has ended, if the id does not answer any more, or if the value's JSON does
    /// not decode as this type.
    ///
    /// ```
    /// use dwell::session::SessionStore;
    /// use std::time::Duration;
    /// let session = SessionStore::new(Duration::from_secs(60)).create()?;
    /// session.set("flash", String::from("saved"))?;
    /// assert_eq!(*session.take::<String>("flash")?.unwrap(), "saved");
    /// assert!(session.take::<String>("flash")?.is_none());
    /// # Ok::<(), dwell::session::SessionError>(())
    /// ```
    pub fn take<T: Attribute>(&self, key: &str) -> Result<Option<Typed<T>>, SessionError> {
        self.change(|attributes| attributes.take(key))
    }

    /// Removes all values.
    ///
    /// # Errors
    /// if the session has ended, or the id does not answer any more.
    ///
    /// ```
    /// use dwell::session::SessionStore;
    /// use std::time::Duration;
    /// let session = SessionStore::new(Duration::from_secs(60)).create()?;
    /// session.set("visits", 1_u32)?;
    /// session.clear()?;
    /// assert!(session.keys()?.is_empty());
    /// # Ok::<(), dwell::session::SessionError>(())
    /// ```
    pub fn clear(&self) -> Result<(), SessionError> {
        self.change(|attributes| {
            attributes.clear();
            Ok(())
        })
    }

    /// Changes any number of attributes in one step. If `change` fails, nothing is changed; if it
    /// changes nothing, nothing is written.
    ///
    /// # Errors
    /// If the session has ended, if the id does not answer any more, or with what `change` returns.
    ///
    /// ```
    /// use dwell::session::SessionStore;
    /// use std::time::Duration;
    /// let session = SessionStore::new(Duration::from_secs(60)).create()?;
    /// session.set("cart", 3_u32)?;
    /// session.update_all(|attributes| {
    ///     let cart = attributes.take::<u32>("cart")?;
    ///     attributes.set("ordered", cart.map_or(0, |cart| *cart))
    /// })?;
    /// assert_eq!(session.keys()?, ["ordered"]);
    /// # Ok::<(), dwell::session::SessionError>(())
    /// ```
    pub fn update_all<R>(
        &self,
        mut change: impl FnMut(&mut Attributes) -> Result<R, AttributeError>,
    ) -> Result<R, SessionError> {
        self.change(|attributes| attributes.change_all(&mut change))
    }

    /// Applies changes in one step. Returns the session as it is then.
    ///
    /// # Errors
    /// if the session has ended, or the id does not answer any more.
    ///
    /// ```
    /// use dwell::session::{Changes, SessionStore};
    /// use std::time::Duration;
    /// let session = SessionStore::new(Duration::from_secs(60)).create()?;
    /// let changes = Changes::default().set("name", String::from("Ann"))?.delete("guest");
    /// assert_eq!(session.apply(&changes)?.version, 2);
    /// # Ok::<(), dwell::session::SessionError>(())
    /// ```
    pub fn apply(&self, changes: &Changes) -> Result<Snapshot, SessionError> {
        self.store.apply(self.by(), changes, None)
    }

    /// Applies changes in one step if nobody wrote since a version: compare and set.
    ///
    /// # Errors
    /// [`SessionError::Conflict`] if somebody did; [`SessionError::Ended`] if the session has
    /// ended.
    ///
    /// ```
    /// use dwell::session::{Changes, SessionError, SessionStore};
    /// use std::time::Duration;
    /// let session = SessionStore::new(Duration::from_secs(60)).create()?;
    /// let seen = session.version()?;
    /// session.set("name", String::from("Ann"))?;
    /// let late = Changes::default().set("name", String::from("Bob"))?;
    /// let refused = session.apply_at(seen, &late);
    /// assert!(matches!(refused, Err(SessionError::Conflict { expected: 1, current: 2 })));
    /// # Ok::<(), SessionError>(())
    /// ```
    #[doc(alias("compare and set", "optimistic locking"))]
    pub fn apply_at(&self, version: u64, changes: &Changes) -> Result<Snapshot, SessionError> {
        self.store.apply(self.by(), changes, Some(version))
    }

    /// How many writes made the session what it is, its creation included.
    ///
    /// # Errors
    /// if the session has ended, or the id does not answer any more.
    ///
    /// ```
    /// use dwell::session::SessionStore;
    /// use std::time::Duration;
    /// let session = SessionStore::new(Duration::from_secs(60)).create()?;
    /// session.set("visits", 1_u32)?;
    /// assert_eq!(session.version()?, 2);
    /// # Ok::<(), dwell::session::SessionError>(())
    /// ```
    pub fn version(&self) -> Result<u64, SessionError> {
        self.look(|state| state.version)
    }

    /// What the session is at this moment.
    ///
    /// # Errors
    /// if the session has ended, or the id does not answer any more.
    ///
    /// ```
    /// use dwell::session::SessionStore;
    /// use std::time::Duration;
    /// let session = SessionStore::new(Duration::from_secs(60)).create()?;
    /// session.set("visits", 1_u32)?;
    /// let seen = session.snapshot()?;
    /// session.clear()?;
    /// assert!(seen.attributes.contains("visits"));
    /// # Ok::<(), dwell::session::SessionError>(())
    /// ```
    pub fn snapshot(&self) -> Result<Snapshot, SessionError> {
        Ok(self.store.store().snapshot(&self.entry()?))
    }

    /// What the session is at this moment, without touching it; none if it has ended, or if the id
    /// does not answer any more.
    ///
    /// ```
    /// use dwell::session::SessionStore;
    /// use std::time::Duration;
    /// let session = SessionStore::new(Duration::from_secs(60)).create()?;
    /// assert!(session.peek().is_some());
    /// session.clone().destroy()?;
    /// assert!(session.peek().is_none());
    /// # Ok::<(), dwell::session::SessionError>(())
    /// ```
    pub fn peek(&self) -> Option<Snapshot> {
        let store = self.store.store();
        let entry = store.peek(self.named()).ok()?;
        Some(store.snapshot(&entry))
    }

    /// Touches the session: its idle time starts anew.
    ///
    /// # Errors
    /// if the session has ended, or the id does not answer any more.
    ///
    /// ```
    /// use dwell::session::SessionStore;
    /// use std::time::Duration;
    /// let session = SessionStore::new(Duration::from_secs(60)).create()?;
    /// session.touch()?;
    /// session.clone().destroy()?;
    /// assert!(session.touch().is_err());
    /// # Ok::<(), dwell::session::SessionError>(())
    /// ```
    pub fn touch(&self) -> Result<(), SessionError> {
        self.look(|_| ())
    }

    /// Gives the session a new id, as each login and each change of privileges should. The old id
    /// still answers for the store's [grace](super::Settings::grace), so that requests under way
    /// are not logged out.
    ///
    /// One step: before it the old id answers, after it the new one, and at no moment neither or a
    /// third. Key, attributes, owner and deadlines stay. Of several requests that renew the same
    /// id, one succeeds.
    ///
    /// # Errors
    /// [`SessionError::Superseded`] if another request renewed the id before: only the newest id
    /// can be renewed, so that an old one has no power beyond its grace. [`SessionError::Ended`] if
    /// the session has ended. [`SessionError::Random`] if the operating system's generator fails:
    /// the old id stays then.
    ///
    /// ```
    /// use dwell::session::SessionStore;
    /// use std::time::Duration;
    /// let store = SessionStore::new(Duration::from_secs(60));
    /// let mut session = store.create()?;
    /// let old = *session.id();
    /// session.renew()?;
    /// assert_ne!(*session.id(), old);
    /// assert!(store.find(session.id()).is_some());
    /// assert!(store.find(&old).is_some(), "for five seconds");
    /// # Ok::<(), dwell::session::SessionError>(())
    /// ```
    #[doc(alias("session id rotation", "rotate", "regenerate", "cycle_id"))]
    pub fn renew(&mut self) -> Result<(), SessionError> {
        self.renew_with_grace(self.store.settings().grace)
    }

    /// Gives the session a new id, with another grace for the old one than the store's. Ids that
    /// were renewed before and are still in their grace answer for that long at the most; with zero
    /// no id answers but the new one, from this step on.
    ///
    /// # Errors
    /// As [`renew`](Self::renew).
    ///
    /// ```
    /// use dwell::session::SessionStore;
    /// use std::time::Duration;
    /// let store = SessionStore::new(Duration::from_secs(60));
    /// let mut session = store.create()?;
    /// let old = *session.id();
    /// session.renew_with_grace(Duration::ZERO)?;
    /// assert!(store.find(&old).is_none());
    /// # Ok::<(), dwell::session::SessionError>(())
    /// ```
    pub fn renew_with_grace(&mut self, grace: Duration) -> Result<(), SessionError> {
        self.id = self.store.store().renew(&self.id, grace)?.id;
        Ok(())
    }

    /// Logs a user in: gives the session a new id and an owner, in one step.
    ///
    /// From this step on no other id answers, not even one in its grace: a request that came with
    /// one, and is still under way, has lost the session. So an id that somebody planted in the
    /// client before the login is worth nothing after it. If the owner then has more than
    /// [`max_per_owner`](super::Settings::max_per_owner), those end that were idle longest.
    ///
    /// # Errors
    /// As [`renew`](Self::renew). Nothing is changed then.
    ///
    /// ```
    /// use dwell::session::{SessionError, SessionStore};
    /// use std::time::Duration;
    /// let store = SessionStore::new(Duration::from_secs(60));
    /// let planted = store.create()?;
    /// let mut session = store.find(planted.id()).unwrap();
    /// session.log_in("ann")?;
    /// assert_eq!(session.owner()?.as_deref(), Some("ann"));
    /// assert!(matches!(planted.owner(), Err(SessionError::Superseded)));
    /// # Ok::<(), SessionError>(())
    /// ```
    #[doc(alias("login", "authenticate", "session fixation"))]
    pub fn log_in(&mut self, owner: &str) -> Result<(), SessionError> {
        self.id = self.store.log_in(&self.id, owner)?.id;
        Ok(())
    }

    /// Ends the session. Whether it had not ended before.
    ///
    /// # Errors
    /// [`SessionError::Superseded`] if the id does not answer any more: the session lives then,
    /// under another id. [`SessionStore::destroy`] ends a session by its key.
    ///
    /// ```
    /// use dwell::session::SessionStore;
    /// use std::time::Duration;
    /// let store = SessionStore::new(Duration::from_secs(60));
    /// let session = store.create()?;
    /// let id = *session.id();
    /// assert!(session.destroy()?);
    /// assert!(store.find(&id).is_none());
    /// # Ok::<(), dwell::session::SessionError>(())
    /// ```
    #[doc(alias("logout", "log_out", "invalidate", "flush"))]
    pub fn destroy(self) -> Result<bool, SessionError> {
        self.store.store().destroy(self.named())
    }
}

impl fmt::Debug for LiveSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveSession")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
