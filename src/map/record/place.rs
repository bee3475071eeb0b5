//! The place word of a record: one word with four meanings, one after the other.
//!
//! ```text
//!   stamp << 1 | 1           the stamp of the chain into which its inserter puts the record
//!   0b100                    awaited: the token is still that of the replaced record
//!   index << 48 | bucket     the token is, or is about to be, at this entry of a bucket
//!   next | 0b010             retired: the link of the retired list
//! ```
//!
//! Buckets and records are aligned to 8, so that no two of them look alike. Null is none of them.
//!
//! **Invariant.** Before the commit, the inserter writes the word. Then the thread that holds the
//! record's token does (see `expiry`). Once the record is retired, the retired list does. All other
//! threads only exchange what they read for none, or the mark of a successor for an entry: this
//! fails if any of the above happened in between.

use crate::sync::{AtomicPtr, Ordering};
use std::ptr;

const KIND: usize = 0b111;
const STAMP: usize = 0b001;
const LINK: usize = 0b010;
const AWAITED: usize = 0b100;
const INDEX_SHIFT: u32 = 48;
const ADDRESS: usize = (1 << INDEX_SHIFT) - 1;

/// What a place word says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Nothing.
    None,
    /// The stamp of a chain, of 63 bits.
    Stamp(usize),
    /// The token will be passed on to the record.
    Awaited,
    /// An entry of a bucket, which is aligned to 8.
    Entry { bucket: *mut (), index: usize },
    /// The next record of a retired list, or null.
    Link(*mut ()),
}

impl Place {
    #[inline(always)]
    fn encode(self) -> *mut () {
        match self {
            Self::None => ptr::null_mut(),
            Self::Stamp(stamp) => ptr::without_provenance_mut(stamp << 1 | STAMP),
            Self::Awaited => ptr::without_provenance_mut(AWAITED),
            Self::Entry { bucket, index } => {
                bucket.map_addr(|address| address | index << INDEX_SHIFT)
            }
            Self::Link(next) => next.map_addr(|address| address | LINK),
        }
    }

    #[inline(always)]
    fn decode(word: *mut ()) -> Self {
        let address = word.addr();
        match address & KIND {
            0 if address & ADDRESS == 0 => Self::None,
            0 => Self::Entry {
                bucket: word.map_addr(|address| address & ADDRESS),
                index: address >> INDEX_SHIFT,
            },
            LINK => Self::Link(word.map_addr(|address| address & !KIND)),
            AWAITED => Self::Awaited,
            _ => Self::Stamp(address >> 1),
        }
    }
}

/// The word.
#[derive(Debug)]
pub struct PlaceWord(AtomicPtr<()>);

impl PlaceWord {
    pub(super) fn new() -> Self {
        Self(AtomicPtr::new(Place::None.encode()))
    }

    #[inline(always)]
    pub fn load(&self, order: Ordering) -> Place {
        Place::decode(self.0.load(order))
    }

    /// Whether the word says this.
    #[inline(always)]
    pub fn is(&self, place: Place, order: Ordering) -> bool {
        self.0.load(order) == place.encode()
    }

    /// Writes the word. Only by the thread that the invariant names.
    #[inline(always)]
    pub fn store(&self, place: Place, order: Ordering) {
        let word = place.encode();
        if cfg!(dwell_loom) {
            // loom does not order a store and a concurrent exchange: it would let the thread that
            // has made the exchange read its outcome also when a newer place is in its sight.
            self.0.swap(word, order);
        } else {
            self.0.store(word, order);
        }
    }

    /// Exchanges what was read. False if the word was written meanwhile.
    #[inline(always)]
    pub fn compare_exchange(&self, from: Place, to: Place, order: Ordering) -> bool {
        self.0
            .compare_exchange(from.encode(), to.encode(), order, Ordering::Relaxed)
            .is_ok()
    }
}

#[cfg(all(test, not(any(dwell_loom, dwell_shuttle))))]
mod tests {
    use super::Place;
    use std::ptr;

    #[test]
    fn each_place_is_decoded_as_it_was_encoded() {
        let address = ptr::without_provenance_mut(0x7fff_ffff_fff8);
        let entry = |index| Place::Entry {
            bucket: address,
            index,
        };
        let links = [address, ptr::null_mut()].map(Place::Link);
        let stamps = [0, 1, 2, 3, usize::MAX >> 1].map(Place::Stamp);
        let others = [Place::None, Place::Awaited, entry(0), entry(1), entry(511)];
        for place in links.into_iter().chain(stamps).chain(others) {
            assert_eq!(Place::decode(place.encode()), place);
        }
    }
}
