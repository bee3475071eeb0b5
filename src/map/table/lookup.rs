//! Look-ups that are decided at first sight, as most are: by the head of the chain, and the first record in it whose tag
//! agrees.
//!
//! What a look-up costs in a large map is two cache misses, one behind the other: the line, then the record. The
//! processor begins the next look-up's misses meanwhile if its instructions and loads fit into its buffers beside this
//! one's. So this path is short, asks for the record as soon as the line has named it, and reads the clock while the record
//! is on its way. Whatever it does not settle is done again from the start, by [`Table::find`](crate::map::table::Table::find).
//!
//! **Linearization points.** As in `table`. A live record is found where it is, at the load of its status word. A key is
//! absent if the line was ready and had no link when its commit word was read, and no slot, read after that, has the key's tag.
//!
//! *Why one look at the commit word is enough.* Take a key that is there when the look-up begins. Its record is in the chain of the
//! line, or was copied to it before the commit word was ready. A link stays one: so where the commit word is none, the record is in one of
//! the slots, which keeps the tag until the record has ended, also when it is replaced. Then the tag is seen, or there was a
//! moment within the look-up when the key had no live record. Nor does it matter whether the chain is frozen: a frozen
//! slot keeps its word, and the next array is published before a commit word is frozen, so that what is inserted there has come
//! after the look-up began, which found this array in its place. And a record that is found is live or not, whatever the
//! commit word says: one in a line that is not ready yet is in the old line, too, and not retired before it has left both.
//!
//! **Progress.** Wait-free.

use crate::cpu::prefetch;
use crate::map::record::{Record, at};
use crate::map::table::line::{CommitState, Tag};
use crate::map::table::{Table, upper};
use crate::reclaim::Guard;

/// What the first line shows of a key.
pub enum FastLookup<'g, K, V> {
    /// It has no live record.
    Absent,
    /// Its record is this one, most likely. The record has been asked for.
    Likely(&'g Record<K, V>),
    Unclear,
}

impl<K: 'static, V: 'static> Table<K, V> {
    #[inline(always)]
    pub fn lookup_fast<'g>(&self, hash: u64, guard: &'g Guard) -> FastLookup<'g, K, V> {
        let lines = self.lines(guard);
        let head = lines.line(lines.index(upper(hash)));
        let commit_word = head.commit_word.load();
        if let Some((_, word)) = head.tagged(Tag::of(hash)).next() {
            let Some(record) = word.record() else {
                return FastLookup::Unclear;
            };
            prefetch(record);
            // SAFETY: read from a slot under the guard.
            return FastLookup::Likely(unsafe { at(record, guard) });
        }
        match commit_word.decode() {
            CommitState::Stamp(_) | CommitState::Commit(_) => FastLookup::Absent,
            CommitState::Link(_) | CommitState::Prepared(_) | CommitState::Unset => {
                FastLookup::Unclear
            }
        }
    }
}
