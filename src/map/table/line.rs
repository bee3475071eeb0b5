//! A line of the table: one cache line of seven slots and a commit word; lines chain when full.
//!
//! ```text
//!   | slot 0 | slot 1 | ... | slot 6 | commit word |      commit word: a stamp, a commit, or the link to
//!      |                                           the next line of the chain
//!      +-- tag (16 bits of hash) | record | frozen
//! ```
//!
//! **Slots.** `UNSET` (zero, as allocated) until the line is ready, then `EMPTY` or a record's word.
//! A word carries 16 bits of the hash in the unused high bits of the address, so that a look-up reads
//! a record only where these agree.
//!
//! **Commit words.** The chain's last commit word serialises insertions, see `table`. It is
//! `UNSET` or a *prepared* link while the line is not ready (see `resize`); then a stamp that counts
//! insertions, or the record of a commit whose last step is still owed, or a link.
//!
//! **Frozen.** A frozen word never changes again. Bit 0 of slots and commit words.

use crate::map::record::Record;
use crate::sync::{AtomicPtr, Ordering, Trace};
use core::ptr;

/// Slots of a line: together with the commit word they fill one cache line.
pub const SLOTS: usize = if cfg!(any(dwell_loom, dwell_shuttle)) {
    2
} else {
    7
};

const TAG_SHIFT: u32 = 48;
const ADDRESS: usize = (1 << TAG_SHIFT) - 1;
const FROZEN: usize = 1;
const FLAGS: usize = 0b111;
const UNSET: usize = 0;
const EMPTY: usize = 2;

/// The part of a hash that slots remember: the low 16 bits, which do not choose the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag(u16);

impl Tag {
    #[inline]
    pub fn of(hash: u64) -> Self {
        Self(hash as u16)
    }
}

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
        Self(record.map_addr(|address| address | usize::from(tag.0) << TAG_SHIFT))
    }

    /// The record, if there is one and its tag agrees.
    #[inline]
    pub fn tagged(self, tag: Tag) -> Option<*mut Record<K, V>> {
        if self.carries(tag) {
            self.record()
        } else {
            None
        }
    }

    #[inline]
    fn carries(self, tag: Tag) -> bool {
        (self.0.addr() ^ usize::from(tag.0) << TAG_SHIFT) < 1 << TAG_SHIFT
    }

    #[inline]
    pub fn record(self) -> Option<*mut Record<K, V>> {
        let record = self.0.map_addr(|word| word & ADDRESS & !FLAGS);
        (!record.is_null()).then_some(record)
    }

    pub fn tag(self) -> Tag {
        Tag((self.0.addr() >> TAG_SHIFT) as u16)
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
        // Release: publishes the record in `word`. Relaxed on failure: who lost follows nothing. He loads the slot again,
        // or freezes the word that he lost to.
        self.0
            .compare_exchange(seen.0, word.0, Ordering::Release, Ordering::Relaxed)
            .map(drop)
            .map_err(Word)
    }

    /// Fills a slot of a line that is not ready. Who comes late changes nothing: the slot is set.
    pub fn prepare(&self, word: Word<K, V>) {
        let _ = self.put(Word::UNSET, word);
    }

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

/// A commit word's word, decoded.
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

/// A commit word's word as it was read.
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

pub struct CommitWord<K, V>(AtomicPtr<Line<K, V>>);

impl<K, V> CommitWord<K, V> {
    fn new(word: CommitValue<K, V>) -> Self {
        Self(AtomicPtr::new(word.0))
    }

    #[inline]
    pub fn load(&self) -> CommitValue<K, V> {
        // Acquire: pairs with the Release of `put`. Who reads a stamp sees the slots as they were when
        // the insertion it counts was committed; who reads a link, a complete line.
        CommitValue(self.0.load(Ordering::Acquire))
    }

    pub fn put(&self, seen: CommitValue<K, V>, word: CommitValue<K, V>) -> bool {
        // Release: pairs with `load`. Acquire on failure: who finds the commit word frozen then finds the array that
        // migrates.
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

    /// Attaches the rest of the chain to a line that is not ready. False if somebody did so before.
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
    pub slots: [Slot<K, V>; SLOTS],
    pub commit_word: CommitWord<K, V>,
    /// No size outside of loom, which reports lines that are not freed.
    _trace: Trace,
}

impl<K, V> Line<K, V> {
    /// The slots whose words carry the tag, in their order, each with its word as it is read then.
    ///
    /// All seven are compared before the first is followed: which slot it will be cannot be foretold, so that a
    /// branch for each would often be mispredicted, and hold up the look-ups behind this one.
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
        self.slots.iter().rev().fold(0, |matches, slot| {
            matches << 1 | u32::from(slot.load().carries(tag))
        })
    }

    /// The same with the processor's vectors: 16 instructions and four loads in the place of 35 and seven.
    ///
    /// What is loaded are the tags. A slot's tag changes only when it is filled, emptied or prepared, so that it does not matter
    /// whether its word is read at once or in parts: a slot that has the tag all the time is found, and others may be found or
    /// not. Who follows a match loads the word anew.
    #[cfg(all(
        target_arch = "x86_64",
        not(any(dwell_loom, dwell_shuttle, dwell_tsan))
    ))]
    #[inline(always)]
    fn matches(&self, tag: Tag) -> u32 {
        const { assert!(SLOTS == 7 && TAG_SHIFT == 48) };
        let matches: u32;
        // SAFETY: it reads the 64 bytes of this line, and writes registers only. In assembly, so that these reads beside
        // others' atomic writes are what the processor makes of them. They stay in order with the loads before and
        // after them: on x86-64 loads do, and the compiler moves no access to memory over the block.
        unsafe {
            core::arch::asm!(
                // The tag, eight times.
                "movd {tags}, {tag:e}",
                "pshuflw {tags}, {tags}, 0",
                "punpcklqdq {tags}, {tags}",
                // The upper halves of four words each.
                "movups {low}, [{line}]",
                "movups {next}, [{line} + 16]",
                "shufps {low}, {next}, 0xdd",
                "movups {high}, [{line} + 32]",
                "movups {next}, [{line} + 48]",
                "shufps {high}, {next}, 0xdd",
                // The upper halves of these, which are the tags, side by side.
                "psrad {low}, 16",
                "psrad {high}, 16",
                "packssdw {low}, {high}",
                // A bit for each.
                "pcmpeqw {low}, {tags}",
                "packsswb {low}, {low}",
                "pmovmskb {matches:e}, {low}",
                line = in(reg) self,
                tag = in(reg) u32::from(tag.0),
                tags = out(xmm_reg) _,
                low = out(xmm_reg) _,
                high = out(xmm_reg) _,
                next = out(xmm_reg) _,
                matches = out(reg) matches,
                options(nostack, preserves_flags),
            );
        }
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
