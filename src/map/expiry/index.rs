//! The ordered index of buckets: what the calendar asks of a skip list.
//!
//! It maps keys to pointers, and does not own what they lead to.
//!
//! **Contract.**
//! - `add` adds a pointer under a key that was never used before.
//! - `front` returns the pointer with the least key; `after` and `before` the ones next to a key.
//! - `remove` removes a key if it is there: a look-up that begins after the return does not find
//!   it.
//! - `len` counts the keys.
//!
//! crossbeam-skiplist 0.1.3 has calls that are not linearizable: `remove(&key)` may return the
//! entry to two callers, an `insert` that replaces lets the key vanish for a moment, and `range`
//! leaks. The contract asks for none of them: keys are unique, so nothing is ever replaced; whether
//! a removal won does not matter; and there is no range.
//!
//! Under loom, shuttle and ThreadSanitizer the index is its own specification (see `index_spec`):
//! the skip list makes its towers of zeroed memory, which their atomics cannot be.
//! `tests/map/skiplist.rs` checks the real one.
//!
//! The list's own nodes are reclaimed by crossbeam-epoch: a thread that calls the index is pinned
//! there too.
//!
//! **Progress.** All operations are lock-free (Fraser's skip list, 2004).

#[cfg(not(any(dwell_loom, dwell_shuttle, dwell_tsan)))]
mod skip_list {
    use crate::map::expiry::bucket::Key;
    use core::ptr::NonNull;
    use crossbeam_epoch::{default_collector, pin};
    use crossbeam_skiplist::SkipList;
    use std::ops::Bound;

    /// A pointer that the index hands to any thread.
    struct Pointer<T>(NonNull<T>);

    // SAFETY: the index only copies the pointer. Threads share what it leads to, which is `Sync`;
    // the thread that frees it may be another than the one that made it, and it is `Send`.
    unsafe impl<T: Send + Sync> Send for Pointer<T> {}
    // SAFETY: a shared `Pointer` gives a copy of the pointer, no more than a sent one does; `T` is
    // `Send` and `Sync`.
    unsafe impl<T: Send + Sync> Sync for Pointer<T> {}

    /// The list itself, not the map around it, whose entries are counted: that is two exchanges
    /// more on a node that many threads read.
    pub struct Index<T>(SkipList<Key, Pointer<T>>);

    impl<T: Send + Sync + 'static> Index<T> {
        pub fn new() -> Self {
            Self(SkipList::new(default_collector().clone()))
        }

        pub fn add(&self, key: Key, pointer: NonNull<T>) {
            let guard = &pin();
            let entry = self.0.get_or_insert(key, Pointer(pointer), guard);
            entry.release(guard);
        }

        pub fn front(&self) -> Option<NonNull<T>> {
            let guard = pin();
            let entry = self.0.front(&guard)?;
            Some(entry.value().0)
        }

        pub fn after(&self, key: Key) -> Option<NonNull<T>> {
            let guard = pin();
            let entry = self.0.lower_bound(Bound::Excluded(&key), &guard)?;
            Some(entry.value().0)
        }

        pub fn before(&self, key: Key) -> Option<NonNull<T>> {
            let guard = pin();
            let entry = self.0.upper_bound(Bound::Excluded(&key), &guard)?;
            Some(entry.value().0)
        }

        pub fn remove(&self, key: Key) {
            if let Some(entry) = self.0.get(&key, &pin()) {
                entry.remove();
            }
        }

        pub fn len(&self) -> usize {
            self.0.len()
        }
    }
}

#[cfg(any(dwell_loom, dwell_shuttle, dwell_tsan))]
pub use crate::map::expiry::index_spec::Index;
#[cfg(not(any(dwell_loom, dwell_shuttle, dwell_tsan)))]
pub use skip_list::Index;
