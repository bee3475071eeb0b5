//! Retired: where retired records wait for their grace period, and then for somebody to free them.
//!
//! ```text
//!   retire --> shard's stack --(batch)--> waiting, stamped --(grace period)--> ready --> freed by writers
//! ```
//!
//! Freeing a record costs a cache miss and runs its value's `Drop`. So it is left to writers and collections, which free
//! a few batches at a time, those of their own shard first. A reader never frees; and who drops the map frees all that is
//! left, for nobody is inside of an operation on it any more.
//!
//! **Invariant.** A retired record is on one shard's stack, linked through its `place`, which belongs to retired from the
//! retirement on, or in exactly one batch. A batch is on one stack, or in the hands of the thread that took it off. It is
//! freed when [`Reclaim::is_over`] holds for its stamp, which was read after each of its records was unlinked.
//!
//! **Progress.** Lock-free. Stacks are taken whole by swap, so that no foreign head is ever read. A thread that stops with
//! batches in its hands delays their freeing.

use crate::cpu::prefetch;
use crate::map::record::{Record, contain, release};
use crate::reclaim::{Guard, Reclaim};
use crate::sync::{AtomicPtr, AtomicU64, AtomicUsize, Ordering, Trace};
use crossbeam_utils::CachePadded;
use std::ptr::{self, NonNull};

/// Retired records of a shard that make up a batch.
const BATCH: usize = if cfg!(dwell_loom) { 1 } else { 32 };
/// Marks `place` as retired's.
const LINK: usize = 0b010;
/// A stack's word: `height | record`. It is sent away long before the height needs more bits, unless thousands of threads
/// stop just before they do so; then it begins again at zero, and only statistics are wrong.
const HEIGHT_SHIFT: u32 = 48;
const ADDRESS: usize = (1 << HEIGHT_SHIFT) - 1;

pub struct Retired<K: 'static, V: 'static> {
    shards: Box<[CachePadded<Shard<K, V>>]>,
    /// The stamp at which waiting batches were last gone through.
    swept: AtomicUsize,
    freed: AtomicU64,
    panics: AtomicU64,
}

struct Shard<K, V> {
    stack: AtomicPtr<Record<K, V>>,
    waiting: Batches<K, V>,
    /// Batches whose grace period is over.
    ready: Batches<K, V>,
    /// Records that came into batches.
    sent: AtomicUsize,
    /// Shells made less stale_entries gone on this shard, wrapping.
    stale_entries: AtomicUsize,
}

/// A stack of batches.
struct Batches<K, V>(AtomicPtr<Batch<K, V>>);

struct Batch<K, V> {
    stamp: usize,
    records: Vec<NonNull<Record<K, V>>>,
    next: *mut Batch<K, V>,
    trace: Trace,
}

impl<K: 'static, V: 'static> Retired<K, V> {
    pub fn new(shards: usize) -> Self {
        let shard = |_| {
            CachePadded::new(Shard {
                stack: AtomicPtr::new(ptr::null_mut()),
                waiting: Batches::new(),
                ready: Batches::new(),
                sent: AtomicUsize::new(0),
                stale_entries: AtomicUsize::new(0),
            })
        };
        Self {
            shards: (0..shards).map(shard).collect(),
            swept: AtomicUsize::new(0),
            freed: AtomicU64::new(0),
            panics: AtomicU64::new(0),
        }
    }

    /// A structure has let go of a record; the last one retires it.
    pub fn release(&self, record: &Record<K, V>, shard: usize, guard: &Guard) {
        if record.release_structural() {
            self.retire(record, shard, guard);
        }
    }

    /// Retires a record that no structure leads to any more. The caller has given up the last share in it, or holds both.
    pub fn retire(&self, record: &Record<K, V>, shard: usize, guard: &Guard) {
        record.retire();
        let shard = &self.shards[shard];
        let mut head = shard.stack.load(Ordering::Relaxed);
        let height = loop {
            // Relaxed: published by the exchange below.
            record.set_place(
                head.map_addr(|word| word & ADDRESS | LINK).cast(),
                Ordering::Relaxed,
            );
            let height = (head.addr() >> HEIGHT_SHIFT) + 1;
            let top = ptr::from_ref(record)
                .cast_mut()
                .map_addr(|address| address | height << HEIGHT_SHIFT);
            // Release: pairs with the swap in `take_retired`.
            match shard
                .stack
                .compare_exchange(head, top, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => break height,
                Err(newer) => head = newer,
            }
        };
        if height.is_multiple_of(BATCH) {
            shard.send(guard);
        }
    }

