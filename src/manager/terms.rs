//! Whose a request's session is, and for how long it lives.

use super::cookie::Notice;
use super::session::Session;
use super::stage::Link;
use crate::provider::Access;
use crate::session::{SessionError, SessionId};
use std::sync::Arc;
use std::time::Duration;

impl Session {
    /// Says whose session this is, under the id that it has. Creates the session if there is none
    /// yet. For a login, take [`log_in`](Self::log_in): an id that was known before would go on to
    /// answer.
    ///
    /// # Errors
    /// If the session has ended, or the provider fails.
    pub async fn set_owner(&self, owner: &str) -> Result<(), SessionError> {
        let id = self.stored().await?;
        self.own(id, Some(owner)).await
    }

    /// Makes the session anonymous again.
    ///
    /// # Errors
    /// If the session has ended, or the provider fails.
    pub async fn clear_owner(&self) -> Result<(), SessionError> {
        match self.link() {
            Link::New => Ok(()),
            Link::Ended => Err(SessionError::Ended),
            Link::Unknown => Err(SessionError::Unavailable),
            Link::Live(id) => self.own(id, None).await,
        }
    }

    async fn own(&self, id: SessionId, owner: Option<&str>) -> Result<(), SessionError> {
        self.begin_write(id);
        self.step_by(id, |provider, by| provider.set_owner(by, owner))
            .await
    }

    /// Whose session this is.
    ///
    /// # Errors
    /// If the session has ended, or the provider fails.
    pub async fn owner(&self) -> Result<Option<Arc<str>>, SessionError> {
        self.look(|seen| seen?.owner().cloned()).await
    }

    /// Gives this session its own idle timeout. Creates the session if there is none yet.
    ///
    /// # Errors
    /// If the session has ended, or the provider fails.
    #[doc(alias("remember me", "time_to_idle", "TTI"))]
    pub async fn set_idle_timeout(&self, timeout: Duration) -> Result<(), SessionError> {
        let id = self.stored().await?;
        self.step_by(id, |provider, by| provider.set_idle_timeout(by, timeout))
            .await
    }

    /// Lets this session live for so long from now on. Creates the session if there is none yet.
    ///
    /// The response sets the client's cookie again, to last as long as the session can: the same
    /// id, unless it was renewed. A request that came with an old id, in its grace, sets none: the
    /// newest id is on its way to the client, with the lifetime that the session had when it was
    /// issued.
    ///
    /// Where a login renews the id while this request is under way, their responses may come to the
    /// client in any order, and this one may put the old id in the new one's place. So move the
    /// lifetime along with a login, or in requests that come one at a time (of pages, say), not in
    /// each of a page's many.
    ///
    /// # Errors
    /// If the session has ended, or the provider fails. The lifetime may be set then, and the
    /// cookie is not.
    #[doc(alias("remember me", "persistent cookie", "time_to_live", "TTL"))]
    pub async fn set_lifetime(&self, lifetime: Duration) -> Result<(), SessionError> {
        let id = self.stored().await?;
        self.step_by(id, |provider, by| provider.set_lifetime(by, lifetime))
            .await?;
        let is_issued = |notice| matches!(notice, Notice::Issued(..));
        if !is_issued(self.stage().notice) && !self.is_newest(id).await? {
            return Ok(());
        }
        self.cell().tells_again(lifetime);
        Ok(())
    }

    /// Whether the request's id is the session's newest, so that the client may be told it once
    /// more.
    async fn is_newest(&self, id: SessionId) -> Result<bool, SessionError> {
        let read = self.step_by(id, |provider, by| provider.read(by, Access::Peek));
        match read.await {
            Ok(seen) => Ok(seen.is_some_and(|seen| !seen.is_superseded)),
            Err(SessionError::Superseded) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
