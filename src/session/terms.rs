//! Whose a session is, and how long it lives.

use super::error::SessionError;
use super::id::SessionKey;
use super::live::LiveSession;
use super::store::{SessionStore, after};
use std::sync::Arc;
use std::time::Duration;

impl LiveSession {
    /// Says whose session this is. If the owner has more sessions than
    /// [`max_per_owner`](super::Settings::max_per_owner) then, those of them end that were idle longest.
    ///
    /// # Errors
    /// If the session has ended.
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
        self.store.set_owner(&self.key(), Some(owner))
    }

    /// Makes the session anonymous again.
    ///
    /// # Errors
    /// If the session has ended.
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
        self.store.set_owner(&self.key(), None)
    }

    /// Whose session this is.
    ///
    /// # Errors
    /// If the session has ended.
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
        Ok(self.entry()?.owner.clone())
    }

    /// Gives this session its own idle timeout. Takes effect at once.
    ///
    /// # Errors
    /// If the session has ended.
    ///
    /// ```
    /// use dwell::session::SessionStore;
    /// use std::time::Duration;
    /// let session = SessionStore::new(Duration::from_secs(60)).create()?;
    /// session.set_idle_timeout(Duration::from_secs(600))?;
    /// let (_, left) = session.idle_and_left().unwrap();
    /// assert!(left > Duration::from_secs(500));
    /// # Ok::<(), dwell::session::SessionError>(())
    /// ```
    pub fn set_idle_timeout(&self, timeout: Duration) -> Result<(), SessionError> {
        self.store.set_idle_timeout(&self.key(), timeout)
    }

    /// Lets this session live for so long from now on, however often it is accessed. With zero it ends.
    ///
    /// # Errors
    /// If the session has ended.
    ///
    /// ```
    /// use dwell::session::SessionStore;
    /// use std::time::Duration;
    /// let session = SessionStore::new(Duration::from_secs(60)).create()?;
    /// session.set_lifetime(Duration::ZERO)?;
    /// assert!(session.peek().is_none());
    /// # Ok::<(), dwell::session::SessionError>(())
    /// ```
    pub fn set_lifetime(&self, lifetime: Duration) -> Result<(), SessionError> {
        self.store.set_lifetime(&self.key(), lifetime)
    }
}

/// By key, for a provider.
impl SessionStore {
    pub(crate) fn set_idle_timeout(
        &self,
        key: &SessionKey,
        timeout: Duration,
    ) -> Result<(), SessionError> {
        let store = self.store();
        store.done(store.sessions.set_idle_timeout(key, timeout))
    }

    pub(crate) fn set_lifetime(
        &self,
        key: &SessionKey,
        lifetime: Duration,
    ) -> Result<(), SessionError> {
        let store = self.store();
        store.done(store.sessions.set_lifetime(key, lifetime))?;
        if lifetime.as_millis() == 0 {
            return Ok(());
        }
        let deadline = after(store.now(), lifetime);
        store.write(key, |_, new| {
            new.deadline = Some(deadline);
            Ok(())
        })?;
        Ok(())
    }
}
