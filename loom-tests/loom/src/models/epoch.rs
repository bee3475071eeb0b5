//! Epochs, on both kinds of barriers: nothing is freed under a reader, and everything is freed in
//! the end.

use crate::explore::{self, Size, alone, both, three};
use dwell::internals::cpu::membarrier;
use dwell::internals::reclaim::epoch::{Domain, Slot};
use dwell::internals::sync::{AtomicPtr, Ordering, Trace};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

/// Advances that an action waits for.
const GRACE: usize = 3;

/// On two fences, as where the system offers nothing better; and on the barriers' contract alone,
/// where fences would hide what it does not give. What the contract adds are stale values, which
/// the second pass does not see.
fn explore(name: &str, size: Size, model: impl Fn() + Send + Sync + 'static) {
    let model = Arc::new(move || {
        membarrier::refuse(false);
        model();
    });
    let on_fences = Arc::clone(&model);
    explore::explore(&format!("{name}, fences"), size, move || on_fences());
    if cfg!(dwell_rmw) {
        return;
    }
    // Each barrier is two steps by the contract.
    let size = match size {
        Size::Trio => Size::LongTrio,
        size => size,
    };
    membarrier::go_by_contract();
    explore::explore(&format!("{name}, contract"), size, move || model());
}

/// Something that a structure leads to, until it is unlinked.
struct World {
    domain: Domain,
    link: AtomicPtr<Thing>,
    thing: *mut Thing,
}

#[derive(Debug)]
struct Thing {
    memory: Trace,
    /// How often it was freed. std's, so that it orders nothing.
    freed: AtomicUsize,
}

impl World {
    fn new() -> Self {
        let thing = Box::into_raw(Box::new(Thing {
            memory: Trace::new(),
            freed: AtomicUsize::new(0),
        }));
        let domain = Domain::new();
        // What the contract is made of comes before all threads that use it.
        domain.prepare();
        Self {
            domain,
            link: AtomicPtr::new(thing),
            thing,
        }
    }

    fn thing(&self) -> &Thing {
        // SAFETY: freed by the world's drop; what counts as freeing in the models is a write to
        // `memory`.
        unsafe { &*self.thing }
    }

    fn pinned<R>(&self, action: impl FnOnce(&Slot) -> R) -> R {
        let slot = self.domain.claim(true);
        self.domain.pin(slot);
        let result = action(slot);
        if Domain::unpin(slot) {
            slot.release();
        }
        result
    }

    /// Reads the thing, if it is still linked.
    fn read(&self) {
        self.pinned(|_| self.read_pinned());
    }

    /// The same on a slot that the thread keeps, as it does for all but its first and last
    /// operations.
    fn read_on_a_kept_slot(&self) {
        let slot = self.domain.claim(false);
        self.domain.pin(slot);
        self.read_pinned();
        assert!(!Domain::unpin(slot), "the thread keeps the slot");
        slot.release();
    }

    fn read_pinned(&self) {
        // Acquire, as for all pointers of the map; the thing was published before the model began.
        if !self.link.load(Ordering::Acquire).is_null() {
            self.thing().memory.read();
        }
    }

    fn unlink(&self) {
        self.pinned(|slot| self.unlink_pinned(slot));
    }

    fn unlink_pinned(&self, slot: &Slot) {
        // Relaxed: what unlinks need not be ordered at all.
        self.link.store(ptr::null_mut(), Ordering::Relaxed);
        let thing = self.thing;
        // SAFETY: the world outlives the domain's actions.
        unsafe {
            self.domain.defer(
                slot,
                Box::new(move || {
                    let thing = &*thing;
                    thing.memory.write();
                    thing.freed.fetch_add(1, Ordering::Relaxed);
                }),
            );
        }
    }

    fn flush(&self, times: usize) {
        for _ in 0..times {
            self.domain.flush();
        }
    }

    fn freed(&self) -> usize {
        self.thing().freed.load(Ordering::Relaxed)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        self.domain = Domain::new();
        assert_eq!(self.freed(), 1);
        // SAFETY: made from a box in `new`, and the actions that refer to it have run.
        drop(unsafe { Box::from_raw(self.thing) });
    }
}

// SAFETY: a thing is shared, and all of it is atomic or traced.
unsafe impl Send for World {}
// SAFETY: threads read the thing through atomics and traces, which report what races.
unsafe impl Sync for World {}

#[test]
fn nothing_is_freed_while_a_reader_that_found_it_is_pinned() {
    explore("read against unlink and free", Size::Pair, || {
        let world = Arc::new(World::new());
        both(&world, World::read, |world| {
            world.unlink();
            world.flush(GRACE);
        });
    });
}

