//! The memory of the table's lines: zeroed, and on cache line boundaries.
//!
//! Zeroes come from the system as pages that take up no room before they are used: a new array costs nothing at first,
//! whatever its size. Where an array fills huge pages, it asks for them.

use super::line::Line;

/// Large arrays are mapped by themselves.
#[cfg(all(target_os = "linux", not(any(dwell_loom, dwell_shuttle, dwell_boxed))))]
mod backing {
    use super::super::pages::{HUGE_PAGE, Pages};
    use super::heap::Heap;

    pub(super) enum Backing {
        Heap(Heap),
        Pages(Pages),
    }

    impl Backing {
        pub(super) fn new(size: usize) -> Self {
            if size < HUGE_PAGE {
                return Self::Heap(Heap::new(size));
            }
            let pages = Pages::new(size.next_multiple_of(HUGE_PAGE));
            pages.prefer_huge();
            Self::Pages(pages)
        }

        pub(super) fn start(&self) -> *mut u8 {
            match self {
                Self::Heap(heap) => heap.start(),
                Self::Pages(pages) => pages.start().as_ptr(),
            }
        }
    }
}

#[cfg(all(
    not(any(dwell_loom, dwell_shuttle)),
    any(not(target_os = "linux"), dwell_boxed)
))]
use heap::Heap as Backing;

#[cfg(all(target_os = "linux", not(any(dwell_loom, dwell_shuttle, dwell_boxed))))]
use backing::Backing;

#[cfg(not(any(dwell_loom, dwell_shuttle)))]
mod heap {
    use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};

    const CACHE_LINE: usize = 64;

    /// Zeroed by the allocator. Asking it for the alignment would make std write the zeroes.
    pub(super) struct Heap {
        allocation: *mut u8,
        layout: Layout,
    }

    impl Heap {
        pub(super) fn new(size: usize) -> Self {
            let layout = Layout::from_size_align(size + CACHE_LINE, 16)
                .expect("2^31 lines fit into the address space");
            // SAFETY: the layout is not empty.
            let allocation = unsafe { alloc_zeroed(layout) };
            if allocation.is_null() {
                handle_alloc_error(layout);
            }
            Self { allocation, layout }
        }

        pub(super) fn start(&self) -> *mut u8 {
            let offset = self.allocation.align_offset(CACHE_LINE);
            // SAFETY: the offset is less than a line, and there is one line more than was asked for.
            unsafe { self.allocation.add(offset) }
        }
    }

    impl Drop for Heap {
        fn drop(&mut self) {
            // SAFETY: allocated in `new` with this layout.
            unsafe { dealloc(self.allocation, self.layout) };
        }
    }
}

#[cfg(not(any(dwell_loom, dwell_shuttle)))]
pub(crate) struct Array<K, V> {
    lines: *mut Line<K, V>,
    count: usize,
    /// Keeps the lines, which need no drop.
    _backing: Backing,
}

#[cfg(not(any(dwell_loom, dwell_shuttle)))]
impl<K, V> Array<K, V> {
    pub(crate) fn new(count: usize) -> Self {
        const { assert!(size_of::<Line<(), ()>>() == 64) };
        let backing = Backing::new(count * size_of::<Line<K, V>>());
        Self {
            lines: backing.start().cast(),
            count,
            _backing: backing,
        }
    }

    #[inline]
    pub(crate) fn line(&self, index: usize) -> &Line<K, V> {
        debug_assert!(index < self.count);
        // SAFETY: the index is below the count: it has `bits` bits. All-zero words are a valid line.
        unsafe { &*self.lines.add(index) }
    }
}

/// The atomics of loom and shuttle cannot be made of zeroes.
#[cfg(any(dwell_loom, dwell_shuttle))]
pub(crate) struct Array<K, V>(Vec<Line<K, V>>);

#[cfg(any(dwell_loom, dwell_shuttle))]
impl<K, V> Array<K, V> {
    pub(crate) fn new(count: usize) -> Self {
        Self((0..count).map(|_| Line::unset()).collect())
    }

    pub(crate) fn line(&self, index: usize) -> &Line<K, V> {
        &self.0[index]
    }
}
