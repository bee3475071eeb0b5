//! How a value is kept: short JSON as it is, anything else as its type.
//!
//! What a value is, is what its JSON says. So what is kept is what was read back from there, and a
//! value that would not come back is refused.

use super::Attribute;
use super::fingerprint::{fingerprint, ordered_fingerprint};
use super::footprint::heap_bytes;
use super::kinds::{block, shared};
use super::plain::{self, kind};
use super::typed::{Form, Typed};
use crate::count::Room;
use crate::session::AttributeError;
use serde::Serialize;
use std::any::{Any, TypeId, type_name};
use std::borrow::Cow;
use std::sync::{Arc, LazyLock, OnceLock};

/// What the decoded forms of values from outside may take in this process, beside what is counted
/// for their sessions.
const DECODED_BYTES: u64 = 16 << 20;
/// One of them is kept if it takes no more than so many times its JSON, and a little.
const DECODED_FACTOR: usize = 4;
const A_LITTLE: usize = 256;

static DECODED: LazyLock<Room> = LazyLock::new(|| Room::new(DECODED_BYTES));

/// A value of a type that only its user knows.
pub(in crate::session) trait Native: Any + Send + Sync {
    /// What it is, for an error.
    fn holds(&self) -> &'static str;
    fn json(&self) -> serde_json::Result<Cow<'_, [u8]>>;
    /// Bytes that it takes in memory at most, behind its `Arc`.
    fn bytes(&self) -> usize;
}

/// A value that was set in this process, as it was read back, and what it takes.
pub(in crate::session) struct Kept<T> {
    pub(super) value: T,
    bytes: usize,
}

impl<T: Attribute> Native for Kept<T> {
    fn holds(&self) -> &'static str {
        type_name::<T>()
    }

    fn json(&self) -> serde_json::Result<Cow<'_, [u8]>> {
        serde_json::to_vec(&self.value).map(Cow::Owned)
    }

    fn bytes(&self) -> usize {
        self.bytes
    }
}

/// A value from outside that is not looked at before it is asked for.
pub(super) struct Encoded {
    json: Box<[u8]>,
    /// As the type that was asked for first, if there was room for it.
    decoded: OnceLock<Arc<dyn Native>>,
}

impl Encoded {
    pub(super) fn new(json: Vec<u8>) -> Self {
        Self {
            json: json.into(),
            decoded: OnceLock::new(),
        }
    }

    fn get<T: Attribute>(&self) -> serde_json::Result<Typed<T>> {
        if let Some(kept) = self.decoded.get().and_then(downcast) {
            return Ok(Typed(Form::Shared(kept)));
        }
        let kept = decode::<T>(&self.json)?;
        let bytes = kept.bytes;
        let is_small = bytes <= DECODED_FACTOR * self.json.len() + A_LITTLE;
        if self.decoded.get().is_some() || !is_small || !DECODED.take(bytes as u64) {
            return Ok(Typed(Form::Own(kept.value)));
        }
        let kept = Arc::new(kept);
        // The first type that is asked for is as good as any.
        if self
            .decoded
            .set(Arc::clone(&kept) as Arc<dyn Native>)
            .is_err()
        {
            DECODED.give_back(bytes as u64);
        }
        Ok(Typed(Form::Shared(kept)))
    }
}

impl Drop for Encoded {
    fn drop(&mut self) {
        if let Some(decoded) = self.decoded.get() {
            DECODED.give_back(decoded.bytes() as u64);
        }
    }
}

impl Native for Encoded {
    fn holds(&self) -> &'static str {
        "JSON"
    }

    fn json(&self) -> serde_json::Result<Cow<'_, [u8]>> {
        Ok(Cow::Borrowed(&self.json))
    }

    fn bytes(&self) -> usize {
        shared(size_of::<Self>()) + block(self.json.len())
    }
}

fn downcast<T: Attribute>(native: &Arc<dyn Native>) -> Option<Arc<Kept<T>>> {
    let any: &dyn Any = &**native;
    if !any.is::<Kept<T>>() {
        return None;
    }
    let any: Arc<dyn Any + Send + Sync> = Arc::clone(native) as _;
    any.downcast().ok()
}

/// Reads a value, and finds what it takes in memory at most.
fn decode<T: Attribute>(json: &[u8]) -> serde_json::Result<Kept<T>> {
    let mut from = serde_json::Deserializer::from_slice(json);
    let (value, beside) = heap_bytes::<T, _>(&mut from)?;
    from.end()?;
    Ok(Kept {
        value,
        bytes: beside + shared(size_of::<Kept<T>>()),
    })
}

/// What is put into a session.
pub(in crate::session) enum New<'j> {
    /// JSON that is kept as it is.
    Plain(&'j str),
    Shared(Arc<dyn Native>),
}