#[test]
fn nothing_is_freed_while_a_reader_on_a_kept_slot_is_pinned() {
    explore(
        "read on a kept slot against unlink and free",
        Size::Pair,
        || {
            let world = Arc::new(World::new());
            both(&world, World::read_on_a_kept_slot, |world| {
                world.unlink();
                world.flush(GRACE);
            });
        },
    );
}

#[test]
fn nothing_is_freed_while_a_reader_that_was_late_to_pin_reads() {
    explore("read against advances, unlink and free", Size::Pair, || {
        let world = Arc::new(World::new());
        both(&world, World::read, |world| {
            world.flush(1);
            world.unlink();
            world.flush(GRACE);
        });
    });
}

#[test]
fn whoever_frees_comes_after_the_reader_and_the_writer() {
    explore("read, unlink and free", Size::Trio, || {
        let world = Arc::new(World::new());
        three(&world, World::read, World::unlink, |world| {
            world.flush(GRACE + 1);
        });
    });
}

/// Lets two threads take turns, and orders nothing.
struct Turns(dwell::internals::sync::AtomicUsize);

impl Turns {
    fn begin(&self, turn: usize) {
        self.0.store(turn, Ordering::Relaxed);
    }

    fn wait_for(&self, turn: usize) {
        while self.0.load(Ordering::Relaxed) < turn {
            loom::thread::yield_now();
        }
    }
}

#[test]
fn whoever_frees_comes_after_a_reader_that_was_always_seen_pinned() {
    explore("read, and pin anew with each epoch", Size::LongPair, || {
        let world = Arc::new((
            World::new(),
            Turns(dwell::internals::sync::AtomicUsize::new(0)),
        ));
        // A slot that it keeps: to claim one anew would order it with the other thread.
        let reader = Owned(ptr::from_ref(world.0.domain.claim(false)));
        let read_and_come_back = move |(world, turns): &(World, Turns)| {
            // SAFETY: slots live as long as the domain.
            let slot = unsafe { &*reader.slot() };
            world.domain.pin(slot);
            world.thing().memory.read();
            Domain::unpin(slot);
            turns.begin(1);
            for turn in [2, 4] {
                turns.wait_for(turn);
                world.domain.pin(slot);
                turns.begin(turn + 1);
                turns.wait_for(turn + 2);
                Domain::unpin(slot);
            }
        };
        both(&world, read_and_come_back, |(world, turns)| {
            turns.wait_for(1);
            world.unlink();
            for turn in [2, 4, 6] {
                world.flush(1);
                turns.begin(turn);
                turns.wait_for(turn + usize::from(turn < 6));
            }
        });
    });
}

// Stale values are all that it is about, which the second pass does not see.
#[cfg(not(dwell_rmw))]
#[test]
fn who_reads_an_epoch_sees_what_was_unlinked_two_epochs_before() {
    explore("unlink, advance, and read", Size::InTurn, || {
        let world = Arc::new((
            World::new(),
            Turns(dwell::internals::sync::AtomicUsize::new(0)),
        ));
        // Slots that the threads keep. The first thread only looks on, and the one that advances
        // first is not the one that does so later: loom shows a thread that has waited nothing
        // older than what it saw before, and much is to be stale here.
        let [reader, writer] = [(); 2].map(|()| Owned(ptr::from_ref(world.0.domain.claim(false))));
        let unlink = move |(world, turns): &(World, Turns)| {
            turns.wait_for(1);
            // SAFETY: slots live as long as the domain.
            let slot = unsafe { &*writer.slot() };
            world.domain.pin(slot);
            world.unlink_pinned(slot);
            Domain::unpin(slot);
            turns.begin(2);
        };
        let read = move |(world, turns): &(World, Turns)| {
            world.flush(1);
            turns.begin(1);
            turns.wait_for(3);
            // SAFETY: slots live as long as the domain, which the world keeps.
            let slot = unsafe { &*reader.slot() };
            world.domain.pin(slot);
            world.read_pinned();
            turns.begin(4);
            turns.wait_for(5);
            Domain::unpin(slot);
        };
        let advance = |(world, turns): &(World, Turns)| {
            for turn in [2, 4] {
                turns.wait_for(turn);
                world.flush(1);
                turns.begin(turn + 1);
            }
        };
        let shared = Arc::clone(&world);
        let thread = loom::thread::spawn(move || advance(&shared));
        three(&world, |_| (), unlink, read);
        thread.join().unwrap();
    });
}

