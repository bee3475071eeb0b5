//! A session as a request holds it, over any provider.

use super::observe;
use super::stage::{Link, Shared};
use crate::provider::{Access, Answer, By, Provider, Turn};
use crate::session::{
    Attribute, AttributeError, Attributes, Changes, IssuedSession, SessionError, SessionId,
    SessionKey, Snapshot,
};
use std::fmt;
use std::sync::Arc;

/// A request's session, from [`Manager::start`](super::Manager::start).
///
/// It is created at the provider when something is first stored in it: until then reads find nothing. Each
/// method is one step at the provider, sees the newest state and touches the session, except that the request
/// which creates a session does not touch it by reading; concurrent requests lose nothing. When the session has
/// ended, methods fail with [`SessionError::Ended`], and nothing brings it back. To read several values in one
/// step, take a [`snapshot`](Self::snapshot).
///
/// Each step asks again whether the id that the request came with still answers. When the id was renewed by
/// another request, this one can go on for the old id's grace; then, and after another request's
/// [`log_in`](Self::log_in) at once, its methods fail with [`SessionError::Superseded`].
///
/// A clone is the same session of the same request: what one creates, renews or destroys, the others have.
/// When the request has been [finished](super::Manager::finish), its clones can still read and write; but no
/// id can reach the client any more, so that what would issue one fails with [`SessionError::Finished`].
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
/// let session = manager.start(&HeaderMap::new()).await?;
/// assert!(session.is_new() && session.get::<u32>("visits").await?.is_none());
///
/// session.set("flash", String::from("welcome")).await?;
/// session.update("visits", |visits: Option<&u32>| visits.map_or(1, |visits| visits + 1)).await?;
/// assert_eq!(session.keys().await?, ["flash", "visits"]);
/// assert_eq!(*session.take::<String>("flash").await?.unwrap(), "welcome");
///
/// // A login, and a session that is remembered for a month.
/// let month = Duration::from_secs(30 * 24 * 60 * 60);
/// session.log_in("ann").await?;
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
#[derive(Clone)]
pub struct Session {
    pub(super) shared: Arc<Shared>,
}

impl Session {
    /// The id; none if there is no session yet, or none any more.
    pub fn id(&self) -> Option<SessionId> {
        match self.link() {
            Link::Live(id) => Some(id),
            Link::New | Link::Ended | Link::Unknown => None,
        }
    }

    /// The session's key: the same for as long as the session lives.
    pub fn key(&self) -> Option<SessionKey> {
        self.id().map(|id| id.key())
    }

    /// Whether nothing was stored yet, so that there is no session.
    pub fn is_new(&self) -> bool {
        matches!(self.link(), Link::New)
    }

    /// The session at this moment; none if there is none yet.
    ///
    /// # Errors
    /// If the session has ended, or the provider fails.
    pub async fn snapshot(&self) -> Result<Option<Snapshot>, SessionError> {
        match self.link() {
            Link::New => Ok(None),
            Link::Ended => Err(SessionError::Ended),
            Link::Unknown => Err(SessionError::Unavailable),
            Link::Live(id) => {
                let access = match self.stage().is_created {
                    true => Access::Peek,
                    false => Access::Touch,
                };
                self.read(id, access).await.map(Some)
            }
        }
    }

    async fn read(&self, id: SessionId, access: Access) -> Result<Snapshot, SessionError> {
        let read = self.step_by(id, |provider, by| provider.read(by, access));
        read.await?.ok_or(SessionError::Ended)
    }

