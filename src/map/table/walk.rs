//! Iteration: the live records of the table, one line after another.
//!
//! **Each record once.** A record may be read in a slot that it leaves again: its insertion finds
//! the key taken, and the record then succeeds the one that has the key, in that one's slot. So a
//! live record counts only if the slot leads to it after it was found live: a thread that sees a
//! successor live also sees that it was withdrawn, and a live record stays where it is. And a line
//! counts only if its last commit word is not frozen after its slots were read: then none of the
//! slots was frozen, and what was withdrawn was withdrawn from them, not from their copies in the
//! next array.
//!
//! **Progress.** Lock-free: a slot is read again only because another thread has changed it, and a
//! line because another thread has replaced the array.

use crate::map::context::Context;
use crate::map::record::Record;
use crate::map::record::status::Observed;
use crate::map::table::Table;
use crate::map::table::chain::{chain, last_commit_word, resolve};
use crate::map::table::line::{Line, Slot};
use std::ptr;

impl<K: 'static, V: 'static> Table<K, V> {
    /// Calls `each` for every live record in the line that holds `position` of the hash space, from
    /// `position` on. Returns where the next line begins.
    pub fn visit_line<'v>(
        &self,
        position: u64,
        context: &'v Context<'_, K, V>,
        mut each: impl FnMut(&'v Record<K, V>, Observed),
    ) -> u64 {
        loop {
            let lines = self.lines(&context.guard);
            let hash = position as u32;
            let head = lines.ready_line(hash, context);
            let slots = chain(head).flat_map(|line| &line.slots);
            let found: Vec<_> = slots
                .filter_map(|slot| living(head, slot, context))
                .filter(|(record, _)| u64::from(record.hash()) >= position)
                .collect();
            if last_commit_word(head).1.is_frozen() {
                continue;
            }
            for (record, seen) in found {
                each(record, seen);
            }
            return (lines.index(hash) as u64 + 1) << (32 - lines.bits());
        }
    }
}

/// The live record to which a slot leads; none also if the slot is frozen.
fn living<'v, K: 'static, V: 'static>(
    head: &Line<K, V>,
    slot: &Slot<K, V>,
    context: &'v Context<'_, K, V>,
) -> Option<(&'v Record<K, V>, Observed)> {
    let mut word = slot.load();
    while let Some(record) = word.record() {
        // SAFETY: read from a slot during the operation.
        let record = unsafe { context.at(record) };
        let (living, seen) = resolve(head, slot, record, context)?;
        word = slot.load();
        if word.is_frozen() {
            return None;
        }
        if word.record().is_some_and(|held| ptr::eq(held, living)) {
            return Some((living, seen));
        }
    }
    None
}
