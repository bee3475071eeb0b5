//! Epochs: when every thread that might read what was unlinked has gone.
//!
//! Fraser's epoch-based reclamation (Practical Lock-Freedom, 2004, 5.2.3), with the fence of the
//! read side taken away by an asymmetric barrier, as in userspace RCU (Desnoyers et al., 2012):
//! pinning reads two words that hardly ever change, and writes to the thread's own memory only.
//!
//! ```text
//!   slot of each thread:   not pinned | pinned at an epoch          epoch e --> e + 1 when each
//!   deferred actions:      stamped with the epoch of their time                pinned slot is at e
//! ```
//!
//! **Invariant.** An action that is stamped *s* runs only when the epoch is *s + 3* or more. While
//! a slot is seen to be pinned at *p*, the epoch does not advance from any other epoch than *p*.
//!
//! *Why that is late enough.* A writer W, pinned at *p ≤ s*, unlinks a thing and stamps its action
//! *s*. The advance from *s + 1* to *s + 2* looks at W's slot after its heavy barrier. If it missed
//! W's pin, then by the barriers' contract W's later load of the epoch would have seen *s + 1*: it
//! saw *s*. So it saw a later word of the slot than that pin, and with it all that W did before:
//! **the unlinking comes before the epoch is *s + 2***. A reader R that holds the thing found it
//! linked, so it did not read an epoch of *s + 2*: it is pinned at *s + 1* or earlier. The advance
//! from *s + 2* to *s + 3* looks at R's slot after its heavy barrier. If it missed R's pin, all
//! that R reads after its light barrier comes after the unlinking, and R did not find the thing. So
//! it saw the pin, and failed, or a later word, and then R's reading comes before the epoch is *s +
//! 3*.
//!
//! **Progress.** Pinning and unpinning are wait-free. Claiming a slot, once a thread, and deferring
//! are lock-free. An advance is wait-free in the number of slots, and fails while a thread is
//! pinned at an earlier epoch: a thread that stays pinned delays what is deferred from two epochs
//! before it pinned on, and nothing else. Mostly it is one that was interrupted, and will not run
//! soon where there are more threads than processors: so a writer that finds the epoch held back
//! offers its processor when it is not pinned any more, and waits for nothing. It does so after 64,
//! 128, ... 2,048 writes of its own at one epoch, and no more: a long stall costs it nothing. Slots
//! are reused, and never freed: there are about as many as there were threads at one time. A child
//! of fork that goes on without exec keeps the slots of threads that it does not have: it frees
//! nothing any more.

use crate::cpu::membarrier::Barrier;
use crate::reclaim::deferred::Deferred;
use crate::sync::{AtomicPtr, AtomicUsize, Ordering, Trace};
use crate::tuning::reclaim::{ACTION, BRIEFEST, INTERVAL, LATE, LOOK};
use crossbeam_utils::CachePadded;
use std::cell::Cell;
use std::ptr;
use std::time::Instant;

const PINNED: usize = 1;
/// The epoch counts in twos, so that a slot's word has room for the flag.
const STEP: usize = 2;
const GRACE: usize = 3 * STEP;
/// No epoch: they are even.
const NEVER: usize = 1;
/// Where the depth begins of a thread that gives its slot back, or lets others run, with its last
/// guard: so that all others ask for neither.
const LONG_WAY: usize = 1 << 32;

/// The threads that look out for each other.
#[derive(Debug)]
pub struct Domain {
    epoch: CachePadded<AtomicUsize>,
    /// The epoch at which an attempt to advance failed last.
    held_back: CachePadded<AtomicUsize>,
    /// All slots ever made, linked; the newest first.
    slots: AtomicPtr<Slot>,
    /// Between a pin and what is read under it: `light`; before a look at the pins: `heavy`.
    barrier: Barrier,
}

