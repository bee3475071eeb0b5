//! Magazines: a cell that was put comes out once, with what was done to it before, and none is lost.

use crate::explore::{Size, alone, both, explore, three};
use crate::protocols::magazine::{Chain, Magazine};
use crate::protocols::pages::Cell;
use crate::sync::Ordering;
use std::ptr::NonNull;
use std::sync::Arc;

struct World {
    magazine: Magazine,
    cells: Vec<Cell>,
}

impl World {
    /// A magazine of the first `rounds` of some cells, the first one at the bottom. The others are in use.
    fn new(cells: usize, rounds: usize) -> Arc<Self> {
        let cell = |number| Cell::new(number >= rounds);
        let world = Self {
            magazine: Magazine::new(2),
            cells: (0..cells).map(cell).collect(),
        };
        for cell in &world.cells {
            NonNull::from(cell).expose_provenance();
        }
        let chain = world.chain(0..rounds);
        // SAFETY: nobody uses these.
        assert!(unsafe { world.magazine.put(chain) }.is_ok());
        Arc::new(world)
    }

    fn chain(&self, numbers: impl IntoIterator<Item = usize>) -> Chain {
        let mut chain = Chain::default();
        for number in numbers {
            let cell = &self.cells[number];
            cell.contents.write();
            cell.is_owned.store(false, Ordering::Relaxed);
            // SAFETY: not used any more.
            unsafe { chain.add(NonNull::from(cell).cast()) };
        }
        chain
    }

    /// Puts cells that are in use. False if the magazine is full.
    fn put(&self, numbers: impl IntoIterator<Item = usize>) -> bool {
        // SAFETY: no model takes a cell and puts it: that would ask for a grace period.
        unsafe { self.magazine.put(self.chain(numbers)) }.is_ok()
    }

    /// The number of a cell, which is in use from now on.
    fn own(&self, cell: NonNull<u8>) -> usize {
        let is_it = |it: &Cell| std::ptr::eq(it, cell.as_ptr().cast());
        let number = self.cells.iter().position(is_it).expect("one of ours");
        let cell = &self.cells[number];
        let was_owned = cell.is_owned.swap(true, Ordering::Relaxed);
        assert!(!was_owned, "a cell was taken twice");
        cell.contents.write();
        // As a new owner does.
        cell.first.store(usize::MAX, Ordering::Relaxed);
        number
    }

    fn take(&self) -> Option<usize> {
        // SAFETY: no cell comes back while somebody who saw it takes.
        unsafe { self.magazine.take() }.map(|cell| self.own(cell))
    }

    fn take_all(&self) -> Vec<usize> {
        self.magazine
            .take_all()
            .map(|cell| {
                // A chain's owner reads the links.
                let number = self.own(cell);
                let first = &self.cells[number].first;
                first.store(0, Ordering::Relaxed);
                number
            })
            .collect()
    }
}

/// Of two cells each was found, once.
fn assert_both(found: impl Iterator<Item = usize>) {
    let mut found = Vec::from_iter(found);
    found.sort_unstable();
    assert_eq!(found, [0, 1]);
}

#[test]
fn a_round_is_taken_by_one_thread() {
    explore("magazine: take against take", Size::Pair, || {
        let world = World::new(2, 2);
        let take = |world: &World| [world.take(), world.take()];
        let (one, other) = both(&world, take, take);
        assert_both(one.into_iter().chain(other).flatten());
    });
}

#[test]
fn the_last_that_was_put_is_taken_first() {
    explore("magazine: put and take, alone", Size::Pair, || {
        let world = World::new(3, 1);
        assert!(world.put([1]));
        assert!(!world.put([2]), "it is full");
        assert_eq!([(); 3].map(|()| world.take()), [Some(1), Some(0), None]);
    });
}

#[test]
fn what_is_put_and_what_was_there_can_be_taken() {
    explore("magazine: put against take", Size::Pair, || {
        let world = World::new(2, 1);
        let (is_put, taken) = both(&world, |world| world.put([1]), World::take);
        assert!(is_put);
        let world = alone(world);
        assert!(taken.is_some(), "one was there all the time");
        assert_both([taken, world.take(), world.take()].into_iter().flatten());
    });
}

#[test]
fn a_magazine_that_is_emptied_gives_each_round_once() {
    explore("magazine: put, take and take all", Size::Trio, || {
        let world = World::new(2, 1);
        let (_, taken, all) = three(&world, |world| world.put([1]), World::take, World::take_all);
        let world = alone(world);
        assert_both(all.into_iter().chain(taken).chain(world.take_all()));
    });
}
