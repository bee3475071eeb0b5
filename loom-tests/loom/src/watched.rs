//! Keys and values that loom watches: reads that race with their drop, leaks, and second drops
//! fail.

use loom::alloc::Track;
use loom::cell::UnsafeCell;
use std::borrow::Borrow;
use std::cell::Cell;
use std::hash::{Hash, Hasher};

thread_local! {
    /// Memories made and not dropped.
    static ALIVE: Cell<isize> = const { Cell::new(0) };
}

/// Fails if something was leaked, or dropped more than once.
pub(crate) fn assert_all_dropped() {
    assert_eq!(
        ALIVE.replace(0),
        0,
        "keys and values made and not dropped, or dropped twice if negative"
    );
}

/// The memory of a key or a value.
#[derive(Debug)]
struct Memory {
    cell: UnsafeCell<()>,
    _track: Track<()>,
}

// SAFETY: loom runs all threads of a model on one, and reports accesses that race.
unsafe impl Send for Memory {}
// SAFETY: no two threads run at once under loom, which reports accesses that would race.
unsafe impl Sync for Memory {}

impl Memory {
    fn new() -> Self {
        ALIVE.set(ALIVE.get() + 1);
        Self {
            cell: UnsafeCell::new(()),
            _track: Track::new(()),
        }
    }

    fn read(&self) {
        self.cell.with(|_| ());
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        ALIVE.set(ALIVE.get() - 1);
        if !std::thread::panicking() {
            self.cell.with_mut(|_| ());
        }
    }
}

/// A key that is found by its number.
#[derive(Debug)]
pub(crate) struct Key {
    number: u64,
    memory: Memory,
}

impl Key {
    pub(crate) fn new(number: u64) -> Self {
        Self {
            number,
            memory: Memory::new(),
        }
    }
}

impl Clone for Key {
    fn clone(&self) -> Self {
        Self::new(*self.borrow())
    }
}

impl Borrow<u64> for Key {
    fn borrow(&self) -> &u64 {
        self.memory.read();
        &self.number
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        let (one, other): (&u64, &u64) = (self.borrow(), other.borrow());
        one == other
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let number: &u64 = self.borrow();
        number.hash(state);
    }
}

/// A value with a number in it.
#[derive(Debug)]
pub(crate) struct Value {
    number: u64,
    memory: Memory,
}

impl Value {
    pub(crate) fn new(number: u64) -> Self {
        Self {
            number,
            memory: Memory::new(),
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.memory.read();
        self.number
    }
}
