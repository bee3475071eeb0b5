//! Stands in for `src/sync.rs` in the third pass: each access is announced before it happens.
//!
//! An announcement is a read-modify-write of an atomic of its own that changes nothing and orders nothing.
//! It makes loom's search see that two accesses depend on each other, also where a thread's own load would
//! hide another thread's (see `models::dpor`). The access itself is stock loom's, so that a load may return
//! an older value. So this pass covers stale values on all schedules, at twice the steps.

pub(crate) use core::sync::atomic::Ordering;
use loom::sync::atomic::AtomicU32 as Announcements;
pub(crate) use loom::sync::atomic::fence;
pub(crate) use loom::thread_local;

macro_rules! integer {
    ($name:ident, $int:ty) => {
        #[derive(Debug)]
        pub(crate) struct $name {
            atomic: loom::sync::atomic::$name,
            announcements: Announcements,
        }

        impl $name {
            pub(crate) fn new(value: $int) -> Self {
                Self {
                    atomic: loom::sync::atomic::$name::new(value),
                    announcements: Announcements::new(0),
                }
            }
            fn announced(&self) -> &loom::sync::atomic::$name {
                self.announcements.fetch_add(0, Ordering::Relaxed);
                &self.atomic
            }
            pub(crate) fn load(&self, order: Ordering) -> $int {
                self.announced().load(order)
            }
            pub(crate) fn store(&self, value: $int, order: Ordering) {
                self.announced().store(value, order)
            }
            pub(crate) fn swap(&self, value: $int, order: Ordering) -> $int {
                self.announced().swap(value, order)
            }
            pub(crate) fn fetch_add(&self, value: $int, order: Ordering) -> $int {
                self.announced().fetch_add(value, order)
            }
            pub(crate) fn fetch_sub(&self, value: $int, order: Ordering) -> $int {
                self.announced().fetch_sub(value, order)
            }
            pub(crate) fn compare_exchange(
                &self,
                current: $int,
                new: $int,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$int, $int> {
                self.announced()
                    .compare_exchange(current, new, success, failure)
            }
        }
    };
}

integer!(AtomicU32, u32);
integer!(AtomicU64, u64);
integer!(AtomicUsize, usize);

pub(crate) struct AtomicPtr<T> {
    atomic: loom::sync::atomic::AtomicPtr<T>,
    announcements: Announcements,
}

impl<T> core::fmt::Debug for AtomicPtr<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.atomic.fmt(f)
    }
}

impl<T> AtomicPtr<T> {
    pub(crate) fn new(value: *mut T) -> Self {
        Self {
            atomic: loom::sync::atomic::AtomicPtr::new(value),
            announcements: Announcements::new(0),
        }
    }
    fn announced(&self) -> &loom::sync::atomic::AtomicPtr<T> {
        self.announcements.fetch_add(0, Ordering::Relaxed);
        &self.atomic
    }
    pub(crate) fn load(&self, order: Ordering) -> *mut T {
        self.announced().load(order)
    }
    pub(crate) fn store(&self, value: *mut T, order: Ordering) {
        self.announced().store(value, order)
    }
    pub(crate) fn swap(&self, value: *mut T, order: Ordering) -> *mut T {
        self.announced().swap(value, order)
    }
    pub(crate) fn compare_exchange(
        &self,
        current: *mut T,
        new: *mut T,
        success: Ordering,
        failure: Ordering,
    ) -> Result<*mut T, *mut T> {
        self.announced()
            .compare_exchange(current, new, success, failure)
    }
}

/// As in `src/sync.rs`.
#[derive(Debug)]
pub(crate) struct Trace {
    cell: loom::cell::UnsafeCell<()>,
    _leak: loom::alloc::Track<()>,
}

impl Trace {
    pub(crate) fn new() -> Self {
        Self {
            cell: loom::cell::UnsafeCell::new(()),
            _leak: loom::alloc::Track::new(()),
        }
    }

    pub(crate) fn read(&self) {
        self.cell.with(|_| ());
    }

    pub(crate) fn write(&self) {
        self.cell.with_mut(|_| ());
    }
}
