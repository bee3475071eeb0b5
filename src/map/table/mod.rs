//! The table: a lock-free hash map from keys to records, two cache misses a look-up.
//!
//! An array of lines (see `line`; `walk` goes through all of them), indexed by the high bits of the hash. A record is in one slot of the
//! chain of its line; the slot changes only when the record is replaced, withdrawn, or unlinked after
//! its death. The array is replaced when the number of records, or the length of chains, asks for it (see `resize`).
//!
//! **Invariant.** Of the committed records of one key at most one is live.
//!
//! **Insertion.** (1) Read the chain's last commit word: a stamp *n*. (2) Scan the whole chain for a live record
//! of the key. (3) Put the new record, still `PENDING`, into any empty slot. (4) Exchange the commit word from
//! stamp *n* to the record: **the commit**, and the linearization point. It fails if any insertion into
//! this chain was committed since (1); then start again, the record stays where it is. (5) Start its
//! life, and stamp the commit word *n + 1*; whoever meets the commit first does these. A chain without an empty
//! slot gets a new line that holds the record: linking it is the commit.
//!
//! The inserter goes on, and files the record in the calendar, only when no commit word names the record any
//! more, or when the unit of a commit word that was frozen with its name is migrated. Until it is filed the
//! record cannot be retired, so that a record named by a commit word may be read.
//!
//! *Why at most one is live:* two insertions into one chain are committed one after the other, and the
//! later one scanned after the earlier one's commit, since the stamp it read is at least as new. So it
//! saw the earlier record, which was put before its commit and stays in its slot while it lives.
//!
//! **Look-up.** Scan the chain, then read the last commit word. A live record is found where it is: the load of
//! its status word is the linearization point. If none is found and the commit word is not frozen, there was a
//! moment within the look-up when the key had no live record: a record that was there all the time was
//! in one slot all the time, and the scan read that slot. If the commit word is frozen the array is being
//! replaced: start again. A `PENDING` record counts if the commit word names it; if the commit word does not, and it
//! is still `PENDING` after that, it was not committed when the commit word was read.
//!
//! **Unlinking.** Only the winner of a record's death unlinks it. A replaced record's slot is handed to its successor by whoever comes by.
//!
//! **Progress.** All operations are lock-free: each repetition means that another thread committed an
//! insertion into the same chain, replaced the record, took the slot, or replaced the array. Look-ups in
//! a table that is not being replaced are wait-free but for replaced records met on the way.

pub mod array;
pub mod line;
pub mod lookup;
pub mod migrate;
pub mod walk;

use crate::cpu::prefetch;
use crate::map::context::Context;
use crate::map::record::place::Place;
use crate::map::record::status::{Observed, State};
use crate::map::record::{Record, Unlinked};
use crate::map::table::line::{CommitState, CommitValue, CommitWord, Line, Slot, Tag, Word};
use crate::map::table::migrate::{Lines, chain};
use crate::reclaim::Guard;
use crate::sync::{AtomicPtr, Ordering};
use std::ptr;

pub struct Table<K, V> {
    pub(super) lines: AtomicPtr<Lines<K, V>>,
}

/// A committed insertion.
pub struct Inserted<'v, K, V> {
    pub record: &'v Record<K, V>,
    /// The chain had no empty slot left.
    pub crowded: bool,
}

/// An insertion that found its key taken.
pub struct Taken<'v, K: 'static, V: 'static> {
    pub existing: &'v Record<K, V>,
    pub rejected: Unlinked<K, V>,
}

/// What the scan of a chain found.
struct Scan<'v, K, V> {
    live: Option<&'v Record<K, V>>,
    empty: Option<&'v Slot<K, V>>,
    /// The record that is being inserted is in its slot already.
    is_placed: bool,
}

/// The half of a hash that chooses the line, and that records remember.
#[inline]
pub fn upper(hash: u64) -> u32 {
    (hash >> 32) as u32
}