/// A thread's entry.
#[derive(Debug)]
#[repr(align(128))]
pub struct Slot {
    /// 0, or `epoch | PINNED`.
    word: AtomicUsize,
    /// 1 while a thread has the slot.
    claimed: AtomicUsize,
    /// What its threads deferred.
    deferred: Deferred,
    next: *mut Slot,
    /// Guards of the thread, from 0 or [`LONG_WAY`] on. Belongs, as the two below, to the thread
    /// that has the slot.
    depth: Cell<usize>,
    /// The thread gives the slot back with its last guard.
    is_brief: Cell<bool>,
    /// Writes since the last attempt to advance.
    recent: Cell<usize>,
    /// The epoch at which the last attempt failed, and the writes from there to the next one.
    held_back: Cell<usize>,
    interval: Cell<usize>,
    /// The epoch that the thread found when it looked at the clock, and since when it has been this
    /// one.
    looked: Cell<Option<(usize, Instant)>>,
    /// The thread lets others run as soon as it is not pinned any more.
    steps_aside: Cell<bool>,
    /// Stands for the cells.
    trace: Trace,
}

impl Domain {
    #[cfg(not(dwell_loom))]
    pub const fn new() -> Self {
        Self {
            epoch: CachePadded::new(AtomicUsize::new(0)),
            held_back: CachePadded::new(AtomicUsize::new(NEVER)),
            slots: AtomicPtr::new(ptr::null_mut()),
            barrier: Barrier::new(),
        }
    }

    #[cfg(dwell_loom)]
    pub fn new() -> Self {
        Self {
            epoch: CachePadded::new(AtomicUsize::new(0)),
            held_back: CachePadded::new(AtomicUsize::new(NEVER)),
            slots: AtomicPtr::new(ptr::null_mut()),
            barrier: Barrier::new(),
        }
    }

    /// Before the first slot is claimed, so that claiming it need not wait for the system.
    pub fn prepare(&self) {
        self.barrier.prepare();
    }

    /// Whether each operation pays for a fence, since the system offers no asymmetric barrier, or
    /// no more.
    pub fn uses_fences(&self) -> bool {
        self.barrier.is_fences()
    }

    /// A slot for this thread: until it releases it, or, if `is_brief`, until its last guard is
    /// gone.
    pub fn claim(&self, is_brief: bool) -> &Slot {
        self.barrier.prepare();
        let slot = self.free_slot().unwrap_or_else(|| self.add_slot());
        slot.trace.write();
        slot.is_brief.set(is_brief);
        slot.steps_aside.set(false);
        slot.depth.set(if is_brief { LONG_WAY } else { 0 });
        slot
    }

