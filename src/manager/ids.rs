//! The ids of a request's session: renewal, login, and its end.

use super::observe;
use super::session::Session;
use super::stage::Link;
use crate::provider::By;
use crate::session::{Attributes, IssuedSession, SessionError, SessionId};
use std::time::Duration;

impl Session {
    /// Gives the session a new id, as each change of privileges should; at a login,
    /// [`log_in`](Self::log_in) does. The old one still answers for the provider's grace. If there
    /// is no session yet, it is created.
    ///
    /// Renew first and store the privilege then: if another request has renewed the id before, this
    /// one fails, and nothing has been stored.
    ///
    /// # Errors
    /// [`SessionError::Superseded`] if the request came with an id that was renewed; if the session
    /// has ended, or the provider fails.
    #[doc(alias("session id rotation", "rotate", "regenerate", "cycle_id"))]
    pub async fn renew(&self) -> Result<(), SessionError> {
        self.renew_after(None).await
    }

    /// Gives the session a new id, with another grace for the old one than the provider's. Ids that
    /// were renewed before and are in their grace answer for that long at the most; with zero no id
    /// answers but the new one, from this step on: the choice where somebody else may know an old
    /// one.
    ///
    /// # Errors
    /// As [`renew`](Self::renew).
    pub async fn renew_with_grace(&self, grace: Duration) -> Result<(), SessionError> {
        self.renew_after(Some(grace)).await
    }

