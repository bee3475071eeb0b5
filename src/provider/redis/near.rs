//! The near cache: copies of sessions in this process, kept coherent by the server.
//!
//! Each connection has the server track what is read over it (`CLIENT TRACKING`, RESP3): when another client
//! changes a session that was read here, or it ends, the server says so over the same connection, and the copy
//! goes. A copy is used only
//!
//! - over the connection that it was read by, as long as that one was heard of within the staleness bound: what
//!   a connection delivers comes in order, so an answer to a question that was asked at some time shows that all
//!   that the server said before has come;
//! - until a touch is due. The read that fetches the next copy is the touch: so a session in use costs
//!   the server one command in each resolution.
//!
//! **One flight.** The first reader that finds no copy leaves a flight in its place and asks the server; readers that
//! come meanwhile wait for the same answer. They join a flight no later than the staleness bound after the question:
//! so they are told nothing older than a copy may be. Nor do they join one that the server has told of more changes
//! for than its own. If the secret that it was asked with is refused, each asks by itself.
//!
//! **A copy that comes too late.** A copy is put in the place of its own flight only. A write from here, and a
//! server that was emptied, remove what they find, a flight included; a message about the session is counted at the
//! flight. So a copy that was read before a change is not kept after it. The same is done when a node of a cluster
//! sends a request elsewhere: what is read over another connection than the flight was left for is not kept.
//!
//! **The server tells of our own changes too.** It must (no `NOLOOP`): what it gives up because its table of tracked
//! keys is full, or its memory, it gives up while it runs anybody's command, and would not tell whose it was. A
//! script that reads, and writes a touch, makes it send exactly one message, before whatever it says of later
//! changes. So a copy that comes with a touch is owed one message, and outlives that one: the one that was counted
//! at its flight, or the next; and if the copy is replaced by a flight before that, the flight is owed it. Were it
//! another one, the owed message removes the copy: that costs a read, not a promise.
//!
//! **Writes from here** remove the copy when they begin, and what they find when they are over, whether they
//! succeeded, failed, or were dropped. The server tells of them, too: the flight after a write is owed that message.

use super::link::{Place, Spot};
use super::names::{Name, Names};
use super::record::Record;
use crate::{Clock, IdleMap};
use redis::{PushInfo, PushKind, Value};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::OnceCell;

/// A connection is noted as heard of when the last note is older than this part of the bound.
const NOTES: u32 = 8;
/// Bytes that a copy takes beside its attributes, and a flight.
const OVERHEAD: usize = 1_024;
/// No copy may take more than this part of all copies: one would push out the others.
const LARGEST_PART: u64 = 16;
/// Nor more than this, however large the cache is.
const LARGEST: u64 = 8 << 20;

pub(super) struct Near {
    sessions: IdleMap<Name, Kept>,
    heard: IdleMap<Spot, Heard>,
    bound: Duration,
    /// Bytes.
    largest: u64,
    /// Milliseconds: how long after an access the next one is a touch.
    resolution: u64,
    names: Names,
    clock: Arc<dyn Clock>,
}

#[derive(Clone)]
enum Kept {
    /// Somebody has asked for it. Since then the server has told of so many changes.
    Asked(Arc<Flight>, u32),
    /// And whether the server has yet to tell of the touch that came with it.
    Copy(Arc<Copied>, bool),
    /// It is being written to over a connection, or was. Since then the server has told of so many changes.
    Written(Option<Place>, u32),
    /// It changed.
    Gone,
}

/// A copy of a session.
pub(super) struct Copied {
    record: Record,
    /// The connection that it was read by.
    place: Place,
    /// By this process's clock, in milliseconds.
    fetched: u64,
    until: u64,
}

/// When a connection was last known to have delivered everything.
struct Heard {
    place: Place,
    at: Instant,
}

/// A question that is under way, and its answer.
pub(super) struct Flight {
    place: Option<Place>,
    /// The server has yet to tell of the touch that came with the copy before.
    is_owed: bool,
    asked: Instant,
    /// By this process's clock, in milliseconds.
    asked_millis: u64,
    pub(super) fetched: OnceCell<Fetched>,
}

/// What the server said.
pub(super) enum Fetched {
    Session(Record),
    /// There is none.
    Ended,
    /// There is one, and the secret that the reader came with is not, or no longer, its own.
    Refused,
}

/// What there is of a session here.
pub(super) enum Found {
    Copy(Record),
    Flight(Arc<Flight>),
}