    fn free_slot(&self) -> Option<&Slot> {
        self.slots().find(|slot| {
            // Acquire: pairs with `release`, for the cells. The look before it leaves the others'
            // lines alone.
            slot.claimed.load(Ordering::Relaxed) == 0
                && slot
                    .claimed
                    .compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed)
                    .is_ok()
        })
    }

    fn add_slot(&self) -> &Slot {
        let mut head = self.slots.load(Ordering::Relaxed);
        let slot = Box::into_raw(Box::new(Slot {
            word: AtomicUsize::new(0),
            claimed: AtomicUsize::new(1),
            deferred: Deferred::new(),
            next: head,
            depth: Cell::new(0),
            is_brief: Cell::new(false),
            recent: Cell::new(0),
            held_back: Cell::new(NEVER),
            interval: Cell::new(INTERVAL),
            looked: Cell::new(None),
            steps_aside: Cell::new(false),
            trace: Trace::new(),
        }));
        // Release: publishes the slot to `slots`.
        while let Err(newer) =
            self.slots
                .compare_exchange(head, slot, Ordering::Release, Ordering::Relaxed)
        {
            head = newer;
            // SAFETY: not published yet, so that no other thread knows it.
            unsafe { (*slot).next = head };
        }
        // SAFETY: slots live as long as the domain.
        unsafe { &*slot }
    }

    fn slots(&self) -> impl Iterator<Item = &Slot> {
        // Acquire: pairs with the exchange in `claim`. The links were written before it, and each
        // exchange read the head that it replaced from an earlier one.
        let mut next = self.slots.load(Ordering::Acquire);
        std::iter::from_fn(move || {
            // SAFETY: slots live as long as the domain.
            let slot = unsafe { next.as_ref() }?;
            next = slot.next;
            Some(slot)
        })
    }

    #[inline]
    pub fn pin(&self, slot: &Slot) {
        let depth = slot.depth.get();
        slot.depth.set(depth + 1);
        if depth == 0 {
            self.enter(slot);
            self.barrier.light();
        } else {
            self.pin_the_long_way(slot, depth);
        }
    }

    #[cold]
    #[inline(never)]
    fn pin_the_long_way(&self, slot: &Slot, depth: usize) {
        if depth == LONG_WAY {
            self.enter(slot);
            self.barrier.light();
        }
    }

    #[inline]
    fn enter(&self, slot: &Slot) {
        // Acquire: pairs with `advance`. A thread that reads an epoch sees what was unlinked two
        // epochs before.
        let epoch = self.epoch.load(Ordering::Acquire);
        // Release: as in `Slot::leave`, for a thread that sees this word and not that one.
        slot.word.store(epoch | PINNED, Ordering::Release);
    }

    /// True if the thread has to release the slot now.
    #[inline]
    pub fn unpin(slot: &Slot) -> bool {
        let depth = slot.depth.get() - 1;
        slot.depth.set(depth);
        if depth == 0 {
            slot.leave();
            return false;
        }
        slot.unpin_the_long_way(depth)
    }

    /// The epoch, also to stamp what was unlinked before.
    pub fn epoch(&self) -> usize {
        // Acquire: pairs with the Release of `advance`, so that what was read before the grace
        // period of a stamp ended comes before what is freed then.
        self.epoch.load(Ordering::Acquire)
    }

    /// Whether the grace period of a stamp is over at this epoch.
    pub fn is_over(stamp: usize, epoch: usize) -> bool {
        // As a signed number: the stamp may be newer than the epoch that was read.
        epoch.wrapping_sub(stamp).cast_signed() >= GRACE.cast_signed()
    }

    /// Runs an action when all threads that are pinned now have gone. The slot is pinned.
    ///
    /// # Safety
    /// The action may run on any thread, at any later time.
    pub unsafe fn defer(&self, slot: &Slot, run: Box<dyn FnOnce()>) {
        slot.deferred.add(self.epoch(), run);
        self.count_writes(slot, ACTION);
    }

    /// Counts writes of a pinned thread: so that what was deferred is run even where little more
    /// is.
    pub fn count_writes(&self, slot: &Slot, writes: usize) {
        let before = slot.recent.get();
        let recent = before + writes;
        let is_late = before / LOOK != recent / LOOK && self.is_late(slot);
        if recent < self.interval(slot) && !is_late {
            slot.recent.set(recent);
            return;
        }
        // At first, for what is run may write, too.
        slot.recent.set(0);
        if !self.flush() {
            self.note_failure(slot);
        }
    }

    /// Whether the thread should try to advance, however few its writes were. A process does so
    /// once a millisecond, however many threads write: all of them begin to count anew when one has
    /// advanced.
    #[cold]
    #[inline(never)]
    fn is_late(&self, slot: &Slot) -> bool {
        // Models have no time, and counts of instructions are to be the same each time.
        if cfg!(any(dwell_loom, dwell_untimed)) {
            return false;
        }
        // Relaxed: it says when to try, and no more.
        let epoch = self.epoch.load(Ordering::Relaxed);
        let now = Instant::now();
        let looked = slot.looked.get();
        let is_same = |(known, _): (usize, Instant)| known == epoch;
        let is_late = looked.is_some_and(|(known, since)| known == epoch && now - since >= LATE);
        if is_late || !looked.is_some_and(is_same) {
            slot.looked.set(Some((epoch, now)));
        }
        is_late
    }

    /// How many writes of a thread are between two attempts to advance.
    fn interval(&self, slot: &Slot) -> usize {
        // For loom these would be steps to interleave.
        if cfg!(dwell_loom) {
            return INTERVAL;
        }
        // Relaxed, as below: they say when to try, and no more.
        let epoch = self.epoch.load(Ordering::Relaxed);
        if self.held_back.load(Ordering::Relaxed) != epoch {
            INTERVAL
        } else if slot.held_back.get() != epoch {
            BRIEFEST
        } else {
            slot.interval.get()
        }
    }

    #[cold]
    fn note_failure(&self, slot: &Slot) {
        let epoch = self.epoch.load(Ordering::Relaxed);
        if self.held_back.load(Ordering::Relaxed) != epoch {
            self.held_back.store(epoch, Ordering::Relaxed);
        }
        let interval = if slot.held_back.replace(epoch) == epoch {
            (slot.interval.get() * 2).min(INTERVAL)
        } else {
            BRIEFEST
        };
        slot.interval.set(interval);
        // If it is the thread itself that holds back the others, it will be gone soon.
        if slot.word.load(Ordering::Relaxed) == epoch | PINNED && interval < INTERVAL {
            slot.step_aside();
        }
    }

    /// Tries to advance the epoch, and runs what is due. False if a thread holds the epoch back.
    pub fn flush(&self) -> bool {
        let has_advanced = self.advance();
        let epoch = self.epoch();
        for slot in self.slots() {
            slot.deferred.run_due(epoch);
        }
        has_advanced
    }

    fn advance(&self) -> bool {
        // Acquire: pairs with the Release below, too: what the advances before this one saw comes
        // before this one.
        let epoch = self.epoch();
        // The first look saves the barrier where it would be in vain.
        if self.is_held_back(epoch) || !self.barrier.heavy() || self.is_held_back(epoch) {
            return false;
        }
        // Release: pairs with `pin` and `flush`. If it fails, another thread has advanced.
        let _ = self.epoch.compare_exchange(
            epoch,
            epoch.wrapping_add(STEP),
            Ordering::Release,
            Ordering::Relaxed,
        );
        true
    }

    /// Whether a thread is pinned at another epoch than this.
    fn is_held_back(&self, epoch: usize) -> bool {
        self.slots().any(|slot| {
            // Acquire: pairs with `enter` and `leave`.
            let word = slot.word.load(Ordering::Acquire);
            word & PINNED != 0 && word != epoch | PINNED
        })
    }
}

