//! The near cache: copies of sessions in this process, kept coherent by the server.
//!
//! Each connection has the server track what is read over it (`CLIENT TRACKING`, RESP3): when
//! another client changes a session that was read here, or it ends, the server says so over the
//! same connection, and the copy goes. A copy is used only
//!
//! - over the connection that it was read by, as long as that one was heard of within the staleness
//!   bound: what a connection delivers comes in order, so an answer to a question that was asked at
//!   some time shows that all that the server said before has come;
//! - until a touch is due. The read that fetches the next copy is the touch: so a session in use
//!   costs the server one command in each resolution.
//!
//! **One flight.** The first reader that finds no copy leaves a flight in its place and asks the
//! server; readers that come meanwhile wait for the same answer. They join a flight no later than
//! the staleness bound after the question: so they are told nothing older than a copy may be. Nor
//! do they join one that the server has told of more changes for than its own. If the secret that
//! it was asked with is refused, each asks by itself.
//!
//! **Writes** leave a copy as reads do. A write puts a flight of its own in the place of what it
//! finds. Readers that come meanwhile wait for its answer, too: it is newer than what they asked
//! for. What a write does not answer with the whole session, or fails at, or is dropped at, it
//! removes when it is over, whatever that is by then. So this process sees its own writes at once.
//!
//! **A copy that comes too late.** A copy is put in the place of its own flight only, and only if
//! the answer came over the connection that the flight was left for. A write from here, and a
//! server that was emptied, remove what they find, a flight included; a message about the session
//! is counted at the flight. So a copy that was read before a change is not kept after it.
//!
//! **The server tells of our own changes too.** It must (no `NOLOOP`): what it gives up because its
//! table of tracked keys is full, or its memory, it gives up while it runs anybody's command, and
//! would not tell whose it was. A script that reads and then writes makes it send exactly one
//! message, before whatever it says of later changes. So a copy that comes with a write, be it a
//! touch, is owed one message, and outlives that one: the one that was counted at its flight, or
//! the next; and if the copy is replaced by a flight before that, the flight is owed it. Were it
//! another one, the owed message removes the copy: that costs a read, not a promise.

use super::connection::{Place, Spot, Watcher};
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
    /// A caller has asked for it. Since then the server has told of so many changes, more than it
    /// owed.
    Asked(Arc<Flight>, i32),
    /// And whether the server has yet to tell of the write that came with it.
    Copy(Arc<Copied>, bool),
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
    /// The connection that the question goes over, if it was known.
    pub(super) place: Option<Place>,
    asked: Instant,
    /// By this process's clock, in milliseconds.
    asked_millis: u64,
    pub(super) fetched: OnceCell<Fetched>,
}

