//! The only file that names an implementation of atomics: std, loom or shuttle.
//!
//! Everything in `map/` imports its atomics from here, so that the very same code runs in
//! production, under loom's exhaustive search and under shuttle's schedulers.
//!
//! With `--cfg dwell_rmw` (only together with `dwell_loom`) a load is a read-modify-write that
//! changes nothing. loom 0.7 remembers one last access per atomic, so that a thread's own load hides
//! another thread's read from its search, and the interleavings of "load, then store" are not
//! explored. As a read-modify-write the load is visible to the search. Such a load sees only the
//! newest value, so each model runs in both passes: together they cover schedules and weak memory.
//! A store is an exchange then, since loom does not order a store and a concurrent read-modify-write,
//! and later lets another one read the older of the two even where the newer happened before it.

pub(crate) use core::sync::atomic::Ordering;

#[cfg(not(any(dwell_loom, dwell_shuttle)))]
mod backend {
    pub(crate) use core::sync::atomic::{
        AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, compiler_fence, fence,
    };
    pub(crate) use std::thread_local;
}

#[cfg(dwell_shuttle)]
mod backend {
    pub(crate) use shuttle::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, fence};
    pub(crate) use shuttle::thread_local;
}

#[cfg(all(dwell_loom, not(dwell_rmw)))]
mod backend {
    pub(crate) use loom::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, fence};
    pub(crate) use loom::thread_local;
}

#[cfg(all(dwell_loom, dwell_rmw))]
mod backend {
    use super::Ordering;
    pub(crate) use loom::sync::atomic::fence;
    pub(crate) use loom::thread_local;

    macro_rules! integer {
        ($name:ident, $int:ty) => {
            #[derive(Debug)]
            pub(crate) struct $name(loom::sync::atomic::$name);

            #[allow(
                dead_code,
                reason = "each integer type uses its own part of the interface"
            )]
            impl $name {
                pub(crate) fn new(value: $int) -> Self {
                    Self(loom::sync::atomic::$name::new(value))
                }
                pub(crate) fn load(&self, order: Ordering) -> $int {
                    self.0.fetch_add(0, order)
                }
                pub(crate) fn store(&self, value: $int, order: Ordering) {
                    self.0.swap(value, order);
                }
                pub(crate) fn swap(&self, value: $int, order: Ordering) -> $int {
                    self.0.swap(value, order)
                }
                pub(crate) fn fetch_add(&self, value: $int, order: Ordering) -> $int {
                    self.0.fetch_add(value, order)
                }
                pub(crate) fn fetch_sub(&self, value: $int, order: Ordering) -> $int {
                    self.0.fetch_sub(value, order)
                }
                pub(crate) fn compare_exchange(
                    &self,
                    current: $int,
                    new: $int,
                    success: Ordering,
                    failure: Ordering,
                ) -> Result<$int, $int> {
                    self.0.compare_exchange(current, new, success, failure)
                }
            }
        };
    }
    integer!(AtomicU32, u32);
    integer!(AtomicU64, u64);
    integer!(AtomicUsize, usize);

    pub(crate) struct AtomicPtr<T>(loom::sync::atomic::AtomicPtr<T>);

    impl<T> core::fmt::Debug for AtomicPtr<T> {
        fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            self.0.fmt(f)
        }
    }

    impl<T> AtomicPtr<T> {
        pub(crate) fn new(value: *mut T) -> Self {
            Self(loom::sync::atomic::AtomicPtr::new(value))
        }
        pub(crate) fn load(&self, order: Ordering) -> *mut T {
            // No pointer of ours has this address, so the exchange never changes anything.
            let nowhere = core::ptr::without_provenance_mut(usize::MAX);
            match self.0.compare_exchange(nowhere, nowhere, order, order) {
                Ok(value) | Err(value) => value,
            }
        }
        pub(crate) fn store(&self, value: *mut T, order: Ordering) {
            self.0.swap(value, order);
        }
        pub(crate) fn swap(&self, value: *mut T, order: Ordering) -> *mut T {
            self.0.swap(value, order)
        }
        pub(crate) fn compare_exchange(
            &self,
            current: *mut T,
            new: *mut T,
            success: Ordering,
            failure: Ordering,
        ) -> Result<*mut T, *mut T> {
            self.0.compare_exchange(current, new, success, failure)
        }
    }
}

pub(crate) use backend::*;

/// Tells loom about reads and writes of plain memory, so that it reports those that race; and about memory that is not
/// freed in the end. Nothing at all outside of loom.
#[derive(Debug)]
pub(crate) struct Trace {
    #[cfg(dwell_loom)]
    cell: loom::cell::UnsafeCell<()>,
    #[cfg(dwell_loom)]
    _leak: loom::alloc::Track<()>,
}

impl Trace {
    pub(crate) fn new() -> Self {
        Self {
            #[cfg(dwell_loom)]
            cell: loom::cell::UnsafeCell::new(()),
            #[cfg(dwell_loom)]
            _leak: loom::alloc::Track::new(()),
        }
    }

    /// The memory this stands for is read here.
    #[inline(always)]
    pub(crate) fn read(&self) {
        #[cfg(dwell_loom)]
        self.cell.with(|_| ());
    }

    /// The memory this stands for is written, moved out or dropped here.
    #[inline(always)]
    pub(crate) fn write(&self) {
        #[cfg(dwell_loom)]
        self.cell.with_mut(|_| ());
    }
}
