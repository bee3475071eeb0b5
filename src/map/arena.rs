//! Memory for records: cells of one size, from chunks of a huge page each.
//!
//! A million sessions lie on 30,000 small pages: nearly every look-up would miss the address translation
//! cache, and walk the page table, before it misses the data cache. On huge pages they lie on 64. A cell starts on a
//! cache line's boundary where that wastes little, and has no header.
//!
//! ```text
//!   chunk, 2 MiB:   | word, next | cell | cell | ... | cell |
//!   word:           flags | cells in use | cells ever used | first free cell
//! ```
//!
//! **Invariant.** A cell below `ever used` is in use, or on the chunk's list of free cells, which is linked through the
//! cells' first words. `in use` counts the first kind. A chunk that is `CLOSED` hands out no cell.
//!
//! **Linearization points.** Each operation is one exchange of the chunk's word: taking a cell, giving it back, closing a
//! chunk that has none in use.
//!
//! *Why a cell that was taken is not taken again:* who takes the first free cell reads its link, and then exchanges the
//! word. If the cell was taken and given back meanwhile, the link may be another (ABA). A cell that a pinned thread sees
//! free is given back again only after that thread unpinned: records are freed after a grace period, and
//! those that were never inserted are freed through the reclaimer, too.
//!
//! **First words.** The first word of a cell is atomic for ever: late readers of a link read whatever was made of it, and
//! their exchange fails. Who takes a cell writes its first word by an atomic store only.
//!
//! **Giving memory back.** A collection closes the chunks that have no cell in use, tells the system that their
//! contents are not needed, and opens them again, as new. The address stays reserved as long as the arena lives.
//!
//! **Progress.** Lock-free: an exchange fails only because another one succeeded. Taking a new chunk, once in some thousand
//! insertions, looks at up to [`LOOKS`] others, and may ask the system for memory.

use super::chunk::{CHUNK, Chunk};
use crate::sync::{AtomicPtr, Ordering};
use crossbeam_utils::CachePadded;
use std::alloc::Layout;
use std::ptr::{self, NonNull};

/// Chunks that are looked at for free cells before a new one is made.
const LOOKS: usize = 64;

/// The chunks of a map.
pub(crate) struct Arena {
    /// All chunks, linked; the newest first.
    chunks: AtomicPtr<Chunk>,
    /// From where to look for free cells.
    cursor: AtomicPtr<Chunk>,
    /// The chunk of each lane.
    lanes: Box<[CachePadded<AtomicPtr<Chunk>>]>,
    cell: usize,
}
