//! A chunk of an arena: cells of one size on one huge page, taken and given back without a lock.
//!
//! ```text
//!   page:   name of the chunk | cell 0 | cell 1 | ...         word:  flags | in use | ever used | first free
//! ```
//!
//! **Invariant.** A cell below `ever used` is in use, or on the list of free cells, which is linked through the
//! cells' first words. `in use` counts the first kind. A chunk that is `CLOSED` has none in use, and hands out none.
//!
//! **Linearization points.** The exchange of the chunk's word, in each operation.
//!
//! *Why nobody takes a cell twice.* Who takes the first free cell reads its link and then exchanges the word. If the cell
//! was taken and given back in between, the word may be the same and the link another (the ABA problem). But who takes
//! is pinned, and a cell that was taken is given back only after a grace period: see [`Chunk::give_back`].
//!
//! **First words.** The first word of a cell is atomic for ever: a late reader of a link reads whatever the cell's
//! new owner made of it, and then fails to exchange the word.
//!
//! **Progress.** Lock-free: an exchange fails only because another one succeeded.

use super::memory::prefetch;
use crate::sync::{AtomicPtr, AtomicU64, AtomicUsize, Ordering, Trace, fence};
use std::ptr;

const FIELD: u32 = 20;
/// The greatest number of cells in a chunk.
pub(crate) const MOST_CELLS: usize = (1 << FIELD) - 1;
const CLOSED: u64 = 1 << 60;
/// The arena is gone: whoever gives the last cell back frees the chunk.
const ORPHANED: u64 = 1 << 61;

/// A chunk's word, decoded.
#[derive(Clone, Copy)]
struct Word {
    flags: u64,
    in_use: u64,
    ever_used: u64,
    /// The index of the first free cell and one, or 0.
    first: u64,
}

impl Word {
    const NEW: Self = Self {
        flags: 0,
        in_use: 0,
        ever_used: 0,
        first: 0,
    };

    /// While somebody clears the memory.
    const CLOSED: Self = Self {
        flags: CLOSED,
        ..Self::NEW
    };

    fn decode(word: u64) -> Self {
        let field = |number: u32| word >> (number * FIELD) & MOST_CELLS as u64;
        Self {
            flags: word & (CLOSED | ORPHANED),
            in_use: field(2),
            ever_used: field(1),
            first: field(0),
        }
    }

    fn encode(self) -> u64 {
        self.flags | self.in_use << (2 * FIELD) | self.ever_used << FIELD | self.first
    }
}

/// What a chunk needs of its memory.
pub(crate) trait Memory {
    /// The first word of a cell.
    fn link(&self, cell: usize) -> &AtomicUsize;
    /// Where a cell finds its chunk by. Zero when the memory is cleared.
    fn name(&self) -> &AtomicPtr<Chunk<Self>>
    where
        Self: Sized;
    /// Gives the memory back to the system, to be used again.
    ///
    /// # Safety
    /// Nobody relies on what the memory holds.
    unsafe fn clear(&self);
}

/// What became of a chunk when a cell was given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    InUse,
    /// No cell is in use any more.
    Empty,
    /// The same, and the arena is gone: the caller has to free the chunk.
    Orphaned,
}

#[derive(Debug)]
pub(crate) struct Chunk<M> {
    word: AtomicU64,
    cells: usize,
    /// A chunk's memory is given back if so many cells were used.
    worth: usize,
    pub(crate) memory: M,
    /// The chunk that was made before this one. Written before the chunk is published.
    pub(crate) next: *mut Chunk<M>,
    /// Stands for what is not atomic.
    trace: Trace,
}

impl<M: Memory> Chunk<M> {
    pub(crate) fn new(memory: M, cells: usize, worth: usize) -> Self {
        debug_assert!(cells <= MOST_CELLS);
        Self {
            word: AtomicU64::new(Word::NEW.encode()),
            cells,
            worth,
            memory,
            next: ptr::null_mut(),
            trace: Trace::new(),
        }
    }

    /// Takes a cell: its index. None if there is no free one.
    ///
    /// # Safety
    /// The pointer is that of the chunk's allocation, which lives. The caller is pinned since before the call, and writes
    /// the cell's first word only atomically.
    pub(crate) unsafe fn take(chunk: *const Self) -> Option<usize> {
        // SAFETY: the chunk lives, as the caller says.
        unsafe { (*chunk).take_named(chunk.cast_mut()) }
    }