    /// Lets every shard's records begin to wait.
    pub fn send_all(&self, guard: &Guard) {
        for shard in &self.shards {
            shard.send(guard);
        }
    }

    /// Looks which batches have waited long enough, if there is news about that.
    pub fn sweep(&self, shard: usize, guard: &Guard) {
        let stamp = guard.stamp();
        // Relaxed, both: it saves work, and decides nothing.
        if self.swept.load(Ordering::Relaxed) == stamp {
            return;
        }
        self.swept.store(stamp, Ordering::Relaxed);
        let own = &self.shards[shard];
        for other in &self.shards {
            // What nobody freed since the last time, maybe because no thread of its shard writes, comes to this shard.
            let left_over = other.ready.take_all();
            own.ready.push_all(left_over);
            for batch in other.waiting.take_all() {
                let is_over = guard.is_over(batch.stamp);
                let queue = if is_over {
                    &other.ready
                } else {
                    &other.waiting
                };
                queue.push(batch);
            }
        }
    }

    /// Whether a shard has batches that are ready.
    #[inline]
    pub fn has_ready(&self, shard: usize) -> bool {
        // Relaxed: nothing is read by it.
        !self.shards[shard].ready.0.load(Ordering::Relaxed).is_null()
    }

    /// Frees up to `batches` batches of a shard that are ready. Returns how many.
    pub fn reap(&self, shard: usize, batches: usize) -> usize {
        let ready = &self.shards[shard].ready;
        let mut taken = ready.take_all();
        if taken.0.is_null() {
            return 0;
        }
        let own: Vec<_> = taken.by_ref().take(batches).collect();
        // First, so that others can free these while values are dropped here.
        ready.push_all(taken);
        for batch in &own {
            self.free(&batch.records);
        }
        own.len()
    }

    /// Frees up to `batches` batches that are ready, of all shards. Returns how many.
    pub fn reap_any(&self, batches: usize) -> usize {
        let shards = 0..self.shards.len();
        shards.fold(0, |freed, shard| freed + self.reap(shard, batches - freed))
    }

    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// For a map that is being dropped: a structure lets go, and the last one frees without a grace period.
    pub fn free_if_last(&self, record: &Record<K, V>) {
        if record.release_structural() {
            self.release_contained(NonNull::from(record));
        }
    }

    pub fn count_stale(&self, shard: usize, change: usize) {
        self.shards[shard]
            .stale_entries
            .fetch_add(change, Ordering::Relaxed);
    }

    /// Records that have ended, and whose token is still in the calendar.
    pub fn stale_entries(&self) -> usize {
        let sum = self.shards.iter().fold(0, |sum: usize, shard| {
            sum.wrapping_add(shard.stale_entries.load(Ordering::Relaxed))
        });
        // Shards are read one after the other: a stale entry that went may be seen before it came.
        if sum > usize::MAX / 2 { 0 } else { sum }
    }

    /// Records retired but not freed yet, except those that only handles keep.
    pub fn garbage(&self) -> usize {
        let freed = self.freed.load(Ordering::Relaxed);
        let retired: usize = self.shards.iter().map(|shard| shard.retired()).sum();
        retired.saturating_sub(freed as usize)
    }

    /// How many keys or values panicked when they were dropped.
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Frees records whose grace period is over.
    fn free(&self, records: &[NonNull<Record<K, V>>]) {
        for record in records {
            prefetch(record.as_ptr());
        }
        for &record in records {
            self.release_contained(record);
        }
        // Relaxed: a count.
        self.freed
            .fetch_add(records.len() as u64, Ordering::Relaxed);
    }

