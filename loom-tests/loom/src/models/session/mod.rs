//! Sessions, on the assembled map: the store's own code, with numbered ids.
//!
//! Each thread sets the time of its own operations, as in `models::map`.

mod attributes;
mod owners;
mod renewal;

use super::map::{IDLE, OwnTime, at};
use crate::explore::alone;
use dwell::internals::session::restart_ids;
use dwell::session::{LiveSession, SessionError, SessionId, SessionStore, Settings};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Without a bound on an owner's sessions, which would have each login look whether it is met.
fn settings() -> Settings {
    Settings::new(Duration::from_millis(IDLE)).max_per_owner(None)
}

/// A store, and the id of the session that is in it.
struct World {
    store: SessionStore,
    id: SessionId,
}

fn world() -> Arc<World> {
    world_with(settings())
}

fn world_with(settings: Settings) -> Arc<World> {
    restart_ids();
    let builder = SessionStore::builder(settings).clock(OwnTime);
    let store = builder.build().unwrap();
    let id = *store.create().unwrap().id();
    Arc::new(World { store, id })
}

impl World {
    /// The session, as a request has it that has found it.
    fn session(&self) -> LiveSession {
        self.store.find(&self.id).expect("it is live")
    }
}

fn add_one(old: Option<&u32>) -> u32 {
    old.map_or(1, |old| old + 1)
}

/// Whether it was done; refused is only what comes too late.
fn was_done<T>(result: Result<T, SessionError>) -> bool {
    match result {
        Ok(_) => true,
        Err(SessionError::Ended) => false,
        Err(error) => panic!("{error}"),
    }
}

/// The books of a store must balance, and its owner index must name those that say so and nobody
/// else.
fn conclude(world: Arc<World>) {
    let World { store, .. } = alone(world);
    let listed: Vec<_> = store.iter().collect();
    let stats = store.stats();
    let ended = stats.expired + stats.evicted + stats.destroyed;
    assert_eq!(stats.created, stats.live as u64 + ended, "{stats:?}");
    if listed.len() < stats.live {
        // Some are past their deadline; the index is exact when they are gone.
        store.collect();
    }
    let stats = store.stats();
    assert_eq!(stats.live, listed.len(), "{stats:?}");
    let owners: BTreeSet<_> = listed.iter().filter_map(|s| s.owner.clone()).collect();
    assert_eq!(stats.owners, owners.len(), "{stats:?}, {owners:?}");
    let owned = listed.iter().filter(|session| session.owner.is_some());
    assert_eq!(stats.anonymous, listed.len() - owned.count(), "{stats:?}");
    for owner in owners {
        let of_owner = listed.iter().filter(|s| s.owner.as_ref() == Some(&owner));
        assert_eq!(store.owned_by(&owner).len(), of_owner.count());
    }
    assert_eq!(stats.bytes == 0, stats.live == 0, "{stats:?}");
}
