//! The table: a lock-free hash map from keys to records, with two cache misses for a look-up.
//!
//! An array of lines, indexed by the high bits of the hash; lines chain when they are full. A
//! record is in one slot of the chain of its line. The slot changes only when the record is
//! replaced, withdrawn, or unlinked after its death. The array is replaced when the number of
//! records, or the length of chains, asks for it (see `migrate`).
//!
//! **Contract.** What the rooms above call:
//! - [`find`](Table::find) and [`lookup_fast`](Table::lookup_fast): the live record of a key; the
//!   second one decides by the first line, or says that it cannot.
//! - [`insert`](Table::insert): a record whose key has no live one.
//! - [`forward`](Table::forward): gives a replaced record's slot to its successor.
//! - [`unlink`](Table::unlink): takes a dead record out.
//! - [`visit_line`](Table::visit_line): the live records of one line, for iteration.
//! - [`fit`](Table::fit), [`renew`](Table::renew), [`migrate_some`](Table::migrate_some) and
//!   [`migrate_rest`](Table::migrate_rest): begin and continue the replacement of the array.
//! - [`dismantle`](Table::dismantle): the end of the table.
//!
//! **Invariant.** Of the committed records of one key at most one is live (see `insert`).
//!
//! **Look-up.** Scan the chain, then read the last commit word. A live record is found where it is:
//! the load of its status word is the linearization point. If none is found and the commit word is
//! not frozen, there was a moment within the look-up when the key had no live record: a record that
//! was there all the time was in one slot all the time, and the scan read that slot. If the commit
//! word is frozen, the array is being replaced: start again. A `PENDING` record counts if the
//! commit word names it. If the commit word does not, and the record is still `PENDING` after that,
//! it was not committed when the commit word was read.
//!
//! **Unlinking.** Only the thread that has ended a record unlinks it. Any thread may forward a
//! replaced record's slot.
//!
//! **Progress.** All operations are lock-free: each repetition means that another thread committed
//! an insertion into the same chain, replaced the record, took the slot, or replaced the array.
//! Look-ups in a table that is not being replaced are wait-free but for replaced records met on the
//! way.
//!
//! Tagged cache lines with a link at their end are those of CLHT (David, Guerraoui and Trigonakis,
//! ASPLOS 2015); an array that is frozen and copied unit by unit is Click's (2007).

pub mod array;
pub mod chain;
pub mod insert;
pub mod line;
pub mod lookup;
pub mod migrate;
pub mod tags;
pub mod walk;

use crate::cpu::prefetch;
use crate::map::context::Context;
use crate::map::record::Record;
use crate::map::record::status::{Observed, State};
use crate::map::table::chain::{
    chain, exchange, forward_all, free_chain, last_commit_word, resolve, slot_of,
};
use crate::map::table::line::{CommitState, Word};
use crate::map::table::migrate::{Lines, bits_for};
use crate::map::table::tags::Tag;
use crate::reclaim::Guard;
use crate::sync::{AtomicPtr, Ordering};
use crate::tuning::table::{CROWDED, LONG, MOST_BITS, READY_BITS, SHRINK_BITS, SPARSE};

/// A hash map from keys to records.
pub struct Table<K, V> {
    /// The current array.
    lines: AtomicPtr<Lines<K, V>>,
}

/// The half of a hash that chooses the line, and that records remember.
#[inline]
pub fn upper(hash: u64) -> u32 {
    (hash >> 32) as u32
}

impl<K: 'static, V: 'static> Table<K, V> {
    /// A table of 2^bits lines. The lines of a small one are ready at once, those of a large one on
    /// first use.
    pub fn new(bits: u32) -> Self {
        let table = Self::untouched(bits);
        if bits <= READY_BITS {
            // SAFETY: no other thread knows the table yet, and `untouched` has made the array.
            unsafe { &*table.lines.load(Ordering::Relaxed) }.ready_all();
        }
        table
    }

    /// A table none of whose lines is ready: its memory takes up no pages yet.
    pub fn untouched(bits: u32) -> Self {
        Self {
            lines: AtomicPtr::new(Lines::first(bits)),
        }
    }

