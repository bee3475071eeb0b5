//! A line of the table: one cache line of seven slots and a commit word; lines chain when full.
//!
//! ```text
//!   | slot 0 | slot 1 | ... | slot 6 | commit word |      commit word: a stamp, a commit, or the link to
//!      |                                           the next line of the chain
//!      +-- tag (16 bits of hash) | record | frozen
//! ```
//!
//! **Slots.** A slot is `UNSET` (zero, as allocated) until the line is ready, then `EMPTY` or a
//! record's word. The word carries a tag in the unused high bits of the address (see `tags`).
//!
//! **Commit words.** The chain's last commit word serialises insertions (see `insert`). It is
//! `UNSET` or a *prepared* link while the line is not ready (see `migrate`). Then it is a stamp
//! that counts insertions, or the record of a commit whose last step is still owed, or a link.
//!
//! **Frozen.** A frozen word never changes again. Bit 0 of slots and commit words. Only the words
//! of ready lines are frozen.
//!
//! **Progress.** Wait-free, but for `freeze` and `open`: each repetition means that another thread
//! changed the word.

use crate::map::record::Record;
use crate::map::table::tags::{self, TAG_SHIFT, Tag};
use crate::sync::{AtomicPtr, Ordering, Trace};
use crate::tuning::table::SLOTS;
use core::ptr;

const ADDRESS: usize = (1 << TAG_SHIFT) - 1;
const FROZEN: usize = 1;
const FLAGS: usize = 0b111;
const UNSET: usize = 0;
const EMPTY: usize = 2;

/// A slot's word as it was read.
pub struct Word<K, V>(*mut Record<K, V>);

impl<K, V> Clone for Word<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K, V> Copy for Word<K, V> {}

impl<K, V> Word<K, V> {
    pub const EMPTY: Self = Self(ptr::without_provenance_mut(EMPTY));
    const UNSET: Self = Self(ptr::without_provenance_mut(UNSET));

    pub fn new(record: *mut Record<K, V>, tag: Tag) -> Self {
        Self(record.map_addr(|address| address | tag.as_word()))
    }

    /// The record, if there is one and its tag agrees.
    #[inline]
    pub fn tagged(self, tag: Tag) -> Option<*mut Record<K, V>> {
        if tag.is_in(self.0.addr()) {
            self.record()
        } else {
            None
        }
    }

    #[inline]
    pub fn record(self) -> Option<*mut Record<K, V>> {
        let record = self.0.map_addr(|word| word & ADDRESS & !FLAGS);
        (!record.is_null()).then_some(record)
    }

    /// The tag that the word carries.
    pub fn tag(self) -> Tag {
        Tag::of_word(self.0.addr())
    }

    /// The same word with another record of the same key in it.
    pub fn with(self, record: &Record<K, V>) -> Self {
        let rest = self.0.addr() & !(ADDRESS & !FLAGS);
        Self(
            ptr::from_ref(record)
                .cast_mut()
                .map_addr(|address| address | rest),
        )
    }

    pub fn is_empty(self) -> bool {
        self.0.addr() == EMPTY
    }

    pub fn is_frozen(self) -> bool {
        self.0.addr() & FROZEN != 0
    }

    fn frozen(self) -> Self {
        Self(self.0.map_addr(|word| word | FROZEN))
    }

    /// The word as it was before it was frozen.
    pub fn thawed(self) -> Self {
        Self(self.0.map_addr(|word| word & !FROZEN))
    }
}

/// A place for one record.
pub struct Slot<K, V>(AtomicPtr<Record<K, V>>);

impl<K, V> Slot<K, V> {
    fn new(word: Word<K, V>) -> Self {
        Self(AtomicPtr::new(word.0))
    }

    #[inline]
    pub fn load(&self) -> Word<K, V> {
        // Acquire: pairs with the Release of `put`, so that the record is complete; and keeps the
        // loads of a scan in order, the commit word last.
        Word(self.0.load(Ordering::Acquire))
    }

