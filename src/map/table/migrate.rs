//! The table's array of lines, and how one array migrates from another.
//!
//! An array has 2^bits lines. The next one has more or fewer, or as many: a chain never becomes shorter, and where
//! records come and go each of them would get a further line in time. The smaller of the two counts is the
//! number of *units*: the lines of a unit hold the same part of the hash space in both arrays. A unit
//! is migrated as a whole, on first use or by writers that each take a few units along.
//!
//! **Migrating a unit**, done by anybody, by several at once, all doing the same:
//! 1. If one of the new lines is ready, go to 5: the old words must not be read any more.
//! 2. Freeze the old chains: the last commit words first (a commit found there is completed), then all slots.
//!    From here on no insertion can be committed there, and no slot changes.
//! 3. Copy every word, dead and pending records too, in the order of the old lines, to the new lines:
//!    each new line's first seven by exchange from `UNSET`, the rest into lines of its own that are
//!    attached to its commit word as *prepared*.
//! 4. Set the remaining `UNSET` slots to `EMPTY`.
//! 5. Open the new commit words: `UNSET` becomes a stamp, *prepared* a link.
//!
//! **Why a late helper does no harm.** All copy the same words to the same places, because step 3 looks
//! at nothing that can change once frozen. When the first commit word opens, every new slot and every prepared
//! chain is set, so that each exchange of a late helper fails. A record can be retired only after it was
//! unlinked from a ready line, hence after a helper that saw no ready line was pinned.
//!
//! **Progress.** Lock-free; the work for one unit is bounded by the length of its chains.

use crate::map::context::Context;
use crate::map::record::Record;
use crate::map::table::array::Array;
use crate::map::table::line::{CommitState, CommitValue, Line, SLOTS, Slot, Word};
use crate::map::table::{Table, forward_all};
use crate::reclaim::Reclaim;
use crate::sync::{AtomicPtr, AtomicUsize, Ordering};
use crossbeam_utils::CachePadded;
use std::ops::Range;
use std::ptr;

/// Arrays are not smaller than this.
pub const LEAST_BITS: u32 = if cfg!(any(dwell_loom, dwell_shuttle)) {
    1
} else {
    3
};
/// Arrays are not larger than this; records remember 32 bits of hash.
const MOST_BITS: u32 = 31;
/// An array grows when it has more than this many records in two lines.
const CROWDED: usize = 9;
/// It is replaced by one of its size when it has more than one further line for so many lines.
const LONG: usize = 2;
/// It shrinks when it has fewer than this many records in four lines.
const SPARSE: usize = 3;
/// And by at most this many bits, to bound the size of a unit.
const SHRINK_BITS: u32 = 2;

/// An array of lines.
pub struct Lines<K, V> {
    /// This array, as it was allocated.
    pointer: *mut Self,
    bits: u32,
    lines: Array<K, V>,
    /// The array that this one migrates from, until it has.
    previous: AtomicPtr<Lines<K, V>>,
    /// The next unit for writers to take along.
    cursor: AtomicUsize,
    /// Units that were migrated.
    taken_over: AtomicUsize,
    /// All units below this one were migrated, as far as collections know.
    settled: AtomicUsize,
    /// Lines that were linked to chains since this array is the current one.
    further: CachePadded<AtomicUsize>,
}

/// The number of bits for a number of records.
pub fn bits_for(records: usize) -> u32 {
    let lines = (records * 2 / CROWDED).max(1);
    (usize::BITS - lines.leading_zeros()).clamp(LEAST_BITS, MOST_BITS)
}

impl<K: 'static, V: 'static> Lines<K, V> {
    /// A first array: every line ready.
    pub fn first(bits: u32) -> *mut Self {
        let pointer = Self::new(bits, ptr::null_mut());
        // SAFETY: just made.
        let lines = unsafe { &*pointer };
        for index in 0..lines.len() {
            let line = lines.line(index);
            for slot in &line.slots {
                slot.prepare(Word::EMPTY);
            }
            line.commit_word.open();
        }
        pointer
    }

