//! Insertion: the one way in which a record comes into the table.
//!
//! 1. Read the chain's last commit word: a stamp *n*.
//! 2. Scan the whole chain for a live record of the key.
//! 3. Put the new record, still `PENDING`, into any empty slot.
//! 4. Exchange the commit word from stamp *n* to the record. This is **the commit**, and the
//!    linearization point. It fails if any insertion into this chain was committed since step 1.
//!    Then start again; the record stays in its slot.
//! 5. Start the record's life, and stamp the commit word *n + 1*. Any thread that meets the commit
//!    may do this first.
//!
//! A chain without an empty slot gets a new line that holds the record: linking the line is the
//! commit.
//!
//! **Invariant.** Of the committed records of one key at most one is live. Two insertions into one
//! chain are committed one after the other. The later one scanned after the earlier one's commit,
//! since the stamp that it read is at least as new. So it saw the earlier record, which was put
//! before its commit and stays in its slot while it lives.
//!
//! **A commit word names no retired record.** The inserter goes on, and files the record in the
//! calendar, only when no commit word names the record any more, or when the unit of a commit word
//! that was frozen with its name is migrated. A record that is not filed cannot be retired.
//!
//! **Progress.** Lock-free: each repetition means that another thread committed an insertion into
//! the same chain, took the slot, or replaced the array.

use crate::map::context::Context;
use crate::map::record::{Record, Unlinked};
use crate::map::table::chain::{
    chain, exchange, last_commit_word, resolve, set_stamp, settle, slot_of,
};
use crate::map::table::line::{CommitState, CommitValue, CommitWord, Line, Slot, Word};
use crate::map::table::tags::Tag;
use crate::map::table::{Table, upper};
use std::ptr;

/// A committed insertion.
pub struct Inserted<'v, K, V> {
    /// The record, which the table has now.
    pub record: &'v Record<K, V>,
    /// The chain had no empty slot left.
    pub crowded: bool,
}

/// An insertion that found its key taken.
pub struct Taken<'v, K: 'static, V: 'static> {
    /// The live record of the key.
    pub existing: &'v Record<K, V>,
    /// The record that was not inserted.
    pub rejected: Unlinked<K, V>,
}

/// What the scan of a chain found.
struct Scan<'v, K, V> {
    /// The live record of the key.
    live: Option<&'v Record<K, V>>,
    /// The first empty slot.
    empty: Option<&'v Slot<K, V>>,
    /// Whether the record that is being inserted is in its slot already.
    is_placed: bool,
}

impl<K: 'static, V: 'static> Table<K, V> {
    /// Inserts a record if its key has no live one. `expire` is asked about a live record in the
    /// way: it returns true after it ended that record, or found it ended.
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
        // SAFETY: `insertion` keeps the record until it is committed; from then on it is found
        // during this operation.
        let record: &'v Record<K, V> = unsafe { context.at(pointer) };
        loop {
            let lines = self.lines(&context.guard);
            let head = lines.ready_line(upper(hash), context);
            // Step 1.
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
            // Step 2.
            let scan = scan(head, word, |key| equal(key, record.key()), context);
            if let Some(existing) = scan.live {
                if expire(existing) {
                    continue;
                }
                let rejected = insertion.withdraw();
                return Err(Taken { existing, rejected });
            }
            debug_assert!(scan.is_placed || !insertion.is_placed);
            // Step 3.
            if !scan.is_placed {
                let Some(slot) = scan.empty else {
                    if let Some(further) = insertion.link(word, commit_word, seen) {
                        lines.count_further();
                        insertion.conclude(record, &further.commit_word, 0);
                        return Ok(Inserted {
                            record,
                            crowded: true,
                        });
                    }
                    continue;
                };
                if slot.put(Word::EMPTY, word).is_err() {
                    continue;
                }
                insertion.is_placed = true;
            }
            // Step 4.
            set_stamp(record, stamp);
            if commit_word.put(seen, CommitValue::commit(pointer)) {
                insertion.commit();
                insertion.conclude(record, commit_word, stamp);
                return Ok(Inserted {
                    record,
                    crowded: false,
                });
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
}

/// Steps 2 and 3: looks for a live record of the key, an empty slot, and the record itself.
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
                        .or_else(|| resolve(head, slot, record, context).map(|(live, _)| live));
                }
            }
        }
    }
    scan
}

/// An insertion under way. Withdraws the record if it ends without a commit, also by a panic in the
/// keys' `Eq`.
struct Insertion<'t, 'v, 'm, K: 'static, V: 'static> {
    table: &'t Table<K, V>,
    context: &'v Context<'m, K, V>,
    /// The record until it is committed or withdrawn.
    record: Option<Unlinked<K, V>>,
    /// Whether a slot holds the record.
    is_placed: bool,
}

impl<'v, K: 'static, V: 'static> Insertion<'_, 'v, '_, K, V> {
    fn commit(&mut self) {
        if let Some(record) = self.record.take() {
            record.into_linked();
        }
    }

    /// Steps 3 and 4 for a chain without an empty slot: links a new line that holds the record.
    /// None if another thread changed the commit word.
    fn link(
        &mut self,
        word: Word<K, V>,
        commit_word: &CommitWord<K, V>,
        seen: CommitValue<K, V>,
    ) -> Option<&'v Line<K, V>> {
        let record = self.record.as_ref().expect("linked before the commit");
        set_stamp(record.record(), 0);
        let commit = CommitValue::commit(record.pointer().as_ptr());
        let line = Box::into_raw(Line::holding(&[word], commit));
        if !commit_word.put(seen, CommitValue::link(line)) {
            // SAFETY: the line came from the box above, and was not linked: no other thread knows
            // it.
            drop(unsafe { Box::from_raw(line) });
            return None;
        }
        self.commit();
        // SAFETY: a linked line is retired once its unit was migrated, and the thread is pinned
        // since before the link.
        Some(unsafe { &*line })
    }

    /// Step 5. Afterwards the commit word does not name the record any more, or no thread that pins
    /// from then on reads that commit word.
    fn conclude(&self, record: &Record<K, V>, commit_word: &CommitWord<K, V>, stamp: usize) {
        record.status.commit();
        let commit = CommitValue::commit(ptr::from_ref(record).cast_mut());
        if !commit_word.put(commit, CommitValue::stamp(stamp + 1)) {
            // Another thread has settled it, or the commit word is frozen: then let its unit be
            // migrated.
            self.table
                .lines(&self.context.guard)
                .ready_line(record.hash(), self.context);
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