    /// Gives up the structures' ownership of a record whose grace period is over.
    fn release_contained(&self, record: NonNull<Record<K, V>>) {
        // SAFETY: the last structure has let go, so that this ownership is the caller's to give up, once.
        if !contain(|| unsafe { release(record) }) {
            self.panics.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl<K: 'static, V: 'static> Shard<K, V> {
    /// Makes a batch of the shard's retired records.
    fn send(&self, guard: &Guard) {
        let records = self.take_retired();
        if !records.is_empty() {
            let sent = records.len();
            // Relaxed: a count.
            self.sent.fetch_add(sent, Ordering::Relaxed);
            self.waiting.push(Batch::new(guard.stamp(), records));
            // Garbage brings on the end of its grace period.
            guard.count_writes(sent);
        }
    }

    /// How many records were retired here.
    fn retired(&self) -> usize {
        // Relaxed, both: what is sent at this moment may be missed, or counted twice.
        let height = self.stack.load(Ordering::Relaxed).addr() >> HEIGHT_SHIFT;
        self.sent.load(Ordering::Relaxed) + height
    }

    fn take_retired(&self) -> Vec<NonNull<Record<K, V>>> {
        let mut records = Vec::with_capacity(BATCH);
        // Acquire: pairs with the push, so that the links can be followed.
        let top = self.stack.swap(ptr::null_mut(), Ordering::Acquire);
        let mut next = top.map_addr(|word| word & ADDRESS);
        while let Some(record) = NonNull::new(next) {
            // SAFETY: retired, and freed only by whoever took it off the stack.
            let link = unsafe { record.as_ref() }.place.load(Ordering::Relaxed);
            next = link.map_addr(|address| address & !LINK).cast();
            records.push(record);
        }
        records
    }
}

impl<K, V> Batch<K, V> {
    fn new(stamp: usize, records: Vec<NonNull<Record<K, V>>>) -> Box<Self> {
        Box::new(Self {
            stamp,
            records,
            next: ptr::null_mut(),
            trace: Trace::new(),
        })
    }
}

impl<K: 'static, V: 'static> Batches<K, V> {
    fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    fn push(&self, batch: Box<Batch<K, V>>) {
        let batch = Box::into_raw(batch);
        let mut head = self.0.load(Ordering::Relaxed);
        loop {
            // SAFETY: not pushed yet, so that it is still the caller's.
            unsafe {
                (*batch).trace.write();
                (*batch).next = head;
            }
            // Release: pairs with `pop` and `take_all`.
            match self
                .0
                .compare_exchange(head, batch, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(newer) => head = newer,
            }
        }
    }

    fn push_all(&self, taken: Taken<K, V>) {
        if taken.0.is_null() {
            return;
        }
        // Release: pairs with `take_all`. Mostly nothing was pushed meanwhile.
        let is_done = self
            .0
            .compare_exchange(
                ptr::null_mut(),
                taken.0,
                Ordering::Release,
                Ordering::Relaxed,
            )
            .is_ok();
        if !is_done {
            taken.for_each(|batch| self.push(batch));
        }
    }

    /// Takes all batches.
    fn take_all(&self) -> Taken<K, V> {
        // Relaxed: mostly there are none, and then the line stays with whoever wrote it.
        if self.0.load(Ordering::Relaxed).is_null() {
            return Taken(ptr::null_mut());
        }
        // Acquire: pairs with `push`.
        Taken(self.0.swap(ptr::null_mut(), Ordering::Acquire))
    }
}

/// Batches that were taken off a stack.
struct Taken<K, V>(*mut Batch<K, V>);

impl<K, V> Iterator for Taken<K, V> {
    type Item = Box<Batch<K, V>>;

    fn next(&mut self) -> Option<Self::Item> {
        let first = NonNull::new(self.0)?;
        // SAFETY: batches come from boxes, and who took the stack has them for his own.
        let batch = unsafe { Box::from_raw(first.as_ptr()) };
        batch.trace.read();
        self.0 = batch.next;
        Some(batch)
    }
}

impl<K: 'static, V: 'static> Drop for Retired<K, V> {
    fn drop(&mut self) {
        // The map is gone: nobody is pinned for the sake of its records any more.
        for shard in &self.shards {
            self.free(&shard.take_retired());
            for queue in [&shard.waiting, &shard.ready] {
                for batch in queue.take_all() {
                    self.free(&batch.records);
                }
            }
        }
    }
}

// SAFETY: records move between threads and are read by several; the stacks are atomic.
unsafe impl<K: Send + Sync, V: Send + Sync> Send for Retired<K, V> {}
// SAFETY: as above.
unsafe impl<K: Send + Sync, V: Send + Sync> Sync for Retired<K, V> {}