    fn new(bits: u32, previous: *mut Self) -> *mut Self {
        let pointer = Box::into_raw(Box::new(Self {
            pointer: ptr::null_mut(),
            bits,
            lines: Array::new(1 << bits),
            previous: AtomicPtr::new(previous),
            cursor: AtomicUsize::new(0),
            taken_over: AtomicUsize::new(0),
            settled: AtomicUsize::new(0),
            further: CachePadded::new(AtomicUsize::new(0)),
        }));
        // SAFETY: just made, and nobody else knows it.
        unsafe { (*pointer).pointer = pointer };
        pointer
    }

    pub fn len(&self) -> usize {
        1 << self.bits
    }

    pub fn bits(&self) -> u32 {
        self.bits
    }

    #[inline]
    pub fn index(&self, hash: u32) -> usize {
        (u64::from(hash) >> (32 - self.bits)) as usize
    }

    pub fn line(&self, index: usize) -> &Line<K, V> {
        self.lines.line(index)
    }

    /// Counts a line that was linked to a chain.
    pub fn count_further(&self) {
        // Relaxed: a count.
        self.further.fetch_add(1, Ordering::Relaxed);
    }

    /// The head of the chain for a hash, after its unit was migrated.
    #[inline]
    pub fn ready_line<'v>(&'v self, hash: u32, context: &'v Context<'_, K, V>) -> &'v Line<K, V> {
        let index = self.index(hash);
        let line = self.line(index);
        if !line.commit_word.load().is_ready() {
            self.migrate_line(index, context);
        }
        line
    }

    #[cold]
    fn migrate_line(&self, index: usize, context: &Context<'_, K, V>) {
        // Without a previous array, the line has become ready meanwhile.
        if let Some(old) = self.previous(context) {
            let unit = index >> (self.bits - self.unit_bits(old));
            self.migrate(unit, old, context);
        }
    }

    fn previous<'v>(&self, _context: &'v Context<'_, K, V>) -> Option<&'v Self> {
        // Acquire: pairs with the Release in `detach`: who sees none sees every line ready.
        let previous = self.previous.load(Ordering::Acquire);
        // SAFETY: an array is retired after it was detached, and the thread is pinned.
        unsafe { previous.as_ref() }
    }

    fn unit_bits(&self, old: &Self) -> u32 {
        self.bits.min(old.bits)
    }

    /// The lines of a unit.
    fn unit(&self, unit: usize, unit_bits: u32) -> Range<usize> {
        let shift = self.bits - unit_bits;
        unit << shift..(unit + 1) << shift
    }

    /// Whether there is an array that this one still migrates from.
    pub fn is_taking_over(&self) -> bool {
        // Relaxed: a hint.
        !self.previous.load(Ordering::Relaxed).is_null()
    }

    /// migrates the next few units.
    pub fn migrate_some(&self, units: usize, context: &Context<'_, K, V>) {
        let Some(old) = self.previous(context) else {
            return;
        };
        let total = 1 << self.unit_bits(old);
        // Relaxed: the cursor only spreads the work. Units that somebody claimed and did not get to are
        // migrated on first use, or by `go_on`.
        let first = self.cursor.fetch_add(units, Ordering::Relaxed);
        for unit in first.min(total)..total.min(first + units) {
            self.migrate(unit, old, context);
        }
    }

    /// migrates up to so many of the units that are left, in order, also those that somebody has claimed and not got to.
    /// False if none was left.
    pub fn migrate_rest(&self, units: usize, context: &Context<'_, K, V>) -> bool {
        let Some(old) = self.previous(context) else {
            return false;
        };
        let total = 1 << self.unit_bits(old);
        // Acquire: pairs with the exchange below, so that who detaches comes after all units are open.
        let first = self.settled.load(Ordering::Acquire);
        let end = first.saturating_add(units).min(total);
        for unit in first..end {
            self.migrate(unit, old, context);
        }
        if end < total {
            // Relaxed on failure: somebody else has got further.
            let _ = self
                .settled
                .compare_exchange(first, end, Ordering::AcqRel, Ordering::Relaxed);
        } else {
            // Somebody who has opened a unit may have stopped before counting it.
            self.detach(old, context);
        }
        true
    }

    /// migrates all that is left.
    pub fn finish(&self, context: &Context<'_, K, V>) {
        self.migrate_rest(usize::MAX, context);
    }

    fn migrate(&self, unit: usize, old: &Self, context: &Context<'_, K, V>) {
        let unit_bits = self.unit_bits(old);
        let mine = self.unit(unit, unit_bits);
        let theirs = old.unit(unit, unit_bits);
        if !mine
            .clone()
            .any(|index| self.line(index).commit_word.load().is_ready())
        {
            for index in theirs.clone() {
                freeze(old.line(index), context);
            }
            for index in mine.clone() {
                self.copy(index, old, theirs.clone(), context);
            }
        }
        let mut opened_first = false;
        for index in mine.clone() {
            let opened = self.line(index).commit_word.open();
            opened_first |= opened && index == mine.start;
        }
        if opened_first {
            for index in theirs {
                retire_rest(old.line(index), context);
            }
            // AcqRel: the last one comes after all units are open.
            let before = self.taken_over.fetch_add(1, Ordering::AcqRel);
            if before + 1 == 1 << unit_bits {
                self.detach(old, context);
            }
        }
    }

    /// Copies what belongs to one new line from a unit's frozen old lines, and leaves no slot unset.
    fn copy(&self, index: usize, old: &Self, theirs: Range<usize>, context: &Context<'_, K, V>) {
        let line = self.line(index);
        let mut copied = 0;
        let mut rest = Vec::new();
        for old_index in theirs {
            for word in frozen_words(old.line(old_index)) {
                let Some(record) = word.record() else {
                    continue;
                };
                // SAFETY: no line of the unit was ready when the thread was pinned already, so that the
                // record was not unlinked before; it is not retired under this guard.
                let hash = || unsafe { context.at(record) }.hash();
                // All of a unit belongs to its one line, if it has no more.
                if self.bits > old.bits && self.index(hash()) != index {
                    continue;
                }
                match line.slots.get(copied) {
                    Some(slot) => slot.prepare(word.thawed()),
                    None => rest.push(word.thawed()),
                }
                copied += 1;
            }
        }
        for slot in line.slots.iter().skip(copied) {
            slot.prepare(Word::EMPTY);
        }
        if !rest.is_empty() {
            let chain = chain_of(&rest);
            if !line.commit_word.prepare(chain) {
                // SAFETY: the chain was not attached, so that nobody else knows it.
                unsafe { free_chain(chain) };
            }
        }
    }

    /// All units were migrated.
    fn detach(&self, old: &Self, context: &Context<'_, K, V>) {
        let pointer = old.pointer;
        // Release: pairs with `previous`.
        let detached = self.previous.compare_exchange(
            pointer,
            ptr::null_mut(),
            Ordering::Release,
            Ordering::Relaxed,
        );
        if detached.is_ok() {
            // SAFETY: detached once; all its lines were migrated, so that nobody who pins from now on
            // comes to it.
            unsafe { context.guard.defer(move || drop(Box::from_raw(pointer))) };
        }
    }
}