    /// Takes a step at the provider, under an id of the request. If a clone of this session renewed that id
    /// meanwhile, the step is taken under the new one: the request has it.
    pub(super) async fn step_by<'s, T>(
        &'s self,
        mut id: SessionId,
        step: impl Fn(&'s dyn Provider, By) -> Answer<'s, T>,
    ) -> Result<T, SessionError> {
        loop {
            let result = step(self.provider(), By::Id(id)).await;
            match (result.inspect_err(observe::failed), self.link()) {
                (Err(SessionError::Superseded), Link::Live(newer))
                    if newer != id && newer.key() == id.key() =>
                {
                    id = newer;
                }
                (result, _) => return result,
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
    /// If the session has ended, if the value's JSON does not decode as this type, or if the provider fails.
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
    /// If the session has ended, if the value would not come back from JSON as what it is, or if the
    /// provider fails.
    pub async fn set<T: Attribute>(&self, key: &str, value: T) -> Result<(), SessionError> {
        self.apply(Changes::default().set(key, value)?).await
    }

    /// Removes a value. Whether there was one.
    ///
    /// # Errors
    /// If the session has ended, or the provider fails.
    pub async fn delete(&self, key: &str) -> Result<bool, SessionError> {
        self.update_all(|attributes| Ok(attributes.delete(key)))
            .await
    }

    /// Puts the value that `change` makes of the old one in its place, in one step. Returns the new value.
    ///
    /// # Errors
    /// If the session has ended, if the old value's JSON does not decode as this type, if the new value would
    /// not come back from it as what it is, or if the provider fails.
    pub async fn update<T: Attribute>(
        &self,
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
    /// If the session has ended, if the value's JSON does not decode as this type, or if the provider fails.
    pub async fn take<T: Attribute>(&self, key: &str) -> Result<Option<Arc<T>>, SessionError> {
        self.update_all(|attributes| attributes.take(key)).await
    }

    /// Removes all values.
    ///
    /// # Errors
    /// If the session has ended, or the provider fails.
    pub async fn clear(&self) -> Result<(), SessionError> {
        let clear = |attributes: &mut Attributes| {
            attributes.clear();
            Ok(())
        };
        self.update_all(clear).await
    }

    /// Changes any number of attributes in one step. If `change` fails, nothing is changed; if it changes
    /// nothing, nothing is written.
    ///
    /// If another writer comes between, `change` runs again. Over a network callers of one process come one
    /// after the other, so that each needs one attempt, and several processes compete; after the provider's
    /// time for a [turn](crate::provider::Provider::turn) no attempt is begun.
    ///
    /// # Errors
    /// If the session has ended, with what `change` returns, with [`SessionError::Contended`] if others changed
    /// the session all the time, or if the provider fails.
    pub async fn update_all<R>(
        &self,
        mut change: impl FnMut(&mut Attributes) -> Result<R, AttributeError>,
    ) -> Result<R, SessionError> {
        let mut turn: Option<Turn> = None;
        // What another attempt, or another caller, was told of the session.
        let mut seen: Option<Snapshot> = None;
        loop {
            let (live, old) = match self.link() {
                Link::New => (None, Attributes::default()),
                Link::Ended => return Err(SessionError::Ended),
                Link::Unknown => return Err(SessionError::Unavailable),
                Link::Live(id) => {
                    if turn.is_none()
                        && let Some(waiting) = self.provider().turn(By::Id(id))
                    {
                        let turn = turn.insert(waiting.await?);
                        seen = turn.seen().cloned();
                    }
                    let snapshot = match seen.take() {
                        Some(snapshot) => snapshot,
                        // If nothing is written, the session is not touched.
                        None => self.read(id, Access::Peek).await?,
                    };
                    (Some((id, snapshot.version)), snapshot.attributes)
                }
            };
            let mut new = old.clone();
            let result = change(&mut new)?;
            let changes = Changes::between(&old, &new);
            if changes.is_empty() {
                return Ok(result);
            }
            let Some((id, version)) = live else {
                if self.create(new).await? {
                    return Ok(result);
                }
                continue;
            };
            let apply = self.step_by(id, |provider, by| {
                provider.apply_or_read(by, changes.clone(), version)
            });
            match apply.await? {
                Ok(_) => return Ok(result),
                Err(_) if turn.as_ref().is_some_and(Turn::is_over) => {
                    return Err(SessionError::Contended);
                }
                // Another caller wrote, and this is what it left.
                Err(newest) => seen = Some(newest),
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
    /// let session = manager.start(&HeaderMap::new()).await?;
    /// session.set("name", String::from("Ann")).await?;
    /// let seen = session.snapshot().await?.unwrap().version;
    /// session.set("name", String::from("Bob")).await?;
    /// let late = session.apply_at(seen, Changes::default().delete("name")).await;
    /// assert!(matches!(late, Err(SessionError::Conflict { .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    #[doc(alias("compare and set", "optimistic locking"))]
    pub async fn apply_at(&self, version: u64, changes: Changes) -> Result<Snapshot, SessionError> {
        let id = match self.link() {
            Link::Live(id) => id,
            Link::New | Link::Ended => return Err(SessionError::Ended),
            Link::Unknown => return Err(SessionError::Unavailable),
        };
        let version = Some(version);
        self.step_by(id, |provider, by| {
            provider.apply(by, changes.clone(), version)
        })
        .await
    }

    async fn apply(&self, changes: Changes) -> Result<(), SessionError> {
        loop {
            match self.link() {
                Link::Ended => return Err(SessionError::Ended),
                Link::Unknown => return Err(SessionError::Unavailable),
                Link::Live(id) => {
                    let apply =
                        self.step_by(id, |provider, by| provider.apply(by, changes.clone(), None));
                    return apply.await.map(drop);
                }
                Link::New => {
                    let mut attributes = Attributes::default();
                    changes.apply_to(&mut attributes);
                    if self.create(attributes).await? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Creates the session. False if a clone of this one was faster: what it created is the request's
    /// session then, and nothing has been stored.
    #[cfg_attr(
        feature = "tracing",
        tracing::instrument(name = "dwell.session.create", level = "debug", skip_all)
    )]
    async fn create(&self, attributes: Attributes) -> Result<bool, SessionError> {
        if self.stage().is_finished {
            return Err(SessionError::Finished);
        }
        let issued = self.provider().init(attributes).await;
        Ok(self.adopt(issued.inspect_err(observe::failed)?).await)
    }

    /// Makes a session that was just created the request's. False if a clone of this one was faster.
    pub(super) async fn adopt(&self, issued: IssuedSession) -> bool {
        let key = issued.id.key();
        let is_first = self.issued(issued, |link| matches!(link, Link::New));
        if !is_first {
            // If this fails the session lapses: nobody has its id.
            let destroyed = self.provider().destroy(By::Key(key)).await;
            let _ = destroyed.inspect_err(observe::failed);
        }
        is_first
    }

    /// The id of the session, which is created if there is none yet.
    pub(super) async fn stored(&self) -> Result<SessionId, SessionError> {
        loop {
            match self.link() {
                Link::Ended => return Err(SessionError::Ended),
                Link::Unknown => return Err(SessionError::Unavailable),
                Link::Live(id) => return Ok(id),
                Link::New => self.create(Attributes::default()).await?,
            };
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}
