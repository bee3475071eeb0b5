//! The map's atomics, which take notes; compare `src/sync.rs` of the map.

use crate::recorder::{Kind, note};

pub(crate) use core::sync::atomic::{Ordering, compiler_fence};
pub(crate) use std::thread_local;

#[track_caller]
pub(crate) fn fence(order: Ordering) {
    note::<u8>(core::ptr::null(), Kind::Fence);
    core::sync::atomic::fence(order);
}

macro_rules! shared {
    ($name:ident$(<$param:ident>)?, $value:ty) => {
        #[repr(transparent)]
        pub(crate) struct $name$(<$param>)?(core::sync::atomic::$name$(<$param>)?);

        impl$(<$param>)? core::fmt::Debug for $name$(<$param>)? {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                self.0.fmt(f)
            }
        }

        #[allow(dead_code, reason = "each type uses its own part of the interface")]
        impl$(<$param>)? $name$(<$param>)? {
            pub(crate) const fn new(value: $value) -> Self {
                Self(core::sync::atomic::$name::new(value))
            }
            #[track_caller]
            pub(crate) fn load(&self, order: Ordering) -> $value {
                note(self, Kind::Load);
                self.0.load(order)
            }
            #[track_caller]
            pub(crate) fn store(&self, value: $value, order: Ordering) {
                note(self, Kind::Store);
                self.0.store(value, order);
            }
            #[track_caller]
            pub(crate) fn swap(&self, value: $value, order: Ordering) -> $value {
                note(self, Kind::ReadModifyWrite);
                self.0.swap(value, order)
            }
            #[track_caller]
            pub(crate) fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                note(self, Kind::ReadModifyWrite);
                self.0.compare_exchange(current, new, success, failure)
            }
            pub(crate) fn get_mut(&mut self) -> &mut $value {
                self.0.get_mut()
            }
        }
    };
}

macro_rules! integer {
    ($name:ident, $int:ty) => {
        shared!($name, $int);

        #[allow(dead_code, reason = "each type uses its own part of the interface")]
        impl $name {
            #[track_caller]
            pub(crate) fn fetch_add(&self, value: $int, order: Ordering) -> $int {
                note(self, Kind::ReadModifyWrite);
                self.0.fetch_add(value, order)
            }
            #[track_caller]
            pub(crate) fn fetch_sub(&self, value: $int, order: Ordering) -> $int {
                note(self, Kind::ReadModifyWrite);
                self.0.fetch_sub(value, order)
            }
        }
    };
}

integer!(AtomicU32, u32);
integer!(AtomicU64, u64);
integer!(AtomicUsize, usize);
shared!(AtomicPtr<T>, *mut T);

/// Tells loom about plain memory; nothing here.
#[derive(Debug)]
pub(crate) struct Trace;

impl Trace {
    pub(crate) fn new() -> Self {
        Self
    }

    #[inline(always)]
    pub(crate) fn read(&self) {}

    #[inline(always)]
    pub(crate) fn write(&self) {}
}
