//! Layer 3: providers. Where sessions are kept, behind one trait.
//!
//! [`MemoryProvider`] keeps them in this process. Another provider, say one that several machines
//! share, implements [`Provider`], passes the conformance suite (`testing`, a feature) and is given
//! to the [manager](crate::manager), by itself or by a name in a [`Registry`].
//!
//! ```
//! use dwell::provider::{Access, By, MemoryProvider, Provider};
//! use dwell::session::{Attributes, Changes, SessionStore};
//! use std::time::Duration;
//!
//! # pollster::block_on(async {
//! let provider = MemoryProvider::new(SessionStore::new(Duration::from_secs(60)));
//! let issued = provider.init(Attributes::default()).await?;
//! let changes = Changes::default().set("visits", 1_u32)?;
//! provider.apply(By::Id(issued.id), changes, None).await?;
//! let session = provider.read(By::Id(issued.id), Access::Touch).await?.expect("it is live");
//! assert_eq!(*session.attributes.get::<u32>("visits")?.unwrap(), 1);
//! # Ok::<(), dwell::session::SessionError>(())
//! # }).unwrap();
//! ```

mod memory;
#[cfg(feature = "redis")]
pub mod redis;
mod registry;
#[cfg(feature = "testing")]
pub mod testing;
mod turn;

pub use crate::session::{Access, By};
pub use memory::MemoryProvider;
#[cfg(feature = "redis")]
pub use redis::RedisProvider;
pub use registry::{Registry, RegistryError, register};
pub use turn::Turn;

use crate::Collector;
use crate::session::{
    Attributes, Changes, IssuedSession, SessionError, SessionId, SessionInfo, SessionKey, Snapshot,
};
use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// What a provider answers, to be awaited.
///
/// A provider in this process has its answer when it is asked, and needs no allocation for it. One
/// that is asked over a network has a future, in a box.
///
/// ```
/// use dwell::provider::Answer;
///
/// # pollster::block_on(async {
/// let at_once = Answer::ready(Ok(1));
/// let in_time = Answer::later(async { Ok(2) });
/// assert_eq!(at_once.await? + in_time.await?, 3);
/// # Ok::<(), dwell::session::SessionError>(())
/// # }).unwrap();
/// ```
#[must_use = "it does nothing until it is awaited"]
pub struct Answer<'a, T>(State<'a, T>);

enum State<'a, T> {
    /// None once it was given.
    Ready(Option<Result<T, SessionError>>),
    Later(Pin<Box<dyn Future<Output = Result<T, SessionError>> + Send + 'a>>),
}

impl<'a, T> Answer<'a, T> {
    /// An answer that is there already.
    #[inline]
    pub fn ready(result: Result<T, SessionError>) -> Self {
        Self(State::Ready(Some(result)))
    }

    /// An answer that takes its time.
    pub fn later(answer: impl Future<Output = Result<T, SessionError>> + Send + 'a) -> Self {
        Self(State::Later(Box::pin(answer)))
    }
}

/// What is ready is moved out, and never pinned.
impl<T> Unpin for Answer<'_, T> {}

impl<T> Future for Answer<'_, T> {
    type Output = Result<T, SessionError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Ready(result) => {
                Poll::Ready(result.take().expect("polled again after its answer"))
            }
            State::Later(answer) => answer.as_mut().poll(context),
        }
    }
}

impl<T> fmt::Debug for Answer<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            State::Ready(_) => "Answer::ready",
            State::Later(_) => "Answer::later",
        })
    }
}

/// Where sessions are kept.
///
/// A request names its session by the id that it came with, in each of its steps ([`By::Id`]); the
/// application names one by its key ([`By::Key`]), which stays the same when the id is renewed.
/// What a provider promises, and the conformance suite (module `testing`, with the feature of that
/// name) checks:
///
/// - No method returns or changes a session past its deadline, or under an id that was not issued
///   for it.
/// - A step by an id is taken only if the id answers in that very step: if it is the session's
///   newest, or in its grace. Otherwise the step fails with [`SessionError::Superseded`] if the
///   session lives, as if there were no session if it has ended, and changes nothing.
/// - A session that has ended never returns: what would change it fails with
///   [`SessionError::Ended`].
/// - A value is what its JSON says: it comes back to the last bit of its numbers, null is a value,
///   and whoever asks for another type than was set gets what that type reads from the JSON.
///   [`Attributes`] see to that if a provider keeps each [`Value`](crate::session::Value), or its
///   [JSON](crate::session::Value::to_json).
/// - [`apply`](Self::apply) and [`renew`](Self::renew) are one step each, whatever else goes on.
/// - What is refused changes nothing: the session has its version, and its idle time goes on.
/// - An error tells the caller that nothing was changed; only after [`SessionError::Backend`] it
///   may have been.
///
/// Dropping a future may leave its operation done or not done, but never half done.
///
/// ```
/// use dwell::provider::Provider;
/// use dwell::session::SessionError;
///
/// /// Logs a user out everywhere, whatever provider keeps the sessions.
/// async fn log_out_everywhere(provider: &dyn Provider, user: &str) -> Result<usize, SessionError> {
///     provider.destroy_owned_by(user, None).await
/// }
/// ```
#[doc(alias("backend", "session backend"))]
pub trait Provider: Any + fmt::Debug + Send + Sync {
    /// Creates a session with its first attributes, under an id that nobody had before.
    ///
    /// # Errors
    /// [`SessionError::Random`] if no id could be drawn.
    fn init(&self, attributes: Attributes) -> Answer<'_, IssuedSession>;

    /// The session that is named; none if there is none, or none any more. Creates none. Says
    /// whether it was read by an old id ([`Snapshot::is_superseded`]).
    ///
    /// # Errors
    /// [`SessionError::Superseded`].
    fn read(&self, session: By, access: Access) -> Answer<'_, Option<Snapshot>>;

