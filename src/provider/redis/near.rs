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
//! **A copy that comes too late.** Who fetches a copy first leaves a mark, and puts the copy in the place of
//! that mark only. Whatever makes copies worthless, a message of the server's or a write from here, removes
//! what it finds, a mark included. So a copy that was read before a change is not kept after it. The same is done
//! when a node of a cluster sends a request elsewhere: what is read over another connection than the mark was
//! left for is not kept.
//!
//! **Writes from here** are not told to this connection (`NOLOOP`: a touch would remove each copy that it
//! fetches). A write removes the copy when it is over, whether it succeeded, failed, or was dropped.

use super::link::{Place, Spot};
use super::names::{Name, Names};
use super::record::Record;
use crate::{Clock, IdleMap};
use redis::{PushInfo, PushKind, Value};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A connection is noted as heard of when the last note is older than this part of the bound.
const NOTES: u32 = 8;

pub(super) struct Near {
    sessions: IdleMap<Name, Kept>,
    heard: IdleMap<Spot, Heard>,
    bound: Duration,
    /// Milliseconds: how long after an access the next one is a touch.
    resolution: u64,
    names: Names,
    clock: Arc<dyn Clock>,
}

#[derive(Clone)]
enum Kept {
    /// Somebody has asked for it.
    Asked(Arc<()>),
    Copy(Arc<Copied>),
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

/// What is put in the place of a copy that is being fetched.
pub(super) struct Mark {
    mark: Arc<()>,
    place: Option<Place>,
    asked: u64,
}

impl Near {
    pub(super) fn new(
        sessions: usize,
        bound: Duration,
        resolution: u64,
        names: Names,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let copies = IdleMap::builder().no_idle_timeout().capacity(sessions);
        Self {
            sessions: copies
                .build()
                .expect("the builder has checked the capacity"),
            heard: IdleMap::without_idle_timeout(),
            bound,
            resolution,
            names,
            clock,
        }
    }

    /// The session as it is known here, at this moment. Touches the copy, so that it is not evicted first.
    pub(super) fn find(&self, name: Name, spot: &Spot) -> Option<Record> {
        let kept = self.sessions.get(&name)?;
        let Kept::Copy(copy) = &*kept else {
            return None;
        };
        let heard = self.heard.peek(spot)?;
        let now = self.clock.now_millis();
        let is_coherent = Arc::ptr_eq(&heard.place, &copy.place) && heard.at.elapsed() < self.bound;
        (is_coherent && now < copy.until)
            .then(|| copy.record.later_by(now.saturating_sub(copy.fetched)))
    }

    /// Leaves a mark before a session is asked for.
    pub(super) fn mark(&self, name: Name, spot: &Spot) -> Mark {
        let mark = Arc::new(());
        self.sessions.insert(name, Kept::Asked(Arc::clone(&mark)));
        Mark {
            mark,
            place: self.heard.peek(spot).map(|heard| Arc::clone(&heard.place)),
            asked: self.clock.now_millis(),
        }
    }

    /// Keeps a copy, if nothing happened since the mark was left.
    pub(super) fn keep(&self, name: Name, mark: Mark, record: &Record) {
        let Some(place) = mark.place else {
            // The connection was made meanwhile: the next read keeps a copy.
            return self.unmark(name, &mark.mark);
        };
        // A touch is due when the last one that was written down is so old, or when the session ends.
        let due = record.accessed().saturating_add(self.resolution);
        let left = due.min(record.ends()).saturating_sub(record.now);
        let copy = Arc::new(Copied {
            record: record.clone(),
            place,
            fetched: mark.asked,
            until: mark.asked.saturating_add(left),
        });
        self.sessions.update(&name, |kept| match kept {
            Kept::Asked(other) if Arc::ptr_eq(other, &mark.mark) => Kept::Copy(Arc::clone(&copy)),
            other => other.clone(),
        });
    }

    fn unmark(&self, name: Name, mark: &Arc<()>) {
        let is_it = |kept: &Kept| matches!(kept, Kept::Asked(other) if Arc::ptr_eq(other, mark));
        self.sessions.remove_if(&name, is_it);
    }

    /// Takes back a mark: there is nothing to keep.
    pub(super) fn give_up(&self, name: Name, mark: &Mark) {
        self.unmark(name, &mark.mark);
    }

    /// Whatever is known of a session here counts no more.
    pub(super) fn forget(&self, name: Name) {
        self.sessions.remove(&name);
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
                        self.forget(name);
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
}

impl<'a> Writing<'a> {
    pub(super) fn to(near: Option<&'a Near>, name: Name) -> Self {
        Self { near, name }
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        if let Some(near) = self.near {
            near.forget(self.name);
        }
    }
}
