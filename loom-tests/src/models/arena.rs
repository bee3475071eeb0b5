//! Arenas: a cell has one owner, its chunk is complete for whoever takes it, and every chunk is freed.

use crate::explore::{Size, alone, both, explore, three};
use crate::protocols::arena::Arena;
use crate::protocols::magazine::Chain;
use crate::protocols::pages::Cell;
use crate::sync::Ordering;
use std::alloc::Layout;
use std::ptr::NonNull;
use std::sync::Arc;

const CELL: Layout = Layout::new::<Cell>();

struct World(Arena);

/// A cell that is given back when the model is over.
struct Taken(NonNull<Cell>);

// SAFETY: a cell is its owner's, whichever thread that is.
unsafe impl Send for Taken {}

impl World {
    fn new(lanes: usize) -> Arc<Self> {
        Arc::new(Self(Arena::new(CELL, lanes)))
    }

    fn take(&self, lane: usize) -> Taken {
        // SAFETY: the models give no cell back while somebody takes one that was there before.
        let taken = unsafe { self.0.take(lane) }.cast::<Cell>();
        // SAFETY: a cell that is in use keeps its page.
        let cell = unsafe { taken.as_ref() };
        let was_owned = cell.is_owned.swap(true, Ordering::Relaxed);
        assert!(!was_owned, "a cell was taken twice");
        cell.is_cleared.store(false, Ordering::Relaxed);
        cell.contents.write();
        // As a new owner does.
        cell.first.store(usize::MAX, Ordering::Relaxed);
        Taken(taken)
    }
}

impl Taken {
    /// Frees the cell for its lane. Nobody who could have seen it is pinned.
    fn keep(self, world: &World, lane: usize) {
        let cell = std::mem::ManuallyDrop::new(self).0;
        let mut chain = Chain::default();
        // SAFETY: the cell was taken, and is not used any more.
        unsafe {
            cell.as_ref().is_owned.store(false, Ordering::Relaxed);
            cell.as_ref().contents.write();
            chain.add(cell.cast());
            world.0.keep(chain, lane);
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        // SAFETY: the cell was taken, and is not used any more.
        unsafe {
            self.0.as_ref().is_owned.store(false, Ordering::Relaxed);
            Arena::give_back(self.0.cast(), CELL);
        }
    }
}

#[test]
fn two_threads_of_one_lane_take_different_cells() {
    explore("arena: take and take, one lane", Size::Pair, || {
        let world = World::new(1);
        let cells = both(&world, |world| world.take(0), |world| world.take(0));
        drop(alone(world));
        drop(cells);
    });
}

#[test]
fn a_chunk_that_another_lane_adds_is_complete_for_who_finds_it() {
    explore("arena: take and take, two lanes", Size::Pair, || {
        let world = World::new(2);
        let cells = both(&world, |world| world.take(0), |world| world.take(1));
        drop(alone(world));
        drop(cells);
    });
}

#[test]
fn a_chunk_that_was_used_up_is_left_for_another() {
    explore(
        "arena: take and take, one lane that is used up",
        Size::Pair,
        || {
            let world = World::new(1);
            let used = world.take(0);
            let cells = both(&world, |world| world.take(0), |world| world.take(0));
            drop(used);
            drop(alone(world));
            drop(cells);
        },
    );
}

#[test]
fn a_cell_that_is_kept_is_taken_again_or_given_back() {
    explore("arena: keep, take and clear", Size::Trio, || {
        let world = World::new(1);
        let used = world.take(0);
        let (_, taken, ()) = three(
            &world,
            move |world| used.keep(world, 0),
            |world| world.take(0),
            |world| world.0.clear(),
        );
        let next = world.take(0);
        drop(alone(world));
        drop((taken, next));
    });
}

#[test]
fn what_becomes_empty_is_cleared_or_told() {
    explore("arena: give back and clear", Size::Pair, || {
        let world = World::new(1);
        let used = world.take(0);
        let cell = used.0;
        both(&world, move |_| drop(used), |world| world.0.clear());
        let world = alone(world);
        // SAFETY: the arena keeps the page.
        let is_cleared = unsafe { cell.as_ref() }.is_cleared.load(Ordering::Relaxed);
        assert!(is_cleared || world.0.is_worth_clearing());
        world.0.clear();
        // SAFETY: as above.
        let is_cleared = unsafe { cell.as_ref() }.is_cleared.load(Ordering::Relaxed);
        assert!(is_cleared && !world.0.is_worth_clearing());
    });
}

#[test]
fn the_cursor_leads_to_a_complete_chunk() {
    explore("arena: move the cursor, and take", Size::InTurn, || {
        let world = World::new(3);
        // The second of three chunks has a free cell again: who finds it makes the first one the next to be looked at.
        let move_cursor = |world: &World| {
            let [first, second, third] = [(); 3].map(|()| world.take(0));
            drop(second);
            [first, third, world.take(1)]
        };
        let cells = both(&world, move_cursor, |world| world.take(2));
        drop(alone(world));
        drop(cells);
    });
}
