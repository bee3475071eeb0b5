//! Records with a history: what there is to know to write one down, and to have it again elsewhere.

use crate::map::IdleMap;
use crate::map::handle::Handle;
use crate::map::ops::terminate::Found;
use crate::map::record::{NEVER, Terms, Unlinked};
use crate::map::table::{Taken, upper};
use std::hash::{BuildHasher, Hash};

/// A record's times, by the map's clock in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct History {
    pub(crate) last_access: u64,
    pub(crate) idle_timeout: u64,
    /// The absolute deadline.
    pub(crate) limit: Option<u64>,
}

impl<K, V, S> IdleMap<K, V, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher,
{
    /// A record and its history. Does not touch it. Lock-free; linearizable.
    pub(crate) fn peek_history(&self, key: &K) -> Option<(Handle<K, V>, History)> {
        let visit = self.visit();
        let (record, seen) = self.seen(key, &visit)?;
        let history = History {
            last_access: seen.tick(),
            idle_timeout: record.idle(),
            limit: Some(record.limit()).filter(|limit| *limit != NEVER),
        };
        Some((Handle::new(record), history))
    }

    /// Inserts a record that was last accessed at some time in the past, and keeps its own deadlines. False if
    /// these are over, or if the key has a live record. It counts as one that was never accessed since its
    /// creation. Lock-free; linearizable.
    pub(crate) fn insert_with_history(&self, key: K, value: V, history: History) -> bool {
        let visit = self.visit();
        let terms = Terms {
            birth: history.last_access.min(visit.now),
            idle: history.idle_timeout,
            limit: history.limit.unwrap_or(NEVER),
            weight: self.weigh(&key, &value),
            is_protected: self.protects(&key, &value),
        };
        if visit.now >= terms.limit.min(terms.birth.saturating_add(terms.idle)) {
            return false;
        }
        let hash = self.hash(&key);
        let mut record = Unlinked::new(upper(hash), key, value, terms);
        let inserted = loop {
            match self.insert_unlinked(hash, record, &visit) {
                Ok(_) => break true,
                Err(Taken { existing, rejected }) => {
                    if let Found::Live(..) = self.look(existing, &visit) {
                        break false;
                    }
                    record = rejected;
                }
            }
        };
        self.tidy(visit);
        inserted
    }
}
