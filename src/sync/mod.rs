//! The only names of an implementation of atomics: std, loom or shuttle.
//!
//! Everything below the sessions imports its atomics from here, so that the very same code runs in
//! production, under loom's exhaustive search and under shuttle's schedulers.
//!
//! | `--cfg` | atomics | what an access does first |
//! |---|---|---|
//! | none | std's | nothing |
//! | `dwell_loom` | loom's | nothing |
//! | `dwell_loom dwell_rmw` | loom's | a load is a read-modify-write: see `hook` |
//! | `dwell_loom dwell_shadow` | loom's | announces itself to loom: see `hook` |
//! | `dwell_shuttle` | shuttle's | nothing |
//! | `dwell_counted` | std's | is told to the counter of accesses: see `hook` |

pub use core::sync::atomic::Ordering;

#[cfg(any(dwell_rmw, dwell_shadow, dwell_counted))]
mod hook;
#[cfg(any(dwell_rmw, dwell_shadow, dwell_counted))]
mod hooked;

#[cfg(not(any(dwell_loom, dwell_shuttle, dwell_counted)))]
mod backend {
    pub use core::sync::atomic::{
        AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, compiler_fence, fence,
    };
    pub use std::thread_local;
}

#[cfg(dwell_shuttle)]
mod backend {
    pub use shuttle::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, fence};
    pub use shuttle::thread_local;
}

#[cfg(all(dwell_loom, not(any(dwell_rmw, dwell_shadow))))]
mod backend {
    pub use loom::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, fence};
    pub use loom::thread_local;
}

#[cfg(any(dwell_rmw, dwell_shadow))]
mod backend {
    pub use super::hooked::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize};
    pub use loom::sync::atomic::fence;
    pub use loom::thread_local;
}

#[cfg(dwell_counted)]
mod backend {
    pub use super::hook::{Kind, Note, count_accesses, fence};
    pub use super::hooked::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize};
    pub use core::sync::atomic::compiler_fence;
    pub use std::thread_local;
}

pub use backend::*;

/// A number for statistics, which models do not explore: no step of a protocol depends on it.
#[derive(Debug, Default)]
pub struct Tally(core::sync::atomic::AtomicUsize);

// Relaxed: it orders nothing.
impl Tally {
    pub fn up(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub fn down(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    pub fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Tells loom about reads and writes of plain memory, so that it reports those that race; and about
/// memory that is not freed in the end. Nothing at all outside of loom.
#[derive(Debug)]
pub struct Trace {
    #[cfg(dwell_loom)]
    cell: loom::cell::UnsafeCell<()>,
    #[cfg(dwell_loom)]
    _leak: loom::alloc::Track<()>,
}

impl Trace {
    pub fn new() -> Self {
        Self {
            #[cfg(dwell_loom)]
            cell: loom::cell::UnsafeCell::new(()),
            #[cfg(dwell_loom)]
            _leak: loom::alloc::Track::new(()),
        }
    }

    /// The memory this stands for is read here.
    #[inline(always)]
    pub fn read(&self) {
        #[cfg(dwell_loom)]
        self.cell.with(|_| ());
    }

    /// The memory this stands for is written, moved out or dropped here.
    #[inline(always)]
    pub fn write(&self) {
        #[cfg(dwell_loom)]
        self.cell.with_mut(|_| ());
    }
}
