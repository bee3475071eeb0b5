//! Chunks: a cell has one owner, memory is cleared only when no cell has one, and a chunk is freed once.

use crate::explore::{Size, alone, both, explore, three};
use crate::protocols::chunk::{Chunk, Left, Memory};
use crate::sync::{AtomicPtr, AtomicUsize, Ordering, Trace};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// A page that knows what each cell is used for.
#[derive(Debug)]
struct Page {
    name: AtomicPtr<Chunk<Page>>,
    cells: Vec<Cell>,
    /// What the arena knows of the chunk.
    chunk: Trace,
}

#[derive(Debug)]
struct Cell {
    link: AtomicUsize,
    /// All of the cell but its first word.
    contents: Trace,
    /// std's, so that it orders nothing.
    is_owned: AtomicBool,
}

impl Memory for Page {
    fn link(&self, cell: usize) -> &AtomicUsize {
        &self.cells[cell].link
    }

    fn name(&self) -> &AtomicPtr<Chunk<Self>> {
        &self.name
    }

    unsafe fn clear(&self) {
        for cell in &self.cells {
            assert!(
                !cell.is_owned.load(Ordering::Relaxed),
                "cleared while in use"
            );
            cell.contents.write();
            cell.link.store(0, Ordering::Relaxed);
        }
        self.name.store(ptr::null_mut(), Ordering::Relaxed);
    }
}

/// More cells than there are.
const NEVER: usize = 10;

struct World(Chunk<Page>);

impl World {
    /// A chunk of some cells, of which the first were used, and given back in their order. It is worth clearing when
    /// `worth` cells were used.
    fn new(cells: usize, used: usize, worth: usize) -> Arc<Self> {
        let cell = |_| Cell {
            link: AtomicUsize::new(0),
            contents: Trace::new(),
            is_owned: AtomicBool::new(false),
        };
        let page = Page {
            name: AtomicPtr::new(ptr::null_mut()),
            cells: (0..cells).map(cell).collect(),
            chunk: Trace::new(),
        };
        let world = Self(Chunk::new(page, cells, worth));
        let used = Vec::from_iter((0..used).map(|_| world.take().expect("a fresh cell")));
        for cell in used {
            world.give_back(cell);
        }
        Arc::new(world)
    }

    fn page(&self) -> &Page {
        &self.0.memory
    }

    fn take(&self) -> Option<usize> {
        // SAFETY: the chunk lives, and the model says which cells come back while others take.
        let index = unsafe { Chunk::take(&raw const self.0) }?;
        let cell = &self.page().cells[index];
        assert!(
            !cell.is_owned.swap(true, Ordering::Relaxed),
            "a cell was taken twice"
        );
        cell.contents.write();
        // As a new owner does.
        cell.link.store(usize::MAX, Ordering::Relaxed);
        let name = self.page().name.load(Ordering::Relaxed);
        assert!(ptr::eq(name, &raw const self.0), "a cell without a chunk");
        Some(index)
    }

    fn give_back(&self, index: usize) -> Left {
        let cell = &self.page().cells[index];
        cell.contents.write();
        assert!(cell.is_owned.swap(false, Ordering::Relaxed));
        // SAFETY: the cell is in use, and the world keeps the chunk.
        unsafe { Chunk::give_back(&raw const self.0, index) }
    }

    fn clear(&self) {
        self.0.clear();
    }

    fn orphan(&self) -> bool {
        self.page().chunk.read();
        // SAFETY: the world keeps the chunk.
        unsafe { Chunk::orphan(&raw const self.0) }
    }
}

#[test]
fn a_cell_is_taken_by_one_thread() {
    explore("take against take", Size::Pair, || {
        let world = World::new(3, 1, NEVER);
        let take = |world: &World| (world.take().unwrap(), world.take());
        let ((one, second), (other, fourth)) = both(&world, take, take);
        assert_ne!(one, other);
        assert!(second.is_some() != fourth.is_some(), "three cells for four");
        assert_eq!(world.0.free(), 0);
    });
}

#[test]
fn a_cell_that_is_given_back_is_there_for_the_next() {
    explore("take against give back", Size::Trio, || {
        let world = World::new(3, 3, NEVER);
        let (first, second) = (world.take().unwrap(), world.take().unwrap());
        let (_, _, taken) = three(
            &world,
            |world| world.give_back(first),
            move |world| world.give_back(second),
            World::take,
        );
        taken.expect("one was free all the time");
        assert_eq!(world.0.free(), 2);
        assert!(world.take().is_some() && world.take().is_some());
        assert!(world.take().is_none());
    });
}

#[test]
fn a_chunk_in_use_is_not_cleared() {
    explore("give back, take and clear", Size::Trio, || {
        let world = World::new(2, 0, 1);
        let cell = world.take().unwrap();
        let (_, taken, ()) = three(
            &world,
            |world| world.give_back(cell),
            |world| [world.take(), world.take()],
            World::clear,
        );
        let world = alone(world);
        // A chunk that is being cleared has no free cell.
        let more = [world.take(), world.take()];
        assert_eq!(taken.into_iter().chain(more).flatten().count(), 2);
    });
}

#[test]
fn what_was_given_back_before_is_cleared_after() {
    explore("give back, clear and clear", Size::Trio, || {
        let world = World::new(2, 0, 2);
        let (first, second) = (world.take().unwrap(), world.take().unwrap());
        world.give_back(first);
        three(
            &world,
            move |world| world.give_back(second),
            World::clear,
            World::clear,
        );
        world.clear();
        assert!(world.page().name.load(Ordering::Relaxed).is_null());
        assert_eq!(world.0.free(), 2);
        assert!(world.take().is_some() && world.take().is_some());
    });
}

#[test]
fn the_last_of_cells_and_arena_frees_the_chunk() {
    for worth in [1, NEVER] {
        explore("give back against orphan", Size::Trio, move || {
            let world = World::new(2, 0, worth);
            let (first, second) = (world.take().unwrap(), world.take().unwrap());
            // Whoever frees comes after all that was done with the cells and the chunk.
            let free = |world: &World, is_last: bool| {
                if is_last {
                    world.page().chunk.write();
                    world
                        .page()
                        .cells
                        .iter()
                        .for_each(|cell| cell.contents.write());
                }
                is_last
            };
            let (one, other, arena) = three(
                &world,
                |world| free(world, world.give_back(first) == Left::Orphaned),
                move |world| free(world, world.give_back(second) == Left::Orphaned),
                move |world| free(world, world.orphan()),
            );
            let last = [one, other, arena].into_iter().filter(|last| *last);
            assert_eq!(last.count(), 1);
        });
    }
}
