//! Epochs: nothing is freed under a reader, and everything is freed in the end.

use crate::explore::{Size, alone, both, explore, three};
use crate::protocols::epoch::{Domain, Slot};
use crate::sync::{AtomicPtr, Ordering, Trace};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

/// Advances that an action waits for.
const GRACE: usize = 3;

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
        Self {
            domain: Domain::new(),
            link: AtomicPtr::new(thing),
            thing,
        }
    }

    fn thing(&self) -> &Thing {
        // SAFETY: freed by the world's drop; what counts as freeing in the models is a write to `memory`.
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
        self.pinned(|_| {
            // Acquire, as for all pointers of the map; the thing was published before the model began.
            if !self.link.load(Ordering::Acquire).is_null() {
                self.thing().memory.read();
            }
        });
    }

    fn unlink(&self) {
        self.pinned(|slot| {
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
        });
    }

    fn flush(&self, times: usize) {
        (0..times).for_each(|_| self.domain.flush());
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
// SAFETY: as above.
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

#[test]
fn what_is_due_is_freed_once() {
    explore("free against free", Size::Pair, || {
        let world = Arc::new(World::new());
        world.unlink();
        both(
            &world,
            |world| world.flush(GRACE),
            |world| world.flush(GRACE),
        );
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
