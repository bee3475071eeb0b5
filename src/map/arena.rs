//! The memory of a map's records: cells of one size in chunks of a huge page each.
//!
//! A million sessions lie on 30,000 small pages: most look-ups would miss the cache of address translations, and walk the
//! page table, before they miss the cache of the data. On huge pages they lie on 64. A cell has no header, and begins at a
//! cache line's boundary where that wastes little.
//!
//! Each lane takes its cells from a chunk of its own. When that is used up, it goes on with a chunk that has enough free
//! cells, or with a new one. A lane's first chunk is on small pages, so that a small map takes up little room. Collections
//! give the memory of empty chunks back to the system. A chunk outlives its map while handles keep records in it.
//!
//! **Invariant.** Chunks are only ever added while the map lives; see `chunk` for what is in them.
//!
//! **Progress.** Lock-free but for the system calls that map memory, once in some thousand insertions.

use super::chunk::{Chunk, Left, MOST_CELLS, Memory};
use super::emptied::{self, Seen};
use super::magazine::{Chain, Magazine};
use super::pages::{HUGE_PAGE, Pages};
use crate::sync::{AtomicPtr, AtomicUsize, Ordering};
use crossbeam_utils::CachePadded;
use std::alloc::Layout;
use std::ptr::{self, NonNull};

const CACHE_LINE: usize = 64;
/// Chunks that are looked at for free cells before a new one is made.
const LOOKS: usize = 64;
/// A chunk is worth going on with if one cell of so many is free.
const ENOUGH: usize = 16;
/// Less memory than this is not worth giving back.
const WORTH: usize = if cfg!(dwell_loom) {
    CACHE_LINE
} else {
    64 << 10
};
/// A lane keeps so much memory at hand, and so many cells, at the most: as are freed at once where records come and go, and
/// stay in a processor's cache.
const AT_HAND: (usize, usize) = (512 << 10, 2048);

/// One huge page of cells.
#[derive(Debug)]
pub(crate) struct Page {
    pages: Pages,
    cell: usize,
}

/// The cells begin one line behind the chunk's name.
const NAME: usize = CACHE_LINE;

impl Page {
    fn address(&self, cell: usize) -> NonNull<u8> {
        debug_assert!(NAME + (cell + 1) * self.cell <= HUGE_PAGE);
        // SAFETY: the cell lies within the page.
        unsafe { self.pages.start().add(NAME + cell * self.cell) }
    }
}

impl Memory for Page {
    fn link(&self, cell: usize) -> &AtomicUsize {
        // SAFETY: a cell's first word is only accessed atomically, is aligned, and zero at first.
        unsafe { self.address(cell).cast().as_ref() }
    }

    fn name(&self) -> &AtomicPtr<Chunk<Self>> {
        // SAFETY: as for links; the name has a line of its own.
        unsafe { self.pages.start().cast().as_ref() }
    }

    unsafe fn clear(&self) {
        // SAFETY: the caller vouches for the contents.
        unsafe { self.pages.clear() }
    }
}

type PageChunk = Chunk<Page>;

#[derive(Debug)]
pub(crate) struct Arena {
    /// All chunks, linked; the newest first.
    chunks: AtomicPtr<PageChunk>,
    /// The chunk to look at next for free cells; null for the newest.
    cursor: AtomicPtr<PageChunk>,
    lanes: Box<[CachePadded<Lane>]>,
    cleared: Seen,
    cell: usize,
}

#[derive(Debug)]
struct Lane {
    magazine: Magazine,
    /// Where cells come from when the magazine is empty.
    chunk: AtomicPtr<PageChunk>,
}

/// Whether things of this layout are kept in arenas.
pub(crate) const fn suits(layout: Layout) -> bool {
    layout.size() <= HUGE_PAGE / 512 && layout.align() <= CACHE_LINE
}

/// The size of a cell: whole cache lines if that wastes an eighth at the most.
const fn cell_size(layout: Layout) -> usize {
    let whole = layout.size().next_multiple_of(CACHE_LINE);
    if whole - layout.size() <= layout.size() / 8 {
        whole
    } else {
        let align = if layout.align() < 16 {
            16
        } else {
            layout.align()
        };
        layout.size().next_multiple_of(align)
    }
}

