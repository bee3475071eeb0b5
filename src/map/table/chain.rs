//! Chains of lines: what all parts of the table do with one.
//!
//! A chain is a line and those that its commit words link to. This file walks chains, resolves what
//! is found in a slot, and changes slots. It knows nothing of arrays.
//!
//! **Linearization points.** A slot is changed by one exchange. A record that is found is live at
//! the load of its status word.
//!
//! **Progress.** Lock-free: each repetition in [`resolve`] means that another thread has replaced
//! the record.

use crate::map::context::Context;
use crate::map::record::Record;
use crate::map::record::place::Place;
use crate::map::record::status::{Observed, State};
use crate::map::table::line::{CommitState, CommitValue, CommitWord, Line, Slot, Word};
use crate::reclaim::Reclaim;
use crate::sync::Ordering;
use crate::tuning::table::SLOTS;
use std::ptr;

/// The lines of a chain.
pub fn chain<K, V>(head: &Line<K, V>) -> impl Iterator<Item = &Line<K, V>> {
    std::iter::successors(Some(head), |line| match line.commit_word.load().decode() {
        // SAFETY: a linked line is freed after a grace period that begins once its unit was
        // migrated. The borrower of the head keeps the head's array, and with it the chain, until
        // then.
        CommitState::Link(next) => Some(unsafe { &*next }),
        _ => None,
    })
}

/// The commit word of a chain's last line, and its value.
pub fn last_commit_word<K, V>(head: &Line<K, V>) -> (&CommitWord<K, V>, CommitValue<K, V>) {
    let mut line = head;
    loop {
        let word = line.commit_word.load();
        match word.decode() {
            // SAFETY: a linked line is freed after a grace period that begins once its unit was
            // migrated. The borrower of the head keeps the head's array, and with it the chain,
            // until then.
            CommitState::Link(next) => line = unsafe { &*next },
            _ => return (&line.commit_word, word),
        }
    }
}

/// The slot that holds a record, if one does.
pub fn slot_of<'v, K, V>(head: &'v Line<K, V>, record: &Record<K, V>) -> Option<&'v Slot<K, V>> {
    chain(head).flat_map(|line| &line.slots).find(|slot| {
        slot.load()
            .record()
            .is_some_and(|held| ptr::eq(held, record))
    })
}

/// Changes a slot's word if it is still that of `record` and not frozen.
pub fn exchange<K, V>(
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

/// Resolves a record that was found in a slot to the live one of its key, if there is one. Forwards
/// the slot of a replaced record on the way.
#[cold]
pub fn resolve<'v, K: 'static, V: 'static>(
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
                // SAFETY: followed from a record of this operation. The successor cannot have been
                // retired before: it left its slot after `record` did, which was there during the
                // operation.
                let successor = unsafe { context.follow(successor) };
                // The successor's life has begun, so no thread takes it for one that is still being
                // inserted.
                if exchange(slot, record, |word| word.with(successor)) {
                    context.release(record);
                }
                record = successor;
            }
            State::Pending => {
                // A pending record counts from its commit on: complete what the commit word names.
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

/// Forwards every slot of a chain that holds a replaced record.
pub fn forward_all<K: 'static, V: 'static>(head: &Line<K, V>, context: &Context<'_, K, V>) {
    for line in chain(head) {
        for slot in &line.slots {
            if let Some(record) = slot.load().record() {
                // SAFETY: read from a slot during the operation.
                let record = unsafe { context.at(record) };
                resolve(head, slot, record, context);
            }
        }
    }
}

/// Completes the commit that a commit word names: step 5 of an insertion.
pub fn settle<K: 'static, V: 'static>(
    commit_word: &CommitWord<K, V>,
    seen: CommitValue<K, V>,
    committed: *mut Record<K, V>,
    context: &Context<'_, K, V>,
) {
    // SAFETY: a record is filed in the calendar, and so can be retired, only after its inserter has
    // concluded: not while a commit word that is not frozen names it.
    let record = unsafe { context.at(committed) };
    record.status.commit();
    // If the stamp was overwritten, the commit word does not name the record any more, and the
    // exchange fails.
    commit_word.put(seen, CommitValue::stamp(stamp(record) + 1));
}

/// Keeps the stamp that an inserter has read in its record's `place`, until the commit is settled.
pub fn set_stamp<K, V>(record: &Record<K, V>, stamp: usize) {
    // Relaxed: published by the commit.
    record.place.store(Place::Stamp(stamp), Ordering::Relaxed);
}

fn stamp<K, V>(record: &Record<K, V>) -> usize {
    // Relaxed: the commit word that led here was read with Acquire.
    match record.place.load(Ordering::Relaxed) {
        Place::Stamp(stamp) => stamp,
        // Filed meanwhile: the commit word does not name the record any more, and no exchange will
        // succeed.
        _ => 0,
    }
}

/// A chain of new lines that holds `words`, in order.
pub fn chain_of<K, V>(words: &[Word<K, V>]) -> *mut Line<K, V> {
    let mut commit_word = CommitValue::stamp(1);
    let mut head = ptr::null_mut();
    for part in words.chunks(SLOTS).rev() {
        head = Box::into_raw(Line::holding(part, commit_word));
        commit_word = CommitValue::link(head);
    }
    head
}

/// Frees a chain's lines.
///
/// # Safety
/// The lines came from boxes, and no other thread can reach them.
pub unsafe fn free_chain<K, V>(head: *mut Line<K, V>) {
    let mut next = head;
    while !next.is_null() {
        // SAFETY: the caller says that the line came from a box and that no other thread can reach
        // it. It is freed once: the chain has no circle.
        let line = unsafe { Box::from_raw(next) };
        next = match line.commit_word.load().decode() {
            CommitState::Link(line) => line,
            _ => ptr::null_mut(),
        };
    }
}

/// Retires the lines that were linked to a line of an array.
///
/// # Safety
/// Called once for each line, after its unit was migrated: threads that pin from then on do not
/// read the chain.
pub unsafe fn retire_rest<K: 'static, V: 'static>(head: &Line<K, V>, context: &Context<'_, K, V>) {
    if let CommitState::Link(rest) = head.commit_word.load().decode() {
        // SAFETY: linked lines come from boxes. The caller says that only threads that are pinned
        // now can reach them, and that they are retired once; the action runs after those threads
        // have unpinned.
        unsafe { context.guard.defer(move || free_chain(rest)) };
    }
}
