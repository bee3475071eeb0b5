//! Limbo: where retired records wait for their grace period, and then for somebody to free them.
//!
//! ```text
//!   retire --> lane's stack --(batch)--> deferred by the reclaimer --> ready --> freed by writers
//! ```
//!
//! Freeing a record costs a cache miss and runs its value's `Drop`, and a deferred action runs on whichever thread
//! finds it due. So the deferred action of a whole batch only puts it on the stack of ready batches, which writers
//! and collections free, a few at a time. A reader never frees.
//!
//! **Invariant.** A retired record is in exactly one batch, linked through its `place`, which belongs to
//! limbo from the retirement on.
//!
//! **Progress.** Lock-free. A lane's stack is taken whole by swap, so that no foreign head is ever read; a ready
//! batch is popped by exchange, see `Ready::free_one`.

use super::memory::Cells;
use super::reclaim::{Guard, Reclaim};
use super::record::{Record, contain, disown};
use crate::sync::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use crossbeam_utils::CachePadded;
use std::ptr::{self, NonNull};
use std::sync::Arc;

/// Retired records of a lane that are deferred together.
const BATCH: usize = if cfg!(dwell_loom) { 1 } else { 32 };
/// Marks `place` as limbo's.
const LINK: usize = 0b010;

pub(crate) struct Limbo<K: 'static, V: 'static> {
    lanes: Box<[CachePadded<Lane<K, V>>]>,
    ready: Arc<Ready<K, V>>,
    cells: Cells<Record<K, V>>,
}

struct Lane<K, V> {
    stack: AtomicPtr<Record<K, V>>,
    retired: AtomicUsize,
    /// Shells made less shells gone on this lane, wrapping.
    shells: AtomicUsize,
}

/// Batches whose grace period is over.
struct Ready<K: 'static, V: 'static> {
    stack: AtomicPtr<Batch<K, V>>,
    freed: AtomicU64,
    panics: AtomicU64,
}

struct Batch<K, V> {
    first: *mut Record<K, V>,
    next: *mut Batch<K, V>,
}

impl<K: 'static, V: 'static> Limbo<K, V> {
    pub(crate) fn new(lanes: usize) -> Self {
        let lane = |_| {
            CachePadded::new(Lane {
                stack: AtomicPtr::new(ptr::null_mut()),
                retired: AtomicUsize::new(0),
                shells: AtomicUsize::new(0),
            })
        };
        Self {
            lanes: (0..lanes).map(lane).collect(),
            ready: Arc::new(Ready {
                stack: AtomicPtr::new(ptr::null_mut()),
                freed: AtomicU64::new(0),
                panics: AtomicU64::new(0),
            }),
            cells: Cells::new(lanes),
        }
    }

    /// The memory that records come from and go to.
    pub(crate) fn cells(&self) -> &Cells<Record<K, V>> {
        &self.cells
    }

    /// A structure has let go of a record; the last one retires it.
    pub(crate) fn left(&self, record: &Record<K, V>, lane: usize, guard: &Guard) {
        if !record.leave() {
            return;
        }
        record.retire();
        let lane = &self.lanes[lane];
        let pointer = ptr::from_ref(record).cast_mut();
        let mut head = lane.stack.load(Ordering::Relaxed);
        loop {
            // Relaxed: published by the exchange below.
            record.place.store(
                head.map_addr(|address| address | LINK).cast(),
                Ordering::Relaxed,
            );
            // Release: pairs with the swap in `send`.
            match lane
                .stack
                .compare_exchange(head, pointer, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => break,
                Err(newer) => head = newer,
            }
        }
        // Relaxed: a count.
        let retired = lane.retired.fetch_add(1, Ordering::Relaxed) + 1;
        if retired.is_multiple_of(BATCH) {
            self.send(lane, guard);
        }
    }

    fn send(&self, lane: &Lane<K, V>, guard: &Guard) {
        // Acquire: pairs with the push, so that the links can be followed.
        let first = lane.stack.swap(ptr::null_mut(), Ordering::Acquire);
        if first.is_null() {
            return;
        }
        let ready = Arc::clone(&self.ready);
        // SAFETY: the action owns the batch, keeps `ready` alive, and runs no user code. That batch and
        // `ready` may be dropped on another thread is what the map's bounds on K and V are for.
        unsafe {
            guard.defer(move || ready.push(first));
        }
    }

    /// Sends every lane's records on their way.
    pub(crate) fn send_all(&self, guard: &Guard) {
        for lane in &self.lanes {
            self.send(lane, guard);
        }
        guard.flush();
    }

    /// Frees up to `batches` batches that are ready.
    pub(crate) fn reap(&self, batches: usize, guard: &Guard) {
        for _ in 0..batches {
            if !self.ready.free_one(guard) {
                return;
            }
        }
    }

    pub(crate) fn lanes(&self) -> usize {
        self.lanes.len()
    }

    /// For a map that is being dropped: a structure lets go, and the last one frees without a grace period.
    pub(crate) fn free_if_last(&self, record: &Record<K, V>) {
        if record.leave() {
            self.ready.disown(NonNull::from(record));
        }
    }

