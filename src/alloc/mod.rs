//! Zeroed memory for arrays of any size.
//!
//! **Contract.** [`Zeroed::new`] gives memory that is all zeroes and begins on a cache line;
//! [`Zeroed::start`] is its address; dropping it gives it back. A large array is mapped by itself,
//! so that its pages take up no memory before they are used: a new one costs nothing at first,
//! whatever its size. It asks for huge pages. Where the system gives no more mappings, and on other
//! systems, the allocator is asked.

#[cfg(target_os = "linux")]
mod pages;

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};

const CACHE_LINE: usize = 64;

pub(crate) enum Zeroed {
    Heap(Heap),
    #[cfg(target_os = "linux")]
    Pages(pages::Pages),
}

impl Zeroed {
    /// # Panics
    /// If the size does not fit into the address space. A process without memory aborts.
    pub(crate) fn new(size: usize) -> Self {
        #[cfg(target_os = "linux")]
        if let Some(pages) = pages::Pages::new(size) {
            return Self::Pages(pages);
        }
        Self::Heap(Heap::new(size))
    }

    pub(crate) fn start(&self) -> *mut u8 {
        match self {
            Self::Heap(heap) => heap.start(),
            #[cfg(target_os = "linux")]
            Self::Pages(pages) => pages.start(),
        }
    }
}

/// Zeroed by the allocator. Asking it for the alignment would make std write the zeroes.
pub(crate) struct Heap {
    allocation: *mut u8,
    layout: Layout,
}

impl Heap {
    fn new(size: usize) -> Self {
        let layout = Layout::from_size_align(size + CACHE_LINE, 16)
            .expect("the array fits into the address space");
        // SAFETY: the layout is not empty.
        let allocation = unsafe { alloc_zeroed(layout) };
        if allocation.is_null() {
            handle_alloc_error(layout);
        }
        Self { allocation, layout }
    }

    fn start(&self) -> *mut u8 {
        let offset = self.allocation.align_offset(CACHE_LINE);
        // SAFETY: the offset is less than a line, and the allocation is one line longer than was
        // asked for.
        unsafe { self.allocation.add(offset) }
    }
}

impl Drop for Heap {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout.
        unsafe { dealloc(self.allocation, self.layout) };
    }
}
