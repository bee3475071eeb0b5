//! Values that are kept as their JSON: texts, numbers, bools and null, if they are short.
//!
//! The types that nearly all of these have are read without a JSON parser: what it would find is
//! the same.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::any::Any;

/// The longest JSON that is kept as it is, in bytes.
pub(super) const MOST: usize = 128;

/// Whether JSON is kept as it is.
pub(in crate::session) fn is_plain(json: &str) -> bool {
    (1..=MOST).contains(&json.len()) && !json.starts_with(['[', '{'])
}

/// What JSON that is kept as it is says, for an error.
pub(super) fn kind(json: &str) -> &'static str {
    match json.as_bytes() {
        [b'"', ..] => "a text",
        [b't' | b'f', ..] => "a bool",
        [b'n', ..] => "null",
        _ => "a number",
    }
}

/// Writes a value's JSON, if that is kept as it is. None if it is longer, or of more parts.
///
/// # Errors
/// If the value cannot be written.
#[inline]
pub(super) fn write<'r, T: Serialize>(
    value: &T,
    room: &'r mut [u8; MOST],
) -> serde_json::Result<Option<&'r str>> {
    let mut rest = &mut room[..];
    match serde_json::to_writer(&mut rest, value) {
        Ok(()) => {}
        // There was no room for it.
        Err(error) if error.is_io() => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = MOST - rest.len();
    let json = str::from_utf8(&room[..length]).ok();
    Ok(json.filter(|json| is_plain(json)))
}

/// Reads a value from JSON that is kept as it is.
#[inline]
pub(super) fn read<T: DeserializeOwned + 'static>(json: &str) -> serde_json::Result<T> {
    match read_known(json) {
        Some(value) => Ok(value),
        None => serde_json::from_str(json),
    }
}

/// The value, if its type is one of those that are read without a parser. What they do not read may
/// be JSON all the same: with a fraction, say, or with white space around it.
#[inline]
fn read_known<T: 'static>(json: &str) -> Option<T> {
    let mut value = None::<T>;
    let known: &mut dyn Any = &mut value;
    if let Some(text) = known.downcast_mut() {
        *text = unescaped(json).map(String::from);
    }
    macro_rules! integers {
        ($($integer:ty)*) => {
            $(if let Some(number) = known.downcast_mut() {
                *number = digits(json).and_then(|digits| digits.parse::<$integer>().ok());
            })*
        };
    }
    integers!(u8 u16 u32 u64 usize i8 i16 i32 i64 isize);
    value
}

/// What is between the quotes of a text, if it is written as it is.
fn unescaped(json: &str) -> Option<&str> {
    let text = json.strip_prefix('"')?.strip_suffix('"')?;
    let is_escape = |byte: &u8| matches!(byte, b'\\' | b'"' | ..b' ');
    // All of them, without a branch for each.
    let escapes = text.bytes().filter(is_escape).count();
    (escapes == 0).then_some(text)
}

/// An integer as JSON has it: `parse` would also take a plus sign and zeros before it.
fn digits(json: &str) -> Option<&str> {
    let is_integer = matches!(
        json.as_bytes(),
        [b'0'] | [b'1'..=b'9', ..] | [b'-', b'1'..=b'9', ..]
    );
    is_integer.then_some(json)
}
