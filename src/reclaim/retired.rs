//! The retired list: where what was retired waits for its grace period, and then for a writer that
//! frees it.
//!
//! ```text
//!   retire --> stack --(32)--> batch --> fresh --(sweep)--> generation, stamped
//!                                                           --(grace period)--> ready --> freed
//! ```
//!
//! Freeing an object costs a cache miss and runs the `Drop` of what it holds. So it is left to
//! writers and collections, which free a few batches at a time, those of their own shard first. A
//! reader never frees. The thread that drops the list frees all that is left, for no thread is
//! inside of an operation on it any more.
//!
//! **Invariant.** A retired object is on one shard's stack, linked through its own word, or in
//! exactly one batch. A batch is among the fresh ones of a shard, or in exactly one generation. A
//! generation is on one stack, or in the hands of the thread that took it off. It becomes ready
//! when [`Reclaim::is_over`] holds for its stamp. The stamp was read by a pinned thread after it
//! took the batches: so each object was unlinked before, as the stamp's contract asks.
//!
//! **Bounds.** A sweep moves generations whole, and never walks their batches: it takes as many
//! steps as there are generations. A generation is made when the epoch has moved on, and freed from
//! then on a few batches a write; while a thread stalls the epoch stands still, and everything that
//! is retired meanwhile becomes one generation a shard.
//!
//! **Progress.** Lock-free. Stacks are taken whole by swap, so that no foreign head is ever read. A
//! thread that stops with generations in its hands delays their freeing.

use crate::cpu::prefetch;
use crate::reclaim::{Guard, Reclaim};
use crate::sync::{AtomicPtr, AtomicU64, AtomicUsize, Ordering, Trace};
use crate::tuning::reclaim::{BATCH, BYTES_OF_A_WRITE, IN_HAND, LARGE};
use crossbeam_utils::CachePadded;
use std::ptr::{self, NonNull};

/// A stack's word: `height | object`. It is sent away long before the height needs more bits,
/// unless thousands of threads stop just before they do so; then it begins again at zero, and only
/// statistics are wrong.
const HEIGHT_SHIFT: u32 = 48;
const ADDRESS: usize = (1 << HEIGHT_SHIFT) - 1;

/// What a retired list frees. The address of such an object has 48 bits.
pub trait Retire: Sized {
    /// Notes that the object is retired; under a specification of reclamation, later reads of it by
    /// guards that were pinned after this are reported.
    fn mark(&self);

    /// Links to another object: from its retirement on, the word that this is kept in is the
    /// list's.
    fn set_next(&self, next: *mut Self);

    /// The object that this one was linked to last.
    fn next(&self) -> *mut Self;

    /// Roughly the memory that it keeps.
    fn bytes(&self) -> usize;

    /// Gives up the structures' ownership of the object. False if code of the user's panicked: the
    /// panic goes no further.
    ///
    /// # Safety
    /// Called once, when the grace period after the retirement is over, or no other thread can
    /// reach the object.
    unsafe fn release(this: NonNull<Self>) -> bool;
}

/// Objects of one map that are retired, by shard.
pub struct Retired<T: Retire> {
    shards: Box<[CachePadded<Shard<T>>]>,
    /// The stamp at which generations were last gone through.
    swept: AtomicUsize,
    /// Objects that were freed.
    freed: AtomicU64,
    /// Objects whose release panicked.
    panics: AtomicU64,
}

struct Shard<T> {
    /// Retired objects that are no batch yet: `height | object`.
    stack: AtomicPtr<T>,
    /// Batches that are in no generation yet, linked.
    fresh: AtomicPtr<Batch<T>>,
    /// Generations whose grace period runs.
    waiting: Generations<T>,
    /// Generations whose grace period is over.
    ready: Generations<T>,
    /// Objects that came into batches.
    sent: AtomicUsize,
}

/// A stack of generations.
struct Generations<T>(AtomicPtr<Generation<T>>);

/// Batches that were taken from the fresh ones at once.
struct Generation<T> {
    /// When they were taken.
    stamp: usize,
    /// The first of the batches, which are linked; none when all are freed.
    batches: *mut Batch<T>,
    /// The generation below it on a stack.
    next: *mut Generation<T>,
    /// Stands for the two above.
    trace: Trace,
}