    /// The current array.
    #[inline]
    pub fn lines<'g>(&self, _guard: &'g Guard) -> &'g Lines<K, V> {
        // Acquire: pairs with the Release in `replace`, which published the array.
        // SAFETY: an array is retired after another one was published and has migrated all of it,
        // and the thread is pinned.
        unsafe { &*self.lines.load(Ordering::Acquire) }
    }

    /// The live record of a key, as it was seen.
    #[inline]
    pub fn find<'v>(
        &self,
        hash: u64,
        mut equal: impl FnMut(&K) -> bool,
        context: &'v Context<'_, K, V>,
    ) -> Option<(&'v Record<K, V>, Observed)> {
        let tag = Tag::of(hash);
        loop {
            let head = self.lines(&context.guard).ready_line(upper(hash), context);
            let mut line = head;
            let last = loop {
                for (slot, word) in line.tagged(tag) {
                    let Some(record) = word.record() else {
                        continue;
                    };
                    // SAFETY: read from a slot during the operation.
                    let record = unsafe { context.at(record) };
                    if !equal(record.key()) {
                        continue;
                    }
                    if let State::Live(seen) = record.status.load() {
                        return Some((record, seen));
                    }
                    if let Some(found) = resolve(head, slot, record, context) {
                        return Some(found);
                    }
                }
                let commit_word = line.commit_word.load();
                match commit_word.decode() {
                    // SAFETY: a linked line is retired once its unit was migrated, and the thread
                    // is pinned.
                    CommitState::Link(next) => line = unsafe { &*next },
                    _ => break commit_word,
                }
            };
            if !last.is_frozen() {
                return None;
            }
        }
    }

    /// Forwards a replaced record's slot to its successor, whose life has begun. True for the
    /// thread that did it: that thread then owns the table's reference to the replaced record.
    pub fn forward(
        &self,
        replaced: &Record<K, V>,
        successor: &Record<K, V>,
        context: &Context<'_, K, V>,
    ) -> bool {
        loop {
            let head = self
                .lines(&context.guard)
                .ready_line(replaced.hash(), context);
            match slot_of(head, replaced) {
                Some(slot) if exchange(slot, replaced, |word| word.with(successor)) => {
                    // The successor may have been replaced itself, by a thread that did not find it
                    // here.
                    resolve(head, slot, successor, context);
                    return true;
                }
                // Another thread did it, or the slot still holds an older version: forwarding that
                // one forwards this one.
                None if !last_commit_word(head).1.is_frozen() => return false,
                _ => {}
            }
        }
    }

    /// Takes a dead record out of the table. Only the thread that has ended the record calls this;
    /// it then owns the table's reference.
    pub fn unlink(&self, dead: &Record<K, V>, context: &Context<'_, K, V>) {
        loop {
            let head = self.lines(&context.guard).ready_line(dead.hash(), context);
            match slot_of(head, dead) {
                Some(slot) if exchange(slot, dead, |_| Word::EMPTY) => return,
                Some(_) => {}
                // A replaced predecessor still has the slot.
                None => forward_all(head, context),
            }
        }
    }

    /// Asks for the line of a hash ahead of its use.
    pub fn prefetch(&self, hash: u32, context: &Context<'_, K, V>) {
        let lines = self.lines(&context.guard);
        prefetch(lines.line(lines.index(hash)));
    }

    /// Starts a larger or smaller array if the number of records asks for it. True if it did.
    pub fn fit(&self, records: usize, least_bits: u32, context: &Context<'_, K, V>) -> bool {
        let lines = self.lines(&context.guard);
        if lines.is_migrating() {
            return false;
        }
        let bits = if records * 2 > lines.len() * CROWDED {
            (lines.bits() + 1).min(MOST_BITS)
        } else if records * 4 < lines.len() * SPARSE {
            bits_for(records)
                .max(least_bits)
                .max(lines.bits().saturating_sub(SHRINK_BITS))
                .min(lines.bits())
        } else {
            lines.bits()
        };
        bits != lines.bits() && self.replace(lines, bits)
    }

    /// Starts an array of the same size if chains have become long. True if it did.
    pub fn renew(&self, context: &Context<'_, K, V>) -> bool {
        let lines = self.lines(&context.guard);
        let is_long = lines.further() * LONG > lines.len();
        is_long && !lines.is_migrating() && self.replace(lines, lines.bits())
    }

    /// Publishes a new array that migrates from `lines`. False if another thread published one.
    fn replace(&self, lines: &Lines<K, V>, bits: u32) -> bool {
        let old = lines.pointer();
        let new = Lines::after(lines, bits);
        // Release: publishes the new array; pairs with the Acquire in `lines`.
        let published = self
            .lines
            .compare_exchange(old, new, Ordering::Release, Ordering::Relaxed);
        if published.is_err() {
            // SAFETY: the array came from a box, and was not published: no other thread knows it.
            drop(unsafe { Box::from_raw(new) });
        }
        published.is_ok()
    }

    /// Migrates the next few units of an array that is being replaced, for a writer in passing.
    #[inline]
    pub fn migrate_some(&self, units: usize, context: &Context<'_, K, V>) {
        let lines = self.lines(&context.guard);
        if lines.is_migrating() {
            lines.migrate_some(units, context);
        }
    }

    /// Migrates up to so many of the units that are left, in order. False if none was left.
    pub fn migrate_rest(&self, units: usize, context: &Context<'_, K, V>) -> bool {
        self.lines(&context.guard).migrate_rest(units, context)
    }

    /// Calls `left` for every record and frees the lines, for a map that is being dropped.
    pub fn dismantle(&mut self, context: &Context<'_, K, V>, left: impl Fn(&Record<K, V>)) {
        self.migrate_rest(usize::MAX, context);
        let lines = self.lines.load(Ordering::Relaxed);
        // SAFETY: the table is exclusively borrowed, and the array came from a box in `untouched`
        // or `replace`.
        let lines = unsafe { Box::from_raw(lines) };
        for index in 0..lines.len() {
            let head = lines.line(index);
            forward_all(head, context);
            for slot in chain(head).flat_map(|line| &line.slots) {
                if let Some(record) = slot.load().record() {
                    // SAFETY: the table still owns its reference to the record.
                    left(unsafe { context.at(record) });
                }
            }
            if let CommitState::Link(rest) = head.commit_word.load().decode() {
                // SAFETY: linked lines come from boxes, and the table is exclusively borrowed: no
                // other thread reads them.
                unsafe { free_chain(rest) };
            }
        }
    }
}
