//! What can go wrong between here and the server, and whether anything may have been done.

use crate::session::SessionError;
use redis::{ErrorKind, RedisError, ServerErrorKind};
use std::io;
use std::time::Duration;

/// Why the server did not do what it was asked. It is inside of [`SessionError::Backend`].
///
/// ```
/// use dwell::provider::redis::RedisFailure;
/// use dwell::session::SessionError;
///
/// /// Whether to try again later, and nothing else.
/// fn is_passing(error: &SessionError) -> bool {
///     matches!(
///         RedisFailure::of(error),
///         Some(RedisFailure::Unreachable { .. } | RedisFailure::NotReady { .. })
///     )
/// }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedisFailure {
    /// There is no connection. Nothing was asked.
    #[error("the Redis server is out of reach, nothing was done: {0}")]
    Unreachable(#[source] RedisError),
    /// The server did not answer in time.
    #[error(
        "the Redis server did not answer within {after:?}: {}",
        if *asked { "it may have done what it was asked, or not" } else { "nothing was done" }
    )]
    TimedOut {
        /// The time that was allowed.
        after: Duration,
        /// Whether it was asked before the time was over.
        asked: bool,
    },
    /// The connection broke after the server was asked.
    #[error(
        "the connection to the Redis server broke: it may have done what it was asked, or not: {0}"
    )]
    Interrupted(#[source] RedisError),
    /// The server starts, loads its data, waits for its cluster, or says that the session is on another node.
    /// Nothing was done.
    #[error("the Redis server is not ready, nothing was done: {0}")]
    NotReady(#[source] RedisError),
    /// The server is a replica now: another one took over. Nothing was done.
    #[error("the Redis server takes no writes, nothing was done: {0}")]
    ReadOnly(#[source] RedisError),
    /// The server may end sessions by itself when its memory is full, so that a logout everywhere could miss some:
    /// it is refused when a connection to it is made. Nothing was done.
    #[error(
        "the Redis server evicts sessions (maxmemory-policy {policy}), nothing was done: set `maxmemory-policy \
         noeviction`, or see `RedisBuilder::allow_eviction`"
    )]
    Evicts {
        /// The server's `maxmemory-policy`.
        policy: String,
    },
    /// The server has no memory left, and may not evict. Nothing was done.
    #[error("the Redis server is out of memory, nothing was done: give it more: {0}")]
    OutOfMemory(#[source] RedisError),
    /// The server cannot write to its disk, or has too few replicas. Nothing was done.
    #[error("the Redis server cannot keep what it is given, nothing was done: {0}")]
    CannotKeep(#[source] RedisError),
    /// The server refuses this user, this password or this command. Nothing was done.
    #[error("the Redis server denies access, nothing was done: {0}")]
    Denied(#[source] RedisError),
    /// What the server has under the session's name is no session of this version of dwell.
    #[error("the Redis server has something else where a session should be: {0}")]
    NotASession(&'static str),
    /// An attribute could not be written as JSON. Nothing was done.
    #[error("an attribute could not be written as JSON, nothing was done: {0}")]
    Encode(#[source] io::Error),
    /// Anything else that the server or the client says.
    #[error("the Redis server or its client failed: {0}")]
    Other(#[source] RedisError),
}

impl RedisFailure {
    /// The failure inside of a provider's error; none if the error is of another kind.
    pub fn of(error: &SessionError) -> Option<&Self> {
        match error {
            SessionError::Backend(source) => source.downcast_ref(),
            _ => None,
        }
    }

    /// Whether the server may have done what it was asked, all of it. If not, nothing was done.
    pub fn may_have_been_done(&self) -> bool {
        matches!(
            self,
            Self::TimedOut { asked: true, .. } | Self::Interrupted(_) | Self::Other(_)
        )
    }

    /// A connection that could not be made.
    pub(super) fn to_connect(error: RedisError) -> Self {
        match Self::to_answer(error) {
            Self::Interrupted(error) | Self::Other(error) => Self::Unreachable(error),
            refused => refused,
        }
    }

    /// A request that failed.
    pub(super) fn to_answer(error: RedisError) -> Self {
        use ServerErrorKind as Server;
        match error.kind() {
            ErrorKind::Server(
                Server::BusyLoading
                | Server::TryAgain
                | Server::ClusterDown
                | Server::MasterDown
                | Server::Moved
                | Server::Ask,
            ) => Self::NotReady(error),
            ErrorKind::Server(Server::ReadOnly) => Self::ReadOnly(error),
            ErrorKind::Server(Server::NoPerm) | ErrorKind::AuthenticationFailed => {
                Self::Denied(error)
            }
            ErrorKind::Io | ErrorKind::Parse => Self::Interrupted(error),
            _ => match error.code() {
                Some("OOM") => Self::OutOfMemory(error),
                Some("MISCONF" | "NOREPLICAS") => Self::CannotKeep(error),
                Some("NOAUTH" | "WRONGPASS") => Self::Denied(error),
                Some("BUSY") => Self::NotReady(error),
                _ => Self::Other(error),
            },
        }
    }

    /// Whether asking again may help, and cannot do anything twice. `repeatable`: doing it twice is the same
    /// as doing it once.
    pub(super) fn may_be_repeated(&self, repeatable: bool) -> bool {
        match self {
            Self::Unreachable(_) | Self::NotReady(_) | Self::ReadOnly(_) => true,
            Self::Interrupted(_) => repeatable,
            _ => false,
        }
    }

    /// What an operation that is given up tells, whose attempts before this one failed as well: whatever may have
    /// been done, and rather the reason for another attempt than that there was no time for it.
    pub(super) fn after(self, earlier: Option<Self>) -> Self {
        let says_less = |earlier: &Self| {
            !self.may_have_been_done()
                && (earlier.may_have_been_done() || matches!(self, Self::TimedOut { .. }))
        };
        earlier.filter(says_less).unwrap_or(self)
    }

    /// Whether the connection is of no use any more.
    pub(super) fn is_of_connection(&self) -> bool {
        matches!(
            self,
            Self::Unreachable(_)
                | Self::TimedOut { .. }
                | Self::Interrupted(_)
                | Self::ReadOnly(_)
                | Self::Denied(_)
                | Self::Evicts { .. }
        )
    }
}

impl From<RedisFailure> for SessionError {
    fn from(failure: RedisFailure) -> Self {
        Self::Backend(Box::new(failure))
    }
}