struct Batch<T> {
    objects: Vec<NonNull<T>>,
    /// The batch that was made before it.
    next: *mut Batch<T>,
    /// Stands for the two above.
    trace: Trace,
}

impl<T: Retire> Retired<T> {
    pub fn new(shards: usize) -> Self {
        let shard = |_| {
            CachePadded::new(Shard {
                stack: AtomicPtr::new(ptr::null_mut()),
                fresh: AtomicPtr::new(ptr::null_mut()),
                waiting: Generations::new(),
                ready: Generations::new(),
                sent: AtomicUsize::new(0),
            })
        };
        Self {
            shards: (0..shards).map(shard).collect(),
            swept: AtomicUsize::new(0),
            freed: AtomicU64::new(0),
            panics: AtomicU64::new(0),
        }
    }

    /// Retires an object that no structure leads to any more. Once for each object.
    pub fn retire(&self, object: &T, shard: usize, guard: &Guard) {
        object.mark();
        let bytes = object.bytes();
        let shard = &self.shards[shard];
        let mut head = shard.stack.load(Ordering::Relaxed);
        let height = loop {
            object.set_next(head.map_addr(|word| word & ADDRESS));
            let height = (head.addr() >> HEIGHT_SHIFT) + 1;
            let top = ptr::from_ref(object)
                .cast_mut()
                .map_addr(|address| address | height << HEIGHT_SHIFT);
            // Release: pairs with the swap in `take_retired`, for the link.
            match shard
                .stack
                .compare_exchange(head, top, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => break height,
                Err(newer) => head = newer,
            }
        };
        if height.is_multiple_of(BATCH) || bytes >= LARGE {
            shard.send(guard);
        }
    }

    /// Lets all that is retired begin to wait.
    pub fn send_all(&self, guard: &Guard) {
        for shard in &self.shards {
            shard.send(guard);
            if let Some(generation) = shard.begin_generation(guard) {
                shard.waiting.push(generation);
            }
        }
    }

    /// Looks which generations have waited long enough, if the epoch has moved on, and begins new
    /// ones.
    pub fn sweep(&self, shard: usize, guard: &Guard) {
        let stamp = guard.stamp();
        // Relaxed, both: it saves work, and decides nothing.
        if self.swept.load(Ordering::Relaxed) == stamp {
            return;
        }
        self.swept.store(stamp, Ordering::Relaxed);
        let own = &self.shards[shard];
        for other in &self.shards {
            // What was not freed since the last time, maybe because no thread of its shard writes,
            // comes to this shard.
            own.ready.push_all(other.ready.take_all());
            // What is no batch yet does not wait for a full one: few large objects may be much.
            // loom's batches are always full.
            if !cfg!(dwell_loom) {
                other.send(guard);
            }
            let waiting = other.waiting.take_all();
            if let Some(generation) = other.begin_generation(guard) {
                other.waiting.push(generation);
            }
            for generation in waiting {
                let is_over = guard.is_over(generation.stamp);
                let queue = if is_over {
                    &other.ready
                } else {
                    &other.waiting
                };
                queue.push(generation);
            }
        }
    }

    /// Whether a shard has batches that are ready.
    #[inline]
    pub fn has_ready(&self, shard: usize) -> bool {
        // Relaxed: nothing is read by it.
        !self.shards[shard].ready.0.load(Ordering::Relaxed).is_null()
    }

    /// Frees up to `batches` batches of a shard that are ready. Returns how many. Needs no guard.
    pub fn reap(&self, shard: usize, batches: usize) -> usize {
        let ready = &self.shards[shard].ready;
        let mut freed = 0;
        while freed < batches {
            let mut generations = ready.take_all();
            let Some(mut generation) = generations.next() else {
                break;
            };
            let most = IN_HAND.min(batches - freed);
            let own: Vec<_> = generation.by_ref().take(most).collect();
            // First, so that other threads can free these while values are dropped here.
            ready.push_all(generations);
            if !generation.batches.is_null() {
                ready.push(generation);
            }
            for batch in &own {
                self.free(&batch.objects);
            }
            freed += own.len();
        }
        freed
    }

