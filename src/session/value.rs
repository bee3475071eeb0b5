//! One attribute's value: native inside of the process, JSON outside.

use super::error::AttributeError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::any::{Any, type_name};
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
/// A value that was set in this process stays what it was, and is encoded only where it leaves the process
/// ([`to_json`](Self::to_json)). One that came from outside ([`from_json`](Self::from_json)) is decoded when
/// it is first asked for.
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
    fn write(&self, to: &mut dyn io::Write) -> serde_json::Result<()>;
}

impl<T: Serialize + Send + Sync + 'static> Native for T {
    fn type_name(&self) -> &'static str {
        type_name::<T>()
    }

    fn write(&self, to: &mut dyn io::Write) -> serde_json::Result<()> {
        serde_json::to_writer(to, self)
    }
}

struct Encoded {
    json: Box<[u8]>,
    /// As the type that was asked for first.
    decoded: OnceLock<Arc<dyn Native>>,
}

impl Value {
    /// A native value. Encodes it once into nothing, so that it is known how large it is, and that it can
    /// leave the process.
    pub(crate) fn new<T: Attribute>(key: &str, value: T) -> Result<Self, AttributeError> {
        let mut counted = Counted(0);
        let value = Arc::new(value);
        value
            .write(&mut counted)
            .map_err(|error| AttributeError::Encode {
                key: key.into(),
                given: type_name::<T>(),
                reason: fault(&error),
            })?;
        Ok(Self {
            form: Form::Native(value),
            size: counted.0,
        })
    }

    /// A value that was encoded elsewhere. It is not looked at before it is used.
    pub fn from_json(json: Vec<u8>) -> Self {
        Self {
            size: json.len(),
            form: Form::Encoded(Arc::new(Encoded {
                json: json.into(),
                decoded: OnceLock::new(),
            })),
        }
    }

    /// The value as JSON, to leave the process.
    ///
    /// # Errors
    /// If the type's `Serialize` fails, though it did not when the value was set.
    pub fn to_json(&self) -> io::Result<Vec<u8>> {
        match &self.form {
            Form::Encoded(encoded) => Ok(encoded.json.to_vec()),
            Form::Native(native) => {
                let mut json = Vec::with_capacity(self.size);
                native.write(&mut json)?;
                Ok(json)
            }
        }
    }

    /// Bytes of the value as JSON: an estimate of what it takes in memory.
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

    /// The value as what it is. `key` is for the error.
    pub(crate) fn get<T: Attribute>(&self, key: &str) -> Result<Arc<T>, AttributeError> {
        match &self.form {
            Form::Native(native) => downcast(native).ok_or_else(|| AttributeError::WrongType {
                key: key.into(),
                stored: (**native).type_name(),
                asked: type_name::<T>(),
            }),
            Form::Encoded(encoded) => encoded.get(key),
        }
    }
}

impl Encoded {
    fn get<T: Attribute>(&self, key: &str) -> Result<Arc<T>, AttributeError> {
        if let Some(value) = self.decoded.get().and_then(downcast) {
            return Ok(value);
        }
        let value: T =
            serde_json::from_slice(&self.json).map_err(|error| AttributeError::Decode {
                key: key.into(),
                asked: type_name::<T>(),
                reason: fault(&error),
            })?;
        let value = Arc::new(value);
        // Whoever asks for another type decodes each time: the first type is as good as any.
        let _ = self.decoded.set(Arc::clone(&value) as Arc<dyn Native>);
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

/// Counts bytes, and keeps none.
struct Counted(usize);

impl io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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