/// Ends insertions into an old chain, and then every change of its slots.
fn freeze<K: 'static, V: 'static>(head: &Line<K, V>, context: &Context<'_, K, V>) {
    let mut line = head;
    loop {
        match line.commit_word.freeze().decode() {
            // SAFETY: the lines of a chain are retired once their unit was migrated, not under the
            // guard of a context that found no new line ready.
            CommitState::Link(next) => line = unsafe { &*next },
            CommitState::Commit(record) => {
                // SAFETY: a record that a frozen commit word names is not filed, and so not retired, before the
                // unit is migrated.
                let record = unsafe { context.at(record) };
                record.status.commit();
                break;
            }
            _ => break,
        }
    }
    for line in chain(head) {
        for slot in &line.slots {
            slot.freeze();
        }
    }
}

/// The lines of a chain.
pub fn chain<K, V>(head: &Line<K, V>) -> impl Iterator<Item = &Line<K, V>> {
    std::iter::successors(Some(head), |line| match line.commit_word.load().decode() {
        // SAFETY: a linked line lives as long as the chain's head may be used by its borrower.
        CommitState::Link(next) => Some(unsafe { &*next }),
        _ => None,
    })
}

fn frozen_words<K, V>(head: &Line<K, V>) -> impl Iterator<Item = Word<K, V>> {
    chain(head).flat_map(|line| line.slots.iter().map(Slot::load))
}

