//! One attribute's value: native inside of the process, JSON outside.

use super::error::AttributeError;
use super::fingerprint::{fingerprint, ordered_fingerprint};
use super::footprint::{Counting, block, shared};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::any::{Any, type_name};
use std::cell::Cell;
use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};

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
/// What a value is, is what its JSON says: that is what goes to another process, to Redis or into a file, and
/// what comes back. So that it makes no difference where a session is kept:
///
/// - When a value is set it is written as JSON and read again, once, and what was read is what is kept. A value
///   that cannot be read again, or that is another one then, is [refused](AttributeError::NotKept). What its type
///   does not write, such as a field with `#[serde(skip)]`, is not kept.
/// - It is kept as what it is, and whoever asks for its type shares it. Whoever asks for another type gets what
///   that type reads from the JSON: an `i32` can be read as a `u64`.
///
/// One that came from outside ([`from_json`](Self::from_json)) is not looked at before it is asked for.
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
pub struct Value {
    form: Form,
    size: usize,
}

#[derive(Clone)]
enum Form {
    Native(Arc<dyn Native>),
    Encoded(Arc<Encoded>),
}

/// A value of a type that only its user knows.
trait Native: Any + Send + Sync {
    fn type_name(&self) -> &'static str;
    fn to_json(&self) -> serde_json::Result<Vec<u8>>;
}

impl<T: Serialize + Send + Sync + 'static> Native for T {
    fn type_name(&self) -> &'static str {
        type_name::<T>()
    }

    fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(self)
    }
}

struct Encoded {
    json: Box<[u8]>,
    /// As the type that was asked for first, if there was room for it.
    decoded: OnceLock<Arc<dyn Native>>,
}

/// A value from outside is kept in its decoded form as well if that takes as many bytes as its JSON and these.
const ROOM: usize = 256;

/// Whether two values say the same of themselves, in the same order.
pub(super) fn is_same<T: Serialize>(one: &T, other: &T) -> bool {
    let (one, other) = (ordered_fingerprint(one), ordered_fingerprint(other));
    one.is_ok() && one == other
}

/// A value that comes back from outside as what it is.
pub(super) struct Kept<T> {
    value: Arc<T>,
    size: usize,
}

impl<T: Attribute> Kept<T> {
    /// Writes a value as JSON and reads it again.
    pub(super) fn new(key: &str, value: &T) -> Result<Self, AttributeError> {
        let not_written = |reason: String| AttributeError::Encode {
            key: key.into(),
            given: type_name::<T>(),
            reason,
        };
        let not_kept = |reason: String| AttributeError::NotKept {
            key: key.into(),
            given: type_name::<T>(),
            reason,
        };
        let given = fingerprint(value).map_err(|fault| not_written(fault.to_string()))?;
        let json = serde_json::to_vec(value).map_err(|error| not_written(fault(&error)))?;
        let (value, size) =
            decode::<T>(&json).map_err(|error| not_kept(format!("no value, {}", fault(&error))))?;
        if fingerprint(&value) != Ok(given) {
            return Err(not_kept(String::from("another value")));
        }
        Ok(Self {
            value: Arc::new(value),
            size,
        })
    }
}

impl<T: Attribute> From<Kept<T>> for Value {
    fn from(kept: Kept<T>) -> Self {
        Self {
            form: Form::Native(kept.value),
            size: kept.size,
        }
    }
}

/// Reads a value, and tells what it takes in memory at most.
fn decode<T: Attribute>(json: &[u8]) -> serde_json::Result<(T, usize)> {
    let beside = Cell::new(0);
    let mut from = serde_json::Deserializer::from_slice(json);
    let value = T::deserialize(Counting::new::<T>(&mut from, &beside))?;
    from.end()?;
    Ok((value, beside.get() + shared(size_of::<T>())))
}

impl Value {
    pub(crate) fn new<T: Attribute>(key: &str, value: &T) -> Result<Self, AttributeError> {
        Ok(Kept::new(key, value)?.into())
    }

