//! What can go wrong between here and the server, and whether anything may have been done.
//!
//! A server refuses with a word, such as `READONLY`, at the beginning of its error. Up to Redis
//! 6.2, and in Dragonfly, the word of a refusal inside of a script is somewhere in the text of an
//! `ERR`, and some refusals have none. Whatever is refused inside of a script is refused before the
//! script has changed anything (see `scripts/prelude.lua`).

use crate::session::SessionError;
use redis::{ErrorKind, RedisError};
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
    #[error("the Redis server is out of reach, nothing was done")]
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
    #[error("the connection to the Redis server broke: it may have done what it was asked, or not")]
    Interrupted(#[source] RedisError),
    /// The server starts, loads its data, waits for its cluster, or says that the session is on
    /// another node. Nothing was done.
    #[error("the Redis server is not ready, nothing was done")]
    NotReady(#[source] RedisError),
    /// The server is a replica now: another one took over. Nothing was done.
    #[error("the Redis server takes no writes, nothing was done")]
    ReadOnly(#[source] RedisError),
    /// The server may end sessions by itself when its memory is full, so that a logout everywhere
    /// could miss some: it is refused when a connection to it is made. Nothing was done.
    #[error(
        "the Redis server evicts sessions (maxmemory-policy {policy}), nothing was done: set `maxmemory-policy \
         noeviction`, or see `RedisBuilder::allow_eviction`"
    )]
    Evicts {
        /// The server's `maxmemory-policy`.
        policy: String,
    },
    /// The server has no memory left, and may not evict. Nothing was done.
    #[error(
        "the Redis server is out of memory, nothing was done: raise its `maxmemory`, or let sessions end sooner"
    )]
    OutOfMemory(#[source] RedisError),
    /// The server cannot write to its disk, or has too few replicas. Nothing was done.
    #[error("the Redis server cannot keep what it is given, nothing was done")]
    CannotKeep(#[source] RedisError),
    /// The server refuses this user, this password or a command, or a proxy does not know the
    /// command. Nothing was done. [The providers](crate::book::providers#sessions-in-redis) lists
    /// the commands that a user needs.
    #[error(
        "the Redis server denies access, nothing was done: check the user, its password, and that it may use the \
         commands that dwell needs"
    )]
    Denied(#[source] RedisError),
    /// The server, or a proxy before it, cannot tell of changes, which a near cache needs. Nothing
    /// was done.
    #[error(
        "the Redis server or a proxy before it refuses HELLO 3 or CLIENT TRACKING, which the near cache needs, \
         nothing was done: connect to the server itself, or build without `near_cache`"
    )]
    NoTracking(#[source] RedisError),
    /// The answer was another request's: something between here and the server repeats, loses or
    /// mixes answers. The connection was given up.
    #[error(
        "the answer that came was another request's, and the connection was given up: the server may have done \
         what it was asked, or not: look for a proxy that mixes answers"
    )]
    WrongAnswer,
    /// What the server has under the session's name is no session of this version of dwell.
    #[error("the Redis server has something else where a session should be: {0}")]
    NotASession(&'static str),
    /// An attribute could not be written as JSON. Nothing was done.
    #[error("an attribute could not be written as JSON, nothing was done")]
    Encode(#[source] io::Error),
    /// Anything else that the server or the client says.
    #[error("the Redis server or its client failed")]
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

    /// The kind, as counters and logs name it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::TimedOut { .. } => "timed_out",
            Self::Interrupted(_) => "interrupted",
            Self::NotReady(_) => "not_ready",
            Self::ReadOnly(_) => "read_only",
            Self::OutOfMemory(_) => "out_of_memory",
            Self::Evicts { .. } => "evicts",
            Self::CannotKeep(_) => "cannot_keep",
            Self::Denied(_) => "denied",
            Self::NoTracking(_) => "no_tracking",
            Self::WrongAnswer => "wrong_answer",
            Self::NotASession(_) => "not_a_session",
            Self::Encode(_) => "encode",
            Self::Other(_) => "other",
        }
    }

    /// Whether the server may have done what it was asked, all of it. If not, nothing was done.
    pub fn may_have_been_done(&self) -> bool {
        matches!(
            self,
            Self::TimedOut { asked: true, .. }
                | Self::Interrupted(_)
                | Self::WrongAnswer
                | Self::NotASession(_)
                | Self::Other(_)
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
        match error.kind() {
            ErrorKind::Io | ErrorKind::Parse => Self::Interrupted(error),
            ErrorKind::AuthenticationFailed => Self::Denied(error),
            _ => match Refusal::of(&error) {
                Some(Refusal::NotReady) => Self::NotReady(error),
                Some(Refusal::ReadOnly) => Self::ReadOnly(error),
                Some(Refusal::OutOfMemory) => Self::OutOfMemory(error),
                Some(Refusal::CannotKeep) => Self::CannotKeep(error),
                Some(Refusal::Denied | Refusal::Unknown) => Self::Denied(error),
                None => Self::Other(error),
            },
        }
    }

    /// Whether asking again may help, and cannot do anything twice. `repeatable`: doing it twice is
    /// the same as doing it once.
    pub(super) fn may_be_repeated(&self, repeatable: bool) -> bool {
        match self {
            Self::Unreachable(_) | Self::NotReady(_) | Self::ReadOnly(_) => true,
            Self::Interrupted(_) | Self::WrongAnswer => repeatable,
            _ => false,
        }
    }

    /// What an operation that is given up tells, whose attempts before this one failed as well:
    /// whatever may have been done, and rather the reason for another attempt than that there was
    /// no time for it.
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
                | Self::WrongAnswer
                | Self::ReadOnly(_)
                // A master that lost its replicas: by its name there may be another one.
                | Self::CannotKeep(_)
                | Self::Denied(_)
                | Self::Evicts { .. }
                | Self::NoTracking(_)
        )
    }
}

