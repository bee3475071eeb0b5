//! Where records are kept: in an arena of the map, or each in a box of its own.
//!
//! On Linux, records of up to 4 KiB are kept in an arena. Everything else is in boxes: under loom, and with
//! `--cfg dwell_boxed`, so that AddressSanitizer sees each record.

#[cfg(all(target_os = "linux", not(any(dwell_loom, dwell_shuttle, dwell_boxed))))]
mod cells {
    use super::super::arena::{Arena, suits};
    use super::super::magazine::Chain;
    use crate::sync::{AtomicUsize, Ordering};
    use std::alloc::Layout;
    use std::marker::PhantomData;
    use std::mem::ManuallyDrop;
    use std::ptr::{self, NonNull};

    const WORD: usize = size_of::<AtomicUsize>();

    /// Memory for values whose first word is only ever accessed atomically.
    #[derive(Debug)]
    pub(crate) struct Cells<T> {
        arena: Arena,
        values: PhantomData<T>,
    }

    impl<T> Cells<T> {
        const IN_ARENA: bool = suits(Layout::new::<T>());

        pub(crate) fn new(lanes: usize) -> Self {
            Self {
                arena: Arena::new(Layout::new::<T>(), lanes),
                values: PhantomData,
            }
        }

        /// Keeps a value.
        ///
        /// # Safety
        /// The caller is pinned since before the call.
        pub(crate) unsafe fn put(&self, value: T, lane: usize) -> NonNull<T> {
            if !Self::IN_ARENA {
                return NonNull::from(Box::leak(Box::new(value)));
            }
            let value = ManuallyDrop::new(value);
            let source = ptr::from_ref(&value).cast::<u8>();
            // SAFETY: the caller is pinned. The cell's first word is written atomically, below and by the value.
            let cell = unsafe { self.arena.take(lane) };
            // SAFETY: the cell is as large as the value, and nobody else's. Its first word is written atomically, as the
            // arena demands.
            unsafe {
                let rest = size_of::<T>() - WORD;
                ptr::copy_nonoverlapping(source.add(WORD), cell.add(WORD).as_ptr(), rest);
                let first = source.cast::<usize>().read();
                cell.cast::<AtomicUsize>()
                    .as_ref()
                    .store(first, Ordering::Relaxed);
            }
            cell.cast()
        }

        /// Whether a lane can keep the memory of so many values more.
        pub(crate) fn has_room(&self, lane: usize, values: usize) -> bool {
            self.arena.has_room(lane, values)
        }

        /// Keeps the memory of values that were freed, for values that a lane puts next.
        pub(crate) fn keep(&self, freed: Freed<T>, lane: usize) {
            // SAFETY: the values were of these cells, as `Freed::add` asks for.
            unsafe { self.arena.keep(freed.cells, lane) }
        }

        /// Whether there may be memory to give back.
        pub(crate) fn is_worth_clearing(&self) -> bool {
            self.arena.is_worth_clearing()
        }

        /// Gives memory in which there are no values back to the system.
        pub(crate) fn clear(&self) {
            self.arena.clear();
        }

        /// Frees the memory of a value, without dropping it.
        ///
        /// # Safety
        /// `put` returned it, and nobody uses it any more. If other threads have seen it, a grace period has passed
        /// since; if not, one has passed since it was put.
        pub(crate) unsafe fn free(value: NonNull<T>) {
            // SAFETY: as the caller says.
            unsafe {
                if Self::IN_ARENA {
                    Arena::give_back(value.cast(), Layout::new::<T>());
                } else {
                    drop(Box::from_raw(value.cast::<ManuallyDrop<T>>().as_ptr()));
                }
            }
        }
    }

    /// The memory of values that were freed together.
    pub(crate) struct Freed<T> {
        cells: Chain,
        values: PhantomData<T>,
    }

    impl<T> Freed<T> {
        pub(crate) fn new() -> Self {
            Self {
                cells: Chain::default(),
                values: PhantomData,
            }
        }

        /// Adds a value's memory, without dropping it.
        ///
        /// # Safety
        /// As for [`Cells::free`], and the value was put into the cells that will [keep](Cells::keep) this.
        pub(crate) unsafe fn add(&mut self, value: NonNull<T>) {
            // SAFETY: as the caller says.
            unsafe {
                if Cells::<T>::IN_ARENA {
                    self.cells.add(value.cast());
                } else {
                    Cells::free(value);
                }
            }
        }
    }
}

#[cfg(not(all(target_os = "linux", not(any(dwell_loom, dwell_shuttle, dwell_boxed)))))]
mod cells {
    use std::marker::PhantomData;
    use std::ptr::NonNull;

    #[derive(Debug)]
    pub(crate) struct Cells<T>(PhantomData<fn() -> T>);

    impl<T> Cells<T> {
        pub(crate) fn new(_lanes: usize) -> Self {
            Self(PhantomData)
        }

        /// # Safety
        /// None is needed here: see the other one.
        pub(crate) unsafe fn put(&self, value: T, _lane: usize) -> NonNull<T> {
            NonNull::from(Box::leak(Box::new(value)))
        }

        pub(crate) fn has_room(&self, _lane: usize, _values: usize) -> bool {
            false
        }

        pub(crate) fn keep(&self, _freed: Freed<T>, _lane: usize) {}

        pub(crate) fn is_worth_clearing(&self) -> bool {
            false
        }

        pub(crate) fn clear(&self) {}

        /// # Safety
        /// `put` returned it, and nobody uses it any more.
        pub(crate) unsafe fn free(value: NonNull<T>) {
            // SAFETY: the value came from a box. What it keeps does not drop with it; what loom knows of it does.
            drop(unsafe { Box::from_raw(value.as_ptr()) });
        }
    }

    /// Nothing: the allocator has it already.
    pub(crate) struct Freed<T>(PhantomData<fn() -> T>);

    impl<T> Freed<T> {
        pub(crate) fn new() -> Self {
            Self(PhantomData)
        }

        /// # Safety
        /// As for [`Cells::free`].
        pub(crate) unsafe fn add(&mut self, value: NonNull<T>) {
            // SAFETY: as the caller says.
            unsafe { Cells::free(value) }
        }
    }
}

pub(crate) use cells::{Cells, Freed};

/// Asks for a cache line ahead of its use.
#[inline]
pub(crate) fn prefetch<T>(pointer: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch does not fault, whatever the address.
    unsafe {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(pointer.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = pointer;
}