    /// Puts `word` in the place of `seen`.
    pub fn put(&self, seen: Word<K, V>, word: Word<K, V>) -> Result<(), Word<K, V>> {
        // Release: pairs with the Acquire of `load`, and publishes the record in `word`. Relaxed on
        // failure: the thread does not follow the word that it lost to. It loads the slot again, or
        // freezes that word.
        self.0
            .compare_exchange(seen.0, word.0, Ordering::Release, Ordering::Relaxed)
            .map(drop)
            .map_err(Word)
    }

    /// Fills a slot of a line that is not ready. A late helper changes nothing, since the slot is
    /// set.
    pub fn prepare(&self, word: Word<K, V>) {
        let _ = self.put(Word::UNSET, word);
    }

    /// Ends all changes of the slot. Returns the word that stays.
    pub fn freeze(&self) -> Word<K, V> {
        let mut seen = self.load();
        while !seen.is_frozen() {
            match self.put(seen, seen.frozen()) {
                Ok(()) => return seen.frozen(),
                Err(newer) => seen = newer,
            }
        }
        seen
    }
}

/// What a commit word says.
pub enum CommitState<K, V> {
    /// The line is not ready, and its chain has no further line.
    Unset,
    /// The line is not ready; this is the rest of its chain.
    Prepared(*mut Line<K, V>),
    /// Counts the insertions into the chain.
    Stamp(usize),
    /// This record was inserted; its life has to be started, and then the commit word stamped anew.
    Commit(*mut Record<K, V>),
    /// The chain goes on.
    Link(*mut Line<K, V>),
}

/// A commit word as it was read.
pub struct CommitValue<K, V>(*mut Line<K, V>);

impl<K, V> Clone for CommitValue<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K, V> Copy for CommitValue<K, V> {}

const KIND: usize = 0b110;
const STAMP: usize = 0b010;
const COMMIT: usize = 0b100;
const LINK: usize = 0b110;

impl<K, V> CommitValue<K, V> {
    const UNSET: Self = Self(ptr::null_mut());

    pub fn stamp(count: usize) -> Self {
        Self(ptr::without_provenance_mut(count << 3 | STAMP))
    }

    pub fn commit(record: *mut Record<K, V>) -> Self {
        Self(record.map_addr(|address| address | COMMIT).cast())
    }

    pub fn link(line: *mut Line<K, V>) -> Self {
        Self(line.map_addr(|address| address | LINK))
    }

    fn prepared(line: *mut Line<K, V>) -> Self {
        Self(line)
    }

    pub fn is_frozen(self) -> bool {
        self.0.addr() & FROZEN != 0
    }

    #[inline]
    pub fn is_ready(self) -> bool {
        self.0.addr() & KIND != 0
    }

    pub fn decode(self) -> CommitState<K, V> {
        let target = self.0.map_addr(|word| word & !FLAGS);
        match self.0.addr() & KIND {
            STAMP => CommitState::Stamp(self.0.addr() >> 3),
            COMMIT => CommitState::Commit(target.cast()),
            LINK => CommitState::Link(target),
            _ if target.is_null() => CommitState::Unset,
            _ => CommitState::Prepared(target),
        }
    }
}

/// The last word of a line.
pub struct CommitWord<K, V>(AtomicPtr<Line<K, V>>);

impl<K, V> CommitWord<K, V> {
    fn new(word: CommitValue<K, V>) -> Self {
        Self(AtomicPtr::new(word.0))
    }

    #[inline]
    pub fn load(&self) -> CommitValue<K, V> {
        // Acquire: pairs with the Release of `put`. A thread that reads a stamp sees the slots as
        // they were when the insertion that it counts was committed. A thread that reads a link
        // sees a complete line.
        CommitValue(self.0.load(Ordering::Acquire))
    }

