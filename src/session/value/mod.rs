//! One attribute's value: short JSON or native inside of the process, JSON outside.

mod fingerprint;
mod footprint;
mod heap;
mod kept;
mod kinds;
mod plain;
mod typed;

pub use heap::{HeapSize, Measured};
pub(super) use kept::{Native, New, is_same, keep, read_plain, read_shared};
pub(super) use kinds::{block, shared};
use plain::is_plain;
pub use typed::Typed;

use super::error::AttributeError;
use kept::Encoded;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// What an attribute may be: anything that serde writes and reads, and that threads may share.
///
/// ```
/// use dwell::session::Attribute;
///
/// fn may_be_stored<T: Attribute>() {}
/// may_be_stored::<Vec<(String, Option<u64>)>>();
/// ```
pub trait Attribute: Serialize + DeserializeOwned + Send + Sync + 'static {}

impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> Attribute for T {}

/// An attribute's value, whatever its type. A clone shares it.
///
/// What a value is, is what its JSON says: that is what goes to another process, to Redis or into a
/// file, and what comes back. So that it makes no difference where a session is kept:
///
/// - A value that is set is written as JSON and read again, once, and what was read is what is
///   kept. A value that cannot be read again, or that is another one then, is
///   [refused](AttributeError::NotKept). What its type does not write, such as a field with
///   `#[serde(skip)]`, is not kept.
/// - A text, a number, a bool or null whose JSON has 128 bytes at the most is kept as that JSON,
///   and read from it each time. Anything else is kept as what it is, and each read of its type
///   shares it. A read of another type finds what that type reads from the JSON: an `i32` can be
///   read as a `u64`.
///
/// One that came from outside ([`from_json`](Self::from_json)) is not looked at before it is asked
/// for.
///
/// ```
/// use dwell::session::{Attributes, Value};
///
/// let mut attributes = Attributes::default();
/// attributes.set_value("theme", Value::from_json(b"\"dark\"".to_vec()));
/// assert_eq!(*attributes.get::<String>("theme")?.unwrap(), "dark");
/// # Ok::<(), dwell::session::AttributeError>(())
/// ```
#[derive(Clone)]
pub struct Value(Form);

#[derive(Clone)]
enum Form {
    /// JSON that is kept as it is, at this place of a text.
    Plain(Arc<str>, Range<usize>),
    Shared(Arc<dyn Native>),
}

impl Value {
    /// # Errors
    /// If the value cannot be written as JSON, or would not come back as what it is.
    pub(super) fn new<T: Attribute>(key: &str, value: T) -> Result<Self, AttributeError> {
        let (_, value) = keep(key, value, |new| match new {
            New::Plain(json) => Self::plain(json),
            New::Shared(native) => Self::shared(native),
        })?;
        Ok(value)
    }

    fn plain(json: &str) -> Self {
        Self::part_of(&Arc::from(json), 0..json.len())
    }

    /// A value whose JSON is at this place of a text.
    pub(super) fn part_of(text: &Arc<str>, json: Range<usize>) -> Self {
        Self(Form::Plain(Arc::clone(text), json))
    }

    pub(super) fn shared(native: Arc<dyn Native>) -> Self {
        Self(Form::Shared(native))
    }

    /// A value that was encoded elsewhere. It is not looked at before it is used.
    pub fn from_json(json: Vec<u8>) -> Self {
        match str::from_utf8(&json) {
            Ok(json) if is_plain(json) => Self::plain(json),
            _ => Self::shared(Arc::new(Encoded::new(json))),
        }
    }

    /// As it is put into a session.
    pub(super) fn as_new(&self) -> New<'_> {
        match &self.0 {
            Form::Plain(text, json) => New::Plain(&text[json.clone()]),
            Form::Shared(native) => New::Shared(Arc::clone(native)),
        }
    }

    /// The value as JSON, to leave the process. Cost: what is kept as its type is encoded.
    ///
    /// # Errors
    /// If the type's `Serialize` fails, though it did not when the value was set.
    pub fn to_json(&self) -> io::Result<Vec<u8>> {
        match self.as_new() {
            New::Plain(json) => Ok(json.as_bytes().to_vec()),
            New::Shared(native) => Ok(native.json()?.into_owned()),
        }
    }

    /// Bytes that the value takes in memory, at most.
    ///
    /// That of JSON is its length. What is kept as its type was counted while it was read: the
    /// length of each text, and for each collection of the standard library and of serde_json what
    /// one of its length takes. A collection of another kind counts as the largest of those, and so
    /// does what may be behind a pointer of a type that is not known: [`Measured`] lets a type tell
    /// its own size. What a type's `Deserialize` allocates beside what it reads does not show; nor
    /// what is larger than its JSON and is behind a flattened field or in an enum without tags.
    pub fn size(&self) -> usize {
        match &self.0 {
            Form::Plain(_, json) => json.len(),
            Form::Shared(native) => native.bytes(),
        }
    }
}

impl fmt::Debug for Value {
    /// Shows the type only: a value may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_new() {
            New::Plain(json) => write!(f, "Value({})", plain::kind(json)),
            New::Shared(native) => write!(f, "Value({})", native.holds()),
        }
    }
}
