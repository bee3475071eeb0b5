//! A session as a request holds it, over any provider.

use super::cookie::Notice;
use crate::provider::{Access, Provider};
use crate::session::{
    Attribute, AttributeError, Attributes, Changes, Issued, SessionError, SessionId, SessionKey,
    Snapshot,
};
use std::fmt;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

/// A request's session, from [`Manager::start`](super::Manager::start).
///
/// It is created at the provider when something is first stored in it: until then reads find nothing. Each
/// method is one step at the provider, sees the newest state and touches the session; concurrent requests
/// lose nothing. When the session has ended, methods fail with [`SessionError::Ended`], and nothing brings
/// it back. To read several values in one step, take a [`snapshot`](Self::snapshot).
///
/// Closures given to its methods may run more than once, and should do nothing but compute. Dropping a
/// method's future may leave its step done or not done; an id that it would have issued is lost with it.
///
/// ```
/// use dwell::manager::Manager;
/// use http::HeaderMap;
/// use std::time::Duration;
///
/// # pollster::block_on(async {
/// let manager = Manager::new("memory", "sid", Duration::from_secs(1_800))?;
/// let mut session = manager.start(&HeaderMap::new()).await?;
/// assert!(session.is_new() && session.get::<u32>("visits").await?.is_none());
///
/// session.set("flash", String::from("welcome")).await?;
/// session.update("visits", |visits: Option<&u32>| visits.map_or(1, |visits| visits + 1)).await?;
/// assert_eq!(session.keys().await?, ["flash", "visits"]);
/// assert_eq!(*session.take::<String>("flash").await?.unwrap(), "welcome");
///
/// // A login, and a session that is remembered for a month.
/// let month = Duration::from_secs(30 * 24 * 60 * 60);
/// session.renew_with_grace(Duration::ZERO).await?;
/// session.set_owner("ann").await?;
/// session.set_idle_timeout(month).await?;
/// session.set_lifetime(month).await?;
/// assert_eq!(session.owner().await?.as_deref(), Some("ann"));
///
/// let seen = session.snapshot().await?.unwrap();
/// assert_eq!(*seen.attributes.get::<u32>("visits")?.unwrap(), 1);
/// assert!(session.delete("visits").await?);
/// session.clear().await?;
/// assert!(session.destroy().await?);
/// assert!(session.set("late", 1_u32).await.is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub struct Session {
    provider: Arc<dyn Provider>,
    link: Link,
    notice: Notice,
}

/// What the request has of a session.
enum Link {
    /// None yet.
    New,
    /// One that was live when it was last looked at.
    Live { id: SessionId },
    /// None any more: this request destroyed it.
    Ended,
}

impl Session {
    pub(super) fn new(provider: Arc<dyn Provider>) -> Self {
        Self {
            provider,
            link: Link::New,
            notice: Notice::Nothing,
        }
    }

    pub(super) fn live(provider: Arc<dyn Provider>, id: SessionId) -> Self {
        Self {
            provider,
            link: Link::Live { id },
            notice: Notice::Nothing,
        }
    }

    /// What the client is to be told, once.
    pub(super) fn take_notice(&mut self) -> Notice {
        mem::replace(&mut self.notice, Notice::Nothing)
    }

    /// The id; none if there is no session yet, or none any more.
    pub fn id(&self) -> Option<&SessionId> {
        match &self.link {
            Link::Live { id } => Some(id),
            Link::New | Link::Ended => None,
        }
    }

    /// The session's key: the same for as long as the session lives.
    pub fn key(&self) -> Option<SessionKey> {
        self.id().map(SessionId::key)
    }

    /// Whether nothing was stored yet, so that there is no session.
    pub fn is_new(&self) -> bool {
        matches!(self.link, Link::New)
    }

    /// The session at this moment; none if there is none yet.
    ///
    /// # Errors
    /// If the session has ended, or the provider fails.
    pub async fn snapshot(&self) -> Result<Option<Snapshot>, SessionError> {
        match &self.link {
            Link::New => Ok(None),
            Link::Ended => Err(SessionError::Ended),
            Link::Live { id } => {
                let loaded = self.provider.load(&id.key(), Access::Touch).await?;
                loaded.map(Some).ok_or(SessionError::Ended)
            }
        }
    }

    async fn attributes(&self) -> Result<Attributes, SessionError> {
        let snapshot = self.snapshot().await?;
        Ok(snapshot.map_or_else(Attributes::default, |snapshot| snapshot.attributes))
    }

    /// The value under a key; none if there is none.
    ///
    /// # Errors
    /// If the session has ended, if the value is of another type, or if the provider fails.
    pub async fn get<T: Attribute>(&self, key: &str) -> Result<Option<Arc<T>>, SessionError> {
        Ok(self.attributes().await?.get(key)?)
    }

