//! Look-ups that are decided at first sight, as most are: by the head of the chain, and the first record in it whose tag
//! agrees.
//!
//! What a look-up costs in a large map is two cache misses, one behind the other: the line, then the record. The
//! processor begins the next look-up's misses meanwhile if its instructions and loads fit into its buffers beside this
//! one's. So this path is short, asks for the record as soon as the line has named it, and reads the clock while the record
//! is on its way. Whatever it does not settle is done again from the start, by [`Table::find`](super::table::Table::find).
//!
//! **Linearization points.** As in `table`. A live record is found where it is, at the load of its life word. A key is
//! absent if no slot of a chain of one line has its tag, and the door, read after them, is not frozen.
//!
//! **Progress.** Wait-free.

use super::line::{DoorState, Tag};
use super::memory::prefetch;
use super::reclaim::Guard;
use super::record::{Record, at};
use super::table::{Table, upper};

/// What the first line shows of a key.
pub(crate) enum Glance<'g, K, V> {
    /// It has no live record.
    Absent,
    /// Its record is this one, most likely. The record has been asked for.
    Likely(&'g Record<K, V>),
    Unclear,
}

impl<K: 'static, V: 'static> Table<K, V> {
    #[inline(always)]
    pub(crate) fn glance<'g>(&self, hash: u64, guard: &'g Guard) -> Glance<'g, K, V> {
        let lines = self.lines(guard);
        let head = lines.line(lines.index(upper(hash)));
        if !head.door.load().is_ready() {
            return Glance::Unclear;
        }
        let first = head.tagged(Tag::of(hash)).next();
        if let Some((_, word)) = first {
            let Some(record) = word.record() else {
                return Glance::Unclear;
            };
            prefetch(record);
            // SAFETY: read from a slot under the guard.
            return Glance::Likely(unsafe { at(record, guard) });
        }
        match head.door.load() {
            door if door.is_frozen() => Glance::Unclear,
            door => match door.decode() {
                DoorState::Link(_) => Glance::Unclear,
                _ => Glance::Absent,
            },
        }
    }
}
