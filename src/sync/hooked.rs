//! Atomics whose accesses run a hook first: the interface of std's that this crate uses.

use super::hook::{Hook, Kind, LOADS_EXCHANGE};
use core::fmt;
use core::sync::atomic::Ordering;

#[cfg(dwell_counted)]
use core::sync::atomic as inner;
#[cfg(dwell_loom)]
use loom::sync::atomic as inner;

macro_rules! hooked {
    ($name:ident$(<$param:ident>)?, $value:ty) => {
        #[repr(C)]
        pub struct $name$(<$param>)? {
            atomic: inner::$name$(<$param>)?,
            hook: Hook,
        }

        impl$(<$param>)? fmt::Debug for $name$(<$param>)? {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.atomic.fmt(f)
            }
        }

        #[allow(dead_code, reason = "each type uses its own part of the interface")]
        impl$(<$param>)? $name$(<$param>)? {
            #[cfg(dwell_counted)]
            pub const fn new(value: $value) -> Self {
                Self { atomic: inner::$name::new(value), hook: Hook::new() }
            }
            #[cfg(dwell_loom)]
            pub fn new(value: $value) -> Self {
                Self { atomic: inner::$name::new(value), hook: Hook::new() }
            }
            #[track_caller]
            fn access(&self, kind: Kind) -> &inner::$name$(<$param>)? {
                self.hook.before(self, kind);
                &self.atomic
            }
            #[track_caller]
            pub fn load(&self, order: Ordering) -> $value {
                let atomic = self.access(Kind::Load);
                if LOADS_EXCHANGE { Self::exchange_nothing(atomic, order) } else { atomic.load(order) }
            }
            #[track_caller]
            pub fn store(&self, value: $value, order: Ordering) {
                let atomic = self.access(Kind::Store);
                if LOADS_EXCHANGE {
                    atomic.swap(value, order);
                } else {
                    atomic.store(value, order);
                }
            }
            #[track_caller]
            pub fn swap(&self, value: $value, order: Ordering) -> $value {
                self.access(Kind::ReadModifyWrite).swap(value, order)
            }
            #[track_caller]
            pub fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                let atomic = self.access(Kind::ReadModifyWrite);
                atomic.compare_exchange(current, new, success, failure)
            }
            #[cfg(dwell_counted)]
            pub fn get_mut(&mut self) -> &mut $value {
                self.atomic.get_mut()
            }
        }
    };
}

macro_rules! integer {
    ($name:ident, $int:ty) => {
        hooked!($name, $int);

        #[allow(dead_code, reason = "each type uses its own part of the interface")]
        impl $name {
            fn exchange_nothing(atomic: &inner::$name, order: Ordering) -> $int {
                atomic.fetch_add(0, order)
            }
            #[track_caller]
            pub fn fetch_add(&self, value: $int, order: Ordering) -> $int {
                self.access(Kind::ReadModifyWrite).fetch_add(value, order)
            }
            #[track_caller]
            pub fn fetch_sub(&self, value: $int, order: Ordering) -> $int {
                self.access(Kind::ReadModifyWrite).fetch_sub(value, order)
            }
        }
    };
}

integer!(AtomicU32, u32);
integer!(AtomicU64, u64);
integer!(AtomicUsize, usize);
hooked!(AtomicPtr<T>, *mut T);

impl<T> AtomicPtr<T> {
    fn exchange_nothing(atomic: &inner::AtomicPtr<T>, order: Ordering) -> *mut T {
        // No pointer of ours has this address, so that the exchange never changes anything.
        let nowhere = core::ptr::without_provenance_mut(usize::MAX);
        match atomic.compare_exchange(nowhere, nowhere, order, order) {
            Ok(value) | Err(value) => value,
        }
    }
}
