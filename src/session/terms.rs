//! Whose a session is, and how long it lives.

use super::error::SessionError;
use super::live::LiveSession;
use std::sync::Arc;
use std::time::Duration;

impl LiveSession {
    /// Says whose session this is. If the owner has more sessions than
    /// [`max_per_owner`](super::Settings::max_per_owner) then, those of them end that were idle
    /// longest.
    ///
    /// # Errors
    /// If the session has ended, or the id does not answer any more.
    ///
    /// ```
    /// use dwell::session::SessionStore;
    /// use std::time::Duration;
    /// let store = SessionStore::new(Duration::from_secs(60));
    /// let session = store.create()?;
    /// session.set_owner("ann")?;
    /// assert_eq!(store.owned_by("ann").len(), 1);
    /// # Ok::<(), dwell::session::SessionError>(())
    /// ```
    pub fn set_owner(&self, owner: &str) -> Result<(), SessionError> {
        self.store.set_owner(self.by(), Some(owner))
    }

    /// Makes the session anonymous again.
    ///
    /// # Errors
    /// If the session has ended, or the id does not answer any more.
    ///
    /// ```
    /// use dwell::session::SessionStore;
    /// use std::time::Duration;
    /// let store = SessionStore::new(Duration::from_secs(60));
    /// let session = store.create()?;
    /// session.set_owner("ann")?;
    /// session.clear_owner()?;
    /// assert!(store.owned_by("ann").is_empty());
    /// # Ok::<(), dwell::session::SessionError>(())
    /// ```
    pub fn clear_owner(&self) -> Result<(), SessionError> {
        self.store.set_owner(self.by(), None)
    }

    /// Whose session this is.
    ///
    /// # Errors
    /// If the session has ended, or the id does not answer any more.
    ///
    /// ```
    /// use dwell::session::SessionStore;
    /// use std::time::Duration;
    /// let session = SessionStore::new(Duration::from_secs(60)).create()?;
    /// session.set_owner("ann")?;
    /// assert_eq!(session.owner()?.as_deref(), Some("ann"));
    /// # Ok::<(), dwell::session::SessionError>(())
    /// ```
    pub fn owner(&self) -> Result<Option<Arc<str>>, SessionError> {
        self.look(|state| state.owner.clone())
    }

    /// Gives this session its own idle timeout. Takes effect at once.
    ///
    /// # Errors
    /// If the session has ended, or the id does not answer any more.
    ///
    /// ```
    /// use dwell::session::SessionStore;
    /// use std::time::Duration;
    /// let session = SessionStore::new(Duration::from_secs(60)).create()?;
    /// session.set_idle_timeout(Duration::from_secs(600))?;
    /// assert!(session.time_left().unwrap() > Duration::from_secs(500));
    /// # Ok::<(), dwell::session::SessionError>(())
    /// ```
    #[doc(alias("remember me", "time_to_idle", "TTI"))]
    pub fn set_idle_timeout(&self, timeout: Duration) -> Result<(), SessionError> {
        self.store.set_terms(self.by(), Some(timeout), None)
    }

    /// Lets this session live for so long from now on, however often it is accessed. With zero it
    /// ends.
    ///
    /// # Errors
    /// If the session has ended, or the id does not answer any more.
    ///
    /// ```
    /// use dwell::session::SessionStore;
    /// use std::time::Duration;
    /// let session = SessionStore::new(Duration::from_secs(60)).create()?;
    /// session.set_lifetime(Duration::ZERO)?;
    /// assert!(session.peek().is_none());
    /// # Ok::<(), dwell::session::SessionError>(())
    /// ```
    #[doc(alias("remember me", "time_to_live", "TTL"))]
    pub fn set_lifetime(&self, lifetime: Duration) -> Result<(), SessionError> {
        self.store.set_terms(self.by(), None, Some(lifetime))
    }

    /// How long no caller has accessed the session; none if it has ended. Does not touch it.
    ///
    /// ```
    /// use dwell::session::SessionStore;
    /// use std::time::Duration;
    /// let session = SessionStore::new(Duration::from_secs(60)).create()?;
    /// assert!(session.idle_for().unwrap() < Duration::from_secs(60));
    /// # Ok::<(), dwell::session::SessionError>(())
    /// ```
    pub fn idle_for(&self) -> Option<Duration> {
        self.store.idle_for(&self.key())
    }

    /// How long the session still lives if no caller accesses it; none if it has ended. Does not
    /// touch it.
    ///
    /// ```
    /// use dwell::session::SessionStore;
    /// use std::time::Duration;
    /// let session = SessionStore::new(Duration::from_secs(60)).create()?;
    /// assert!(session.time_left().unwrap() <= Duration::from_secs(60));
    /// # Ok::<(), dwell::session::SessionError>(())
    /// ```
    pub fn time_left(&self) -> Option<Duration> {
        self.store.time_left(&self.key())
    }
}
