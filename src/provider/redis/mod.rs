//! Sessions in a Redis or Valkey server, or a cluster of them, for several machines. Needs the
//! feature `redis`, and a tokio runtime.
//!
//! Each session is one hash in the server, and each operation on it one script: what machines do at
//! the same time is done one after the other, and nothing is lost. The server removes what has
//! ended. It keeps a hash of each secret, not the secret, and names sessions by a hash of their
//! keys: nobody logs in with a copy of its data. It should be Redis 6.2 or newer, or Valkey, with
//! `maxmemory-policy noeviction`: one that evicts is refused ([`RedisBuilder::allow_eviction`]).
//! `appendonly yes` lets sessions survive its restart.
//!
//! [The providers](crate::book::providers#sessions-in-redis) tells how it is done, and
//! [the faults](crate::book::faults#redis) what becomes of each fault.
//!
//! ```no_run
//! use dwell::manager::Manager;
//! use dwell::provider::RedisProvider;
//! use dwell::session::Settings;
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let settings = Settings::new(Duration::from_secs(30 * 60))
//!     .max_lifetime(Duration::from_secs(12 * 60 * 60))
//!     .touch_resolution(Duration::from_secs(60));
//! let provider = RedisProvider::builder("redis://127.0.0.1/", "shop", settings).build()?;
//! let manager = Manager::builder("sid").provider(Arc::new(provider)).build()?;
//! # Ok(()) }
//! ```

mod asking;
mod builder;
mod connection;
mod driver;
mod eviction;
mod failure;
mod link;
mod names;
mod near;
mod nodes;
mod owners;
mod queue;
mod record;
mod remote;
mod scripts;
#[cfg(test)]
mod tests;
#[cfg(feature = "redis-tls")]
mod tls;

pub use builder::{RedisBuildError, RedisBuilder};
pub use failure::RedisFailure;

use super::{Access, Answer, By, Provider, Turn};
use crate::session::{
    Attributes, Changes, IssuedSession, SessionError, SessionId, SessionInfo, SessionKey, Settings,
    Snapshot,
};
use names::Name;
use remote::{Look, Remote, id_of};
use std::sync::Arc;
use std::time::Duration;

/// Sessions in a Redis or Valkey server or cluster, which any number of machines share. A clone
/// shares the connections.
///
/// Each operation is over within [`RedisBuilder::timeout`], whatever the server does, and fails
/// with a [`RedisFailure`] that tells whether anything may have been done. A request that was
/// certainly not done is repeated until then, and so is one that may as well be done twice: a read,
/// a touch, a destruction. So [`destroy`](Provider::destroy) may return false for a session that it
/// ended itself, if a connection broke on the way.
///
/// Reading, writing, touching and destroying take one round trip each; what concerns an owner takes
/// several. An operation on a session is atomic in the server, and linearizable there.
///
/// ```no_run
/// use dwell::provider::{Access, By, Provider, RedisProvider};
/// use dwell::session::{Attributes, Settings};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let settings = Settings::new(Duration::from_secs(30 * 60));
/// let one = RedisProvider::builder("redis://127.0.0.1/", "shop", settings).build()?;
/// let other = RedisProvider::builder("redis://127.0.0.1/", "shop", settings).build()?;
/// let id = one.init(Attributes::default()).await?.id;
/// assert!(other.read(By::Id(id), Access::Touch).await?.is_some());
/// # Ok(()) }
/// ```
#[doc(alias("RedisStore", "Valkey"))]
#[derive(Debug, Clone)]
pub struct RedisProvider {
    remote: Arc<Remote>,
}

impl RedisProvider {
    /// Builds a provider for the server at an address, such as `redis://:password@host:6379/0`, or
    /// for the cluster that it is a node of. With the feature `redis-tls` also
    /// `rediss://host:6379`.
    ///
    /// The names of everything in the server begin with the prefix. Providers with the same prefix
    /// share their sessions: a cookie that one of them issued is a session, with its owner, at all
    /// of them. So the prefix is the application's name, the same on all its machines, and another
    /// one for each application.
    pub fn builder(
        address: impl Into<String>,
        prefix: impl Into<String>,
        settings: Settings,
    ) -> RedisBuilder {
        RedisBuilder::new(address.into(), prefix.into(), settings)
    }

