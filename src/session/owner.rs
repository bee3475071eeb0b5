//! The owner index: which sessions belong to whom.
//!
//! The truth is the session's own state. The index only says where to look, and whoever reads it asks the
//! state. It is kept exact by counting, for each owner and session: one for the state that says so, and one for
//! each request that is about to write such a state. A request counts itself before it writes. If the write
//! fails, it takes its one back; if it succeeds, its one is the new state's, and it takes back that of the state that
//! it replaced. The last state's is taken back at the session's end. So a session that says whose it is
//! is in the index, and it is out when the last of these is done.

use super::id::SessionKey;
use crate::IdleMap;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Owners, and their sessions. They do not lapse: each is gone with its last session.
#[derive(Debug)]
pub(super) struct OwnerIndex {
    owners: IdleMap<Arc<str>, Sessions>,
}

type Sessions = BTreeMap<SessionKey, Share>;

/// What the index holds of an owner's session.
#[derive(Debug, Clone, Copy, Default)]
struct Share {
    /// States that say so, or are about to.
    count: usize,
    /// Somebody is about to end it.
    is_claimed: bool,
}

impl OwnerIndex {
    pub(super) fn new() -> Self {
        Self {
            owners: IdleMap::without_idle_timeout(),
        }
    }

    /// Counts a state that is about to be written.
    pub(super) fn add(&self, owner: &Arc<str>, key: SessionKey) {
        let with = |sessions: &Sessions| {
            let mut sessions = sessions.clone();
            sessions.entry(key).or_default().count += 1;
            sessions
        };
        while self.owners.update(owner, with).is_none() {
            let alone = with(&Sessions::new());
            if self.owners.try_insert(Arc::clone(owner), alone).is_ok() {
                return;
            }
        }
    }

    /// Takes back what was counted for a state that was replaced, has ended, or was not written.
    pub(super) fn remove(&self, owner: &str, key: SessionKey) {
        let left = self.owners.update(owner, |sessions| {
            let mut sessions = sessions.clone();
            if let Some(share) = sessions.get_mut(&key) {
                share.count -= 1;
                if share.count == 0 {
                    sessions.remove(&key);
                }
            }
            sessions
        });
        if left.is_some_and(|left| left.is_empty()) {
            self.owners.remove_if(owner, Sessions::is_empty);
        }
    }

    /// Claims the sessions that `choose` names among those that nobody has claimed, in one step. Returns those:
    /// no other caller gets the same.
    pub(super) fn claim(
        &self,
        owner: &str,
        mut choose: impl FnMut(Vec<SessionKey>) -> Vec<SessionKey>,
    ) -> Vec<SessionKey> {
        let mut claimed = Vec::new();
        self.owners.update(owner, |sessions| {
            let free = sessions.iter().filter(|(_, share)| !share.is_claimed);
            claimed = choose(free.map(|(key, _)| *key).collect());
            let mut sessions = sessions.clone();
            for key in &claimed {
                sessions
                    .entry(*key)
                    .and_modify(|share| share.is_claimed = true);
            }
            sessions
        });
        claimed
    }

    /// Gives up a claim: the session was another owner's when it should have ended.
    pub(super) fn unclaim(&self, owner: &str, key: SessionKey) {
        self.owners.update(owner, |sessions| {
            let mut sessions = sessions.clone();
            sessions
                .entry(key)
                .and_modify(|share| share.is_claimed = false);
            sessions
        });
    }

    pub(super) fn keys(&self, owner: &str) -> Vec<SessionKey> {
        let sessions = self.owners.peek(owner);
        sessions.map_or_else(Vec::new, |sessions| sessions.keys().copied().collect())
    }

    /// How many owners there are.
    pub(super) fn len(&self) -> usize {
        self.owners.len()
    }
}
