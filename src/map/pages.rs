//! Memory from the system, in whole huge pages.

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};
use std::alloc::{Layout, handle_alloc_error};
use std::ptr::NonNull;

/// The size of a huge page. Where the system has others, this is just a large piece of memory.
pub(crate) const HUGE_PAGE: usize = 2 << 20;

/// Zeroed memory that begins at a multiple of [`HUGE_PAGE`]. A page takes up room once it is written to.
#[derive(Debug)]
pub(crate) struct Pages {
    start: NonNull<u8>,
    size: usize,
}

impl Pages {
    /// `size` is a multiple of [`HUGE_PAGE`].
    pub(crate) fn new(size: usize) -> Self {
        debug_assert!(size.is_multiple_of(HUGE_PAGE));
        let reserved = size + HUGE_PAGE;
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: a new mapping, wherever the system likes; it affects no other memory.
        let mapping = unsafe { mmap_anonymous(std::ptr::null_mut(), reserved, protection, flags) };
        let Ok(mapping) = mapping else {
            handle_alloc_error(Layout::from_size_align(size, HUGE_PAGE).expect("a valid layout"));
        };
        let mapping = mapping.cast::<u8>();
        let before = mapping.align_offset(HUGE_PAGE);
        // SAFETY: the aligned part lies within the mapping; what lies before and after it is not used.
        unsafe {
            let start = mapping.add(before);
            // For who finds the start by an address within.
            start.expose_provenance();
            unmap(mapping, before);
            unmap(start.add(size), reserved - size - before);
            Self {
                start: NonNull::new_unchecked(start),
                size,
            }
        }
    }

    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Asks for huge pages. The system may refuse.
    pub(crate) fn prefer_huge(&self) {
        // SAFETY: changes how the memory is mapped, not what it holds.
        let _ = unsafe { madvise(self.start.as_ptr().cast(), self.size, Advice::LinuxHugepage) };
    }

    /// Asks for small pages, so that only what is used takes up room.
    pub(crate) fn avoid_huge(&self) {
        // SAFETY: as above.
        let _ = unsafe {
            madvise(
                self.start.as_ptr().cast(),
                self.size,
                Advice::LinuxNoHugepage,
            )
        };
    }

    /// Gives the memory back to the system: it is zero from now on, unless the system refuses.
    ///
    /// # Safety
    /// Nobody relies on what the memory holds.
    pub(crate) unsafe fn clear(&self) {
        // SAFETY: the caller vouches for the contents.
        let _ = unsafe { madvise(self.start.as_ptr().cast(), self.size, Advice::LinuxDontNeed) };
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: mapped in `new`; who drops it uses it no more.
        unsafe { unmap(self.start.as_ptr(), self.size) }
    }
}

/// # Safety
/// Nobody uses this part of a mapping any more.
unsafe fn unmap(start: *mut u8, size: usize) {
    if size > 0 {
        // SAFETY: as the caller says.
        let unmapped = unsafe { munmap(start.cast(), size) };
        debug_assert!(unmapped.is_ok());
    }
}
