//! Stands in for the system's memory in the models of `arena`: small pages, of atomics that loom knows.

use crate::sync::{AtomicPtr, AtomicUsize, Ordering, Trace};
use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicBool;

/// Room for the name of a page and one cell, so that each one that is taken uses up a chunk.
pub(crate) const HUGE_PAGE: usize = 128;
const CELLS: usize = 1;

#[derive(Debug)]
#[repr(align(64))]
struct Name(AtomicPtr<()>);

/// A cell of 64 bytes, as its owner sees it.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Cell {
    pub(crate) first: AtomicUsize,
    pub(crate) contents: Trace,
    /// std's, as the next, so that it orders nothing.
    pub(crate) is_owned: AtomicBool,
    /// Whether the memory was given back to the system since the cell was taken.
    pub(crate) is_cleared: AtomicBool,
}

impl Cell {
    pub(crate) fn new(is_owned: bool) -> Self {
        Self {
            first: AtomicUsize::new(0),
            contents: Trace::new(),
            is_owned: AtomicBool::new(is_owned),
            is_cleared: AtomicBool::new(false),
        }
    }
}

#[derive(Debug)]
#[repr(C, align(128))]
struct Page {
    name: Name,
    cells: [Cell; CELLS],
}

#[derive(Debug)]
pub(crate) struct Pages(NonNull<Page>);

impl Pages {
    pub(crate) fn new(size: usize) -> Self {
        assert_eq!((size, size_of::<Page>()), (HUGE_PAGE, HUGE_PAGE));
        let page = Box::new(Page {
            name: Name(AtomicPtr::new(ptr::null_mut())),
            cells: [(); CELLS].map(|()| Cell::new(false)),
        });
        let page = NonNull::from(Box::leak(page));
        page.expose_provenance();
        Self(page)
    }

    pub(crate) fn start(&self) -> NonNull<u8> {
        self.0.cast()
    }

    pub(crate) fn prefer_huge(&self) {}

    pub(crate) fn avoid_huge(&self) {}

    pub(crate) unsafe fn clear(&self) {
        // SAFETY: the page lives as long as this.
        let page = unsafe { self.0.as_ref() };
        for cell in &page.cells {
            cell.contents.write();
            cell.first.store(0, Ordering::Relaxed);
            cell.is_cleared.store(true, Ordering::Relaxed);
        }
        page.name.0.store(ptr::null_mut(), Ordering::Relaxed);
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: made from a box in `new`.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}
