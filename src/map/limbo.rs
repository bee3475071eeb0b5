//! Limbo: where retired records wait for their grace period, and then for somebody to free them.
//!
//! ```text
//!   retire --> lane's stack --(batch)--> deferred by the reclaimer --> ready --> freed by writers
//! ```
//!
//! crossbeam-epoch runs deferred actions on whichever thread pins next, readers included. Freeing a
//! record costs a cache miss and runs its value's `Drop`. So the deferred action of a whole batch only
//! puts it on the stack of ready batches, which writers and collections free.
//! A reader never frees.
//!
//! **Invariant.** A retired record is in exactly one batch, linked through its `place`, which belongs to
//! limbo from the retirement on.
//!
//! **Progress.** Lock-free: stacks are pushed to by exchange and taken whole by swap, so that no foreign
//! head is ever read and no address can deceive (no ABA).

use super::reclaim::{Guard, Reclaim};
use super::record::{Record, disown};
use crate::sync::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use crossbeam_utils::CachePadded;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};
use std::sync::Arc;

/// Retired records of a lane that are deferred together.
const BATCH: usize = if cfg!(dwell_loom) { 1 } else { 32 };
/// Marks `place` as limbo's.
const LINK: usize = 0b010;

pub(crate) struct Limbo<K, V> {
    lanes: Box<[CachePadded<Lane<K, V>>]>,
    ready: Arc<Ready<K, V>>,
}

struct Lane<K, V> {
    stack: AtomicPtr<Record<K, V>>,
    retired: AtomicUsize,
    /// Shells made less shells gone on this lane, wrapping.
    shells: AtomicUsize,
}

/// Batches whose grace period is over.
struct Ready<K, V> {
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
        }
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
            guard.flush();
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
            guard.defer(move || {
                ready.push(Box::into_raw(Box::new(Batch {
                    first,
                    next: ptr::null_mut(),
                })));
            });
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
    pub(crate) fn reap(&self, batches: usize) {
        let mut batch = self.ready.take();
        for _ in 0..batches {
            if batch.is_null() {
                return;
            }
            // SAFETY: `take` made the list ours.
            batch = unsafe { self.ready.free(batch) };
        }
        self.ready.push(batch);
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

impl<K, V> Ready<K, V> {
    /// Puts back a list of batches.
    fn push(&self, list: *mut Batch<K, V>) {
        if list.is_null() {
            return;
        }
        let mut last = list;
        // SAFETY: the list is the caller's, whole.
        unsafe {
            while !(*last).next.is_null() {
                last = (*last).next;
            }
        }
        let mut head = self.stack.load(Ordering::Relaxed);
        loop {
            // SAFETY: as above.
            unsafe { (*last).next = head };
            // Release: pairs with `take`.
            match self
                .stack
                .compare_exchange(head, list, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(newer) => head = newer,
            }
        }
    }

    fn take(&self) -> *mut Batch<K, V> {
        if self.stack.load(Ordering::Relaxed).is_null() {
            return ptr::null_mut();
        }
        // Acquire: pairs with `push`.
        self.stack.swap(ptr::null_mut(), Ordering::Acquire)
    }

    /// Gives up the structures' ownership of a record whose grace period is over.
    fn disown(&self, record: NonNull<Record<K, V>>) {
        // SAFETY: the last structure has let go, so that this ownership is the caller's to give up, once.
        let dropped = catch_unwind(AssertUnwindSafe(|| unsafe { disown(record) }));
        if dropped.is_err() {
            self.panics.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Frees the first batch of a list, and returns the rest.
    ///
    /// # Safety
    /// The list is the caller's, whole, and not empty.
    unsafe fn free(&self, batch: *mut Batch<K, V>) -> *mut Batch<K, V> {
        // SAFETY: batches come from boxes.
        let batch = unsafe { Box::from_raw(batch) };
        let mut next = batch.first;
        let mut freed = 0;
        while let Some(record) = NonNull::new(next) {
            // SAFETY: the structures' ownership keeps the record until it is given up below.
            let link = unsafe { (*record.as_ptr()).place.load(Ordering::Relaxed) };
            next = link.map_addr(|address| address & !LINK).cast();
            self.disown(record);
            freed += 1;
        }
        self.freed.fetch_add(freed, Ordering::Relaxed);
        batch.next
    }
}

impl<K, V> Drop for Ready<K, V> {
    fn drop(&mut self) {
        let mut batch = self.take();
        while !batch.is_null() {
            // SAFETY: the list is ours, whole.
            batch = unsafe { self.free(batch) };
        }
    }
}

impl<K, V> Drop for Limbo<K, V> {
    fn drop(&mut self) {
        // The map is gone: nobody is pinned for the sake of these any more.
        for lane in &self.lanes {
            let first = lane.stack.swap(ptr::null_mut(), Ordering::Acquire);
            if !first.is_null() {
                self.ready.push(Box::into_raw(Box::new(Batch {
                    first,
                    next: ptr::null_mut(),
                })));
            }
        }
        let mut batch = self.ready.take();
        while !batch.is_null() {
            // SAFETY: the list is ours, whole.
            batch = unsafe { self.ready.free(batch) };
        }
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
