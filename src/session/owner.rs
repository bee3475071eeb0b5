//! The owner index: which sessions belong to whom.
//!
//! The truth is the session's own state. The index only says where to look, and whoever reads it asks the
//! state. It is kept exact like this: an owner's session is in the index before the session says so, and is
//! taken out after the session has ended or says otherwise. Who takes out a session that still lives looks
//! at its state afterwards, and puts it back if it belongs there again.

use super::id::SessionKey;
use crate::IdleMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Owners do not lapse: the longest idle timeout that a map takes. Each is gone with its last session.
const FOREVER: Duration = Duration::from_secs(34 * 365 * 24 * 60 * 60);

/// Owners, and the keys of their sessions.
#[derive(Debug)]
pub(super) struct OwnerIndex {
    owners: IdleMap<Arc<str>, BTreeSet<SessionKey>>,
}

impl OwnerIndex {
    pub(super) fn new() -> Self {
        Self {
            owners: IdleMap::new(FOREVER),
        }
    }

    pub(super) fn add(&self, owner: &Arc<str>, key: SessionKey) {
        let with = |keys: &BTreeSet<_>| {
            let mut keys = keys.clone();
            keys.insert(key);
            keys
        };
        while self.owners.update(owner, with).is_none() {
            let alone = BTreeSet::from([key]);
            if self.owners.try_insert(Arc::clone(owner), alone).is_ok() {
                return;
            }
        }
    }

    pub(super) fn remove(&self, owner: &str, key: SessionKey) {
        self.claim(owner, |_| vec![key]);
    }

    /// Takes out the keys that `choose` names, in one step. Returns those: no other caller gets the same.
    pub(super) fn claim(
        &self,
        owner: &str,
        mut choose: impl FnMut(&BTreeSet<SessionKey>) -> Vec<SessionKey>,
    ) -> Vec<SessionKey> {
        let mut claimed = Vec::new();
        let left = self.owners.update(owner, |keys| {
            claimed = choose(keys);
            let mut left = keys.clone();
            claimed.retain(|key| left.remove(key));
            left
        });
        match left {
            None => return Vec::new(),
            Some(left) if left.is_empty() => {
                self.owners.remove_if(owner, BTreeSet::is_empty);
            }
            Some(_) => {}
        }
        claimed
    }

    pub(super) fn keys(&self, owner: &str) -> Vec<SessionKey> {
        let keys = self.owners.peek(owner);
        keys.map_or_else(Vec::new, |keys| keys.iter().copied().collect())
    }

    /// How many owners there are.
    pub(super) fn len(&self) -> usize {
        self.owners.len()
    }
}