/// New lines that hold `words`, in order.
fn chain_of<K, V>(words: &[Word<K, V>]) -> *mut Line<K, V> {
    let mut commit_word = CommitValue::stamp(1);
    let mut head = ptr::null_mut();
    for part in words.chunks(SLOTS).rev() {
        head = Box::into_raw(Line::holding(part, commit_word));
        commit_word = CommitValue::link(head);
    }
    head
}

/// # Safety
/// The chain's lines came from boxes, and nobody else can reach them.
pub(super) unsafe fn free_chain<K, V>(head: *mut Line<K, V>) {
    let mut next = head;
    while !next.is_null() {
        // SAFETY: the caller's promise.
        let line = unsafe { Box::from_raw(next) };
        next = match line.commit_word.load().decode() {
            CommitState::Link(line) => line,
            _ => ptr::null_mut(),
        };
    }
}

/// Retires the lines that were linked to a line of an array whose unit was migrated.
fn retire_rest<K: 'static, V: 'static>(head: &Line<K, V>, context: &Context<'_, K, V>) {
    if let CommitState::Link(rest) = head.commit_word.load().decode() {
        // SAFETY: called by the one thread that opened the unit's first line. From then on nobody
        // reads the old chain who was not pinned before.
        unsafe { context.guard.defer(move || free_chain(rest)) };
    }
}

impl<K: 'static, V: 'static> Table<K, V> {
    /// Starts a larger or smaller array if the number of records asks for it.
    pub fn fit(&self, records: usize, least_bits: u32, context: &Context<'_, K, V>) -> bool {
        let lines = self.lines(&context.guard);
        if lines.is_taking_over() {
            return false;
        }
        let bits = if records * 2 > lines.len() * CROWDED {
            (lines.bits + 1).min(MOST_BITS)
        } else if records * 4 < lines.len() * SPARSE {
            bits_for(records)
                .max(least_bits)
                .max(lines.bits.saturating_sub(SHRINK_BITS))
                .min(lines.bits)
        } else {
            lines.bits
        };
        bits != lines.bits && self.replace(lines, bits)
    }

    /// Starts an array of the same size if chains have become long.
    pub fn renew(&self, context: &Context<'_, K, V>) -> bool {
        let lines = self.lines(&context.guard);
        // Relaxed: a count.
        let is_long = lines.further.load(Ordering::Relaxed) * LONG > lines.len();
        is_long && !lines.is_taking_over() && self.replace(lines, lines.bits)
    }

    fn replace(&self, lines: &Lines<K, V>, bits: u32) -> bool {
        let old = lines.pointer;
        let new = Lines::new(bits, old);
        // Release: publishes the new array.
        let published = self
            .lines
            .compare_exchange(old, new, Ordering::Release, Ordering::Relaxed);
        if published.is_err() {
            // SAFETY: not published, so that nobody else knows it.
            drop(unsafe { Box::from_raw(new) });
        }
        published.is_ok()
    }
}

impl<K: 'static, V: 'static> Table<K, V> {
    /// Calls `left` for every record and frees the lines, for a map that is being dropped.
    pub fn dismantle(&mut self, context: &Context<'_, K, V>, left: impl Fn(&Record<K, V>)) {
        self.lines(&context.guard).finish(context);
        let lines = self.lines.load(Ordering::Relaxed);
        // SAFETY: the map is exclusively ours, and the array was published by `new` or `fit`.
        let lines = unsafe { Box::from_raw(lines) };
        for index in 0..lines.len() {
            let head = lines.line(index);
            forward_all(head, context);
            for slot in chain(head).flat_map(|line| &line.slots) {
                if let Some(record) = slot.load().record() {
                    // SAFETY: the table still has its share in the record.
                    left(unsafe { context.at(record) });
                }
            }
            if let CommitState::Link(rest) = head.commit_word.load().decode() {
                // SAFETY: linked lines come from boxes, and nobody else is left to read them.
                unsafe { free_chain(rest) };
            }
        }
    }
}