impl<K: 'static, V: 'static> Table<K, V> {
    pub fn new(bits: u32) -> Self {
        Self {
            lines: AtomicPtr::new(Lines::first(bits)),
        }
    }

    /// The current array.
    #[inline]
    pub fn lines<'g>(&self, _guard: &'g Guard) -> &'g Lines<K, V> {
        // Acquire: pairs with the Release that published the array.
        // SAFETY: an array is retired after another one was published and took over from it, and the
        // thread is pinned.
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
                    if let Some(found) = live(head, slot, record, context) {
                        return Some(found);
                    }
                }
                let commit_word = line.commit_word.load();
                match commit_word.decode() {
                    // SAFETY: the lines of a chain are retired with their unit, and the thread is pinned.
                    CommitState::Link(next) => line = unsafe { &*next },
                    _ => break commit_word,
                }
            };
            if !last.is_frozen() {
                return None;
            }
        }
    }

    /// Inserts a record if its key has no live one. `expire` is asked about a live record in the way: it
    /// returns true after it ended it, or found it ended.
    pub fn insert<'v>(
        &self,
        hash: u64,
        record: Unlinked<K, V>,
        equal: impl Fn(&K, &K) -> bool,
        expire: impl Fn(&Record<K, V>) -> bool,
        context: &'v Context<'_, K, V>,
    ) -> Result<Inserted<'v, K, V>, Taken<'v, K, V>> {
        let pointer = record.pointer().as_ptr();
        let word = Word::new(pointer, Tag::of(hash));
        let mut insertion = Insertion {
            table: self,
            context,
            record: Some(record),
            is_placed: false,
        };
        // SAFETY: `insertion` keeps the record until it is committed, and then the context does.
        let record: &'v Record<K, V> = unsafe { context.at(pointer) };
        loop {
            let head = self.lines(&context.guard).ready_line(upper(hash), context);
            let (commit_word, seen) = last_commit_word(head);
            if seen.is_frozen() {
                continue;
            }
            let stamp = match seen.decode() {
                CommitState::Stamp(stamp) => stamp,
                CommitState::Commit(other) => {
                    settle(commit_word, seen, other, context);
                    continue;
                }
                _ => continue,
            };
            let scan = scan(head, word, |key| equal(key, record.key()), context);
            if let Some(existing) = scan.live {
                if expire(existing) {
                    continue;
                }
                let rejected = insertion.withdraw();
                return Err(Taken { existing, rejected });
            }
            debug_assert!(scan.is_placed || !insertion.is_placed);
            if !scan.is_placed {
                if let Some(slot) = scan.empty {
                    if slot.put(Word::EMPTY, word).is_err() {
                        continue;
                    }
                    insertion.is_placed = true;
                } else {
                    set_stamp(record, 0);
                    let commit = CommitValue::commit(pointer);
                    let line = Box::into_raw(Line::holding(&[word], commit));
                    if !commit_word.put(seen, CommitValue::link(line)) {
                        // SAFETY: the line was not linked, so that nobody else knows it.
                        drop(unsafe { Box::from_raw(line) });
                        continue;
                    }
                    insertion.commit();
                    self.lines(&context.guard).count_further();
                    // SAFETY: linked lines are retired with their unit, and the thread is pinned.
                    let commit_word = unsafe { &(*line).commit_word };
                    self.conclude(record, commit_word, 0, context);
                    return Ok(Inserted {
                        record,
                        crowded: true,
                    });
                }
            }
            set_stamp(record, stamp);
            let commit = CommitValue::commit(pointer);
            if commit_word.put(seen, commit) {
                insertion.commit();
                self.conclude(record, commit_word, stamp, context);
                return Ok(Inserted {
                    record,
                    crowded: false,
                });
            }
        }
    }

    /// The last step of an insertion. Afterwards the commit word does not name the record any more, or nobody who
    /// pins from then on reads that commit word.
    fn conclude(
        &self,
        record: &Record<K, V>,
        commit_word: &CommitWord<K, V>,
        stamp: usize,
        context: &Context<'_, K, V>,
    ) {
        record.status.commit();
        let commit = CommitValue::commit(ptr::from_ref(record).cast_mut());
        if !commit_word.put(commit, CommitValue::stamp(stamp + 1)) {
            // Somebody else has settled it, or the commit word is frozen: then let its unit be migrated.
            self.lines(&context.guard)
                .ready_line(record.hash(), context);
        }
    }

    /// Hands a replaced record's slot to its successor, whose life has begun. True for who did, and has the table's share now.
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
                    // It may have been replaced itself, by somebody who did not find it here.
                    live(head, slot, successor, context);
                    return true;
                }
                // Done by somebody else, or its predecessor still has the slot: who hands that over hands on this one too.
                None if !last_commit_word(head).1.is_frozen() => return false,
                _ => {}
            }
        }
    }

    /// Takes a dead record out of the table. Called by the winner of its death only, who has the table's share then.
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

    /// Takes a record that was placed but not committed out again.
    fn withdraw(&self, record: &Record<K, V>, context: &Context<'_, K, V>) {
        loop {
            let head = self
                .lines(&context.guard)
                .ready_line(record.hash(), context);
            if slot_of(head, record).is_some_and(|slot| exchange(slot, record, |_| Word::EMPTY)) {
                return;
            }
        }
    }

    /// Asks for the line of a hash ahead of its use.
    pub fn prefetch(&self, hash: u32, context: &Context<'_, K, V>) {
        let lines = self.lines(&context.guard);
        prefetch(lines.line(lines.index(hash)));
    }
}