    fn from_parts(remote: Remote) -> Self {
        Self {
            remote: Arc::new(remote),
        }
    }

    /// What the provider was built with.
    pub fn settings(&self) -> &Settings {
        &self.remote.settings
    }
}

impl Provider for RedisProvider {
    fn init(&self, attributes: Attributes) -> Answer<'_, IssuedSession> {
        Answer::later(async move {
            let end = self.remote.link.end();
            let (id, record) = self.remote.init(&attributes, end).await?;
            let snapshot = record.snapshot();
            Ok(IssuedSession { id, snapshot })
        })
    }

    fn read(&self, session: By, access: Access) -> Answer<'_, Option<Snapshot>> {
        let end = self.remote.link.end();
        Answer::later(async move {
            let look = Look {
                id: id_of(&session),
                touches: access == Access::Touch,
            };
            let name = Name::of(&session.key());
            let record = self.remote.read_near(name, look, end).await?;
            Ok(record.map(|record| record.snapshot_by(id_of(&session))))
        })
    }

    fn apply(&self, session: By, changes: Changes, version: Option<u64>) -> Answer<'_, Snapshot> {
        let end = self.remote.link.end();
        Answer::later(async move {
            let applied = self.remote.apply(&session, &changes, version, end);
            applied.await?.map_err(|newest| SessionError::Conflict {
                expected: version.unwrap_or_default(),
                current: newest.version,
            })
        })
    }

    fn apply_or_read(
        &self,
        session: By,
        changes: Changes,
        version: u64,
    ) -> Answer<'_, Result<Snapshot, Snapshot>> {
        let end = self.remote.link.end();
        Answer::later(async move {
            let applied = self.remote.apply(&session, &changes, Some(version), end);
            applied.await
        })
    }

    fn touch(&self, session: By) -> Answer<'_, ()> {
        let end = self.remote.link.end();
        Answer::later(async move { self.remote.touch(&session, end).await })
    }

    fn destroy(&self, session: By) -> Answer<'_, bool> {
        let end = self.remote.link.end();
        Answer::later(async move { self.remote.destroy(&session, end).await })
    }

    fn renew<'a>(
        &'a self,
        id: &'a SessionId,
        grace: Option<Duration>,
    ) -> Answer<'a, IssuedSession> {
        let end = self.remote.link.end();
        Answer::later(self.remote.renew(id, grace, end))
    }

    fn log_in<'a>(&'a self, id: &'a SessionId, owner: &'a str) -> Answer<'a, IssuedSession> {
        let end = self.remote.link.end();
        Answer::later(self.remote.log_in(id, owner, end))
    }

    fn set_owner<'a>(&'a self, session: By, owner: Option<&'a str>) -> Answer<'a, ()> {
        let end = self.remote.link.end();
        Answer::later(async move { self.remote.set_owner(&session, owner, end).await })
    }

    fn owned_by<'a>(&'a self, owner: &'a str) -> Answer<'a, Vec<SessionInfo>> {
        let end = self.remote.link.end();
        Answer::later(self.remote.owned_by(owner, end))
    }

    fn destroy_owned_by<'a>(
        &'a self,
        owner: &'a str,
        except: Option<&'a SessionKey>,
    ) -> Answer<'a, usize> {
        let end = self.remote.link.end();
        Answer::later(self.remote.destroy_owned_by(owner, except, end))
    }

    fn set_idle_timeout(&self, session: By, timeout: Duration) -> Answer<'_, ()> {
        let end = self.remote.link.end();
        Answer::later(async move {
            let set = self.remote.set_terms(&session, Some(timeout), None, end);
            set.await
        })
    }

    fn set_lifetime(&self, session: By, lifetime: Duration) -> Answer<'_, ()> {
        let end = self.remote.link.end();
        Answer::later(async move {
            let set = self.remote.set_terms(&session, None, Some(lifetime), end);
            set.await
        })
    }

    fn turn(&self, session: By) -> Option<Answer<'_, Turn>> {
        let end = self.remote.link.end();
        Some(Answer::later(self.remote.queues.turn(session, end)))
    }

    /// Nothing to do: the server removes what has ended.
    fn collect(&self) -> Answer<'_, usize> {
        Answer::ready(Ok(0))
    }
}
