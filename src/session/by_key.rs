//! Operations on a session by its key, for whoever has checked the id: a request, or a provider.

use super::error::SessionError;
use super::id::{SessionId, SessionKey};
use super::store::SessionStore;
use super::{Changes, Issued, Snapshot};
use std::time::Duration;

impl SessionStore {
    /// Applies changes to the session of a key in one step, if it is at a version, or at any.
    ///
    /// # Errors
    /// As [`LiveSession::apply_at`].
    pub(crate) fn apply(
        &self,
        key: &SessionKey,
        changes: &Changes,
        version: Option<u64>,
    ) -> Result<Snapshot, SessionError> {
        let store = self.store();
        let (entry, ()) = store.write(key, |old, new| {
            if let Some(expected) = version
                && old.version != expected
            {
                let current = old.version;
                return Err(SessionError::Conflict { expected, current });
            }
            changes.apply_to(&mut new.attributes);
            Ok(())
        })?;
        Ok(store.snapshot(&entry))
    }

    /// The session of an id, and touches it.
    pub(crate) fn read(&self, id: &SessionId) -> Option<Snapshot> {
        self.store().admit(id)?;
        self.load(&id.key())
    }

    /// The session of a key, and touches it.
    pub(crate) fn load(&self, key: &SessionKey) -> Option<Snapshot> {
        let entry = self.store().sessions.get(key)?;
        Some(self.store().snapshot(&entry))
    }

    pub(crate) fn renew(
        &self,
        id: &SessionId,
        grace: Option<Duration>,
    ) -> Result<Issued, SessionError> {
        let grace = grace.unwrap_or(self.settings().grace);
        self.store().renew(id, grace)
    }
}
