//! The fast path of a look-up: it decides by the head of the chain, and by the first record in it
//! whose tag agrees. Most look-ups end here.
//!
//! What a look-up costs in a large map is two cache misses, one behind the other: the line, then
//! the record. The processor begins the next look-up's misses meanwhile if its instructions and
//! loads fit into its buffers beside this one's. So this path is short, prefetches the record as
//! soon as the line has named it, and reads the clock while the record is on its way. What it does
//! not decide, the slow path does again from the start: [`Table::find`].
//!
//! **Linearization points.** As in `table`. A live record is found where it is, at the load of its
//! status word. A key is absent if the line was ready and had no link when its commit word was
//! read, and no slot, read after that, has the key's tag.
//!
//! *Why one look at the commit word is enough.* Take a key that is there when the look-up begins.
//! Its record is in the chain of the line, or was copied to it before the commit word was ready. A
//! link stays one. So if the commit word is no link, the record is in one of the slots of this
//! line. The slot keeps the tag until the record has ended, also when the record is replaced. Then
//! the tag is seen, or there was a moment within the look-up when the key had no live record.
//!
//! *Why a frozen line is as good.* A frozen slot keeps its word. The next array is published before
//! a commit word is frozen, and this look-up found the old one: what is inserted into the next
//! array came after the look-up began. A record found in a line under migration is also in the old
//! line and cannot be retired until it has left both; its status word is authoritative either way.
//!
//! **Progress.** Wait-free.

use crate::cpu::prefetch;
use crate::map::record::{Record, at};
use crate::map::table::line::CommitState;
use crate::map::table::tags::Tag;
use crate::map::table::{Table, upper};
use crate::reclaim::Guard;

/// What the head of the chain shows of a key.
pub enum FastLookup<'g, K, V> {
    /// The key has no live record.
    Absent,
    /// This is the key's record, most likely. It was prefetched.
    Likely(&'g Record<K, V>),
    /// The slow path has to decide.
    Unclear,
}

impl<K: 'static, V: 'static> Table<K, V> {
    /// Looks a key's hash up in the head of its chain. Does not write.
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