impl Near {
    pub(super) fn new(
        limits: Limits,
        resolution: u64,
        names: Names,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let copies = IdleMap::builder()
            .no_idle_timeout()
            .capacity(limits.sessions)
            .weight_capacity(limits.bytes, |_, kept: &Kept| kept.size());
        Self {
            sessions: copies.build().expect("the builder has checked the limits"),
            heard: IdleMap::without_idle_timeout(),
            bound: limits.staleness,
            largest: LARGEST.min(limits.bytes / LARGEST_PART),
            resolution,
            names,
            clock,
        }
    }

    /// The session as it is known here, at this moment. Touches the copy, so that it is not evicted first.
    pub(super) fn find(&self, name: Name, spot: &Spot) -> Option<Record> {
        let kept = self.sessions.get(&name)?;
        match self.counts(&kept, spot)? {
            Found::Copy(record) => Some(record),
            Found::Flight(_) => None,
        }
    }

    /// The session as it is known here, or the flight that will tell: one that is under way, or a new one.
    #[allow(clippy::result_large_err)] // the usual case is the error: a copy that is handed out
    pub(super) fn find_or_ask(&self, name: Name, spot: &Spot) -> Found {
        if let Some(record) = self.find(name, spot) {
            return Found::Copy(record);
        }
        let replace = |kept: &Kept| match self.counts(kept, spot) {
            Some(found) => Err(found),
            None => {
                let flight = self.flight(spot, Some(kept));
                Ok((Kept::Asked(Arc::clone(&flight), 0), flight))
            }
        };
        loop {
            match self.sessions.try_update_and_return(&name, replace) {
                Err(found) => return found,
                Ok(Some((_, flight))) => return Found::Flight(flight),
                Ok(None) => {
                    let flight = self.flight(spot, None);
                    let asked = Kept::Asked(Arc::clone(&flight), 0);
                    if self.sessions.try_insert(name, asked).is_ok() {
                        return Found::Flight(flight);
                    }
                }
            }
        }
    }

    fn flight(&self, spot: &Spot, before: Option<&Kept>) -> Arc<Flight> {
        let place = self.heard.peek(spot).map(|heard| Arc::clone(&heard.place));
        let is_here = |other: &Place| {
            place
                .as_ref()
                .is_some_and(|place| Arc::ptr_eq(place, other))
        };
        let is_owed = match before {
            Some(Kept::Copy(copy, true)) => is_here(&copy.place),
            Some(Kept::Written(Some(written), 0)) => is_here(written),
            _ => false,
        };
        Arc::new(Flight {
            is_owed,
            place,
            asked: Instant::now(),
            asked_millis: self.clock.now_millis(),
            fetched: OnceCell::new(),
        })
    }

    fn counts(&self, kept: &Kept, spot: &Spot) -> Option<Found> {
        match kept {
            Kept::Asked(flight, told) => {
                // One more may be of its own touch.
                let may_be_unchanged = *told <= u32::from(flight.is_owed) + 1;
                (may_be_unchanged && flight.asked.elapsed() < self.bound)
                    .then(|| Found::Flight(Arc::clone(flight)))
            }
            Kept::Copy(copy, _) => {
                let heard = self.heard.peek(spot)?;
                let now = self.clock.now_millis();
                let is_coherent =
                    Arc::ptr_eq(&heard.place, &copy.place) && heard.at.elapsed() < self.bound;
                let record = || copy.record.later_by(now.saturating_sub(copy.fetched));
                (is_coherent && now < copy.until).then(|| Found::Copy(record()))
            }
            Kept::Written(..) | Kept::Gone => None,
        }
    }

    /// Keeps what a flight brought, if nothing happened since it was left, but for its own touch.
    pub(super) fn keep(&self, name: Name, flight: &Arc<Flight>, record: &Record) {
        let Some(place) = &flight.place else {
            // The connection was made meanwhile: the next read keeps a copy.
            return self.give_up(name, flight);
        };
        // A touch is due when the last one that was written down is so old, or when the session ends.
        let resolution = self.resolution.min(record.terms.idle.div_ceil(2));
        let due = record.accessed().saturating_add(resolution);
        let left = due.min(record.ends()).saturating_sub(record.now);
        let copy = Arc::new(Copied {
            record: record.clone(),
            place: Arc::clone(place),
            fetched: flight.asked_millis,
            until: flight.asked_millis.saturating_add(left),
        });
        if copy.size() > self.largest {
            return self.give_up(name, flight);
        }
        let copied = |is_owed| Kept::Copy(Arc::clone(&copy), is_owed);
        self.sessions.update(&name, |kept| match kept {
            Kept::Asked(other, told) if Arc::ptr_eq(other, flight) => {
                // What was owed has come before the answer, if it comes at all.
                match (record.is_touched, told.checked_sub(flight.is_owed.into())) {
                    (is_touched, Some(0)) => copied(is_touched),
                    (true, Some(1)) => copied(false),
                    _ => Kept::Gone,
                }
            }
            other => other.clone(),
        });
        self.clear_away(name);
    }

