//! A session as it is written to a file and read from one: without its secret, and in wall-clock time.

use super::id::SessionKey;
use super::state::{Known, Replaced, Secrets, State};
use super::store::SessionStore;
use super::value::Value;
use super::{Attributes, SessionError};
use crate::History;
use serde::{Deserialize, Serialize};
use std::io;
use std::sync::Arc;

/// Times are milliseconds since the Unix epoch, secrets are hashes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Saved {
    key: [u8; 16],
    secret: [u8; 32],
    /// Secrets that still answer, and until when.
    replaced: Vec<([u8; 32], u64)>,
    owner: Option<String>,
    version: u64,
    created: u64,
    last_access: u64,
    idle_timeout: u64,
    limit: Option<u64>,
    /// Their names, and their values as JSON.
    attributes: Vec<(String, Vec<u8>)>,
}

/// The same moment by two clocks, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) wall: u64,
    pub(crate) store: u64,
}

impl Times {
    fn to_wall(self, time: u64) -> u64 {
        shift(time, self.store, self.wall)
    }

    fn of_wall(self, time: u64) -> u64 {
        shift(time, self.wall, self.store)
    }
}

/// A time by another clock. What is before that clock's origin is the origin.
fn shift(time: u64, from: u64, to: u64) -> u64 {
    if time >= from {
        to.saturating_add(time - from)
    } else {
        to.saturating_sub(from - time)
    }
}

impl SessionStore {
    /// The time by the store's clock, and by another one.
    pub(crate) fn times(&self, wall: u64) -> Times {
        Times {
            wall,
            store: self.store().now(),
        }
    }

    /// All sessions, each whole, as [`iter`](Self::iter): weakly consistent.
    pub(crate) fn saved(
        &self,
        wall: impl Fn() -> u64,
    ) -> impl Iterator<Item = Result<Saved, SessionError>> {
        let store = self.store();
        store.sessions.iter().filter_map(move |entry| {
            let (entry, history) = store.sessions.peek_history(entry.key())?;
            let saved = Saved::of(*entry.key(), &entry, history, self.times(wall()));
            Some(saved.map_err(|error| SessionError::Backend(Box::new(error))))
        })
    }

    /// Puts a session back. False if it has ended meanwhile, or is there already.
    pub(crate) fn put_back(&self, saved: Saved, times: Times) -> bool {
        let store = self.store();
        let key = SessionKey::from_bytes(saved.key);
        let history = History {
            last_access: times.of_wall(saved.last_access),
            idle_timeout: saved.idle_timeout,
            limit: saved.limit.map(|limit| times.of_wall(limit)),
        };
        if store.sessions.contains_key(&key) {
            return false;
        }
        let state = saved.into_state(times);
        let (owner, size) = (state.owner.clone(), state.size());
        // As a new session: counted, and in the index, before anybody can end it.
        store.shared.bytes.up(size);
        if let Some(owner) = &owner {
            store.shared.owned.up(1);
            store.shared.owners.add(owner, key);
        }
        let inserted = store.sessions.insert_with_history(key, state, history);
        if !inserted {
            store.shared.bytes.down(size);
            if let Some(owner) = &owner {
                store.shared.owned.down(1);
                store.shared.owners.remove(owner, key);
            }
        }
        inserted
    }
}

impl Saved {
    /// The length of what has no bound: owner and attributes.
    pub(crate) fn bytes(&self) -> usize {
        let attributes = self.attributes.iter();
        let attributes = attributes.map(|(name, json)| name.len() + json.len());
        self.owner.as_ref().map_or(0, String::len) + attributes.sum::<usize>()
    }

    fn of(key: SessionKey, state: &State, history: History, times: Times) -> io::Result<Self> {
        let attributes = state
            .attributes
            .values()
            .map(|(name, value)| Ok((name.to_owned(), value.to_json()?)));
        let replaced = state.secrets.replaced.iter();
        let replaced = replaced.map(|old| (old.secret.digest(), times.to_wall(old.until)));
        Ok(Self {
            key: key.to_bytes(),
            secret: state.secrets.current.digest(),
            replaced: replaced.collect(),
            owner: state.owner.as_deref().map(str::to_owned),
            version: state.version,
            created: times.to_wall(state.created),
            last_access: times.to_wall(history.last_access),
            idle_timeout: history.idle_timeout,
            limit: history.limit.map(|limit| times.to_wall(limit)),
            attributes: attributes.collect::<io::Result<_>>()?,
        })
    }

    fn into_state(self, times: Times) -> State {
        let mut attributes = Attributes::default();
        for (name, json) in self.attributes {
            attributes.set_value(&name, Value::from_json(json));
        }
        let replaced = self.replaced.into_iter().map(|(secret, until)| Replaced {
            secret: Known::Digest(secret),
            until: times.of_wall(until),
        });
        State {
            secrets: Secrets {
                current: Known::Digest(self.secret),
                replaced: replaced.collect(),
            },
            attributes,
            owner: self.owner.map(Arc::from),
            version: self.version,
            created: times.of_wall(self.created),
        }
    }
}
