//! The index as its own specification, for loom, shuttle and ThreadSanitizer (see `index`): a
//! sorted map behind a mutex.

use crate::map::expiry::bucket::Key;
use core::ptr::NonNull;
use std::collections::BTreeMap;
use std::ops::Bound;

/// Shuttle may stop a thread while it holds one of shuttle's own locks. Here an operation is one
/// step: a load that lets others go first, and a lock that is not held across a step.
#[cfg(dwell_shuttle)]
mod step {
    use crate::sync::{AtomicUsize, Ordering};
    use std::sync::{LockResult, MutexGuard};

    pub(super) struct Mutex<T> {
        step: AtomicUsize,
        inner: std::sync::Mutex<T>,
    }

    impl<T> Mutex<T> {
        pub(super) fn new(value: T) -> Self {
            Self {
                step: AtomicUsize::new(0),
                inner: std::sync::Mutex::new(value),
            }
        }

        pub(super) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
            self.step.load(Ordering::Relaxed);
            self.inner.lock()
        }
    }
}

/// ThreadSanitizer sees the atomics of this crate, and not those of std, which is compiled without
/// it.
#[cfg(dwell_tsan)]
mod seen {
    use crate::sync::{AtomicUsize, Ordering};
    use std::sync::{LockResult, MutexGuard};

    /// The inner lock is never contended: the exchange of `is_held` grants exclusive access first.
    pub(super) struct Mutex<T> {
        is_held: AtomicUsize,
        inner: std::sync::Mutex<T>,
    }

    pub(super) struct Guard<'m, T> {
        is_held: &'m AtomicUsize,
        inner: Option<MutexGuard<'m, T>>,
    }

    impl<T> Mutex<T> {
        pub(super) fn new(value: T) -> Self {
            Self {
                is_held: AtomicUsize::new(0),
                inner: std::sync::Mutex::new(value),
            }
        }

        pub(super) fn lock(&self) -> LockResult<Guard<'_, T>> {
            let is_held = &self.is_held;
            let (acquire, relaxed) = (Ordering::Acquire, Ordering::Relaxed);
            while is_held.compare_exchange(0, 1, acquire, relaxed).is_err() {
                std::thread::yield_now();
            }
            let inner = self.inner.lock().expect("no thread panics with the lock");
            let inner = Some(inner);
            Ok(Guard { is_held, inner })
        }
    }

    impl<T> std::ops::Deref for Guard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            self.inner.as_ref().expect("held until the drop")
        }
    }

    impl<T> std::ops::DerefMut for Guard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.inner.as_mut().expect("held until the drop")
        }
    }

    impl<T> Drop for Guard<'_, T> {
        fn drop(&mut self) {
            self.inner = None;
            self.is_held.store(0, Ordering::Release);
        }
    }
}

#[cfg(dwell_loom)]
use loom::sync::Mutex;
#[cfg(dwell_tsan)]
use seen::Mutex;
#[cfg(dwell_shuttle)]
use step::Mutex;

/// As the pointer of `index`, which imports this file.
struct Pointer<T>(NonNull<T>);

// SAFETY: the index only copies the pointer. Threads share what it leads to, which is `Sync`; the
// thread that frees it may be another than the one that made it, and it is `Send`.
unsafe impl<T: Send + Sync> Send for Pointer<T> {}
// SAFETY: a shared `Pointer` gives a copy of the pointer, no more than a sent one does; `T` is
// `Send` and `Sync`.
unsafe impl<T: Send + Sync> Sync for Pointer<T> {}

/// A sorted map behind a mutex.
pub struct Index<T>(Mutex<BTreeMap<Key, Pointer<T>>>);

impl<T> Index<T> {
    pub fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    pub fn add(&self, key: Key, pointer: NonNull<T>) {
        let replaced = self.0.lock().unwrap().insert(key, Pointer(pointer));
        assert!(replaced.is_none(), "a key was used twice");
    }

    pub fn front(&self) -> Option<NonNull<T>> {
        let map = self.0.lock().unwrap();
        map.first_key_value().map(|(_, pointer)| pointer.0)
    }

    pub fn after(&self, key: Key) -> Option<NonNull<T>> {
        let map = self.0.lock().unwrap();
        let mut above = map.range((Bound::Excluded(key), Bound::Unbounded));
        above.next().map(|(_, pointer)| pointer.0)
    }

    pub fn before(&self, key: Key) -> Option<NonNull<T>> {
        let map = self.0.lock().unwrap();
        map.range(..key).next_back().map(|(_, pointer)| pointer.0)
    }

    pub fn remove(&self, key: Key) {
        self.0.lock().unwrap().remove(&key);
    }

    pub fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}