    /// Takes back a flight: there is nothing to keep.
    pub(super) fn give_up(&self, name: Name, flight: &Arc<Flight>) {
        let is_it =
            |kept: &Kept| matches!(kept, Kept::Asked(other, _) if Arc::ptr_eq(other, flight));
        self.sessions.remove_if(&name, is_it);
    }

    /// Whatever is known of a session here counts no more.
    pub(super) fn forget(&self, name: Name) {
        self.sessions.remove(&name);
    }

    /// A write over a connection begins.
    fn begin_to_write(&self, name: Name, spot: &Spot) {
        let place = self.heard.peek(spot).map(|heard| Arc::clone(&heard.place));
        self.sessions.insert(name, Kept::Written(place, 0));
    }

    /// A write is over, and the server tells of it once, or did so. If not, whoever asks next is owed that.
    fn end_to_write(&self, name: Name) {
        let is_of_no_use = |kept: &Kept| !matches!(kept, Kept::Written(_, 0));
        self.sessions.remove_if(&name, is_of_no_use);
    }

    /// The server says that a session changed.
    fn changed(&self, name: Name) {
        self.sessions.update(&name, |kept| match kept {
            Kept::Asked(flight, told) => Kept::Asked(Arc::clone(flight), told.saturating_add(1)),
            Kept::Copy(copy, true) => Kept::Copy(Arc::clone(copy), false),
            Kept::Written(place, told) => Kept::Written(place.clone(), told.saturating_add(1)),
            Kept::Copy(_, false) | Kept::Gone => Kept::Gone,
        });
        self.clear_away(name);
    }

    fn clear_away(&self, name: Name) {
        let is_gone = |kept: &Kept| matches!(kept, Kept::Gone);
        self.sessions.remove_if(&name, is_gone);
    }

    /// A connection has answered a question that was asked at some time.
    pub(super) fn heard(&self, spot: &Spot, place: &Place, asked: Instant) {
        let is_fresh = |heard: &Heard| {
            Arc::ptr_eq(&heard.place, place) && asked < heard.at + self.bound / NOTES
        };
        if !self.heard.peek(spot).is_some_and(|heard| is_fresh(&heard)) {
            let place = Arc::clone(place);
            self.heard.insert(spot.clone(), Heard { place, at: asked });
        }
    }

    /// A connection is lost: what was read over it counts no more.
    pub(super) fn lost(&self, spot: &Spot) {
        self.heard.remove(spot);
    }

    /// What the server says by itself.
    pub(super) fn told(&self, spot: &Spot, push: &PushInfo) {
        match (&push.kind, push.data.first()) {
            (PushKind::Invalidate, Some(Value::Array(keys))) => {
                for key in keys {
                    if let Value::BulkString(key) = key
                        && let Some(name) = self.names.parse_session(key)
                    {
                        self.changed(name);
                    }
                }
            }
            // All keys: the server was emptied.
            (PushKind::Invalidate, _) => self.sessions.clear(),
            (PushKind::Disconnection, _) => self.lost(spot),
            _ => {}
        }
    }
}

/// What bounds a near cache.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) sessions: usize,
    pub(super) bytes: u64,
    /// For how long a copy counts though its connection is not heard of.
    pub(super) staleness: Duration,
}

impl Copied {
    fn size(&self) -> u64 {
        (OVERHEAD + self.record.size()) as u64
    }
}

impl Kept {
    /// Bytes, by estimate.
    fn size(&self) -> u32 {
        match self {
            Self::Copy(copy, _) => u32::try_from(copy.size()).unwrap_or(u32::MAX),
            Self::Asked(..) | Self::Written(..) | Self::Gone => OVERHEAD as u32,
        }
    }
}

impl fmt::Debug for Near {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Near")
            .field("sessions", &self.sessions.len())
            .field("bound", &self.bound)
            .finish_non_exhaustive()
    }
}

/// Forgets a session when a write to it is over, however that ends.
pub(super) struct Writing<'a> {
    near: Option<&'a Near>,
    name: Name,
    is_told_once: bool,
}

impl<'a> Writing<'a> {
    pub(super) fn to(near: Option<&'a Near>, name: Name, spot: &Spot) -> Self {
        if let Some(near) = near {
            near.begin_to_write(name, spot);
        }
        Self {
            near,
            name,
            is_told_once: false,
        }
    }

    /// The server has written, in one script: it tells of that once.
    pub(super) fn is_done(&mut self) {
        self.is_told_once = true;
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        match self.near {
            Some(near) if self.is_told_once => near.end_to_write(self.name),
            Some(near) => near.forget(self.name),
            None => {}
        }
    }
}