impl Arena {
    pub(crate) fn new(layout: Layout, lanes: usize) -> Self {
        let cell = cell_size(layout);
        let most = AT_HAND.1.min(AT_HAND.0 / cell);
        Self {
            chunks: AtomicPtr::new(ptr::null_mut()),
            cursor: AtomicPtr::new(ptr::null_mut()),
            lanes: (0..lanes)
                .map(|_| {
                    CachePadded::new(Lane {
                        magazine: Magazine::new(most),
                        chunk: AtomicPtr::new(ptr::null_mut()),
                    })
                })
                .collect(),
            cleared: Seen::new(),
            cell,
        }
    }

    fn cells(&self) -> usize {
        ((HUGE_PAGE - NAME) / self.cell).min(MOST_CELLS)
    }

    /// Takes a cell.
    ///
    /// # Safety
    /// The caller is pinned since before the call, and writes the cell's first word only atomically.
    pub(crate) unsafe fn take(&self, lane: usize) -> NonNull<u8> {
        let lane = &self.lanes[lane];
        // SAFETY: the caller is pinned.
        if let Some(cell) = unsafe { lane.magazine.take() } {
            return cell;
        }
        let current = &lane.chunk;
        loop {
            // Acquire: pairs with the exchange in `go_on`.
            let chunk = current.load(Ordering::Acquire);
            if !chunk.is_null() {
                // SAFETY: chunks live as long as the arena, and the pointer is the one that `add` made; the rest is
                // the caller's.
                if let Some(cell) = unsafe { Chunk::take(chunk) } {
                    // SAFETY: the chunk lives.
                    return unsafe { (*chunk).memory.address(cell) };
                }
            }
            self.go_on(current, chunk);
        }
    }

    /// Gives a cell back, on any thread, also when the arena is gone.
    ///
    /// # Safety
    /// The cell is one that `take` of an arena for this layout returned, and not used any more. A grace period has passed since
    /// it was taken; and if other threads have seen it, since they could.
    #[inline]
    pub(crate) unsafe fn give_back(cell: NonNull<u8>, layout: Layout) {
        // SAFETY: as the caller says. The size is a constant where this is inlined.
        unsafe { give_back(cell, cell_size(layout)) }
    }

    /// Whether a lane can keep so many cells more.
    pub(crate) fn has_room(&self, lane: usize, cells: usize) -> bool {
        self.lanes[lane].magazine.has_room(cells)
    }

    /// Gives back the cells of a chain, to be taken by the same lane if it does not have too many.
    ///
    /// # Safety
    /// As for [`give_back`](Self::give_back), of each cell; and they were taken of this arena.
    pub(crate) unsafe fn keep(&self, chain: Chain, lane: usize) {
        // SAFETY: as the caller says.
        unsafe {
            if let Err(chain) = self.lanes[lane].magazine.put(chain) {
                chain.for_each(|cell| give_back(cell, self.cell));
            }
        }
    }

    /// Empties the magazines.
    fn unload(&self) {
        for lane in &self.lanes {
            let cells = lane.magazine.take_all();
            // SAFETY: each of them was put there after a grace period.
            cells.for_each(|cell| unsafe { give_back(cell, self.cell) });
        }
    }

    /// Whether there may be memory to give back: cells in a magazine, or a chunk that became empty since they were cleared.
    pub(crate) fn is_worth_clearing(&self) -> bool {
        !self.cleared.is_current() || self.lanes.iter().any(|lane| !lane.magazine.is_empty())
    }

    /// Gives the memory of empty chunks back to the system. Not for each chunk as soon as it is empty: where records come and
    /// go, it would soon be asked for again, and new memory is dear.
    pub(crate) fn clear(&self) {
        self.unload();
        self.cleared.set(emptied::count());
        self.chunks().for_each(|(_, chunk)| chunk.clear());
    }

    /// Finds another chunk for a lane that has used up this one.
    #[cold]
    fn go_on(&self, current: &AtomicPtr<PageChunk>, used_up: *mut PageChunk) {
        let chunk = self.find().unwrap_or_else(|| self.add(!used_up.is_null()));
        // Release: publishes a new chunk. If it fails, another thread of the lane found one: this one stays for later.
        let _ = current.compare_exchange(used_up, chunk, Ordering::Release, Ordering::Relaxed);
    }

