//! What an access of a hooked atomic does before it happens.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(dwell_counted), allow(dead_code))]
pub enum Kind {
    Load,
    Store,
    /// Also one that fails: it takes the cache line for itself all the same.
    ReadModifyWrite,
    Fence,
}

/// Read-modify-writes in the place of loads and stores.
///
/// loom 0.7 remembers one last access per atomic, so that a thread's own load hides another
/// thread's read from its search, and the interleavings of "load, then store" are not explored. As
/// a read-modify-write that changes nothing the load is visible to the search. Such a load sees
/// only the newest value, so each model runs in both passes: together they cover schedules and weak
/// memory. A store is an exchange then, since loom does not order a store and a concurrent
/// read-modify-write, and later lets another one read the older of the two even where the newer
/// happened before it.
#[cfg(dwell_rmw)]
mod chosen {
    use super::Kind;

    pub(in crate::sync) const LOADS_EXCHANGE: bool = true;

    #[derive(Debug)]
    pub(in crate::sync) struct Hook;

    impl Hook {
        pub(in crate::sync) fn new() -> Self {
            Self
        }
        pub(in crate::sync) fn before<T>(&self, _atomic: *const T, _kind: Kind) {}
    }
}

/// Each access is announced to loom.
///
/// An announcement is a read-modify-write of an atomic of its own that changes nothing and orders
/// nothing. It makes loom's search see that two accesses depend on each other, also where a
/// thread's own load would hide another thread's. The access itself is stock loom's, so that a load
/// may return an older value. So this pass covers stale values on all schedules, at twice the
/// steps.
#[cfg(dwell_shadow)]
mod chosen {
    use super::Kind;
    use core::sync::atomic::Ordering;

    pub(in crate::sync) const LOADS_EXCHANGE: bool = false;

    #[derive(Debug)]
    pub(in crate::sync) struct Hook(loom::sync::atomic::AtomicU32);

    impl Hook {
        pub(in crate::sync) fn new() -> Self {
            Self(loom::sync::atomic::AtomicU32::new(0))
        }
        pub(in crate::sync) fn before<T>(&self, _atomic: *const T, _kind: Kind) {
            self.0.fetch_add(0, Ordering::Relaxed);
        }
    }
}

/// Each access is told to a function, with its address and its place in the source.
#[cfg(dwell_counted)]
mod chosen {
    use super::Kind;
    use core::sync::atomic::Ordering;
    use std::panic::Location;
    use std::sync::OnceLock;

    /// Takes the address of an atomic, what is done to it, and where.
    pub type Note = fn(usize, Kind, &'static Location<'static>);

    static NOTE: OnceLock<Note> = OnceLock::new();

    /// Has all accesses from now on told to `note`. Only the first call counts.
    pub fn count_accesses(note: Note) {
        let _ = NOTE.set(note);
    }

    #[track_caller]
    fn tell(address: usize, kind: Kind) {
        if let Some(note) = NOTE.get() {
            note(address, kind, Location::caller());
        }
    }

    #[track_caller]
    pub fn fence(order: Ordering) {
        tell(0, Kind::Fence);
        core::sync::atomic::fence(order);
    }

    pub(in crate::sync) const LOADS_EXCHANGE: bool = false;

    #[derive(Debug)]
    pub(in crate::sync) struct Hook;

    impl Hook {
        pub(in crate::sync) const fn new() -> Self {
            Self
        }
        #[track_caller]
        pub(in crate::sync) fn before<T>(&self, atomic: *const T, kind: Kind) {
            tell(atomic.addr(), kind);
        }
    }
}

pub(super) use chosen::{Hook, LOADS_EXCHANGE};
#[cfg(dwell_counted)]
pub use chosen::{Note, count_accesses, fence};
