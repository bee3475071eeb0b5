//! A magazine: free cells that a lane keeps at hand, the last that was freed on top, for it is most likely still in the
//! processor's cache (Bonwick and Adams, Magazines and Vmem, 2001).
//!
//! ```text
//!   head:  rounds | first cell       each cell's first word:  the next cell
//! ```
//!
//! **Invariant.** A cell in a magazine is in no other one, and counts as in use in its chunk, so that its page stays.
//! `rounds` is the length of the chain.
//!
//! **Linearization points.** The exchange of the head, in each operation.
//!
//! *Why nobody takes a cell twice.* As for chunks: who takes reads the first cell's link and then exchanges the head. A
//! cell that left the magazine meanwhile is back on its top only after somebody has taken it and a grace period has
//! passed since: who takes is pinned.
//!
//! **Progress.** Lock-free: an exchange fails only because another one succeeded.

use super::memory::prefetch;
use crate::sync::{AtomicUsize, Ordering};
use std::ptr::{self, NonNull};

const CACHE_LINE: usize = 64;
const ROUNDS_SHIFT: u32 = 48;
const ADDRESS: usize = (1 << ROUNDS_SHIFT) - 1;

#[derive(Debug)]
pub(crate) struct Magazine {
    head: AtomicUsize,
    /// More rounds are not kept.
    most: usize,
}

/// Free cells, linked.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    first: Option<NonNull<u8>>,
    last: Option<NonNull<u8>>,
    rounds: usize,
}

/// The first word of a cell.
///
/// # Safety
/// The cell's page lives for as long as the reference, and the word is only accessed atomically.
unsafe fn link<'p>(cell: NonNull<u8>) -> &'p AtomicUsize {
    // SAFETY: as the caller says; cells are aligned.
    unsafe { cell.cast().as_ref() }
}

fn cell_at(word: usize) -> Option<NonNull<u8>> {
    NonNull::new(ptr::with_exposed_provenance_mut(word & ADDRESS))
}

impl Chain {
    /// Adds a cell to the front.
    ///
    /// # Safety
    /// The cell is the caller's, who does not use it any more, and is in no other chain.
    pub(crate) unsafe fn add(&mut self, cell: NonNull<u8>) {
        let next = self.first.map_or(0, |first| first.addr().get());
        // Relaxed: published with the chain.
        // SAFETY: as the caller says.
        unsafe { link(cell) }.store(next, Ordering::Relaxed);
        self.first = Some(cell);
        self.last = self.last.or(Some(cell));
        self.rounds += 1;
    }
}

impl Iterator for Chain {
    type Item = NonNull<u8>;

    fn next(&mut self) -> Option<NonNull<u8>> {
        let first = self.first?;
        self.rounds -= 1;
        self.first = if self.rounds == 0 {
            None
        } else {
            // SAFETY: the cells of a chain are its owner's.
            cell_at(unsafe { link(first) }.load(Ordering::Relaxed))
        };
        Some(first)
    }
}

impl Magazine {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            head: AtomicUsize::new(0),
            most,
        }
    }

    /// Takes a cell.
    ///
    /// # Safety
    /// The caller is pinned since before the call.
    pub(crate) unsafe fn take(&self) -> Option<NonNull<u8>> {
        // Acquire, here and below: pairs with `put`, so that what the cell was used for comes before, and the link is seen.
        // Relaxed for the exchange that succeeds: its cell was on top in the word that was loaded, and did not leave since.
        let mut seen = self.head.load(Ordering::Acquire);
        loop {
            let cell = cell_at(seen)?;
            // Relaxed: a late reader of a link reads whatever the cell's new owner made of it, and then fails below.
            // SAFETY: pages live as long as the arena, and a cell's first word is atomic for ever.
            let next = unsafe { link(cell) }.load(Ordering::Relaxed) & ADDRESS;
            let rest = if next == 0 {
                0
            } else {
                next | ((seen >> ROUNDS_SHIFT) - 1) << ROUNDS_SHIFT
            };
            match self
                .head
                .compare_exchange(seen, rest, Ordering::Relaxed, Ordering::Acquire)
            {
                Ok(_) => {
                    // Most likely the next one to be taken. Who freed it has not touched more than its first line.
                    let next = ptr::without_provenance::<u8>(next);
                    prefetch(next);
                    prefetch(next.wrapping_add(CACHE_LINE));
                    return Some(cell);
                }
                Err(newer) => seen = newer,
            }
        }
    }

    /// Whether there are no cells, at this moment.
    pub(crate) fn is_empty(&self) -> bool {
        self.head.load(Ordering::Relaxed) == 0
    }

    /// Whether there is room for so many more, at this moment.
    pub(crate) fn has_room(&self, rounds: usize) -> bool {
        (self.head.load(Ordering::Relaxed) >> ROUNDS_SHIFT) + rounds <= self.most
    }

    /// Puts a chain on top. Gives it back if there would be too many.
    ///
    /// # Safety
    /// Each of the cells was taken from the arena of the magazine. Of the threads that were pinned when it was taken none
    /// is still in that same visit.
    pub(crate) unsafe fn put(&self, chain: Chain) -> Result<(), Chain> {
        let (Some(first), Some(last)) = (chain.first, chain.last) else {
            return Ok(());
        };
        let mut seen = self.head.load(Ordering::Relaxed);
        loop {
            let rounds = (seen >> ROUNDS_SHIFT) + chain.rounds;
            if rounds > self.most {
                return Err(chain);
            }
            // Relaxed: published by the exchange.
            // SAFETY: the chain's cells are the caller's.
            unsafe { link(last) }.store(seen & ADDRESS, Ordering::Relaxed);
            let head = first.addr().get() | rounds << ROUNDS_SHIFT;
            // Release: pairs with `take` and `take_all`.
            match self
                .head
                .compare_exchange(seen, head, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => return Ok(()),
                Err(newer) => seen = newer,
            }
        }
    }

    /// Takes all cells.
    pub(crate) fn take_all(&self) -> Chain {
        // Relaxed: mostly there are none, and then the line stays with whoever wrote it.
        if self.is_empty() {
            return Chain::default();
        }
        // Acquire: pairs with `put`.
        let head = self.head.swap(0, Ordering::Acquire);
        Chain {
            first: cell_at(head),
            last: None,
            rounds: head >> ROUNDS_SHIFT,
        }
    }
}
