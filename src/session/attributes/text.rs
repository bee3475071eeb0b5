//! Attributes as one text: entries in order of their names, each a name and what is under it.
//!
//! ```text
//!   length of the name | name | length of the JSON | JSON
//! ```
//!
//! What has no JSON in the text, of length zero, is beside it: the first such entry's is the first
//! part beside the text, and so on. Lengths are digits of six bits, the lowest first, of which all
//! but the last have a seventh bit: so they are ASCII, and the whole is a `str`.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

const DIGIT_BITS: u32 = 6;
const DIGIT: usize = (1 << DIGIT_BITS) - 1;
const MORE: usize = 1 << DIGIT_BITS;

/// Where an entry of a text is.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// All of it.
    pub(super) entry: Range<usize>,
    pub(super) name: Range<usize>,
    /// Empty, if its content is beside the text.
    pub(super) json: Range<usize>,
    /// How many entries before it have their content beside the text.
    pub(super) part: usize,
}

impl Place {
    pub(super) fn is_part(&self) -> bool {
        self.json.is_empty()
    }

    #[inline(always)]
    fn at(text: &[u8], at: usize, part: usize) -> Self {
        let (name, start) = length(text, at);
        let end = start + name;
        let (json, from) = length(text, end);
        Self {
            entry: at..from + json,
            name: start..end,
            json: from..from + json,
            part,
        }
    }

    /// Where the next one begins, and how many parts come before that one.
    #[inline(always)]
    fn next(&self) -> (usize, usize) {
        (self.entry.end, self.part + usize::from(self.is_part()))
    }
}

/// Reads the length at a place, and what place is behind it.
#[inline(always)]
fn length(text: &[u8], at: usize) -> (usize, usize) {
    match usize::from(text[at]) {
        digit if digit < MORE => (digit, at + 1),
        digit => more_digits(text, digit & DIGIT, at + 1),
    }
}

#[cold]
fn more_digits(text: &[u8], mut length: usize, mut at: usize) -> (usize, usize) {
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
#[inline]
fn push_length(text: &mut String, mut length: usize) {
    while length > DIGIT {
        text.push(char::from((length & DIGIT | MORE) as u8));
        length >>= DIGIT_BITS;
    }
    text.push(char::from(length as u8));
}

/// Writes an entry to the end; one without JSON has its content beside the text.
fn push(text: &mut String, name: &str, json: &str) {
    push_length(text, name.len());
    text.push_str(name);
    push_length(text, json.len());
    text.push_str(json);
}

thread_local! {
    /// Where texts are put together: their length is not known before.
    static DRAFT: RefCell<String> = const { RefCell::new(String::new()) };
}

/// A longer draft is not kept.
const LONGEST_DRAFT: usize = 4_096;

/// A text that `write` puts together.
fn written(write: impl Fn(&mut String)) -> Arc<str> {
    let drafted = DRAFT.try_with(|draft| {
        let mut draft = draft.borrow_mut();
        draft.clear();
        write(&mut draft);
        let text = Arc::from(draft.as_str());
        if draft.capacity() > LONGEST_DRAFT {
            *draft = String::new();
        }
        text
    });
    drafted.unwrap_or_else(|_| {
        // The thread is exiting.
        let mut draft = String::new();
        write(&mut draft);
        draft.into()
    })
}

/// A text of these entries, each a name and its JSON.
pub(super) fn of<const N: usize>(entries: [(&str, &str); N]) -> Arc<str> {
    written(|copy| {
        entries
            .iter()
            .for_each(|(name, json)| push(copy, name, json))
    })
}

/// A copy with one more entry, at a place in the text.
pub(super) fn with_entry(text: &str, at: usize, name: &str, json: &str) -> Arc<str> {
    written(|copy| {
        copy.push_str(&text[..at]);
        push(copy, name, json);
        copy.push_str(&text[at..]);
    })
}

/// A copy with other JSON in an entry.
pub(super) fn with_json(text: &str, place: &Place, json: &str) -> Arc<str> {
    written(|copy| {
        copy.push_str(&text[..place.name.end]);
        push_length(copy, json.len());
        copy.push_str(json);
        copy.push_str(&text[place.entry.end..]);
    })
}

/// A copy without an entry; none if nothing is left.
pub(super) fn without_entry(text: &str, place: &Place) -> Option<Arc<str>> {
    let (before, behind) = (&text[..place.entry.start], &text[place.entry.end..]);
    let is_left = place.entry.len() < text.len();
    is_left.then(|| {
        written(|copy| {
            copy.push_str(before);
            copy.push_str(behind);
        })
    })
}

/// Finds what is under a name. Cost: in proportion to the entries before it.
#[inline]
pub(super) fn find(text: &str, name: &str) -> Option<Place> {
    let bytes = text.as_bytes();
    let (mut at, mut part) = (0, 0);
    while at < bytes.len() {
        let place = Place::at(bytes, at, part);
        if bytes[place.name.clone()] == *name.as_bytes() {
            return Some(place);
        }
        (at, part) = place.next();
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
    type Item = (&'t str, Place);

    fn next(&mut self) -> Option<(&'t str, Place)> {
        if self.at == self.text.len() {
            return None;
        }
        let place = Place::at(self.text.as_bytes(), self.at, self.part);
        (self.at, self.part) = place.next();
        Some((&self.text[place.name.clone()], place))
    }
}

/// Where a name that is not there belongs: a place in the text, and how many parts come before it.
pub(super) fn place_for(text: &str, name: &str) -> (usize, usize) {
    let (mut at, mut part) = (0, 0);
    for (_, place) in entries(text).take_while(|(before, _)| *before < name) {
        (at, part) = place.next();
    }
    (at, part)
}
