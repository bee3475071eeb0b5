//! The ordered index of buckets: what the calendar asks of a skip list.
//!
//! crossbeam-skiplist 0.1.3 has calls that are not linearizable: `remove(&key)` may return the entry to
//! two callers, an `insert` that replaces lets the key vanish for a moment, and `range` leaks. The trait
//! asks for none of them: keys are unique, so that nothing is ever replaced; whether a removal won does
//! not matter; and there is no range.
//!
//! Under loom, shuttle and ThreadSanitizer the index is its own specification, a sorted map behind a mutex: the skip list
//! makes its towers of zeroed memory, which their atomics cannot be. `tests/map/skiplist.rs` checks the real one.
//!
//! **Progress.** All operations are lock-free (under loom and shuttle they are a specification).

use crate::map::expiry::bucket::Bucket;
use core::ptr::NonNull;

/// A bucket's quantum, and a number that makes the key unique and orders a quantum's buckets by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub quantum: u64,
    pub number: usize,
}

/// An ordered map from keys to buckets; it does not own the buckets.
pub trait OrderedIndex<K, V> {
    fn new() -> Self;
    /// Adds a bucket under a key that was never used before.
    fn add(&self, key: Key, bucket: NonNull<Bucket<K, V>>);
    /// The bucket with the least key.
    fn front(&self) -> Option<NonNull<Bucket<K, V>>>;
    /// The bucket with the least key above this one.
    fn after(&self, key: Key) -> Option<NonNull<Bucket<K, V>>>;
    /// The bucket with the greatest key below this one.
    fn before(&self, key: Key) -> Option<NonNull<Bucket<K, V>>>;
    /// Removes the key if it is there: not to be found by anybody who looks after the return.
    fn remove(&self, key: Key);
    fn len(&self) -> usize;
}

struct Pointer<K, V>(NonNull<Bucket<K, V>>);

// SAFETY: a pointer to a bucket, which is itself shared between threads.
unsafe impl<K: Send + Sync, V: Send + Sync> Send for Pointer<K, V> {}
// SAFETY: as above.
unsafe impl<K: Send + Sync, V: Send + Sync> Sync for Pointer<K, V> {}

#[cfg(not(any(dwell_loom, dwell_shuttle, dwell_tsan)))]
mod skip_list {
    use super::{Bucket, Key, NonNull, OrderedIndex, Pointer};
    use crossbeam_epoch::{default_collector, pin};
    use crossbeam_skiplist::SkipList;
    use std::ops::Bound;

    /// The list itself, not the map around it, whose entries are counted: that is two exchanges more on a node that many
    /// threads read.
    pub struct Index<K, V>(SkipList<Key, Pointer<K, V>>);

    impl<K: Send + Sync + 'static, V: Send + Sync + 'static> OrderedIndex<K, V> for Index<K, V> {
        fn new() -> Self {
            Self(SkipList::new(default_collector().clone()))
        }

        fn add(&self, key: Key, bucket: NonNull<Bucket<K, V>>) {
            let guard = &pin();
            let entry = self.0.get_or_insert(key, Pointer(bucket), guard);
            entry.release(guard);
        }

        fn front(&self) -> Option<NonNull<Bucket<K, V>>> {
            let guard = pin();
            let entry = self.0.front(&guard)?;
            Some(entry.value().0)
        }

        fn after(&self, key: Key) -> Option<NonNull<Bucket<K, V>>> {
            let guard = pin();
            let entry = self.0.lower_bound(Bound::Excluded(&key), &guard)?;
            Some(entry.value().0)
        }

        fn before(&self, key: Key) -> Option<NonNull<Bucket<K, V>>> {
            let guard = pin();
            let entry = self.0.upper_bound(Bound::Excluded(&key), &guard)?;
            Some(entry.value().0)
        }

        fn remove(&self, key: Key) {
            if let Some(entry) = self.0.get(&key, &pin()) {
                entry.remove();
            }
        }

        fn len(&self) -> usize {
            self.0.len()
        }
    }
}

#[cfg(not(any(dwell_loom, dwell_shuttle, dwell_tsan)))]
pub use skip_list::Index;

#[cfg(any(dwell_loom, dwell_shuttle, dwell_tsan))]
mod specification {
    use super::{Bucket, Key, NonNull, OrderedIndex, Pointer};
    use std::collections::BTreeMap;
    use std::ops::Bound;

    /// Shuttle may stop a thread while it holds one of shuttle's own locks. Here an operation is one step:
    /// a load that lets others go first, and a lock that is not held across a step.
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

    /// ThreadSanitizer sees the atomics of this crate, and not those of std, which is compiled without it.
    #[cfg(dwell_tsan)]
    mod seen {
        use crate::sync::{AtomicUsize, Ordering};
        use std::sync::{LockResult, MutexGuard};

        /// The inner lock is never waited for: who has made the exchange has it.
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
                let inner = self.inner.lock().expect("nobody panics with the lock");
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

    pub struct Index<K, V>(Mutex<BTreeMap<Key, Pointer<K, V>>>);

    impl<K, V> OrderedIndex<K, V> for Index<K, V> {
        fn new() -> Self {
            Self(Mutex::new(BTreeMap::new()))
        }

        fn add(&self, key: Key, bucket: NonNull<Bucket<K, V>>) {
            let replaced = self.0.lock().unwrap().insert(key, Pointer(bucket));
            assert!(replaced.is_none(), "a key was used twice");
        }

        fn front(&self) -> Option<NonNull<Bucket<K, V>>> {
            let map = self.0.lock().unwrap();
            map.first_key_value().map(|(_, bucket)| bucket.0)
        }

        fn after(&self, key: Key) -> Option<NonNull<Bucket<K, V>>> {
            let map = self.0.lock().unwrap();
            let mut above = map.range((Bound::Excluded(key), Bound::Unbounded));
            above.next().map(|(_, bucket)| bucket.0)
        }

        fn before(&self, key: Key) -> Option<NonNull<Bucket<K, V>>> {
            let map = self.0.lock().unwrap();
            map.range(..key).next_back().map(|(_, bucket)| bucket.0)
        }

        fn remove(&self, key: Key) {
            self.0.lock().unwrap().remove(&key);
        }

        fn len(&self) -> usize {
            self.0.lock().unwrap().len()
        }
    }
}

#[cfg(any(dwell_loom, dwell_shuttle, dwell_tsan))]
pub use specification::Index;