/// The value that JSON which is kept as it is says, as a `T`. `key` is for the error.
pub(in crate::session) fn read_plain<T: Attribute>(
    json: &str,
    key: &str,
) -> Result<Typed<T>, AttributeError> {
    match plain::read(json) {
        Ok(value) => Ok(Typed(Form::Own(value))),
        Err(error) => Err(not_decoded::<T>(key, kind(json), &error)),
    }
}

/// The value as a `T`. `key` is for the error.
pub(in crate::session) fn read_shared<T: Attribute>(
    native: &Arc<dyn Native>,
    key: &str,
) -> Result<Typed<T>, AttributeError> {
    if let Some(kept) = downcast(native) {
        return Ok(Typed(Form::Shared(kept)));
    }
    let any: &dyn Any = &**native;
    let value = match any.downcast_ref::<Encoded>() {
        Some(encoded) => encoded.get(),
        None => native
            .json()
            .and_then(|json| serde_json::from_slice(&json))
            .map(|value| Typed(Form::Own(value))),
    };
    value.map_err(|error| not_decoded::<T>(key, native.holds(), &error))
}

#[cold]
fn not_decoded<T>(key: &str, holds: &str, error: &serde_json::Error) -> AttributeError {
    AttributeError::Decode {
        key: key.into(),
        asked: type_name::<T>(),
        reason: format!("it is {holds}; {}", fault(error)),
    }
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

/// Whether a value comes back from JSON as what it is, whatever it is: that of these types does.
fn comes_back<T: Attribute>(value: &T) -> bool {
    let value: &dyn Any = value;
    let is = |other: TypeId| value.type_id() == other;
    macro_rules! any {
        ($($type:ty)*) => { false $(|| is(TypeId::of::<$type>()))* };
    }
    any!(String bool char u8 u16 u32 u64 usize i8 i16 i32 i64 isize)
        || value
            .downcast_ref()
            .is_some_and(|float: &f64| float.is_finite())
        || value
            .downcast_ref()
            .is_some_and(|float: &f32| float.is_finite())
}

/// Writes a value as JSON and reads it again. `put` gets what is to be kept; what is returned is
/// that, too.
///
/// # Errors
/// If the value cannot be written, or does not come back as what it is. `put` is not called then.
pub(in crate::session) fn keep<T: Attribute, R>(
    key: &str,
    value: T,
    put: impl FnOnce(New<'_>) -> R,
) -> Result<(Typed<T>, R), AttributeError> {
    // First, for it finds what is nested too deeply to be written.
    let print = match comes_back(&value) {
        true => None,
        false => Some(fingerprint(&value).map_err(|fault| not_written::<T>(key, &fault))?),
    };
    let fails = |error: &serde_json::Error| not_written::<T>(key, &fault(error));
    let mut room = [0; plain::MOST];
    if let Some(json) = plain::write(&value, &mut room).map_err(|error| fails(&error))? {
        let value = match print {
            None => value,
            Some(_) => came_back(key, print, plain::read(json), |value| value)?,
        };
        return Ok((Typed(Form::Own(value)), put(New::Plain(json))));
    }
    let json = serde_json::to_vec(&value).map_err(|error| fails(&error))?;
    let kept = came_back(key, print, decode::<T>(&json), |kept| &kept.value)?;
    let kept = Arc::new(kept);
    let put = put(New::Shared(Arc::clone(&kept) as Arc<dyn Native>));
    Ok((Typed(Form::Shared(kept)), put))
}

/// What was read, if it has the fingerprint of what was written, or needs none.
fn came_back<T: Attribute, K>(
    key: &str,
    print: Option<u64>,
    read: serde_json::Result<K>,
    value: impl FnOnce(&K) -> &T,
) -> Result<K, AttributeError> {
    let read = read.map_err(|error| not_kept::<T>(key, no_value(&error)))?;
    match print.is_none_or(|print| fingerprint(value(&read)) == Ok(print)) {
        true => Ok(read),
        false => Err(not_kept::<T>(key, String::from("another value"))),
    }
}

fn no_value(error: &serde_json::Error) -> String {
    format!("no value, {}", fault(error))
}

#[cold]
fn not_written<T>(key: &str, reason: &impl ToString) -> AttributeError {
    AttributeError::Encode {
        key: key.into(),
        given: type_name::<T>(),
        reason: reason.to_string(),
    }
}

#[cold]
fn not_kept<T>(key: &str, reason: String) -> AttributeError {
    AttributeError::NotKept {
        key: key.into(),
        given: type_name::<T>(),
        reason,
    }
}

/// Whether two values say the same of themselves, in the same order.
pub(in crate::session) fn is_same<T: Serialize>(one: &T, other: &T) -> bool {
    let (one, other) = (ordered_fingerprint(one), ordered_fingerprint(other));
    one.is_ok() && one == other
}