    /// Applies changes in one step, if the session is at a version or, without one, at any. Touches
    /// the session, makes a version, and returns the session as it is then. Changes that only
    /// delete what is not there do neither.
    ///
    /// # Errors
    /// [`SessionError::TooLarge`] if it would be larger than
    /// [`max_session_bytes`](crate::session::Settings::max_session_bytes); [`SessionError::Ended`];
    /// [`SessionError::Superseded`]; [`SessionError::Conflict`] if it is at another version.
    fn apply(&self, session: By, changes: Changes, version: Option<u64>) -> Answer<'_, Snapshot>;

    /// As [`apply`](Self::apply) at a version. If the session is at another one, nothing is
    /// changed, and the answer is `Ok(Err(..))` with the session as it is: what the caller needs to
    /// try again. The default asks twice then; over a network a provider should answer in one step.
    ///
    /// # Errors
    /// As [`apply`](Self::apply), but for [`SessionError::Conflict`].
    fn apply_or_read(
        &self,
        session: By,
        changes: Changes,
        version: u64,
    ) -> Answer<'_, Result<Snapshot, Snapshot>> {
        Answer::later(async move {
            match self.apply(session, changes, Some(version)).await {
                Ok(written) => Ok(Ok(written)),
                Err(SessionError::Conflict { .. }) => {
                    let newest = self.read(session, Access::Peek).await?;
                    newest.map(Err).ok_or(SessionError::Ended)
                }
                Err(error) => Err(error),
            }
        })
    }

    /// Touches a session: its idle time starts anew.
    ///
    /// # Errors
    /// [`SessionError::Ended`]; [`SessionError::Superseded`].
    fn touch(&self, session: By) -> Answer<'_, ()>;

    /// Ends a session, for good. Whether there was one.
    ///
    /// # Errors
    /// [`SessionError::Superseded`]: the session lives on.
    fn destroy(&self, session: By) -> Answer<'_, bool>;

    /// Puts a new id in the place of the newest one, which still answers for `grace`, or for the
    /// provider's own grace. Ids that were renewed before and are in their grace answer for that
    /// long at the most. Everything else stays.
    ///
    /// # Errors
    /// [`SessionError::Superseded`] if `id` is not the newest; [`SessionError::Ended`].
    fn renew<'a>(&'a self, id: &'a SessionId, grace: Option<Duration>)
    -> Answer<'a, IssuedSession>;

    /// Puts a new id in the place of the newest one and says whose the session is, in one step:
    /// from then on no other id answers. Otherwise as [`renew`](Self::renew) without a grace, and
    /// as [`set_owner`](Self::set_owner).
    ///
    /// # Errors
    /// As [`renew`](Self::renew): nothing is changed then.
    fn log_in<'a>(&'a self, id: &'a SessionId, owner: &'a str) -> Answer<'a, IssuedSession>;

    /// Says whose a session is, or nobody's. If the owner then has more than the provider allows,
    /// those end that were idle longest.
    ///
    /// # Errors
    /// [`SessionError::Ended`]; [`SessionError::Superseded`].
    fn set_owner<'a>(&'a self, session: By, owner: Option<&'a str>) -> Answer<'a, ()>;

    /// The live sessions of an owner. Does not touch them.
    fn owned_by<'a>(&'a self, owner: &'a str) -> Answer<'a, Vec<SessionInfo>>;

    /// Ends the sessions of an owner, all or all but one. Returns how many it ended.
    #[doc(alias("logout everywhere", "log out everywhere", "revoke"))]
    fn destroy_owned_by<'a>(
        &'a self,
        owner: &'a str,
        except: Option<&'a SessionKey>,
    ) -> Answer<'a, usize>;

    /// Gives a session its own idle timeout, counted from its last access. Does not touch it, and
    /// makes no version.
    ///
    /// # Errors
    /// [`SessionError::Ended`]; [`SessionError::Superseded`].
    fn set_idle_timeout(&self, session: By, timeout: Duration) -> Answer<'_, ()>;

    /// Lets a session live for so long from now on. Does not touch it, and makes no version.
    ///
    /// # Errors
    /// [`SessionError::Ended`]; [`SessionError::Superseded`].
    fn set_lifetime(&self, session: By, lifetime: Duration) -> Answer<'_, ()>;

    /// Whether the provider answers, for a readiness probe. The default asks for a session that
    /// there is not, as each request asks for its own.
    ///
    /// # Errors
    /// What keeps requests from being answered.
    fn ping(&self) -> Answer<'_, ()> {
        Answer::later(async move {
            let nobodys = By::Key(SessionId::generate()?.key());
            self.read(nobodys, Access::Peek).await.map(drop)
        })
    }

    /// A place in the queue of the callers that change a session by reading it first, and writing
    /// at the version that they read. None, the default, if nobody has to wait. Where a change
    /// takes long, as over a network, callers that come all at once would make each other's
    /// attempts void. The answer fails with [`SessionError::Contended`] if the turn does not come
    /// in time; nothing has been done then.
    fn turn(&self, session: By) -> Option<Answer<'_, Turn>> {
        let _ = session;
        None
    }

    /// Frees what has ended. Returns how many sessions it ended. A provider whose storage does that
    /// by itself has nothing to do.
    fn collect(&self) -> Answer<'_, usize>;

    /// Starts to free what has ended in the background, until the collector is dropped. None, the
    /// default, if there is nothing to start: the storage does it, or somebody calls
    /// [`collect`](Self::collect).
    #[must_use = "it stops when it is dropped: keep it for as long as the provider"]
    fn spawn_collector(&self) -> Option<Collector> {
        None
    }
}
