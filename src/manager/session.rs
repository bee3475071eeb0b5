//! A session as a request holds it, over any provider.

use super::cookie::Notice;
use super::inner::Inner;
use super::stage::{Current, Link, Seen, Stage, StageCell};
#[cfg(feature = "tower")]
use super::{Manager, observe};
use crate::provider::Provider;
use crate::session::{
    Attribute, AttributeError, Attributes, Changes, SessionError, SessionId, SessionKey, Snapshot,
    Typed,
};
use http::HeaderMap;
use std::fmt;
use std::sync::Arc;

/// A request's session, from [`Manager::start`](super::Manager::start).
///
/// It is created at the provider when something is first stored in it: until then reads find
/// nothing. Concurrent requests lose nothing. When the session has ended, methods fail with
/// [`SessionError::Ended`], and nothing brings it back.
///
/// **What a read sees.** The newest state, if the sessions are in this process. Over a network,
/// what the request was told last, if that was less than a second ago and the request has written
/// nothing since: so the reads of most requests ask for nothing. [`snapshot`](Self::snapshot)
/// always asks, and reads several values of one state.
///
/// Each step that asks the provider touches the session, except that the request which creates a
/// session does not touch it by reading. It asks again whether the id that the request came with
/// still answers. When the id was renewed by another request, this one can go on for the old id's
/// grace; then, and after another request's [`log_in`](Self::log_in) at once, its methods fail with
/// [`SessionError::Superseded`].
///
/// A clone is the same session of the same request: what one creates, renews or destroys, the
/// others have. While one renews without a grace, a step of another one may fail with
/// [`SessionError::Superseded`]: the old id answers no more, and the request does not have the new
/// one yet. It can be tried again. When the request has been [finished](super::Manager::finish),
/// its clones can still read and write; but no id can reach the client any more, so that what would
/// issue one fails with [`SessionError::Finished`].
///
/// Closures given to its methods may run more than once, and should do nothing but compute.
/// Dropping a method's future may leave its step done or not done; an id that it would have issued
/// is lost with it.
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
    shared: Arc<Shared>,
}

/// What the clones of a request's session share: one allocation.
struct Shared {
    inner: Arc<Inner>,
    stage: StageCell,
    /// The session that a layer further out has put around this one's.
    #[cfg_attr(not(feature = "tower"), allow(dead_code))]
    outer: Option<Session>,
}

impl Session {
    pub(super) fn at(inner: &Arc<Inner>, stage: Stage, outer: Option<&Session>) -> Self {
        Self {
            shared: Arc::new(Shared {
                inner: Arc::clone(inner),
                stage: StageCell::new(stage),
                outer: outer.cloned(),
            }),
        }
    }

    pub(super) fn inner(&self) -> &Arc<Inner> {
        &self.shared.inner
    }

    pub(super) fn provider(&self) -> &dyn Provider {
        &*self.inner().provider
    }

    pub(super) fn cell(&self) -> &StageCell {
        &self.shared.stage
    }

