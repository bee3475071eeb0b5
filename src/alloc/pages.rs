//! Memory mapped from the system, in whole huge pages.

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};
use std::ptr;

/// The size of a huge page. Where the system has others, this is just a large piece of memory.
const HUGE_PAGE: usize = 2 << 20;

/// A mapping of its own. A page takes up memory once it is written to.
pub(crate) struct Pages {
    mapping: *mut u8,
    size: usize,
}

impl Pages {
    /// None for less than a huge page, or if the system gives no mapping.
    pub(super) fn new(size: usize) -> Option<Self> {
        if size < HUGE_PAGE {
            return None;
        }
        // The part that begins on a huge page's boundary is as large as was asked for.
        let size = size.next_multiple_of(HUGE_PAGE) + HUGE_PAGE;
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: a new mapping, wherever the system likes; it affects no other memory.
        let mapping = unsafe { mmap_anonymous(ptr::null_mut(), size, protection, flags) }.ok()?;
        let pages = Self {
            mapping: mapping.cast(),
            size,
        };
        // The system may refuse huge pages: then these are small ones.
        // SAFETY: the advice changes how the memory is mapped, not what it holds.
        let _ = unsafe { madvise(mapping, size, Advice::LinuxHugepage) };
        Some(pages)
    }

    pub(super) fn start(&self) -> *mut u8 {
        let offset = self.mapping.align_offset(HUGE_PAGE);
        // SAFETY: the offset is less than a huge page, and the mapping is one larger than was asked
        // for.
        unsafe { self.mapping.add(offset) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: mapped in `new`, and no thread uses the array that this backs any more.
        let unmapped = unsafe { munmap(self.mapping.cast(), self.size) };
        debug_assert!(unmapped.is_ok());
    }
}