/// Follows a record that was found in a slot to the live one of its key, if there is one. Hands the slot
/// of a replaced record over on the way.
#[cold]
pub(super) fn live<'v, K: 'static, V: 'static>(
    head: &Line<K, V>,
    slot: &Slot<K, V>,
    mut record: &'v Record<K, V>,
    context: &'v Context<'_, K, V>,
) -> Option<(&'v Record<K, V>, Observed)> {
    loop {
        match record.status.load() {
            State::Live(seen) => return Some((record, seen)),
            State::Dead => return None,
            State::Forward(successor) => {
                // SAFETY: followed from a record of this operation. The successor cannot have been retired
                // before: it left its slot after `record` did, which was there during the operation.
                let successor = unsafe { context.follow(successor) };
                // Its life has begun: who finds it in the slot must not take it for one that is still being inserted.
                if exchange(slot, record, |word| word.with(successor)) {
                    context.release(record);
                }
                record = successor;
            }
            State::Pending => {
                let (_, commit_word) = last_commit_word(head);
                if let CommitState::Commit(committed) = commit_word.decode()
                    && ptr::eq(committed, record)
                {
                    record.status.commit();
                } else if matches!(record.status.load(), State::Pending) {
                    return None;
                }
            }
        }
    }
}

/// Changes a slot's word, if it is that of `record` still and not frozen.
fn exchange<K, V>(
    slot: &Slot<K, V>,
    record: &Record<K, V>,
    change: impl FnOnce(Word<K, V>) -> Word<K, V>,
) -> bool {
    let word = slot.load();
    let is_there = word.record().is_some_and(|held| ptr::eq(held, record));
    if is_there && !word.is_frozen() {
        slot.put(word, change(word)).is_ok()
    } else {
        false
    }
}

fn scan<'v, K: 'static, V: 'static>(
    head: &'v Line<K, V>,
    own: Word<K, V>,
    mut equal: impl FnMut(&K) -> bool,
    context: &'v Context<'_, K, V>,
) -> Scan<'v, K, V> {
    let mut scan = Scan {
        live: None,
        empty: None,
        is_placed: false,
    };
    for line in chain(head) {
        for slot in &line.slots {
            let word = slot.load();
            if word.is_empty() {
                scan.empty = scan.empty.or(Some(slot));
            } else if word.record() == own.record() {
                scan.is_placed = true;
            } else if let Some(record) = word.tagged(own.tag()) {
                // SAFETY: read from a slot during the operation.
                let record = unsafe { context.at(record) };
                if equal(record.key()) {
                    scan.live = scan
                        .live
                        .or_else(|| live(head, slot, record, context).map(|(live, _)| live));
                }
            }
        }
    }
    scan
}