    #[inline]
    pub(super) fn stage(&self) -> Current<'_> {
        self.shared.stage.load()
    }

    pub(super) fn link(&self) -> Link {
        self.stage().link
    }

    /// The session of a manager, if it is this one or one that a layer further out has put around
    /// it.
    #[cfg(feature = "tower")]
    pub(crate) fn of(&self, manager: &Manager) -> Option<&Self> {
        let mut session = Some(self);
        while let Some(this) = session {
            if this.inner().has_sessions_of(&manager.inner) {
                return Some(this);
            }
            session = this.shared.outer.as_ref();
        }
        None
    }

    /// What the client is to be told, once.
    pub(super) fn take_notice(&self) -> Notice {
        self.cell().take_notice()
    }

    /// What the client is to be told, for the last time.
    fn finish(&mut self) -> Notice {
        match Arc::get_mut(&mut self.shared) {
            Some(shared) => shared.stage.last_notice(),
            None => self.cell().finish(),
        }
    }

    /// Ends a request that gets no response.
    #[cfg(feature = "tower")]
    pub(crate) fn abandon(mut self) {
        observe::lost(&self.finish());
    }

    /// Ends a request: tells the client what it is to be told.
    pub(crate) fn answer(mut self, response: &mut HeaderMap) {
        let notice = self.finish();
        self.inner().answer(notice, response);
    }

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

    /// The session at this moment, from the provider; none if there is none yet. Later reads of
    /// this request see this state, or a newer one.
    ///
    /// # Errors
    /// If the session has ended, or the provider fails.
    pub async fn snapshot(&self) -> Result<Option<Snapshot>, SessionError> {
        let Some((id, access)) = self.stage().live()? else {
            return Ok(None);
        };
        self.read(id, access).await.map(Some)
    }

    /// The value under a key; none if there is none.
    ///
    /// # Errors
    /// If the session has ended, if the value's JSON does not decode as this type, or if the
    /// provider fails.
    pub async fn get<T: Attribute>(&self, key: &str) -> Result<Option<Typed<T>>, SessionError> {
        let value = self.look(|seen| seen.map(|seen| seen.attributes().get(key)));
        Ok(value.await?.transpose()?.flatten())
    }

    /// Whether there is a value under a key.
    ///
    /// # Errors
    /// If the session has ended, or the provider fails.
    pub async fn contains(&self, key: &str) -> Result<bool, SessionError> {
        let contains = |seen: &Seen| seen.attributes().contains(key);
        self.look(|seen| seen.is_some_and(contains)).await
    }

    /// The keys that have a value, in order.
    ///
    /// # Errors
    /// If the session has ended, or the provider fails.
    pub async fn keys(&self) -> Result<Vec<String>, SessionError> {
        let keys = |seen: &Seen| seen.attributes().keys().map(str::to_owned).collect();
        self.look(|seen| seen.map_or_else(Vec::new, keys)).await
    }

    /// Puts a value under a key. Creates the session if there is none yet.
    ///
    /// # Errors
    /// If the session has ended, if the value would not come back from JSON as what it is, or if
    /// the provider fails.
    pub async fn set<T: Attribute>(&self, key: &str, value: T) -> Result<(), SessionError> {
        self.apply(Changes::default().set(key, value)?).await
    }

    /// Removes a value. Whether there was one.
    ///
    /// # Errors
    /// If the session has ended, or the provider fails.
    pub async fn delete(&self, key: &str) -> Result<bool, SessionError> {
        self.change(|attributes| Ok(attributes.delete(key))).await
    }

    /// Puts the value that `change` makes of the old one in its place, in one step. Returns the new
    /// value.
    ///
    /// # Errors
    /// If the session has ended, if the old value's JSON does not decode as this type, if the new
    /// value would not come back from it as what it is, or if the provider fails.
    pub async fn update<T: Attribute>(
        &self,
        key: &str,
        mut change: impl FnMut(Option<&T>) -> T,
    ) -> Result<Typed<T>, SessionError> {
        self.change(|attributes| attributes.update(key, &mut change))
            .await
    }

    /// Reads and removes a value, such as a message that is shown once. Of concurrent requests one
    /// gets it.
    ///
    /// # Errors
    /// If the session has ended, if the value's JSON does not decode as this type, or if the
    /// provider fails.
    pub async fn take<T: Attribute>(&self, key: &str) -> Result<Option<Typed<T>>, SessionError> {
        self.change(|attributes| attributes.take(key)).await
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
        self.change(clear).await
    }

    /// Changes any number of attributes in one step. If `change` fails, nothing is changed; if it
    /// changes nothing, nothing is written.
    ///
    /// If another writer comes between, `change` runs again. Over a network callers of one process
    /// come one after the other, so that each needs one attempt, and several processes compete;
    /// after the provider's time for a [turn](crate::provider::Provider::turn) no attempt is begun.
    ///
    /// # Errors
    /// If the session has ended, with what `change` returns, with [`SessionError::Contended`] if
    /// others changed the session all the time, or if the provider fails.
    pub async fn update_all<R>(
        &self,
        mut change: impl FnMut(&mut Attributes) -> Result<R, AttributeError>,
    ) -> Result<R, SessionError> {
        self.change(|attributes| attributes.change_all(&mut change))
            .await
    }

    /// The same; what puts a value in or takes one out is written.
    async fn change<R>(
        &self,
        mut change: impl FnMut(&mut Attributes) -> Result<R, AttributeError>,
    ) -> Result<R, SessionError> {
        loop {
            let id = match self.live()? {
                Some(id) => id,
                None => {
                    let mut attributes = Attributes::default();
                    let result = change(&mut attributes)?;
                    if attributes.is_empty() || self.create(attributes).await? {
                        return Ok(result);
                    }
                    continue;
                }
            };
            return match &self.inner().memory {
                Some(store) => self.step_here(id, |by| store.change(by, &mut change)),
                None => self.change_by_version(id, change).await,
            };
        }
    }

    /// Applies changes in one step if nobody wrote since a version: compare and set. Returns the
    /// session as it is then.
    ///
    /// # Errors
    /// [`SessionError::Conflict`] if somebody did; [`SessionError::Ended`] if the session has
    /// ended, or if there is none yet; or if the provider fails.
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
        let id = self.live()?.ok_or(SessionError::Ended)?;
        self.apply_by(id, &changes, Some(version)).await
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}
