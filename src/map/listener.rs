//! The removal listener.

use super::nested;
use crate::map::RemovalCause;
use crate::map::handle::Handle;
use crate::map::record::{Record, contain};
use crate::sync::{AtomicU64, Ordering};
use std::sync::Arc;

type Closure<K, V> = dyn Fn(&Handle<K, V>, RemovalCause) + Send + Sync;

/// What is told of ends. Shared by the map and by what is queued, which may outlive the map.
pub(crate) struct Listener<K, V> {
    closure: Box<Closure<K, V>>,
    panics: AtomicU64,
}

impl<K, V> Listener<K, V> {
    pub(crate) fn new(
        closure: impl Fn(&Handle<K, V>, RemovalCause) + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            closure: Box::new(closure),
            panics: AtomicU64::new(0),
        })
    }

    /// How many of its calls panicked.
    pub(crate) fn panics(&self) -> u64 {
        // Relaxed, as below: a count.
        self.panics.load(Ordering::Relaxed)
    }
}

impl<K: Send + Sync + 'static, V: Send + Sync + 'static> Listener<K, V> {
    /// Tells of the end of a record that the caller still has a way to.
    pub(crate) fn tell(self: &Arc<Self>, record: &Record<K, V>, cause: RemovalCause) {
        nested::tell(
            || self.call(Handle::new(record), cause),
            || {
                let (listener, handle) = (Arc::clone(self), Handle::new(record));
                Box::new(move || listener.call(handle, cause))
            },
        );
    }

    fn call(&self, handle: Handle<K, V>, cause: RemovalCause) {
        // The handle of what was queued may be the last one: it is dropped where panics are
        // contained.
        if !contain(move || (self.closure)(&handle, cause)) {
            self.panics.fetch_add(1, Ordering::Relaxed);
        }
    }
}
