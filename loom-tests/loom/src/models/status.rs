//! The status word: one winner, no resurrection, no death by an old observation.

use crate::explore::{Size, alone, both, explore, three};
use dwell::internals::map::record::status::{Observed, State, Status};
use dwell::internals::sync::{AtomicU64, Ordering, Trace};
use std::ptr;
use std::sync::Arc;

/// What a status word may be handed over to.
struct Successor {
    contents: Trace,
}

struct World {
    status: Status<Successor>,
    /// The record's terms: the idle timeout.
    idle_and_weight: AtomicU64,
}

const BORN: u64 = 1;

impl World {
    /// A live word.
    fn new() -> Self {
        let world = Self::pending();
        assert!(world.status.commit());
        world
    }

    fn pending() -> Self {
        Self {
            status: Status::pending(BORN),
            idle_and_weight: AtomicU64::new(10),
        }
    }

    fn seen(&self) -> Option<Observed> {
        match self.status.load() {
            State::Live(seen) => Some(seen),
            _ => None,
        }
    }

    /// As a look-up does. True if the record was alive.
    fn touch(&self, now: u64) -> bool {
        while let Some(seen) = self.seen() {
            if seen.tick() >= now || self.status.touch(seen, Observed::new(now, true)) {
                return true;
            }
        }
        false
    }

    /// Ends what was last accessed before `horizon`. Returns the access it saw, if it ended the
    /// record.
    fn collect(&self, horizon: u64) -> Option<u64> {
        while let Some(seen) = self.seen() {
            if seen.tick() >= horizon {
                return None;
            }
            if self.status.kill(seen) {
                return Some(seen.tick());
            }
        }
        None
    }

    fn remove(&self) -> bool {
        while let Some(seen) = self.seen() {
            if self.status.kill(seen) {
                return true;
            }
        }
        false
    }

    /// As `update` does. True if the life was handed over.
    fn replace(&self) -> bool {
        let contents = Trace::new();
        contents.write();
        let successor = Box::into_raw(Box::new(Successor { contents }));
        while let Some(seen) = self.seen() {
            if self.status.replace(seen, successor) {
                return true;
            }
        }
        // SAFETY: it was not handed over.
        drop(unsafe { Box::from_raw(successor) });
        false
    }

    /// Reads the successor if there is one.
    fn follow(&self) -> Option<*mut Successor> {
        let State::Forward(successor) = self.status.load() else {
            return None;
        };
        // SAFETY: successors are freed at the end of the model.
        unsafe { (*successor).contents.read() };
        Some(successor)
    }

    /// As `set_idle_timeout` does.
    fn allow(&self, idle_timeout: u64) -> bool {
        while let Some(seen) = self.seen() {
            self.idle_and_weight.store(idle_timeout, Ordering::Relaxed);
            if self.status.advance(seen) {
                return true;
            }
        }
        false
    }

    /// Ends what has idled for longer than it may. Returns the idle_and_weight it judged by, if it
    /// did.
    fn expire(&self, now: u64) -> Option<u64> {
        while let Some(seen) = self.seen() {
            let idle = self.idle_and_weight.load(Ordering::Relaxed);
            if now < seen.tick() + idle {
                return None;
            }
            if self.status.kill(seen) {
                return Some(idle);
            }
        }
        None
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let State::Forward(successor) = self.status.load() {
            // SAFETY: the word is the only one that leads to it.
            drop(unsafe { Box::from_raw(successor) });
        }
    }
}

#[test]
fn touch_collection_and_removal_of_one_record_have_one_winner() {
    const NOW: u64 = 10;
    explore("life: touch, collect and remove", Size::Small, || {
        let world = Arc::new(World::new());
        let (touched, collected, removed) = three(
            &world,
            |world| world.touch(NOW),
            |world| world.collect(5),
            World::remove,
        );
        assert!(collected.is_some() != removed, "one of them ends it");
        assert!(
            !(touched && collected.is_some()),
            "it was ended by an observation older than the touch"
        );
        assert!(matches!(world.status.load(), State::Dead));
    });
}