    #[cfg_attr(
        feature = "tracing",
        tracing::instrument(name = "dwell.session.renew", level = "debug", skip_all)
    )]
    async fn renew_after(&self, grace: Option<Duration>) -> Result<(), SessionError> {
        match self.link() {
            Link::Ended => Err(SessionError::Ended),
            Link::Unknown => Err(SessionError::Unavailable),
            Link::New => self.stored().await.map(drop),
            Link::Live(_) if self.stage().is_finished => Err(SessionError::Finished),
            Link::Live(id) => {
                let writes = self.stage().writes;
                self.take_up(id, self.provider().renew(&id, grace).await, writes)
            }
        }
    }

    /// Takes up the id that was issued in the place of the request's.
    fn take_up(
        &self,
        id: SessionId,
        issued: Result<IssuedSession, SessionError>,
        writes: u64,
    ) -> Result<(), SessionError> {
        let issued = match self.judge(issued, id) {
            Ok(issued) => issued?,
            // Only the newest id can be renewed, and a clone has renewed this one.
            Err(_) => return Err(SessionError::Superseded),
        };
        let key = id.key();
        if self.issued(issued, writes, |link| link.is_at(key)) {
            return Ok(());
        }
        // Meanwhile a clone destroyed the session, or the response went off.
        match self.link() {
            Link::Live(_) => Err(SessionError::Finished),
            Link::New | Link::Ended | Link::Unknown => Err(SessionError::Ended),
        }
    }

    /// Logs a user in: gives the session a new id and an owner, in one step. Creates the session if
    /// there is none yet.
    ///
    /// From this step on no other id of the session answers. A request that came with one fails at
    /// its next step, however early it began. So whoever planted an id in the client before the
    /// login, or learned it, has lost the session. If the owner then has more sessions than the
    /// provider allows, those end that were idle longest.
    ///
    /// Of several logins of one id, such as those of a double click, one succeeds, and the others
    /// fail with [`SessionError::Superseded`]. These responses set no cookie, so the client keeps
    /// the id that the first one brings: answer with a redirect. A client that never got that
    /// response is a stranger at its next request, and logs in anew. A handler that rather gives
    /// the client a session of its own at once calls [`start_over`](Self::start_over) and logs in
    /// again.
    ///
    /// # Errors
    /// [`SessionError::Superseded`] if the request's id is not the session's newest; if the session
    /// has ended, or the provider fails. Nothing is changed then, except that after a failure of
    /// the provider the login may have been done. If a clone of this session finishes the request
    /// meanwhile, or starts over, the new id could reach nobody: the session is ended.
    ///
    /// ```
    /// use dwell::manager::Manager;
    /// use dwell::session::SessionError;
    /// use http::{HeaderMap, header};
    /// use std::time::Duration;
    ///
    /// # pollster::block_on(async {
    /// # let manager = Manager::new("memory", "sid", Duration::from_secs(1_800))?;
    /// # let mut request = HeaderMap::new();
    /// # let mut response = HeaderMap::new();
    /// # let visitor = manager.start(&request).await?;
    /// # visitor.set("cart", 1_u32).await?;
    /// # manager.finish(visitor, &mut response);
    /// # let cookie = response[header::SET_COOKIE].to_str()?.split(';').next().unwrap();
    /// # request.insert(header::COOKIE, cookie.parse()?);
    /// // Two requests of one visitor, at the same time.
    /// let (one, two) = (manager.start(&request).await?, manager.start(&request).await?);
    /// one.log_in("ann").await?;
    /// assert!(matches!(two.log_in("ann").await, Err(SessionError::Superseded)));
    /// assert!(matches!(two.get::<u32>("cart").await, Err(SessionError::Superseded)));
    /// assert_eq!(*one.get::<u32>("cart").await?.unwrap(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    #[cfg_attr(
        feature = "tracing",
        tracing::instrument(name = "dwell.session.log_in", level = "debug", skip_all)
    )]
    #[doc(alias("login", "authenticate", "session fixation"))]
    pub async fn log_in(&self, owner: &str) -> Result<(), SessionError> {
        loop {
            match self.link() {
                Link::Ended => return Err(SessionError::Ended),
                Link::Unknown => return Err(SessionError::Unavailable),
                Link::Live(_) | Link::New if self.stage().is_finished => {
                    return Err(SessionError::Finished);
                }
                Link::Live(id) => {
                    let writes = self.stage().writes;
                    let issued = self.provider().log_in(&id, owner).await;
                    let taken_up = self.take_up(id, issued, writes);
                    if let Err(SessionError::Finished | SessionError::Ended) = taken_up {
                        // The login may be done, under an id that nobody gets to know.
                        let ended = self.provider().destroy(By::Key(id.key())).await;
                        let _ = ended.inspect_err(observe::failed);
                    }
                    return taken_up;
                }
                Link::New => {
                    let issued = self.create_owned(owner).await;
                    if self.adopt(issued.inspect_err(observe::failed)?).await {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Creates a session that has an owner before anybody knows its id. If that fails, there is
    /// none.
    async fn create_owned(&self, owner: &str) -> Result<IssuedSession, SessionError> {
        let issued = self.provider().init(Attributes::default()).await?;
        let by = By::Key(issued.id.key());
        if let Err(error) = self.provider().set_owner(by, Some(owner)).await {
            // If this fails too, the session lapses: nobody has its id.
            let _ = self.provider().destroy(by).await;
            return Err(error);
        }
        Ok(issued)
    }

    /// Ends the session, for good. Whether it had not ended before.
    ///
    /// The client is told to forget its id once the provider has ended the session, or has none. If
    /// this fails, or its future is dropped before it is done, the client keeps the id, and the
    /// request can try again; so can the next one.
    ///
    /// # Errors
    /// [`SessionError::Superseded`] if the request's id does not answer any more: the session
    /// lives, under a newer one. If the provider fails.
    #[cfg_attr(
        feature = "tracing",
        tracing::instrument(name = "dwell.session.destroy", level = "debug", skip_all)
    )]
    #[doc(alias("logout", "log_out", "invalidate", "flush"))]
    pub async fn destroy(&self) -> Result<bool, SessionError> {
        let id = match self.link() {
            Link::Live(id) => id,
            Link::New | Link::Ended => return Ok(false),
            Link::Unknown => return Err(SessionError::Unavailable),
        };
        let destroy = self.step_by(id, |provider, by| provider.destroy(by));
        let is_destroyed = destroy.await?;
        self.cell()
            .goes_to(Link::Ended, |link| link.is_at(id.key()));
        Ok(is_destroyed)
    }

    /// Lets this request begin a new session in the place of one that it has no more: that it
    /// destroyed, that lapsed since it was found, or whose id does not answer any more. It is
    /// created when something is stored in it, and the client gets its id then.
    ///
    /// Ends nothing: destroy first what shall end. Does nothing to a session that could not be
    /// looked up ([`SessionError::Unavailable`]): the visitor may well have one.
    ///
    /// ```
    /// use dwell::manager::Manager;
    /// use http::HeaderMap;
    /// use std::time::Duration;
    ///
    /// # pollster::block_on(async {
    /// # let manager = Manager::new("memory", "sid", Duration::from_secs(1_800))?;
    /// let session = manager.start(&HeaderMap::new()).await?;
    /// session.set("name", String::from("Ann")).await?;
    /// session.destroy().await?;
    /// session.start_over();
    /// session.set("flash", String::from("You are logged out.")).await?;
    /// assert!(session.get::<String>("name").await?.is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn start_over(&self) {
        let is_known = |link| !matches!(link, Link::Unknown);
        self.cell().goes_to(Link::New, is_known);
    }
}
