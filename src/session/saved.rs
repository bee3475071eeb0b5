//! A session as it is written to a file and read from one: without its secret, and in wall-clock
//! time.
//!
//! What a session's terms are is written down if they are its own. Those that come from the
//! settings are not: a store that restores the session gives it its own settings' terms.

use super::id::SessionKey;
use super::settings::{GREATEST_SESSION_BYTES, Settings};
use super::state::{Known, MOST_REPLACED, Replaced, Secrets, State};
use super::store::SessionStore;
use super::value::Value;
use super::{Attributes, SessionError};
use crate::History;
use crate::survive::attempt;
use serde::{Deserialize, Serialize};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// What a restored session takes in memory at the most, beside the bytes that it has in the file:
/// with its record, an owner, and that owner's place in the index.
const SESSION_WEIGHT: usize = 1_024;
/// The same for an attribute.
const ATTRIBUTE_WEIGHT: usize = 192;
/// Versions count on from here for longer than anybody writes.
const GREATEST_VERSION: u64 = 1 << 62;

/// 34 years.
const LONGEST: u64 = (1 << 40) - 1;
/// A deadline that is no later than this after the one that the settings give is theirs.
const A_LITTLE: u64 = 1_000;

/// A session but for its lists, which follow it one by one: the secrets that still answer, each
/// with the time until when; and the attributes, each a name and the value as JSON.
///
/// Times are milliseconds since the Unix epoch, secrets are hashes.
#[derive(Serialize, Deserialize)]
struct Facts<'b> {
    key: [u8; 16],
    secret: [u8; 32],
    replaced: usize,
    owner: Option<&'b str>,
    version: u64,
    created: u64,
    last_access: u64,
    /// None: what the store's settings say.
    own_idle_timeout: Option<u64>,
    /// The absolute deadline. None: what the store's settings say.
    own_limit: Option<u64>,
    attributes: usize,
}

/// A session in bytes.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) bytes: Vec<u8>,
    /// What it takes in memory at the most when it is read.
    pub(crate) weight: usize,
}

/// A session that was read.
pub(crate) struct Saved<'b> {
    facts: Facts<'b>,
    replaced: Vec<([u8; 32], u64)>,
    attributes: Attributes,
}

/// A session of a snapshot, just before it is live again: what
/// [`on_restore`](crate::snapshot::SnapshotFile::on_restore) may look at, and change.
///
/// ```
/// use dwell::session::SavedSession;
/// use dwell::snapshot::SnapshotFile;
/// use std::time::Duration;
///
/// /// Everybody logs in anew; what was in the cart stays.
/// fn anonymous(session: &mut SavedSession) -> bool {
///     session.owner = None;
///     session.attributes.delete("roles");
///     session.lifetime_left = Some(Duration::from_secs(60 * 60));
///     !session.attributes.is_empty()
/// }
///
/// let file = SnapshotFile::new("sessions.dwell").on_restore(anonymous);
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct SavedSession {
    /// Whose it is.
    pub owner: Option<Arc<str>>,
    /// Its attributes.
    pub attributes: Attributes,
    /// How long it lives without being accessed.
    pub idle_timeout: Duration,
    /// How long until it ends, however often it is accessed. None: no limit.
    pub lifetime_left: Option<Duration>,
    key: SessionKey,
    idle_for: Duration,
    age: Duration,
}

impl SavedSession {
    /// The session's key.
    pub fn key(&self) -> SessionKey {
        self.key
    }

    /// How long ago it was accessed, by the wall clock.
    pub fn idle_for(&self) -> Duration {
        self.idle_for
    }

    /// How long ago it was created, by the wall clock.
    pub fn age(&self) -> Duration {
        self.age
    }
}