#[test]
fn a_touch_between_observation_and_end_keeps_the_record() {
    explore("life: two touches and a collection", Size::Small, || {
        let world = Arc::new(World::new());
        let (early, late, collected) = three(
            &world,
            |world| world.touch(10),
            |world| world.touch(20),
            |world| world.collect(15),
        );
        match collected {
            Some(seen) => {
                assert!(!late, "ended by an observation older than the touch");
                assert!(!early || seen == 10);
                assert!(matches!(world.status.load(), State::Dead));
            }
            None => {
                assert!(early && late);
                assert_eq!(world.seen().unwrap().tick(), 20);
            }
        }
    });
}

#[test]
fn of_three_who_end_a_record_one_does() {
    explore("life: three removals", Size::Small, || {
        let world = Arc::new(World::new());
        let (one, two, three) = three(&world, World::remove, World::remove, World::remove);
        assert_eq!([one, two, three].map(usize::from).iter().sum::<usize>(), 1);
    });
}

#[test]
fn of_three_who_start_a_life_one_does() {
    explore("life: three commits", Size::Small, || {
        let world = Arc::new(World::pending());
        let commit = |world: &World| world.status.commit();
        let (one, two, three) = three(&world, commit, commit, commit);
        assert_eq!([one, two, three].map(usize::from).iter().sum::<usize>(), 1);
    });
}

#[test]
fn a_late_commit_does_not_bring_a_dead_record_back() {
    explore("life: two commits and a removal", Size::Small, || {
        let world = Arc::new(World::pending());
        let commit = |world: &World| world.status.commit();
        let (_, _, removed) = three(&world, commit, commit, World::remove);
        assert_eq!(removed, matches!(world.status.load(), State::Dead));
    });
}

#[test]
fn a_record_is_either_replaced_or_removed() {
    explore("life: replace, remove and touch", Size::Small, || {
        let world = Arc::new(World::new());
        let (replaced, removed, _) = three(&world, World::replace, World::remove, |world| {
            world.touch(10)
        });
        assert!(replaced != removed);
        assert_eq!(replaced, world.follow().is_some());
    });
}

#[test]
fn who_follows_a_replaced_record_reads_a_complete_successor() {
    explore("life: replace and follow", Size::Small, || {
        let world = Arc::new(World::new());
        let (followed, replaced) = both(&world, World::follow, World::replace);
        assert!(replaced);
        let successor = alone(world).follow().unwrap_or(ptr::null_mut());
        assert!(followed.is_none_or(|followed| followed == successor));
    });
}

#[test]
fn of_two_replacements_and_a_removal_one_ends_the_record() {
    explore("life: two replacements and a removal", Size::Small, || {
        let world = Arc::new(World::new());
        let (one, two, removed) = three(&world, World::replace, World::replace, World::remove);
        assert_eq!(
            [one, two, removed].map(usize::from).iter().sum::<usize>(),
            1
        );
    });
}

#[test]
fn after_a_longer_allowance_nobody_ends_the_record_by_the_old_one() {
    explore(
        "life: a longer idle_and_weight and two expiries",
        Size::Small,
        || {
            let world = Arc::new(World::new());
            let (allowed, one, two) = three(
                &world,
                |world| world.allow(100),
                |world| world.expire(50),
                |world| world.expire(60),
            );
            let ended = one.or(two);
            assert!(one.is_none() || two.is_none());
            assert!(allowed == ended.is_none(), "{allowed} {ended:?}");
            assert!(ended.is_none_or(|judged_by| judged_by == 10));
        },
    );
}

#[test]
fn a_touch_after_a_longer_allowance_passes_it_on() {
    explore(
        "life: a longer idle_and_weight, a touch and an expiry",
        Size::Small,
        || {
            let world = Arc::new(World::new());
            let (allowed, touched, ended) = three(
                &world,
                |world| world.allow(100),
                |world| world.touch(20),
                |world| world.expire(50),
            );
            assert!(touched || ended.is_some());
            assert!(allowed == ended.is_none(), "{allowed} {ended:?}");
        },
    );
}