/// What the server said.
#[expect(
    clippy::large_enum_variant,
    reason = "a flight holds one of these, and nearly all are sessions"
)]
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

    /// The session as it is known here, at this moment. Touches the copy, so that it is not evicted
    /// first.
    pub(super) fn find(&self, name: Name, spot: &Spot) -> Option<Record> {
        let kept = self.sessions.get(&name)?;
        match self.counts(&kept, spot)? {
            Found::Copy(record) => Some(record),
            Found::Flight(_) => None,
        }
    }

    /// The session as it is known here, or the flight that will tell: one that is under way, or a
    /// new one.
    #[allow(clippy::result_large_err)] // the usual case is the error: a copy that is handed out
    pub(super) fn find_or_ask(&self, name: Name, spot: &Spot) -> Found {
        if let Some(record) = self.find(name, spot) {
            return Found::Copy(record);
        }
        let flight = self.flight(spot);
        let replace = |kept: &Kept| match self.counts(kept, spot) {
            Some(found) => Err(found),
            None => Ok((flight.after(kept), ())),
        };
        loop {
            match self.sessions.try_update_and_return(&name, replace) {
                Err(found) => return found,
                Ok(Some(_)) => break,
                Ok(None) => {
                    let asked = Kept::Asked(Arc::clone(&flight), 0);
                    if self.sessions.try_insert(name, asked).is_ok() {
                        break;
                    }
                }
            }
        }
        Found::Flight(flight)
    }

    /// A flight, which nobody can find yet.
    pub(super) fn flight(&self, spot: &Spot) -> Arc<Flight> {
        let place = self.heard.peek(spot).map(|heard| Arc::clone(&heard.place));
        Arc::new(Flight {
            place,
            asked: Instant::now(),
            asked_millis: self.clock.now_millis(),
            fetched: OnceCell::new(),
        })
    }

    /// Puts the flight of a write in the place of whatever is known of the session.
    pub(super) fn begin(&self, name: Name, flight: &Arc<Flight>) {
        while self
            .sessions
            .update(&name, |kept| flight.after(kept))
            .is_none()
        {
            let asked = Kept::Asked(Arc::clone(flight), 0);
            if self.sessions.try_insert(name, asked).is_ok() {
                break;
            }
        }
    }

    fn counts(&self, kept: &Kept, spot: &Spot) -> Option<Found> {
        match kept {
            Kept::Asked(flight, told) => {
                // One may be of its own write.
                let may_be_unchanged = *told <= 1;
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
            Kept::Gone => None,
        }
    }

    /// Keeps what a flight brought over a connection, if nothing happened since it was left, but
    /// for its own write. Whether a copy was put in the flight's place.
    pub(super) fn keep(
        &self,
        name: Name,
        flight: &Arc<Flight>,
        record: &Record,
        place: &Place,
    ) -> bool {
        // If not, the connection was made meanwhile, or the session was elsewhere: the next read
        // keeps a copy.
        let is_of_flight = flight
            .place
            .as_ref()
            .is_some_and(|own| Arc::ptr_eq(own, place));
        // A touch is due when the last one that was written down is so old, or when the session
        // ends.
        let resolution = self.resolution.min(record.terms.idle.div_ceil(2));
        let due = record.accessed().saturating_add(resolution);
        let left = due.min(record.ends()).saturating_sub(record.now);
        let copy = Arc::new(Copied {
            record: record.clone(),
            place: Arc::clone(place),
            fetched: flight.asked_millis,
            until: flight.asked_millis.saturating_add(left),
        });
        if !is_of_flight || copy.size() > self.largest {
            self.give_up(name, flight);
            return false;
        }
        let copied = |is_owed| Kept::Copy(Arc::clone(&copy), is_owed);
        let kept = self.sessions.update(&name, |kept| match kept {
            // What was owed has come before the answer, if it comes at all.
            Kept::Asked(other, told) if Arc::ptr_eq(other, flight) => {
                match (record.is_written, told) {
                    (is_written, 0) => copied(is_written),
                    (true, 1) => copied(false),
                    _ => Kept::Gone,
                }
            }
            other => other.clone(),
        });
        self.clear_away(name);
        kept.is_some_and(|kept| matches!(&*kept, Kept::Copy(other, _) if Arc::ptr_eq(other, &copy)))
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

    /// The server says that a session changed.
    fn changed(&self, name: Name) {
        self.sessions.update(&name, |kept| match kept {
            Kept::Asked(flight, told) => Kept::Asked(Arc::clone(flight), told.saturating_add(1)),
            Kept::Copy(copy, true) => Kept::Copy(Arc::clone(copy), false),
            Kept::Copy(_, false) | Kept::Gone => Kept::Gone,
        });
        self.clear_away(name);
    }

    fn clear_away(&self, name: Name) {
        let is_gone = |kept: &Kept| matches!(kept, Kept::Gone);
        self.sessions.remove_if(&name, is_gone);
    }
}

impl Watcher for Near {
    fn heard(&self, spot: &Spot, place: &Place, asked: Instant) {
        let is_fresh = |heard: &Heard| {
            Arc::ptr_eq(&heard.place, place) && asked < heard.at + self.bound / NOTES
        };
        if !self.heard.peek(spot).is_some_and(|heard| is_fresh(&heard)) {
            let place = Arc::clone(place);
            self.heard.insert(spot.clone(), Heard { place, at: asked });
        }
    }

    /// What was read over it counts no more.
    fn lost(&self, spot: &Spot) {
        self.heard.remove(spot);
    }

    fn told(&self, spot: &Spot, push: &PushInfo) {
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

impl Flight {
    /// What takes the place of what is known of a session when the flight is left there.
    fn after(self: &Arc<Self>, kept: &Kept) -> Kept {
        let is_owed = match (kept, &self.place) {
            (Kept::Copy(copy, true), Some(place)) => Arc::ptr_eq(&copy.place, place),
            _ => false,
        };
        Kept::Asked(Arc::clone(self), -i32::from(is_owed))
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
            Self::Asked(..) | Self::Gone => OVERHEAD as u32,
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

/// Forgets a session when a write to it is over, however that ends, unless a copy of it was kept.
pub(super) struct Forgetting<'a> {
    near: Option<&'a Near>,
    name: Name,
}

impl<'a> Forgetting<'a> {
    pub(super) fn after_write(near: Option<&'a Near>, name: Name) -> Self {
        Self { near, name }
    }

    /// What is known of the session is what the write left.
    pub(super) fn never(&mut self) {
        self.near = None;
    }
}

impl Drop for Forgetting<'_> {
    fn drop(&mut self) {
        if let Some(near) = self.near {
            near.forget(self.name);
        }
    }
}