    /// Frees up to `batches` batches that are ready, of all shards. Returns how many.
    pub fn reap_any(&self, batches: usize) -> usize {
        let shards = 0..self.shards.len();
        shards.fold(0, |freed, shard| freed + self.reap(shard, batches - freed))
    }

    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Objects retired but not freed yet, except those that only other owners keep.
    pub fn garbage(&self) -> usize {
        let freed = self.freed.load(Ordering::Relaxed);
        let retired: usize = self.shards.iter().map(|shard| shard.retired()).sum();
        retired.saturating_sub(freed as usize)
    }

    /// How many releases panicked.
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Frees objects whose grace period is over.
    fn free(&self, objects: &[NonNull<T>]) {
        for object in objects {
            prefetch(object.as_ptr());
        }
        for &object in objects {
            // SAFETY: each was retired once and taken off the list once, and its generation's stamp
            // is over, or the list is being dropped.
            unsafe { self.release(object) };
        }
        // Relaxed: a count.
        self.freed
            .fetch_add(objects.len() as u64, Ordering::Relaxed);
    }

    /// Gives up the structures' ownership of an object now, and counts its panic.
    ///
    /// # Safety
    /// As for [`Retire::release`].
    pub unsafe fn release(&self, object: NonNull<T>) {
        // SAFETY: this function asks of its caller what that one asks.
        if !unsafe { T::release(object) } {
            // Relaxed: a count.
            self.panics.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl<T: Retire> Shard<T> {
    /// Makes a batch of the shard's retired objects.
    fn send(&self, guard: &Guard) {
        // Relaxed: mostly, in a sweep, there are none.
        if !cfg!(dwell_loom) && self.stack.load(Ordering::Relaxed).is_null() {
            return;
        }
        let (objects, bytes) = self.take_retired();
        if objects.is_empty() {
            return;
        }
        let sent = objects.len();
        // Relaxed: a count.
        self.sent.fetch_add(sent, Ordering::Relaxed);
        let batch = Box::into_raw(Box::new(Batch {
            objects,
            next: ptr::null_mut(),
            trace: Trace::new(),
        }));
        let mut head = self.fresh.load(Ordering::Relaxed);
        loop {
            // SAFETY: not pushed yet, so that it is still this thread's.
            unsafe {
                (*batch).trace.write();
                (*batch).next = head;
            }
            // Release: pairs with the swap in `take_fresh`.
            match self
                .fresh
                .compare_exchange(head, batch, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => break,
                Err(newer) => head = newer,
            }
        }
        // Garbage brings on the end of its grace period.
        guard.count_writes(sent + bytes / BYTES_OF_A_WRITE);
    }

    /// Makes a generation of the fresh batches. The stamp is read after they were taken.
    fn begin_generation(&self, guard: &Guard) -> Option<Box<Generation<T>>> {
        let batches = self.take_fresh();
        (!batches.is_null()).then(|| {
            Box::new(Generation {
                stamp: guard.stamp(),
                batches,
                next: ptr::null_mut(),
                trace: Trace::new(),
            })
        })
    }

    fn take_fresh(&self) -> *mut Batch<T> {
        // Relaxed: mostly there are none, and then the line stays with the thread that wrote it.
        if self.fresh.load(Ordering::Relaxed).is_null() {
            return ptr::null_mut();
        }
        // Acquire: pairs with `send`.
        self.fresh.swap(ptr::null_mut(), Ordering::Acquire)
    }

    /// How many objects were retired here.
    fn retired(&self) -> usize {
        // Relaxed, both: what is sent at this moment may be missed, or counted twice.
        let height = self.stack.load(Ordering::Relaxed).addr() >> HEIGHT_SHIFT;
        self.sent.load(Ordering::Relaxed) + height
    }

    /// Takes the objects off the stack. Returns them, and their bytes.
    fn take_retired(&self) -> (Vec<NonNull<T>>, usize) {
        let mut objects = Vec::with_capacity(BATCH);
        let mut bytes = 0;
        // Acquire: pairs with `retire`, so that the links can be followed.
        let top = self.stack.swap(ptr::null_mut(), Ordering::Acquire);
        let mut next = top.map_addr(|word| word & ADDRESS);
        while let Some(object) = NonNull::new(next) {
            // SAFETY: retired, and freed only after it was taken off the stack, which this thread
            // has done.
            let retired = unsafe { object.as_ref() };
            next = retired.next();
            bytes += retired.bytes();
            objects.push(object);
        }
        (objects, bytes)
    }
}

impl<T> Iterator for Generation<T> {
    type Item = Box<Batch<T>>;

    fn next(&mut self) -> Option<Self::Item> {
        let first = NonNull::new(self.batches)?;
        // SAFETY: batches come from boxes, and each is in one generation, which this thread has in
        // its hands.
        let batch = unsafe { Box::from_raw(first.as_ptr()) };
        batch.trace.read();
        self.batches = batch.next;
        Some(batch)
    }
}

impl<T> Generations<T> {
    fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    fn push(&self, generation: Box<Generation<T>>) {
        let generation = Box::into_raw(generation);
        self.push_chain(generation, generation);
    }

    /// Pushes generations that are linked, from the first to the last one.
    fn push_chain(&self, first: *mut Generation<T>, last: *mut Generation<T>) {
        let mut head = self.0.load(Ordering::Relaxed);
        loop {
            // SAFETY: not pushed yet, so that it is still this thread's.
            unsafe {
                (*last).trace.write();
                (*last).next = head;
            }
            // Release: pairs with `take_all`.
            match self
                .0
                .compare_exchange(head, first, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(newer) => head = newer,
            }
        }
    }

    fn push_all(&self, taken: Taken<T>) {
        let first = taken.0;
        if first.is_null() {
            return;
        }
        // Release: pairs with `take_all`. Mostly nothing was pushed meanwhile.
        let is_done = self
            .0
            .compare_exchange(ptr::null_mut(), first, Ordering::Release, Ordering::Relaxed)
            .is_ok();
        if !is_done {
            let mut last = first;
            // SAFETY: the generations are this thread's, and come from boxes.
            while let Some(next) = NonNull::new(unsafe { (*last).next }) {
                last = next.as_ptr();
            }
            self.push_chain(first, last);
        }
    }

    /// Takes all generations.
    fn take_all(&self) -> Taken<T> {
        // Relaxed: mostly there are none, and then the line stays with the thread that wrote it.
        if self.0.load(Ordering::Relaxed).is_null() {
            return Taken(ptr::null_mut());
        }
        // Acquire: pairs with `push_chain` and `push_all`.
        Taken(self.0.swap(ptr::null_mut(), Ordering::Acquire))
    }
}

/// Generations that were taken off a stack.
struct Taken<T>(*mut Generation<T>);

impl<T> Iterator for Taken<T> {
    type Item = Box<Generation<T>>;

    fn next(&mut self) -> Option<Self::Item> {
        let first = NonNull::new(self.0)?;
        // SAFETY: generations come from boxes, and the thread that took the stack has them for its
        // own.
        let generation = unsafe { Box::from_raw(first.as_ptr()) };
        generation.trace.read();
        self.0 = generation.next;
        Some(generation)
    }
}

impl<T: Retire> Drop for Retired<T> {
    fn drop(&mut self) {
        // The map is gone: no thread is pinned for the sake of its objects any more.
        for shard in &self.shards {
            self.free(&shard.take_retired().0);
            let fresh = Generation {
                stamp: 0,
                batches: shard.take_fresh(),
                next: ptr::null_mut(),
                trace: Trace::new(),
            };
            let queues = [&shard.waiting, &shard.ready];
            let rest = queues.into_iter().flat_map(|queue| queue.take_all());
            for batch in fresh.chain(rest.flat_map(|generation| *generation)) {
                self.free(&batch.objects);
            }
        }
    }
}

// SAFETY: objects move between threads and are read by several, and so does what they hold.
unsafe impl<T: Retire + Send + Sync> Send for Retired<T> {}
// SAFETY: the stacks are atomic, and what was taken off one is one thread's.
unsafe impl<T: Retire + Send + Sync> Sync for Retired<T> {}