    pub(crate) fn count_shells(&self, lane: usize, change: usize) {
        self.lanes[lane].shells.fetch_add(change, Ordering::Relaxed);
    }

    /// Records that have ended, and whose token is still in the calendar.
    pub(crate) fn shells(&self) -> usize {
        let sum = self.lanes.iter().fold(0, |sum: usize, lane| {
            sum.wrapping_add(lane.shells.load(Ordering::Relaxed))
        });
        // Lanes are read one after the other: a shell that went may be seen before it came.
        if sum > usize::MAX / 2 { 0 } else { sum }
    }

    /// Records retired but not freed yet, except those that only handles keep.
    pub(crate) fn garbage(&self) -> usize {
        let freed = self.ready.freed.load(Ordering::Relaxed);
        let retired: usize = self
            .lanes
            .iter()
            .map(|lane| lane.retired.load(Ordering::Relaxed))
            .sum();
        retired.saturating_sub(freed as usize)
    }

    /// How many keys or values panicked when they were dropped.
    pub(crate) fn panics(&self) -> u64 {
        self.ready.panics.load(Ordering::Relaxed)
    }
}

impl<K: 'static, V: 'static> Ready<K, V> {
    fn push(&self, first: *mut Record<K, V>) {
        let mut head = self.stack.load(Ordering::Relaxed);
        let batch = Box::into_raw(Box::new(Batch { first, next: head }));
        // Release: pairs with `free_one` and `take`.
        while let Err(newer) =
            self.stack
                .compare_exchange(head, batch, Ordering::Release, Ordering::Relaxed)
        {
            head = newer;
            // SAFETY: not pushed yet, so that nobody else knows it.
            unsafe { (*batch).next = head };
        }
    }

    /// Frees the records of the newest batch. False if there is none.
    ///
    /// A batch that was popped is itself freed after a grace period: so its successor can be read while it is
    /// the head, and no batch comes back at the same address under a guard (no ABA).
    fn free_one(&self, guard: &Guard) -> bool {
        // Acquire: pairs with `push`.
        let mut head = self.stack.load(Ordering::Acquire);
        loop {
            if head.is_null() {
                return false;
            }
            // SAFETY: read under the guard from the stack.
            let next = unsafe { (*head).next };
            // Acquire, on success too: who pops may not be who has seen the head first.
            match self
                .stack
                .compare_exchange(head, next, Ordering::Acquire, Ordering::Acquire)
            {
                Ok(_) => break,
                Err(newer) => head = newer,
            }
        }
        // SAFETY: popped once, so that its records are the caller's to free; the batch comes from a box.
        unsafe {
            self.free((*head).first);
            guard.defer(move || drop(Box::from_raw(head)));
        }
        true
    }

    /// Frees the records of all batches, when nobody else uses the stack any more.
    fn free_all(&self) {
        // Acquire: pairs with `push`.
        let mut head = self.stack.swap(ptr::null_mut(), Ordering::Acquire);
        while !head.is_null() {
            // SAFETY: batches come from boxes, and nobody else knows these.
            let batch = unsafe { Box::from_raw(head) };
            head = batch.next;
            self.free(batch.first);
        }
    }

    /// Frees linked records whose grace period is over.
    fn free(&self, first: *mut Record<K, V>) {
        let mut next = first;
        let mut freed = 0;
        while let Some(record) = NonNull::new(next) {
            // SAFETY: the structures' ownership keeps the record until it is given up below.
            let link = unsafe { (*record.as_ptr()).place.load(Ordering::Relaxed) };
            next = link.map_addr(|address| address & !LINK).cast();
            self.disown(record);
            freed += 1;
        }
        self.freed.fetch_add(freed, Ordering::Relaxed);
    }

    /// Gives up the structures' ownership of a record whose grace period is over.
    fn disown(&self, record: NonNull<Record<K, V>>) {
        // SAFETY: the last structure has let go, so that this ownership is the caller's to give up, once.
        if !contain(|| unsafe { disown(record) }) {
            self.panics.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl<K, V> Drop for Ready<K, V>
where
    K: 'static,
    V: 'static,
{
    fn drop(&mut self) {
        self.free_all();
    }
}

impl<K, V> Drop for Limbo<K, V>
where
    K: 'static,
    V: 'static,
{
    fn drop(&mut self) {
        // The map is gone: nobody is pinned for the sake of its records any more.
        for lane in &self.lanes {
            self.ready
                .free(lane.stack.swap(ptr::null_mut(), Ordering::Acquire));
        }
        self.ready.free_all();
    }
}

// SAFETY: records move between threads and are read by several; the stacks are atomic.
unsafe impl<K: Send + Sync, V: Send + Sync> Send for Limbo<K, V> {}
// SAFETY: as above.
unsafe impl<K: Send + Sync, V: Send + Sync> Sync for Limbo<K, V> {}
// SAFETY: as above.
unsafe impl<K: Send + Sync, V: Send + Sync> Send for Ready<K, V> {}
// SAFETY: as above.
unsafe impl<K: Send + Sync, V: Send + Sync> Sync for Ready<K, V> {}