#[test]
fn who_sees_that_a_stamp_is_over_comes_after_a_reader_that_another_one_has_seen_leave() {
    explore("read, flush, and look at a stamp", Size::Trio, || {
        let world = Arc::new(World::new());
        let reader = world.domain.claim(false);
        world.domain.pin(reader);
        let reader = Owned(ptr::from_ref(reader));
        let stamp = world.domain.epoch();
        let read = move |world: &World| {
            world.thing().memory.read();
            // SAFETY: slots live as long as the domain.
            Domain::unpin(unsafe { &*reader.slot() });
        };
        let flush = |world: &World| world.flush(GRACE);
        three(&world, read, flush, move |world| {
            if Domain::is_over(stamp, world.domain.epoch()) {
                world.thing().memory.write();
            }
        });
        alone(world).unlink();
    });
}

#[test]
fn the_epoch_does_not_go_back() {
    explore("advance against advance", Size::Pair, || {
        let world = Arc::new(World::new());
        both(
            &world,
            |world| world.flush(1),
            |world| {
                world.flush(2);
                let seen = world.domain.epoch();
                assert!(world.domain.epoch() >= seen);
            },
        );
        world.unlink();
        world.flush(GRACE);
        assert_eq!(world.freed(), 1);
    });
}

#[test]
fn what_is_put_back_while_more_is_deferred_is_not_lost() {
    explore("defer against flush", Size::Pair, || {
        let world = Arc::new(World::new());
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&runs);
        let slot = world.domain.claim(false);
        world.domain.pin(slot);
        let owner = Owned(ptr::from_ref(slot));
        let defer = move |world: &World| {
            // SAFETY: slots live as long as the domain.
            let slot = unsafe { &*owner.slot() };
            for _ in 0..2 {
                let counted = Arc::clone(&counted);
                let run = Box::new(move || {
                    counted.fetch_add(1, Ordering::Relaxed);
                });
                // SAFETY: counting may happen anywhere.
                unsafe { world.domain.defer(slot, run) };
            }
        };
        both(&world, |world| world.flush(1), defer);
        Domain::unpin(slot);
        slot.release();
        world.unlink();
        world.flush(GRACE);
        assert_eq!(runs.load(Ordering::Relaxed), 2);
    });
}

/// A slot that another thread goes on with.
struct Owned(*const Slot);

impl Owned {
    fn slot(&self) -> *const Slot {
        self.0
    }
}

// SAFETY: its first owner does not use it meanwhile.
unsafe impl Send for Owned {}

#[test]
fn what_is_due_is_freed_once() {
    explore("free against free", Size::LongPair, || {
        let world = Arc::new(World::new());
        world.unlink();
        both(
            &world,
            |world| world.flush(GRACE),
            |world| world.flush(GRACE),
        );
        // One may have had it in its hands when the other looked for it.
        world.flush(1);
        assert_eq!(world.freed(), 1);
        drop(alone(world));
    });
}

#[test]
fn a_pinned_reader_delays_what_was_unlinked_after_it_and_nothing_that_was_before() {
    explore("a reader that stays", Size::Small, || {
        let early = World::new();
        early.unlink();
        early.flush(GRACE);
        assert_eq!(early.freed(), 1);
        let world = World::new();
        world.pinned(|_| {
            world.unlink();
            world.flush(3 * GRACE);
            assert_eq!(world.freed(), 0);
        });
        world.flush(GRACE);
        assert_eq!(world.freed(), 1);
    });
}

#[test]
fn a_slot_belongs_to_one_thread_at_a_time() {
    explore("claim against claim and release", Size::Pair, || {
        let world = Arc::new(World::new());
        let claim = |world: &World| {
            let first = ptr::from_ref(world.domain.claim(false));
            // SAFETY: slots live as long as the domain.
            unsafe { &*first }.release();
            ptr::from_ref(world.domain.claim(false)).addr()
        };
        let (one, other) = both(&world, claim, claim);
        assert_ne!(one, other);
        world.unlink();
        world.flush(GRACE);
    });
}

#[test]
fn nothing_is_freed_under_a_reader_when_the_kernel_takes_back_its_offer() {
    explore("read on a kept slot, refuse and free", Size::Pair, || {
        let world = Arc::new(World::new());
        both(&world, World::read_on_a_kept_slot, |world| {
            world.unlink();
            membarrier::refuse(true);
            // The first advance fails, and withdraws the offer.
            world.flush(GRACE + 1);
        });
        membarrier::refuse(false);
    });
}
