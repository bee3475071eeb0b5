//! The table's array of lines, and how one array migrates from another.
//!
//! An array has 2^bits lines. The next one has more or fewer, or as many: a chain never becomes
//! shorter, so where records come and go each chain would get a further line in time. The smaller
//! of the two counts is the number of *units*: the lines of a unit hold the same part of the hash
//! space in both arrays. A unit is migrated as a whole, on first use or by writers that each
//! migrate a few units in passing.
//!
//! **Migrating a unit**, done by any thread, by several at once, all doing the same:
//! 1. If one of the new lines is ready, go to 5: the old words must not be read any more.
//! 2. Freeze the old chains: the last commit words first (a commit found there is completed), then
//!    all slots. From here on no insertion can be committed there, and no slot changes.
//! 3. Copy every word, dead and pending records too, in the order of the old lines, to the new
//!    lines: each new line's first seven by exchange from `UNSET`, the rest into lines of its own
//!    that are attached to its commit word as *prepared*.
//! 4. Set the remaining `UNSET` slots to `EMPTY`.
//! 5. Open the new commit words: `UNSET` becomes a stamp, *prepared* a link.
//!
//! **Why a late helper does no harm.** All copy the same words to the same places, because step 3
//! looks at nothing that can change once frozen. When the first commit word opens, every new slot
//! and every prepared chain is set, so that each exchange of a late helper fails. A record can be
//! retired only after it was unlinked from a ready line, hence after a helper that saw no ready
//! line was pinned.
//!
//! **A first array** migrates from none. Its lines are zeroed memory that takes up no pages, and
//! become ready one by one on first use, by steps 4 and 5 alone. The exchanges of a late helper
//! fail here too: a slot never becomes `UNSET` again, and a ready commit word does not open. Before
//! a line is frozen in step 2 it is made ready, so that no word is frozen that a helper could take
//! for an unset one.
//!
//! **Progress.** Lock-free; the work for one unit is bounded by the length of its chains.

use crate::map::context::Context;
use crate::map::table::array::Array;
use crate::map::table::chain::{chain, chain_of, free_chain, retire_rest};
use crate::map::table::line::{CommitState, Line, Slot, Word};
use crate::reclaim::Reclaim;
use crate::sync::{AtomicPtr, AtomicUsize, Ordering};
use crate::tuning::table::{CROWDED, LEAST_BITS, MOST_BITS};
use crossbeam_utils::CachePadded;
use std::ops::Range;
use std::ptr;

/// The number of bits for a number of records.
pub fn bits_for(records: usize) -> u32 {
    let lines = (records * 2 / CROWDED).max(1);
    (usize::BITS - lines.leading_zeros()).clamp(LEAST_BITS, MOST_BITS)
}

/// An array of lines.
pub struct Lines<K, V> {
    /// This array, as it was allocated.
    pointer: *mut Self,
    /// The number of lines is 2^bits.
    bits: u32,
    /// The heads of the chains.
    lines: Array<K, V>,
    /// The array that this one migrates from, until it has.
    previous: AtomicPtr<Lines<K, V>>,
    /// The next unit for writers to take along.
    cursor: AtomicUsize,
    /// Units that were migrated.
    migrated: AtomicUsize,
    /// All units below this one were migrated, as far as `migrate_rest` knows.
    settled: AtomicUsize,
    /// Lines that were linked to chains since this array is the current one.
    further: CachePadded<AtomicUsize>,
}

impl<K: 'static, V: 'static> Lines<K, V> {
    /// A first array, whose lines become ready on first use.
    pub fn first(bits: u32) -> *mut Self {
        Self::new(bits, ptr::null_mut())
    }

    /// An array that migrates from `old`.
    pub fn after(old: &Self, bits: u32) -> *mut Self {
        Self::new(bits, old.pointer)
    }

    fn new(bits: u32, previous: *mut Self) -> *mut Self {
        let pointer = Box::into_raw(Box::new(Self {
            pointer: ptr::null_mut(),
            bits,
            lines: Array::new(1 << bits),
            previous: AtomicPtr::new(previous),
            cursor: AtomicUsize::new(0),
            migrated: AtomicUsize::new(0),
            settled: AtomicUsize::new(0),
            further: CachePadded::new(AtomicUsize::new(0)),
        }));
        // SAFETY: the array came from the box above, and no other thread knows it.
        unsafe { (*pointer).pointer = pointer };
        pointer
    }

    /// The number of lines.
    pub fn len(&self) -> usize {
        1 << self.bits
    }

    /// The logarithm of the number of lines.
    pub fn bits(&self) -> u32 {
        self.bits
    }

    /// This array, as it was allocated.
    pub fn pointer(&self) -> *mut Self {
        self.pointer
    }

    /// The index of the line for a hash.
    #[inline]
    pub fn index(&self, hash: u32) -> usize {
        (u64::from(hash) >> (32 - self.bits)) as usize
    }

    /// A line, ready or not.
    pub fn line(&self, index: usize) -> &Line<K, V> {
        self.lines.line(index)
    }

    /// Lines that were linked to chains since this array is the current one.
    pub fn further(&self) -> usize {
        // Relaxed: a count.
        self.further.load(Ordering::Relaxed)
    }

    /// Counts a line that was linked to a chain.
    pub fn count_further(&self) {
        // Relaxed: a count.
        self.further.fetch_add(1, Ordering::Relaxed);
    }