    /// `own` is what the chunk may be freed by, where a reference may not be used for that.
    fn take_named(&self, own: *mut Self) -> Option<usize> {
        // Acquire, here and below: pairs with `give_back`, so that what the cell was used for comes before, and the
        // link is seen; and with `clear`, so that the memory is seen as it was cleared. Relaxed for the exchange that
        // succeeds: the cell it takes was free in the word that was loaded, and has been since (see above).
        let mut seen = self.word.load(Ordering::Acquire);
        loop {
            let mut word = Word::decode(seen);
            if word.flags & CLOSED != 0 {
                return None;
            }
            let cell = if word.first != 0 {
                let cell = word.first as usize - 1;
                let link = self.memory.link(cell).load(Ordering::Relaxed);
                word.first = link as u64 & MOST_CELLS as u64;
                cell
            } else if word.ever_used < self.cells as u64 {
                word.ever_used += 1;
                word.ever_used as usize - 1
            } else {
                return None;
            };
            word.in_use += 1;
            match self.word.compare_exchange(
                seen,
                word.encode(),
                Ordering::Relaxed,
                Ordering::Acquire,
            ) {
                Ok(_) => {
                    // Relaxed: everybody who takes a cell writes the same, before the cell's address goes to
                    // anybody who may give it back.
                    let name = self.memory.name();
                    if name.load(Ordering::Relaxed) != own {
                        name.store(own, Ordering::Relaxed);
                    }
                    if word.first != 0 {
                        // Most likely the next one to be taken.
                        prefetch(self.memory.link(word.first as usize - 1));
                    }
                    return Some(cell);
                }
                Err(newer) => seen = newer,
            }
        }
    }

    /// Gives a cell back.
    ///
    /// # Safety
    /// The chunk lives, and the cell is the caller's, who does not use it any more. Of the threads that were pinned when
    /// it was taken none is still in that same visit, but for the one that took it.
    pub(crate) unsafe fn give_back(chunk: *const Self, cell: usize) -> Left {
        // No reference to the chunk outlives the exchange: once this cell is given back, another thread may give
        // back the last one, and free the chunk.
        // SAFETY: the caller's cell keeps the chunk until the exchange.
        let (shared, link) = unsafe {
            let link = ptr::from_ref((*chunk).memory.link(cell));
            (&raw const (*chunk).word, link)
        };
        // SAFETY: as above.
        let mut seen = unsafe { (*shared).load(Ordering::Relaxed) };
        loop {
            let mut word = Word::decode(seen);
            // Relaxed: published by the exchange.
            // SAFETY: as above.
            unsafe { (*link).store(word.first as usize, Ordering::Relaxed) };
            word.first = cell as u64 + 1;
            word.in_use -= 1;
            // Release: pairs with `take` and `clear`, and with the fence below.
            // SAFETY: as above.
            let exchange = unsafe {
                (*shared).compare_exchange(
                    seen,
                    word.encode(),
                    Ordering::Release,
                    Ordering::Relaxed,
                )
            };
            match exchange {
                Ok(_) if word.in_use > 0 => return Left::InUse,
                Ok(_) if word.flags & ORPHANED == 0 => return Left::Empty,
                Ok(_) => {
                    // Acquire: pairs with the Release of the others.
                    fence(Ordering::Acquire);
                    return Left::Orphaned;
                }
                Err(newer) => seen = newer,
            }
        }
    }

    /// Gives the memory back to the system, if no cell is in use and it is worth it. The chunk is as new then.
    pub(crate) fn clear(&self) {
        let seen = self.word.load(Ordering::Relaxed);
        let word = Word::decode(seen);
        if word.in_use > 0 || word.flags != 0 || word.ever_used < self.worth as u64 {
            return;
        }
        // Acquire: pairs with `give_back`. If it fails, cells are taken, or somebody else does this.
        let closed = self.word.compare_exchange(
            seen,
            Word::CLOSED.encode(),
            Ordering::Acquire,
            Ordering::Relaxed,
        );
        if closed.is_ok() {
            // SAFETY: no cell is used, and none is taken while the chunk is closed.
            unsafe { self.memory.clear() };
            // Release: pairs with `take`. A plain store: nobody else changes the word of a closed chunk.
            self.word.store(Word::NEW.encode(), Ordering::Release);
        }
    }

    /// For an arena that is being dropped, so that nobody clears the chunk any more: true if the caller has to free the
    /// chunk; if not, whoever gives the last cell back has to.
    ///
    /// # Safety
    /// The chunk lives, and is orphaned once.
    pub(crate) unsafe fn orphan(chunk: *const Self) -> bool {
        // SAFETY: nobody frees the chunk before it is orphaned.
        let shared = unsafe { &raw const (*chunk).word };
        // SAFETY: as above.
        let mut seen = unsafe { (*shared).load(Ordering::Relaxed) };
        loop {
            let mut word = Word::decode(seen);
            debug_assert_eq!(word.flags, 0);
            word.flags |= ORPHANED;
            // AcqRel: pairs with `give_back`, whoever of the two is the last.
            // SAFETY: as above.
            let exchange = unsafe {
                (*shared).compare_exchange(seen, word.encode(), Ordering::AcqRel, Ordering::Relaxed)
            };
            match exchange {
                Ok(_) => return word.in_use == 0,
                Err(newer) => seen = newer,
            }
        }
    }

    /// How many cells could be taken.
    pub(crate) fn free(&self) -> usize {
        self.trace.read();
        let word = Word::decode(self.word.load(Ordering::Relaxed));
        if word.flags & CLOSED != 0 {
            0
        } else {
            self.cells - word.in_use as usize
        }
    }
}