    /// Puts `word` in the place of `seen`. True if it did.
    pub fn put(&self, seen: CommitValue<K, V>, word: CommitValue<K, V>) -> bool {
        // Release: pairs with the Acquire of `load`. Acquire on failure: pairs with the Release of
        // the thread that froze the word, so that this thread then finds the next array.
        self.0
            .compare_exchange(seen.0, word.0, Ordering::Release, Ordering::Acquire)
            .is_ok()
    }

    /// No insertion passes this commit word any more.
    pub fn freeze(&self) -> CommitValue<K, V> {
        loop {
            let seen = self.load();
            if seen.is_frozen() {
                return seen;
            }
            let frozen = CommitValue(seen.0.map_addr(|word| word | FROZEN));
            if self.put(seen, frozen) {
                return frozen;
            }
        }
    }

    /// Attaches the rest of the chain to a line that is not ready. False if another thread did so
    /// before.
    pub fn prepare(&self, rest: *mut Line<K, V>) -> bool {
        self.put(CommitValue::UNSET, CommitValue::prepared(rest))
    }

    /// Makes the line ready. True for exactly one caller.
    pub fn open(&self) -> bool {
        loop {
            let seen = self.load();
            let open = match seen.decode() {
                CommitState::Unset => CommitValue::stamp(1),
                CommitState::Prepared(rest) => CommitValue::link(rest),
                _ => return false,
            };
            if self.put(seen, open) {
                return true;
            }
        }
    }
}

/// A cache line of a table, or of a chain.
#[repr(C)]
pub struct Line<K, V> {
    /// Records, in no order.
    pub slots: [Slot<K, V>; SLOTS],
    /// The commit word, or the link to the next line.
    pub commit_word: CommitWord<K, V>,
    /// No size outside of loom, which reports lines that are not freed.
    _trace: Trace,
}

impl<K, V> Line<K, V> {
    /// The slots whose words carry the tag, in their order, each with its word as it is read then.
    #[inline(always)]
    pub fn tagged(&self, tag: Tag) -> impl Iterator<Item = (&Slot<K, V>, Word<K, V>)> {
        let mut matches = self.matches(tag);
        core::iter::from_fn(move || {
            if matches == 0 {
                return None;
            }
            let slot = &self.slots[matches.trailing_zeros() as usize];
            matches &= matches - 1;
            Some((slot, slot.load()))
        })
    }

    /// A bit for each slot whose word carries the tag.
    #[cfg(any(not(target_arch = "x86_64"), dwell_loom, dwell_shuttle, dwell_tsan))]
    #[inline(always)]
    fn matches(&self, tag: Tag) -> u32 {
        tags::matches_scalar(self.slots.iter().map(|slot| slot.load().0.addr()), tag)
    }

    /// The same with the processor's vectors.
    #[cfg(all(
        target_arch = "x86_64",
        not(any(dwell_loom, dwell_shuttle, dwell_tsan))
    ))]
    #[inline(always)]
    fn matches(&self, tag: Tag) -> u32 {
        const { assert!(SLOTS == 7 && size_of::<Self>() == 64) };
        // SAFETY: a line is 64 initialized bytes, and `self` is borrowed during the call. All
        // writes to it are atomic.
        let matches = unsafe { tags::matches_vector(ptr::from_ref(self).cast(), tag) };
        // Without the commit word.
        matches & ((1 << SLOTS) - 1)
    }

    /// As fresh memory of a table is: every word zero.
    #[cfg(any(dwell_loom, dwell_shuttle))]
    pub fn unset() -> Self {
        Self {
            slots: core::array::from_fn(|_| Slot::new(Word::UNSET)),
            commit_word: CommitWord::new(CommitValue::UNSET),
            _trace: Trace::new(),
        }
    }

    /// A line for the end of a chain, holding `words`.
    pub fn holding(words: &[Word<K, V>], commit_word: CommitValue<K, V>) -> Box<Self> {
        Box::new(Self {
            slots: core::array::from_fn(|slot| {
                Slot::new(words.get(slot).copied().unwrap_or(Word::EMPTY))
            }),
            commit_word: CommitWord::new(commit_word),
            _trace: Trace::new(),
        })
    }
}
