//! Records with a history: what there is to know to write one down, and to have it again elsewhere.

use crate::map::IdleMap;
use crate::map::handle::Handle;
use crate::map::record::{NEVER, Terms, Unlinked};
use crate::map::table::upper;
use std::hash::{BuildHasher, Hash};

/// A record's times, by the map's clock in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct History {
    pub(crate) last_access: u64,
    pub(crate) idle_timeout: u64,
    /// The absolute deadline.
    pub(crate) absolute_deadline: Option<u64>,
}

impl<K, V, S> IdleMap<K, V, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher,
{
    /// A record and its history. Does not touch it. Lock-free; linearizable.
    pub(crate) fn peek_history(&self, key: &K) -> Option<(Handle<K, V>, History)> {
        let context = self.begin();
        let (record, seen) = self.seen(key, &context)?;
        let history = History {
            last_access: seen.tick(),
            idle_timeout: record.idle_timeout(),
            absolute_deadline: Some(record.absolute_deadline()).filter(|limit| *limit != NEVER),
        };
        Some((Handle::new(record), history))
    }

    /// Inserts a record that was last accessed at some time in the past, and keeps its own
    /// deadlines. False if these are over, or if the key has a live record. It counts as one that
    /// was never accessed since its creation. Lock-free; linearizable.
    pub(crate) fn insert_with_history(&self, key: K, value: V, history: History) -> bool {
        let context = self.begin();
        let terms = Terms {
            birth: history.last_access.min(context.now),
            idle_timeout: history.idle_timeout,
            absolute_deadline: history.absolute_deadline.unwrap_or(NEVER),
            weight: self.weigh(&key, &value),
            is_protected: self.protects(&key, &value),
        };
        if context.now
            >= terms
                .absolute_deadline
                .min(terms.birth.saturating_add(terms.idle_timeout))
        {
            return false;
        }
        let hash = self.hash(&key);
        let record = Unlinked::new(upper(hash), key, value, terms);
        let is_inserted = self
            .insert_or(hash, record, &context, |_, _, _| Ok(()))
            .is_ok();
        self.tidy(context);
        is_inserted
    }
}
