//! Attributes as one text: entries in order of their names, each a name and what is under it.
//!
//! ```text
//!   length of the name | name | length of the JSON | JSON
//! ```
//!
//! What has no JSON in the text, of length zero, is beside it: the first such entry's is the first
//! part beside the text, and so on. Lengths are digits of six bits, the lowest first, of which all
//! but the last have a seventh bit: so they are ASCII, and the whole is a `str`.

use std::cmp::Ordering;
use std::ops::Range;

const DIGIT_BITS: u32 = 6;
const DIGIT: usize = (1 << DIGIT_BITS) - 1;
const MORE: usize = 1 << DIGIT_BITS;

/// An entry of a text.
#[derive(Debug, Clone)]
pub(super) struct Entry<'t> {
    /// Where it is in the text.
    pub(super) place: Range<usize>,
    pub(super) name: &'t str,
    /// Where its JSON is in the text.
    pub(super) json: Range<usize>,
    /// How many entries before it have their content beside the text.
    pub(super) part: usize,
}

impl Entry<'_> {
    /// Whether its content is beside the text.
    pub(super) fn is_part(&self) -> bool {
        self.json.is_empty()
    }
}

/// Reads the length at a place, and what place is behind it.
#[inline]
fn length(text: &[u8], mut at: usize) -> (usize, usize) {
    let first = usize::from(text[at]);
    at += 1;
    if first < MORE {
        return (first, at);
    }
    let mut length = first & DIGIT;
    for shift in (DIGIT_BITS..).step_by(DIGIT_BITS as usize) {
        let digit = usize::from(text[at]);
        at += 1;
        length |= (digit & DIGIT) << shift;
        if digit < MORE {
            break;
        }
    }
    (length, at)
}

/// Writes a length to the end.
fn push_length(text: &mut String, mut length: usize) {
    while length > DIGIT {
        text.push(char::from((length & DIGIT | MORE) as u8));
        length >>= DIGIT_BITS;
    }
    text.push(char::from(length as u8));
}

/// Writes an entry to the end; one without JSON has its content beside the text.
pub(super) fn push(text: &mut String, name: &str, json: &str) {
    push_length(text, name.len());
    text.push_str(name);
    push_length(text, json.len());
    text.push_str(json);
}

/// Where an entry's parts are.
struct Places {
    name: Range<usize>,
    json: Range<usize>,
}

#[inline]
fn places(text: &[u8], at: usize) -> Places {
    let (name, start) = length(text, at);
    let end = start + name;
    let (json, from) = length(text, end);
    Places {
        name: start..end,
        json: from..from + json,
    }
}

/// Finds what is under a name. Cost: in proportion to the entries before it.
#[inline]
pub(super) fn find<'t>(text: &'t str, name: &str) -> Option<Entry<'t>> {
    let bytes = text.as_bytes();
    let (mut at, mut part) = (0, 0);
    while at < bytes.len() {
        let here = places(bytes, at);
        if here.name.len() == name.len() && bytes[here.name.clone()] == *name.as_bytes() {
            return Some(Entry {
                place: at..here.json.end,
                name: &text[here.name],
                json: here.json,
                part,
            });
        }
        part += usize::from(here.json.is_empty());
        at = here.json.end;
    }
    None
}

/// All entries.
pub(super) fn entries(text: &str) -> Entries<'_> {
    Entries {
        text,
        at: 0,
        part: 0,
    }
}

/// The entries of a text, in order.
#[derive(Debug, Clone)]
pub(super) struct Entries<'t> {
    text: &'t str,
    at: usize,
    part: usize,
}

impl<'t> Iterator for Entries<'t> {
    type Item = Entry<'t>;

    fn next(&mut self) -> Option<Entry<'t>> {
        if self.at == self.text.len() {
            return None;
        }
        let here = places(self.text.as_bytes(), self.at);
        let entry = Entry {
            place: self.at..here.json.end,
            name: &self.text[here.name],
            json: here.json,
            part: self.part,
        };
        self.at = entry.place.end;
        self.part += usize::from(entry.is_part());
        Some(entry)
    }
}

/// Where a name that is not there belongs: a place in the text, and how many parts come before it.
pub(super) fn place_for(text: &str, name: &str) -> (usize, usize) {
    let behind = entries(text).find(|entry| entry.name.cmp(name) == Ordering::Greater);
    let parts = || entries(text).filter(Entry::is_part).count();
    behind.map_or_else(
        || (text.len(), parts()),
        |entry| (entry.place.start, entry.part),
    )
}