    /// A value that was encoded elsewhere. It is not looked at before it is used.
    pub fn from_json(json: Vec<u8>) -> Self {
        let decoded = json.len() + ROOM;
        Self {
            size: shared(size_of::<Encoded>()) + block(json.len()) + decoded,
            form: Form::Encoded(Arc::new(Encoded {
                json: json.into(),
                decoded: OnceLock::new(),
            })),
        }
    }

    /// The value as JSON, to leave the process. Cost: a native value is encoded.
    ///
    /// # Errors
    /// If the type's `Serialize` fails, though it did not when the value was set.
    pub fn to_json(&self) -> io::Result<Vec<u8>> {
        match &self.form {
            Form::Encoded(encoded) => Ok(encoded.json.to_vec()),
            Form::Native(native) => Ok(native.to_json()?),
        }
    }

    /// Bytes that the value takes in memory, at most.
    ///
    /// Counted while it is decoded: the length of each text, and for each collection the most that one of its
    /// length takes. For a `Vec` that is at most twice what it takes. Of other collections the kind is not known: those
    /// of large elements are counted up to two and a half times as large as they are, those of elements of a few
    /// bytes more, a `VecDeque<u16>` 8 times. One from outside counts as its JSON twice and 256 bytes.
    /// What a type's own `Deserialize` allocates beside what it reads does not show; nor what is larger than its JSON
    /// and is behind a flattened field or in an enum without tags.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Whether this is the very value that `other` is, not just an equal one.
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (&self.form, &other.form) {
            (Form::Native(one), Form::Native(two)) => Arc::ptr_eq(one, two),
            (Form::Encoded(one), Form::Encoded(two)) => Arc::ptr_eq(one, two),
            _ => false,
        }
    }

    /// The value as a `T`. `key` is for the error.
    pub(crate) fn get<T: Attribute>(&self, key: &str) -> Result<Arc<T>, AttributeError> {
        let not_decoded = |holds: &str, error: &serde_json::Error| AttributeError::Decode {
            key: key.into(),
            asked: type_name::<T>(),
            reason: format!("{holds}{}", fault(error)),
        };
        match &self.form {
            Form::Native(native) => {
                if let Some(value) = downcast(native) {
                    return Ok(value);
                }
                let json = native.to_json();
                let value = json.and_then(|json| serde_json::from_slice(&json));
                let holds = (**native).type_name();
                value
                    .map(Arc::new)
                    .map_err(|error| not_decoded(&format!("it is {holds}; "), &error))
            }
            Form::Encoded(encoded) => encoded.get().map_err(|error| not_decoded("", &error)),
        }
    }
}

impl Encoded {
    fn get<T: Attribute>(&self) -> serde_json::Result<Arc<T>> {
        if let Some(value) = self.decoded.get().and_then(downcast) {
            return Ok(value);
        }
        let (value, size) = decode::<T>(&self.json)?;
        let value = Arc::new(value);
        if size <= self.json.len() + ROOM {
            // Whoever asks for another type decodes each time: the first type is as good as any.
            let _ = self.decoded.set(Arc::clone(&value) as Arc<dyn Native>);
        }
        Ok(value)
    }
}

fn downcast<T: Attribute>(native: &Arc<dyn Native>) -> Option<Arc<T>> {
    let any: &dyn Any = &**native;
    if !any.is::<T>() {
        return None;
    }
    let any: Arc<dyn Any + Send + Sync> = Arc::clone(native) as _;
    any.downcast().ok()
}

/// What is wrong and where, without serde's message: that would quote the value.
fn fault(error: &serde_json::Error) -> String {
    format!(
        "{:?} error at line {}, column {}",
        error.classify(),
        error.line(),
        error.column()
    )
}

impl fmt::Debug for Value {
    /// Shows the type only: a value may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.form {
            Form::Native(native) => write!(f, "Value({})", (**native).type_name()),
            Form::Encoded(_) => f.write_str("Value(JSON)"),
        }
    }
}
