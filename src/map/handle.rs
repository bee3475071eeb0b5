//! Handles: what keeps a value alive outside of the map.

use crate::map::record::status::State;
use crate::map::record::{NEVER, Record, release};
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr::NonNull;

/// A value that a look-up found, kept alive for as long as the handle is.
///
/// A handle is one counted reference into the record itself: no allocation, one atomic addition to
/// make, one subtraction to drop. It outlives removal, expiry and the map, and does not keep a
/// record *in* the map, nor delay any reclamation but that of its own record. Holding one across an
/// `.await` is fine. The value is the one that was found: it does not change when the map's does.
///
/// The record's key and value are dropped once, by the last handle or by the map.
///
/// ```
/// use dwell::IdleMap;
/// use std::time::Duration;
///
/// let map = IdleMap::new(Duration::from_secs(60));
/// map.insert("visitor", String::from("cart"));
/// let cart = map.get("visitor").unwrap();
/// map.remove("visitor");
/// drop(map);
/// assert_eq!(*cart, "cart");
/// assert!(!cart.is_live());
/// ```
pub struct Handle<K, V> {
    /// The record, of which this handle owns one reference.
    record: NonNull<Record<K, V>>,
    /// The last handle drops key and value.
    owns: PhantomData<Record<K, V>>,
}

// SAFETY: a handle shares key and value between threads, and the last one drops them on its own.
unsafe impl<K: Send + Sync, V: Send + Sync> Send for Handle<K, V> {}
// SAFETY: a shared handle gives shared references to key and value, and clones of itself; both are
// `Send` and `Sync`.
unsafe impl<K: Send + Sync, V: Send + Sync> Sync for Handle<K, V> {}

// As a shared reference to key and value: nothing else can be seen through a handle.
impl<K: RefUnwindSafe, V: RefUnwindSafe> UnwindSafe for Handle<K, V> {}
impl<K: RefUnwindSafe, V: RefUnwindSafe> RefUnwindSafe for Handle<K, V> {}

impl<K, V> Handle<K, V> {
    /// Takes part in a record that was found during an operation.
    #[inline]
    pub(crate) fn new(record: &Record<K, V>) -> Self {
        record.acquire();
        Self {
            record: NonNull::from(record),
            owns: PhantomData,
        }
    }

    #[inline]
    pub(super) fn record(&self) -> &Record<K, V> {
        // SAFETY: the handle owns a part of the record.
        unsafe { self.record.as_ref() }
    }

    /// The key of the record.
    pub fn key(&self) -> &K {
        self.record().key()
    }

    /// The record's absolute deadline by the map's clock, in milliseconds; none if it has none.
    // For sessions.
    #[cfg_attr(not(feature = "sessions"), allow(dead_code))]
    pub(crate) fn absolute_deadline(&self) -> Option<u64> {
        Some(self.record().absolute_deadline()).filter(|limit| *limit != NEVER)
    }

    /// Whether the record has not ended yet: not removed, evicted, replaced by another value, found
    /// expired by any thread, or gone with its map. A slow request checks here whether what it
    /// works on still counts.
    ///
    /// It does not look at the clock: a record that is past its deadline counts as live until a
    /// read or a collection meets it.
    pub fn is_live(&self) -> bool {
        matches!(self.record().status.load(), State::Live(_))
    }
}

impl<K, V> Deref for Handle<K, V> {
    type Target = V;

    #[inline]
    fn deref(&self) -> &V {
        self.record().value()
    }
}

impl<K, V> Clone for Handle<K, V> {
    fn clone(&self) -> Self {
        Self::new(self.record())
    }
}

impl<K, V> Drop for Handle<K, V> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the handle gives up its own part, and is gone. The grace period of the record is
        // over if no structure owns it any more.
        unsafe { release(self.record) }
    }
}

impl<K, V: fmt::Debug> fmt::Debug for Handle<K, V> {
    /// Shows the value only: a key may be a session id, and does not belong into a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("value", &&**self)
            .field("is_live", &self.is_live())
            .finish_non_exhaustive()
    }
}