    /// The head of the chain for a hash, which is ready then.
    #[inline]
    pub fn ready_line<'v>(&'v self, hash: u32, context: &'v Context<'_, K, V>) -> &'v Line<K, V> {
        let index = self.index(hash);
        let line = self.line(index);
        if !line.commit_word.load().is_ready() {
            self.make_ready(index, context);
        }
        line
    }

    #[cold]
    fn make_ready(&self, index: usize, context: &Context<'_, K, V>) {
        match self.previous(context) {
            Some(old) => {
                let unit = index >> (self.bits - self.unit_bits(old));
                self.migrate(unit, old, context);
            }
            // A line of a first array, or one that has become ready meanwhile: then nothing
            // changes.
            None => self.ready_empty(index),
        }
    }

    /// Makes a line of a first array ready, if it is not: steps 4 and 5.
    fn ready_empty(&self, index: usize) {
        let line = self.line(index);
        if !line.commit_word.load().is_ready() {
            for slot in &line.slots {
                slot.prepare(Word::EMPTY);
            }
            line.commit_word.open();
        }
    }

    /// Makes every line of a first array ready.
    pub fn ready_all(&self) {
        for index in 0..self.len() {
            self.ready_empty(index);
        }
    }

    fn previous<'v>(&self, _context: &'v Context<'_, K, V>) -> Option<&'v Self> {
        // Acquire: pairs with the Release in `detach`: a thread that sees none sees every line
        // ready.
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
    pub fn is_migrating(&self) -> bool {
        // Relaxed: a hint.
        !self.previous.load(Ordering::Relaxed).is_null()
    }

    /// Migrates the next few units.
    pub fn migrate_some(&self, units: usize, context: &Context<'_, K, V>) {
        let Some(old) = self.previous(context) else {
            return;
        };
        let total = 1 << self.unit_bits(old);
        // Relaxed: the cursor only spreads the work. Units that a thread claimed and did not get to
        // are migrated on first use, or by `migrate_rest`.
        let first = self.cursor.fetch_add(units, Ordering::Relaxed);
        for unit in first.min(total)..total.min(first + units) {
            self.migrate(unit, old, context);
        }
    }

    /// Migrates up to so many of the units that are left, in order, also those that another thread
    /// has claimed and not got to. False if none was left.
    pub fn migrate_rest(&self, units: usize, context: &Context<'_, K, V>) -> bool {
        let Some(old) = self.previous(context) else {
            return false;
        };
        let total = 1 << self.unit_bits(old);
        // Acquire: pairs with the exchange below, so that the thread that detaches comes after all
        // units are open.
        let first = self.settled.load(Ordering::Acquire);
        let end = first.saturating_add(units).min(total);
        for unit in first..end {
            self.migrate(unit, old, context);
        }
        if end < total {
            // AcqRel: pairs with the load above. Relaxed on failure: another thread has got
            // further.
            let _ = self
                .settled
                .compare_exchange(first, end, Ordering::AcqRel, Ordering::Relaxed);
        } else {
            // A thread that has opened a unit may have stopped before counting it.
            self.detach(old, context);
        }
        true
    }

    /// Migrates a unit: steps 1 to 5.
    fn migrate(&self, unit: usize, old: &Self, context: &Context<'_, K, V>) {
        let unit_bits = self.unit_bits(old);
        let mine = self.unit(unit, unit_bits);
        let theirs = old.unit(unit, unit_bits);
        if !mine
            .clone()
            .any(|index| self.line(index).commit_word.load().is_ready())
        {
            for index in theirs.clone() {
                old.ready_empty(index);
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
                // SAFETY: called by the one thread that opened the unit's first line. The unit is
                // migrated: a thread that pins from now on finds a ready line, and does not read
                // the old chain.
                unsafe { retire_rest(old.line(index), context) };
            }
            // AcqRel: pairs with itself. The last one comes after all units are open.
            let before = self.migrated.fetch_add(1, Ordering::AcqRel);
            if before + 1 == 1 << unit_bits {
                self.detach(old, context);
            }
        }
    }

    /// Steps 3 and 4: copies what belongs to one new line from a unit's frozen old lines, and
    /// leaves no slot unset.
    fn copy(&self, index: usize, old: &Self, theirs: Range<usize>, context: &Context<'_, K, V>) {
        let line = self.line(index);
        let mut copied = 0;
        let mut rest = Vec::new();
        for old_index in theirs {
            for word in frozen_words(old.line(old_index)) {
                let Some(record) = word.record() else {
                    continue;
                };
                // SAFETY: no line of the unit was ready when this thread was pinned already, so the
                // record was not unlinked before, and is not freed under this guard.
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
                // SAFETY: `chain_of` made the lines of boxes. The chain was not attached: no other
                // thread knows it.
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
            // SAFETY: the array came from a box and is detached once. All of it was migrated, so a
            // thread that pins from now on does not come to it; the action runs after the threads
            // that are pinned now have unpinned.
            unsafe { context.guard.defer(move || drop(Box::from_raw(pointer))) };
        }
    }
}

/// Step 2: ends insertions into an old chain, and then every change of its slots.
fn freeze<K: 'static, V: 'static>(head: &Line<K, V>, context: &Context<'_, K, V>) {
    let mut line = head;
    loop {
        match line.commit_word.freeze().decode() {
            // SAFETY: linked lines are retired once their unit was migrated. This thread found no
            // new line ready while it was pinned, so they are not freed under its guard.
            CommitState::Link(next) => line = unsafe { &*next },
            CommitState::Commit(record) => {
                // SAFETY: a record that a frozen commit word names is not filed, and so not
                // retired, before the unit is migrated.
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

fn frozen_words<K, V>(head: &Line<K, V>) -> impl Iterator<Item = Word<K, V>> {
    chain(head).flat_map(|line| line.slots.iter().map(Slot::load))
}