pub(super) fn last_commit_word<K, V>(head: &Line<K, V>) -> (&CommitWord<K, V>, CommitValue<K, V>) {
    let mut line = head;
    loop {
        let word = line.commit_word.load();
        match word.decode() {
            // SAFETY: a linked line lives as long as the chain's head may be used by its borrower.
            CommitState::Link(next) => line = unsafe { &*next },
            _ => return (&line.commit_word, word),
        }
    }
}

fn slot_of<'v, K, V>(head: &'v Line<K, V>, record: &Record<K, V>) -> Option<&'v Slot<K, V>> {
    chain(head).flat_map(|line| &line.slots).find(|slot| {
        slot.load()
            .record()
            .is_some_and(|held| ptr::eq(held, record))
    })
}

pub(super) fn forward_all<K: 'static, V: 'static>(head: &Line<K, V>, context: &Context<'_, K, V>) {
    for line in chain(head) {
        for slot in &line.slots {
            if let Some(record) = slot.load().record() {
                // SAFETY: read from a slot during the operation.
                live(head, slot, unsafe { context.at(record) }, context);
            }
        }
    }
}

/// Does what is owed after the commit that a commit word names.
fn settle<K: 'static, V: 'static>(
    commit_word: &CommitWord<K, V>,
    seen: CommitValue<K, V>,
    committed: *mut Record<K, V>,
    context: &Context<'_, K, V>,
) {
    // SAFETY: a record is filed in the calendar, and so can be retired, only after its inserter has
    // concluded: not while a commit word that is not frozen names it.
    let record = unsafe { context.at(committed) };
    record.status.commit();
    // If the stamp was overwritten, the commit word does not name the record any more, and nothing happens.
    commit_word.put(seen, CommitValue::stamp(stamp(record) + 1));
}

/// An inserter keeps the stamp it read in its record's `place` until the commit is settled; odd, so that
/// it is not taken for a place in the calendar.
fn set_stamp<K, V>(record: &Record<K, V>, stamp: usize) {
    // Relaxed: published by the commit.
    record.place.store(Place::Stamp(stamp), Ordering::Relaxed);
}

fn stamp<K, V>(record: &Record<K, V>) -> usize {
    // Relaxed: the commit word that led here was read with Acquire.
    match record.place.load(Ordering::Relaxed) {
        Place::Stamp(stamp) => stamp,
        // Filed meanwhile: the commit word does not name the record any more, and no exchange will succeed.
        _ => 0,
    }
}

/// Withdraws the record if its insertion ends without a commit, also by a panic in the keys' `Eq`.
struct Insertion<'t, 'v, 'm, K: 'static, V: 'static> {
    table: &'t Table<K, V>,
    context: &'v Context<'m, K, V>,
    record: Option<Unlinked<K, V>>,
    is_placed: bool,
}

impl<K: 'static, V: 'static> Insertion<'_, '_, '_, K, V> {
    fn commit(&mut self) {
        if let Some(record) = self.record.take() {
            record.into_linked();
        }
    }

    fn withdraw(&mut self) -> Unlinked<K, V> {
        let mut record = self
            .record
            .take()
            .expect("withdrawn before the commit, once");
        if self.is_placed {
            self.is_placed = false;
            self.table.withdraw(record.record(), self.context);
            record.set_placed(self.context.refused());
        }
        record
    }
}

impl<K: 'static, V: 'static> Drop for Insertion<'_, '_, '_, K, V> {
    fn drop(&mut self) {
        if self.record.is_some() {
            self.withdraw();
        }
    }
}