    /// Whether there is a value under a key.
    ///
    /// # Errors
    /// If the session has ended, or the provider fails.
    pub async fn contains(&self, key: &str) -> Result<bool, SessionError> {
        Ok(self.attributes().await?.contains(key))
    }

    /// The keys that have a value, in order.
    ///
    /// # Errors
    /// If the session has ended, or the provider fails.
    pub async fn keys(&self) -> Result<Vec<String>, SessionError> {
        let attributes = self.attributes().await?;
        Ok(attributes.keys().map(str::to_owned).collect())
    }

    /// Puts a value under a key. Creates the session if there is none yet.
    ///
    /// # Errors
    /// If the session has ended, if the value cannot be written as JSON, or if the provider fails.
    pub async fn set<T: Attribute>(&mut self, key: &str, value: T) -> Result<(), SessionError> {
        self.apply(Changes::default().set(key, value)?).await
    }

    /// Removes a value. Whether there was one.
    ///
    /// # Errors
    /// If the session has ended, or the provider fails.
    pub async fn delete(&mut self, key: &str) -> Result<bool, SessionError> {
        self.update_all(|attributes| Ok(attributes.delete(key)))
            .await
    }

    /// Puts the value that `change` makes of the old one in its place, in one step. Returns the new value.
    ///
    /// # Errors
    /// If the session has ended, if the old value is of another type, or if the provider fails.
    pub async fn update<T: Attribute>(
        &mut self,
        key: &str,
        mut change: impl FnMut(Option<&T>) -> T,
    ) -> Result<Arc<T>, SessionError> {
        let value = self.update_all(|attributes| {
            attributes.update(key, &mut change)?;
            attributes.get(key)
        });
        Ok(value.await?.expect("the value was just set"))
    }

    /// Reads and removes a value, such as a message that is shown once. Of concurrent requests one gets it.
    ///
    /// # Errors
    /// If the session has ended, if the value is of another type, or if the provider fails.
    pub async fn take<T: Attribute>(&mut self, key: &str) -> Result<Option<Arc<T>>, SessionError> {
        self.update_all(|attributes| attributes.take(key)).await
    }

    /// Removes all values.
    ///
    /// # Errors
    /// If the session has ended, or the provider fails.
    pub async fn clear(&mut self) -> Result<(), SessionError> {
        let clear = |attributes: &mut Attributes| {
            attributes.clear();
            Ok(())
        };
        self.update_all(clear).await
    }