/// What a server means by an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    NotReady,
    ReadOnly,
    OutOfMemory,
    CannotKeep,
    Denied,
    /// There is no such command.
    Unknown,
}

/// The words that errors begin with, or that scripts' errors hold.
const WORDS: [(&str, Refusal); 18] = [
    ("LOADING", Refusal::NotReady),
    ("TRYAGAIN", Refusal::NotReady),
    ("CLUSTERDOWN", Refusal::NotReady),
    ("MASTERDOWN", Refusal::NotReady),
    ("MOVED", Refusal::NotReady),
    ("ASK", Refusal::NotReady),
    ("BUSY", Refusal::NotReady),
    ("NOSCRIPT", Refusal::NotReady),
    ("READONLY", Refusal::ReadOnly),
    ("OOM", Refusal::OutOfMemory),
    ("MISCONF", Refusal::CannotKeep),
    ("NOREPLICAS", Refusal::CannotKeep),
    ("NOPERM", Refusal::Denied),
    ("NOAUTH", Refusal::Denied),
    ("WRONGPASS", Refusal::Denied),
    ("DENIED", Refusal::Denied),
    ("NOPROTO", Refusal::Unknown),
    ("NOSUBCOMMAND", Refusal::Unknown),
];

/// What errors say that have no word of their own, in small letters.
const PHRASES: [(&str, Refusal); 9] = [
    ("unknown command", Refusal::Unknown),
    ("unknown redis command", Refusal::Unknown),
    ("unknown subcommand", Refusal::Unknown),
    ("unsupported command", Refusal::Unknown),
    ("can't run this command", Refusal::Denied),
    ("can't access at least one of the keys", Refusal::Denied),
    ("acl failure in script", Refusal::Denied),
    ("no permissions", Refusal::Denied),
    ("not allowed from script", Refusal::Denied),
];

impl Refusal {
    fn of(error: &RedisError) -> Option<Self> {
        let code = error.code()?;
        let means = |word: &str| WORDS.iter().find(|(known, _)| *known == word);
        if let Some((_, refusal)) = means(code) {
            return Some(*refusal);
        }
        let text = error.detail().unwrap_or_default();
        let small = text.to_lowercase();
        let said = PHRASES.iter().find(|(phrase, _)| small.contains(phrase));
        // A script that raises it again leaves the word at the beginning. Further inside it has the
        // dash that begins an error on the wire; without one, it may be a value.
        let mut words = text.split(' ');
        let first = words.next().and_then(means);
        let inside = || {
            words
                .filter_map(|word| word.strip_prefix('-'))
                .find_map(means)
        };
        said.or(first).or_else(inside).map(|(_, refusal)| *refusal)
    }
}

/// Whether a server does not have the script.
pub(super) fn lacks_script(error: &RedisError) -> bool {
    error.code() == Some("NOSCRIPT")
}

/// Whether a server or a proxy does not know a command, or not in this form.
pub(super) fn is_unknown_command(error: &RedisError) -> bool {
    error.kind() == ErrorKind::RESP3NotSupported || Refusal::of(error) == Some(Refusal::Unknown)
}

impl From<RedisFailure> for SessionError {
    fn from(failure: RedisFailure) -> Self {
        Self::Backend(Box::new(failure))
    }
}