/// What becomes of a session that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Live,
    /// It has ended meanwhile, or it is there already.
    Lapsed,
    /// The application does not want it.
    LeftOut,
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

    /// A time of the past. What is said to be in the future, by a wall clock that was set back, is
    /// now.
    fn of_past(self, time: u64) -> u64 {
        self.of_wall(time).min(self.store)
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

/// In milliseconds, at most as many as a map takes.
fn millis(duration: Duration) -> u64 {
    let millis = u64::try_from(duration.as_millis());
    millis.map_or(LONGEST, |millis| millis.min(LONGEST))
}

impl SessionStore {
    /// The time by the store's clock, and by another one.
    pub(crate) fn times(&self, wall: u64) -> Times {
        Times {
            wall,
            store: self.store().now(),
        }
    }

    /// All sessions, each whole, as [`iter`](Self::iter): weakly consistent. One with an attribute
    /// that cannot be written as JSON any more, or that panics, is an error.
    pub(crate) fn saved(
        &self,
        wall: impl Fn() -> u64,
    ) -> impl Iterator<Item = Result<Encoded, SessionError>> {
        let store = self.store();
        store.sessions.iter().filter_map(move |entry| {
            let key = *entry.key();
            let (entry, history) = store.sessions.peek_history(&key)?;
            let encode = || encode(key, &entry, history, self.times(wall()), &store.settings);
            let encoded = attempt(encode);
            let encoded = encoded.unwrap_or_else(|| Err(io::Error::other("an attribute panics")));
            Some(encoded.map_err(|error| SessionError::Backend(Box::new(error))))
        })
    }

    /// Puts a session back, if `review` wants it.
    pub(crate) fn put_back(
        &self,
        saved: Saved<'_>,
        times: Times,
        review: impl FnOnce(&mut SavedSession) -> bool,
    ) -> Fate {
        let store = self.store();
        let Saved {
            facts,
            replaced,
            attributes,
        } = saved;
        let key = SessionKey::from_bytes(facts.key);
        let now = times.store;
        let (created, last_access) = (
            times.of_past(facts.created),
            times.of_past(facts.last_access),
        );
        let idle_timeout = facts.own_idle_timeout;
        let idle_timeout = idle_timeout.unwrap_or_else(|| millis(store.settings.idle_timeout));
        let idle_timeout = idle_timeout.min(LONGEST);
        let limit = match facts.own_limit {
            Some(limit) => Some(times.of_wall(limit).min(now.saturating_add(LONGEST))),
            None => default_limit(created, &store.settings),
        };
        if now
            >= limit
                .unwrap_or(u64::MAX)
                .min(last_access.saturating_add(idle_timeout))
            || store.sessions.contains_key(&key)
        {
            return Fate::Lapsed;
        }
        let mut session = SavedSession {
            owner: facts.owner.map(Arc::from),
            attributes,
            idle_timeout: Duration::from_millis(idle_timeout),
            lifetime_left: limit.map(|limit| Duration::from_millis(limit - now)),
            key,
            idle_for: Duration::from_millis(now - last_access),
            age: Duration::from_millis(now - created),
        };
        if !review(&mut session) {
            return Fate::LeftOut;
        }
        let replaced = replaced.into_iter().map(|(secret, until)| Replaced {
            secret: Known::Digest(secret),
            until: times.of_wall(until),
        });
        let limit = session.lifetime_left.map(|left| now + millis(left));
        let state = State {
            secrets: Secrets::of(Known::Digest(facts.secret), replaced.collect()),
            attributes: session.attributes,
            owner: session.owner,
            version: facts.version,
            created,
        };
        let history = History {
            last_access,
            idle_timeout: millis(session.idle_timeout),
            absolute_deadline: limit,
        };
        match self.put_in(key, state, history) {
            true => Fate::Live,
            false => Fate::Lapsed,
        }
    }

    /// As a new session: counted, and in the index, before anybody can end it.
    fn put_in(&self, key: SessionKey, state: State, history: History) -> bool {
        let store = self.store();
        // It may be larger than the settings allow, if other ones applied when it was written; but
        // it is counted.
        let bound = GREATEST_SESSION_BYTES.min(store.settings.capacity_bytes.unwrap_or(u64::MAX));
        if state.check(bound).is_err() {
            return false;
        }
        let (owner, size) = (state.owner.clone(), state.size());
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

/// When a session ends that has no deadline of its own.
fn default_limit(created: u64, settings: &Settings) -> Option<u64> {
    let lifetime = settings.max_lifetime?;
    Some(created.saturating_add(millis(lifetime)))
}

fn encode(
    key: SessionKey,
    state: &State,
    history: History,
    times: Times,
    settings: &Settings,
) -> io::Result<Encoded> {
    let by_settings = default_limit(state.created, settings);
    // The record was made a little after the time of its creation was read.
    let is_by_settings = |limit: &u64| {
        by_settings.is_some_and(|due| (due..=due.saturating_add(A_LITTLE)).contains(limit))
    };
    let facts = Facts {
        key: key.to_bytes(),
        secret: state.secrets.current.digest(),
        replaced: state.secrets.replaced().len(),
        owner: state.owner.as_deref(),
        version: state.version,
        created: times.to_wall(state.created),
        last_access: times.to_wall(history.last_access),
        own_idle_timeout: Some(history.idle_timeout)
            .filter(|idle| *idle != millis(settings.idle_timeout)),
        own_limit: history
            .absolute_deadline
            .filter(|limit| !is_by_settings(limit))
            .map(|limit| times.to_wall(limit)),
        attributes: state.attributes.len(),
    };
    let mut bytes = postcard::to_allocvec(&facts).map_err(io::Error::other)?;
    for old in state.secrets.replaced() {
        let replaced = (old.secret.digest(), times.to_wall(old.until));
        bytes = postcard::to_extend(&replaced, bytes).map_err(io::Error::other)?;
    }
    for (name, value) in state.attributes.values() {
        let json = value.to_json()?;
        bytes = postcard::to_extend(&(name, json.len()), bytes).map_err(io::Error::other)?;
        bytes.extend(json);
    }
    let weight = SESSION_WEIGHT + facts.attributes * ATTRIBUTE_WEIGHT + bytes.len();
    Ok(Encoded { bytes, weight })
}

impl<'b> Saved<'b> {
    /// The session that `bytes` begin with, which is taken off them. None if there is none that a
    /// store could have written, or if it weighs more than there is room: then nothing was
    /// allocated for what is too much.
    pub(crate) fn take(bytes: &mut &'b [u8], room: &mut usize) -> Option<Self> {
        let facts: Facts = take(bytes, room, SESSION_WEIGHT)?;
        if facts.replaced > MOST_REPLACED || !(1..=GREATEST_VERSION).contains(&facts.version) {
            return None;
        }
        let mut replaced = Vec::new();
        for _ in 0..facts.replaced {
            replaced.push(take(bytes, room, 0)?);
        }
        let mut attributes = Attributes::default();
        let mut last = None;
        for _ in 0..facts.attributes {
            let (name, json): (&str, &[u8]) = take(bytes, room, ATTRIBUTE_WEIGHT)?;
            // In order: so none comes twice.
            if last.is_some_and(|last| last >= name) {
                return None;
            }
            attributes.set_value(name, Value::from_json(json.to_vec()));
            last = Some(name);
        }
        Some(Self {
            facts,
            replaced,
            attributes,
        })
    }
}

fn take<'b, T: Deserialize<'b>>(
    bytes: &mut &'b [u8],
    room: &mut usize,
    weight: usize,
) -> Option<T> {
    let (value, rest) = postcard::take_from_bytes(bytes).ok()?;
    *room = room.checked_sub(weight + bytes.len() - rest.len())?;
    *bytes = rest;
    Some(value)
}
