//! What can go wrong with a session. No error holds an id or an attribute's value.

use std::error::Error;
use std::io;
use std::sync::Arc;

/// Why an operation on a session failed.
///
/// ```
/// use dwell::session::{SessionError, SessionStore};
/// use std::time::Duration;
///
/// let store = SessionStore::new(Duration::from_secs(60));
/// let slow_request = store.create()?;
/// store.destroy(&slow_request.key());
/// assert!(matches!(slow_request.set("cart", 1), Err(SessionError::Ended)));
/// # Ok::<(), SessionError>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The session is over: destroyed, expired or evicted. Nothing brings it back.
    #[error("the session has ended: start a new one")]
    Ended,
    /// The id that the caller came with is not the newest, and does not answer any more; or it is
    /// in its grace, and only the newest id can be renewed.
    #[error(
        "the session has a newer id: let the client repeat its request, with the id that it was given"
    )]
    Superseded,
    /// The request was finished, so that no id can reach the client any more.
    #[error(
        "the response is on its way, so no id can be issued: store something in a new session, or renew it, before"
    )]
    Finished,
    /// The session was changed since the version that the caller knows.
    #[error("the session is at version {current}, not at {expected}: read it again")]
    Conflict {
        /// The version that the caller expected.
        expected: u64,
        /// The version that the session has.
        current: u64,
    },
    /// So many others change the session that this change found no time: each attempt met another
    /// writer, or its turn did not come. Nothing was changed.
    #[error("too many change this session at once, so nothing was changed: try again later")]
    Contended,
    /// An attribute does not decode as the type that was asked for, or would not come back as what
    /// was set.
    #[error(transparent)]
    Attribute(#[from] AttributeError),
    /// The session would be larger than one may be. Nothing was changed.
    #[error(
        "the session would take {bytes} bytes, and {bound} are allowed: store less in it, \
         or allow more (Settings::max_session_bytes, capacity_bytes)"
    )]
    TooLarge {
        /// What it would take: in memory, or at the provider.
        bytes: u64,
        /// What it may take.
        bound: u64,
    },
    /// The operating system's generator failed, so no id was issued.
    #[error("the operating system gives no random bytes for an id, so no id was issued")]
    Random(#[source] io::Error),
    /// A new key is in use. It does not happen, unless the generator repeats itself.
    #[error("a new session key is in use already: the operating system's generator repeats itself")]
    Collision,
    /// The provider failed when the request began, and the request went on without its session.
    #[error(
        "the session could not be looked up when the request began: let the client try again later"
    )]
    Unavailable,
    /// The provider's own storage failed.
    #[error("the session provider failed")]
    Backend(#[source] Box<dyn Error + Send + Sync>),
}

/// Why an attribute could not be read or set.
///
/// ```
/// use dwell::session::Attributes;
///
/// let mut attributes = Attributes::default();
/// attributes.set("visits", 7_u32)?;
/// let error = attributes.get::<String>("visits").unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "attribute \"visits\" does not decode as alloc::string::String (it is a number; Data error at line 1, \
///      column 1): ask for the type that was set"
/// );
/// # Ok::<(), dwell::session::AttributeError>(())
/// ```
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum AttributeError {
    /// The attribute's value, as JSON, does not decode as this type.
    #[error(
        "attribute {key:?} does not decode as {asked} ({reason}): ask for the type that was set"
    )]
    Decode {
        /// The attribute's key.
        key: Arc<str>,
        /// The type that was asked for.
        asked: &'static str,
        /// What kind of value it is, what kind of fault, and where. Not the value.
        reason: String,
    },
    /// The value cannot be written as JSON, and so could never leave the process.
    #[error(
        "attribute {key:?} of type {given} cannot be written as JSON ({reason}): \
         give maps keys that are texts or numbers, and nest less than 128 levels"
    )]
    Encode {
        /// The attribute's key.
        key: Arc<str>,
        /// The type that was given.
        given: &'static str,
        /// What kind of fault, and where.
        reason: String,
    },
    /// The value can be written as JSON, but would not come back from it as what it is.
    ///
    /// These do not: NaN and infinities; `Some` of what is written as null, such as `Some(None)`;
    /// more than 127 levels; integers of 128 bits, and maps with other keys than texts, in a
    /// flattened field or in an enum that is untagged or has its tag inside; a field that is not
    /// written and has no default; a variant of an untagged enum that another one before it can be
    /// read as; and a type whose `Serialize` does not write the same each time.
    #[error(
        "attribute {key:?} of type {given} would come back from JSON as {reason}: \
         set a value that its type reads as it wrote it, without NaN, Some(None) or fields left out"
    )]
    NotKept {
        /// The attribute's key.
        key: Arc<str>,
        /// The type that was given.
        given: &'static str,
        /// What would come back: no value, and where it fails, or another one.
        reason: String,
    },
}