    /// A chunk with enough free cells that no lane uses, if there is one among those that are looked at next.
    fn find(&self) -> Option<*mut PageChunk> {
        // Acquire: pairs with `add`, here and in `chunks`; the cursor points to what was found there.
        let cursor = self.cursor.load(Ordering::Acquire);
        let mut next = ptr::null_mut();
        let mut chunks = self.chunks_from(cursor).chain(self.chunks()).take(LOOKS);
        let found = chunks.find(|&(pointer, chunk)| {
            next = chunk.next;
            let is_taken =
                |lane: &CachePadded<Lane>| ptr::eq(lane.chunk.load(Ordering::Relaxed), pointer);
            chunk.free() * ENOUGH >= self.cells() && !self.lanes.iter().any(is_taken)
        });
        // Release: passes on what the Acquire above saw.
        self.cursor.store(next, Ordering::Release);
        found.map(|(pointer, _)| pointer)
    }

    fn add(&self, prefers_huge: bool) -> *mut PageChunk {
        let pages = Pages::new(HUGE_PAGE);
        if prefers_huge {
            pages.prefer_huge();
        } else {
            pages.avoid_huge();
        }
        let page = Page {
            pages,
            cell: self.cell,
        };
        let chunk = Box::into_raw(Box::new(Chunk::new(page, self.cells(), WORTH / self.cell)));
        let mut head = self.chunks.load(Ordering::Relaxed);
        loop {
            // SAFETY: not published yet, so that nobody else knows it.
            unsafe { (*chunk).next = head };
            // Release: pairs with `chunks`.
            match self
                .chunks
                .compare_exchange(head, chunk, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => return chunk,
                Err(newer) => head = newer,
            }
        }
    }

    /// All chunks, each with the pointer that it is freed by.
    fn chunks(&self) -> impl Iterator<Item = (*mut PageChunk, &PageChunk)> {
        // Acquire: pairs with `add`.
        self.chunks_from(self.chunks.load(Ordering::Acquire))
    }

    fn chunks_from(
        &self,
        mut next: *mut PageChunk,
    ) -> impl Iterator<Item = (*mut PageChunk, &PageChunk)> {
        std::iter::from_fn(move || {
            let pointer = next;
            // SAFETY: chunks live as long as the arena.
            let chunk = unsafe { pointer.as_ref() }?;
            next = chunk.next;
            Some((pointer, chunk))
        })
    }
}

/// Gives a cell of this size back to its chunk.
///
/// # Safety
/// As for [`Arena::give_back`].
#[inline]
unsafe fn give_back(cell: NonNull<u8>, size: usize) {
    let page = cell.addr().get() & !(HUGE_PAGE - 1);
    let name = ptr::with_exposed_provenance::<AtomicPtr<PageChunk>>(page);
    let index = (cell.addr().get() - page - NAME) / size;
    // SAFETY: a cell that is in use keeps its page, which begins with its chunk's name: whoever took the cell wrote
    // it, and what the caller knows of the cell comes from there.
    unsafe {
        let chunk = (*name).load(Ordering::Relaxed);
        match Chunk::give_back(chunk, index) {
            Left::InUse => {}
            Left::Empty => emptied::note(),
            Left::Orphaned => drop(Box::from_raw(chunk)),
        }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        self.unload();
        // Relaxed: the arena is exclusively ours.
        let mut next = self.chunks.load(Ordering::Relaxed);
        while !next.is_null() {
            let chunk = next;
            // SAFETY: the arena is gone, so that only who gives back the last cell may free a chunk, once it is
            // orphaned.
            unsafe {
                next = (*chunk).next;
                if Chunk::orphan(chunk) {
                    drop(Box::from_raw(chunk));
                }
            }
        }
    }
}

// SAFETY: chunks are shared between threads; all of them that changes is atomic.
unsafe impl Send for Arena {}
// SAFETY: as above.
unsafe impl Sync for Arena {}