    /// Changes any number of attributes in one step. If `change` fails, nothing is changed; if it changes
    /// nothing, nothing is written.
    ///
    /// # Errors
    /// If the session has ended, with what `change` returns, or if the provider fails.
    pub async fn update_all<R>(
        &mut self,
        mut change: impl FnMut(&mut Attributes) -> Result<R, AttributeError>,
    ) -> Result<R, SessionError> {
        loop {
            let snapshot = self.snapshot().await?;
            let (old, version) = match &snapshot {
                None => (Attributes::default(), None),
                Some(snapshot) => (snapshot.attributes.clone(), Some(snapshot.version)),
            };
            let mut new = old.clone();
            let result = change(&mut new)?;
            let changes = Changes::between(&old, &new);
            if changes.is_empty() {
                return Ok(result);
            }
            let Some(key) = self.key() else {
                self.create(new).await?;
                return Ok(result);
            };
            match self.provider.apply(&key, changes, version).await {
                Ok(_) => return Ok(result),
                // Somebody else wrote.
                Err(SessionError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Applies changes in one step if nobody wrote since a version: compare and set. Returns the session as
    /// it is then.
    ///
    /// # Errors
    /// [`SessionError::Conflict`] if somebody did; [`SessionError::Ended`] if the session has ended, or if
    /// there is none yet; or if the provider fails.
    ///
    /// ```
    /// use dwell::manager::Manager;
    /// use dwell::session::{Changes, SessionError};
    /// use http::HeaderMap;
    /// use std::time::Duration;
    ///
    /// # pollster::block_on(async {
    /// # let manager = Manager::new("memory", "sid", Duration::from_secs(1_800))?;
    /// let mut session = manager.start(&HeaderMap::new()).await?;
    /// session.set("name", String::from("Ann")).await?;
    /// let seen = session.snapshot().await?.unwrap().version;
    /// session.set("name", String::from("Bob")).await?;
    /// let late = session.apply_at(seen, Changes::default().delete("name")).await;
    /// assert!(matches!(late, Err(SessionError::Conflict { .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn apply_at(
        &mut self,
        version: u64,
        changes: Changes,
    ) -> Result<Snapshot, SessionError> {
        let key = self.key().ok_or(SessionError::Ended)?;
        self.provider.apply(&key, changes, Some(version)).await
    }

    async fn apply(&mut self, changes: Changes) -> Result<(), SessionError> {
        match &self.link {
            Link::Ended => Err(SessionError::Ended),
            Link::Live { id } => self
                .provider
                .apply(&id.key(), changes, None)
                .await
                .map(drop),
            Link::New => {
                let mut attributes = Attributes::default();
                changes.apply_to(&mut attributes);
                self.create(attributes).await.map(drop)
            }
        }
    }

    async fn create(&mut self, attributes: Attributes) -> Result<SessionKey, SessionError> {
        let issued = self.provider.init(attributes).await?;
        Ok(self.issued(issued))
    }

    fn issued(&mut self, issued: Issued) -> SessionKey {
        let Issued { id, snapshot } = issued;
        self.link = Link::Live { id };
        self.notice = Notice::Issued(id, snapshot.lifetime_left);
        id.key()
    }

    /// The key of the session, which is created if there is none yet.
    async fn stored(&mut self) -> Result<SessionKey, SessionError> {
        match &self.link {
            Link::Ended => Err(SessionError::Ended),
            Link::Live { id } => Ok(id.key()),
            Link::New => self.create(Attributes::default()).await,
        }
    }

    /// Gives the session a new id, as each login and each change of privileges should. The old one still
    /// answers for the provider's grace. If there is no session yet, it is created.
    ///
    /// Renew first and store the privilege then: if another request has renewed the id before, this one
    /// fails, and nothing has been stored.
    ///
    /// # Errors
    /// [`SessionError::Superseded`] if the request came with an id that was renewed; if the session has
    /// ended, or the provider fails.
    pub async fn renew(&mut self) -> Result<(), SessionError> {
        self.renew_after(None).await
    }

    /// Gives the session a new id, with another grace for the old one than the provider's. With zero the
    /// old id ends here: the choice where somebody else may know it.
    ///
    /// # Errors
    /// As [`renew`](Self::renew).
    pub async fn renew_with_grace(&mut self, grace: Duration) -> Result<(), SessionError> {
        self.renew_after(Some(grace)).await
    }

    async fn renew_after(&mut self, grace: Option<Duration>) -> Result<(), SessionError> {
        match &self.link {
            Link::Ended => Err(SessionError::Ended),
            Link::New => self.stored().await.map(drop),
            Link::Live { id } => {
                let issued = self.provider.renew(id, grace).await?;
                self.issued(issued);
                Ok(())
            }
        }
    }

    /// Ends the session, for good. Whether it had not ended before.
    ///
    /// # Errors
    /// If the provider fails. The client is told to forget its id even then.
    pub async fn destroy(&mut self) -> Result<bool, SessionError> {
        let Some(key) = self.key() else {
            return Ok(false);
        };
        self.link = Link::Ended;
        self.notice = Notice::Ended;
        self.provider.destroy(&key).await
    }

    /// Says whose session this is. Creates the session if there is none yet.
    ///
    /// # Errors
    /// If the session has ended, or the provider fails.
    pub async fn set_owner(&mut self, owner: &str) -> Result<(), SessionError> {
        let key = self.stored().await?;
        self.provider.set_owner(&key, Some(owner)).await
    }

    /// Makes the session anonymous again.
    ///
    /// # Errors
    /// If the session has ended, or the provider fails.
    pub async fn clear_owner(&mut self) -> Result<(), SessionError> {
        match &self.link {
            Link::New => Ok(()),
            Link::Ended => Err(SessionError::Ended),
            Link::Live { id } => self.provider.set_owner(&id.key(), None).await,
        }
    }

    /// Whose session this is.
    ///
    /// # Errors
    /// If the session has ended, or the provider fails.
    pub async fn owner(&self) -> Result<Option<Arc<str>>, SessionError> {
        Ok(self.snapshot().await?.and_then(|snapshot| snapshot.owner))
    }

    /// Gives this session its own idle timeout. Creates the session if there is none yet.
    ///
    /// # Errors
    /// If the session has ended, or the provider fails.
    pub async fn set_idle_timeout(&mut self, timeout: Duration) -> Result<(), SessionError> {
        let key = self.stored().await?;
        self.provider.set_idle_timeout(&key, timeout).await
    }

    /// Lets this session live for so long from now on. Creates the session if there is none yet.
    ///
    /// The client's cookie gets the new lifetime only along with a new id: [`renew`](Self::renew) in the
    /// same request.
    ///
    /// # Errors
    /// If the session has ended, or the provider fails.
    pub async fn set_lifetime(&mut self, lifetime: Duration) -> Result<(), SessionError> {
        let key = self.stored().await?;
        self.provider.set_lifetime(&key, lifetime).await?;
        if let Notice::Issued(_, left) = &mut self.notice {
            *left = Some(lifetime);
        }
        Ok(())
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}
