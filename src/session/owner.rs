//! The owner index: which sessions belong to whom.
//!
//! The truth is the session's own state. The index only says where to look, and whoever reads it
//! asks the state. It is kept exact by counting, for each owner and session: one for the state that
//! says so, and one for each request that is about to write such a state. A request counts itself
//! before it writes. If the write fails, it takes its one back; if it succeeds, its one is the new
//! state's, and it takes back that of the state that it replaced. The last state's is taken back at
//! the session's end. So a session that says whose it is is in the index, and it is out when the
//! last of these is done.
//!
//! An owner's sessions are one immutable set in one record of an [`IdleMap`], and each change is
//! one update of that record, at the exchange that layer 1 names. The sets share what they have in
//! common (see `owned`), so a change costs time, memory and garbage in proportion to the logarithm
//! of the owner's sessions.
//!
//! **The bound.** A login looks for surplus after it has written its state. So of the logins that
//! are under way, the one whose look comes last sees all that are written, and whoever claims a
//! session in one update has it alone.

use super::id::SessionKey;
use super::owned::{Keys, Owned, Times};
use crate::IdleMap;
use std::sync::Arc;

/// Owners, and their sessions. They do not lapse: each is gone with its last session.
#[derive(Debug)]
pub(super) struct OwnerIndex {
    owners: IdleMap<Arc<str>, Owned>,
}

impl OwnerIndex {
    pub(super) fn new() -> Self {
        Self {
            owners: IdleMap::without_idle_timeout(),
        }
    }

    /// Counts a state that is about to be written.
    pub(super) fn add(&self, owner: &Arc<str>, key: SessionKey) {
        let with = |sessions: &Owned| sessions.counted(key);
        while self.owners.update(owner, with).is_none() {
            let alone = with(&Owned::default());
            if self.owners.try_insert(Arc::clone(owner), alone).is_ok() {
                return;
            }
        }
    }

    /// Takes back what was counted for a state that was replaced, has ended, or was not written.
    pub(super) fn remove(&self, owner: &str, key: SessionKey) {
        let left = self
            .owners
            .update(owner, |sessions| sessions.discounted(&key));
        if left.is_some_and(|left| left.is_empty()) {
            self.owners.remove_if(owner, Owned::is_empty);
        }
    }

    /// Claims an owner's surplus, those first that were idle longest, in one step: no other caller
    /// gets the same. `newest` counts, and stays. If it is claimed itself, it is about to end, and
    /// nothing is claimed for it.
    ///
    /// `look` tells a session's times, if it is live and the owner's.
    pub(super) fn claim(
        &self,
        owner: &str,
        most: usize,
        newest: &SessionKey,
        now: u64,
        look: impl Fn(&SessionKey) -> Option<Times>,
    ) -> Vec<SessionKey> {
        let sessions = self.owners.peek(owner);
        if sessions.is_none_or(|sessions| sessions.len() <= most) {
            return Vec::new();
        }
        let claim = |sessions: &Owned| sessions.claim(most, newest, now, &look).ok_or(());
        match self.owners.try_update_and_return(owner, claim) {
            Ok(Some((_, claimed))) => claimed,
            Ok(None) | Err(()) => Vec::new(),
        }
    }

    /// Gives up a claim: the session was another owner's when it should have ended.
    pub(super) fn unclaim(&self, owner: &str, key: &SessionKey) {
        let unclaimed = |sessions: &Owned| sessions.unclaimed(key).ok_or(());
        // Nothing to do if it is not in the index any more.
        let _ = self.owners.try_update(owner, unclaimed);
    }

    /// Has the next search look at a session: it may end sooner than it said.
    pub(super) fn doubt(&self, owner: &str, key: &SessionKey) {
        let doubted = |sessions: &Owned| sessions.doubted(key).ok_or(());
        // Nothing to do if nothing is noted of it.
        let _ = self.owners.try_update(owner, doubted);
    }

    /// The sessions that an owner has at this moment. Costs no copy.
    pub(super) fn keys(&self, owner: &str) -> Keys {
        let sessions = self.owners.peek(owner);
        sessions.map_or_else(Keys::default, |sessions| sessions.keys())
    }

    /// How many owners there are.
    pub(super) fn len(&self) -> usize {
        self.owners.len()
    }
}