impl Slot {
    #[inline]
    fn leave(&self) {
        // Release: pairs with `advance`. What was read and unlinked comes before what follows the
        // advance.
        self.word.store(0, Ordering::Release);
    }

    #[cold]
    #[inline(never)]
    fn unpin_the_long_way(&self, depth: usize) -> bool {
        if depth == LONG_WAY {
            self.leave();
            if self.steps_aside.take() {
                self.depth.set(0);
                // Nothing depends on it, so that it is no step for loom to explore.
                if !cfg!(dwell_loom) {
                    std::thread::yield_now();
                }
                return false;
            }
        }
        depth == LONG_WAY && self.is_brief.get()
    }

    /// Has a pinned thread take the long way when it unpins, and let others run then.
    fn step_aside(&self) {
        let depth = self.depth.get();
        if depth < LONG_WAY {
            self.steps_aside.set(true);
            self.depth.set(depth + LONG_WAY);
        }
    }

    /// The thread gives the slot back.
    pub fn release(&self) {
        // Release: pairs with `claim`.
        self.claimed.store(0, Ordering::Release);
    }
}

impl Drop for Domain {
    fn drop(&mut self) {
        let mut next = self.slots.load(Ordering::Relaxed);
        while !next.is_null() {
            // SAFETY: no thread uses the domain any more, and slots come from boxes.
            let slot = unsafe { Box::from_raw(next) };
            next = slot.next;
        }
    }
}

// SAFETY: the actions may run on any thread, and the rest is as in `Slot`.
unsafe impl Send for Domain {}
// SAFETY: slots may be shared.
unsafe impl Sync for Domain {}
// SAFETY: the cells belong to the thread that has claimed the slot; all else is atomic, or written
// before the slot is published.
unsafe impl Sync for Slot {}
