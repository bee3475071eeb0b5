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
    let (words, rest) = text.as_bytes().as_chunks();
    let in_words = words
        .iter()
        .fold(0, |found, word| found | special(u64::from_ne_bytes(*word)));
    let is_special = |byte: &u8| matches!(byte, b'\\' | b'"' | ..b' ');
    (in_words == 0 && !rest.iter().any(is_special)).then_some(text)
}

/// Not zero if one of eight characters has to be escaped in JSON: a quote, a backslash, a control
/// character. The high bit of a byte tells that it is less than another one, which holds for the
/// lowest such byte, and may be wrong above it.
fn special(word: u64) -> u64 {
    const EACH: u64 = u64::MAX / 0xff;
    let is_less = |word: u64, than: u8| word.wrapping_sub(EACH * u64::from(than)) & !word;
    let is = |byte: u8| is_less(word ^ (EACH * u64::from(byte)), 1);
    (is_less(word, b' ') | is(b'"') | is(b'\\')) & (EACH * 0x80)
}

/// An integer as JSON has it: `parse` would also take a plus sign and zeros before it.
fn digits(json: &str) -> Option<&str> {
    let is_integer = matches!(
        json.as_bytes(),
        [b'0'] | [b'1'..=b'9', ..] | [b'-', b'1'..=b'9', ..]
    );
    is_integer.then_some(json)
}

#[cfg(test)]
mod tests {
    use super::read;

    /// Each character at each place of texts of each length up to two words.
    #[test]
    fn a_text_is_read_as_a_parser_reads_it() {
        for length in 0..17 {
            for at in 0..length {
                for character in ('\0'..='\u{ff}').chain(['\u{2028}', '\u{1f600}']) {
                    let mut text: Vec<_> = vec!['a'; length];
                    text[at] = character;
                    let text = String::from_iter(text);
                    let json = serde_json::to_string(&text).unwrap();
                    assert_eq!(read::<String>(&json).unwrap(), text);
                    // As no writer of JSON writes it.
                    let raw = format!("\"{text}\"");
                    let parsed = serde_json::from_str::<String>(&raw);
                    assert_eq!(read::<String>(&raw).ok(), parsed.ok(), "{raw:?}");
                }
            }
        }
    }

    #[test]
    fn a_number_is_read_as_a_parser_reads_it() {
        let texts = [
            "0",
            "-0",
            "00",
            "01",
            "+1",
            "1",
            "-1",
            "255",
            "256",
            "-128",
            "-129",
            "1.0",
            "1e2",
            " 1",
            "1 ",
            "18446744073709551615",
            "18446744073709551616",
            "-9223372036854775808",
            "",
            "-",
            "\"1\"",
            "null",
            "true",
        ];
        for text in texts {
            assert_eq!(
                read::<u8>(text).ok(),
                serde_json::from_str(text).ok(),
                "{text}"
            );
            assert_eq!(
                read::<i8>(text).ok(),
                serde_json::from_str(text).ok(),
                "{text}"
            );
            assert_eq!(
                read::<u64>(text).ok(),
                serde_json::from_str(text).ok(),
                "{text}"
            );
            assert_eq!(
                read::<i64>(text).ok(),
                serde_json::from_str(text).ok(),
                "{text}"
            );
            assert_eq!(
                read::<f64>(text).ok(),
                serde_json::from_str(text).ok(),
                "{text}"
            );
            assert_eq!(
                read::<bool>(text).ok(),
                serde_json::from_str(text).ok(),
                "{text}"
            );
        }
    }
}
