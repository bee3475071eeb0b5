//! Eager re-keying: one skip list of sessions and one of (last access, id), and each touch moves
//! the session in the second.

use std::sync::atomic::{AtomicU64, Ordering::AcqRel, Ordering::Acquire};
use std::time::Duration;

use crossbeam_skiplist::SkipMap;
use parking_lot::Mutex;

use super::{Contender, IDLE, Id, Store, Time, Value, updated};

struct Session {
    last: AtomicU64,
    value: Mutex<Value>,
}

pub struct SkipLists<T> {
    sessions: SkipMap<Id, Session>,
    /// A session may have stale keys besides its own: two touches may overlap.
    order: SkipMap<(u64, Id), ()>,
    time: T,
}

impl<T> SkipLists<T> {
    fn touch(&self, id: &Id, session: &Session, now: u64) {
        let last = session.last.swap(now, AcqRel);
        if last != now {
            self.order.insert((now, *id), ());
            self.order.remove(&(last, *id));
        }
    }
}

impl<T: Time> Contender for SkipLists<T> {
    shared_by_threads!();

    fn new(time: T, _: Duration, _: u64) -> Self {
        Self {
            sessions: SkipMap::new(),
            order: SkipMap::new(),
            time,
        }
    }
}

impl<T: Time> Store for &SkipLists<T> {
    #[inline]
    fn with<R>(&mut self, id: &Id, read: impl FnOnce(&Value) -> R) -> Option<R> {
        let entry = self.sessions.get(id)?;
        self.touch(id, entry.value(), self.time.now_millis());
        let value = entry.value().value.lock();
        Some(read(&value))
    }

    #[inline]
    fn update(&mut self, id: &Id) -> bool {
        let Some(entry) = self.sessions.get(id) else {
            return false;
        };
        self.touch(id, entry.value(), self.time.now_millis());
        let mut value = entry.value().value.lock();
        *value = updated(&value);
        true
    }

    #[inline]
    fn create(&mut self, id: Id, value: Value) -> bool {
        let now = self.time.now_millis();
        let mut is_new = false;
        self.sessions.get_or_insert_with(id, || {
            is_new = true;
            Session {
                last: AtomicU64::new(now),
                value: Mutex::new(value),
            }
        });
        if is_new {
            self.order.insert((now, id), ());
        }
        is_new
    }

    #[inline]
    fn remove(&mut self, id: &Id) -> bool {
        let Some(entry) = self.sessions.remove(id) else {
            return false;
        };
        let last = entry.value().last.load(Acquire);
        self.order.remove(&(last, *id));
        true
    }

    fn collect(&mut self) -> usize {
        let now = self.time.now_millis();
        let mut ended = 0;
        while let Some(first) = self.order.front() {
            let (time, id) = first.key();
            if time + IDLE.as_millis() as u64 > now {
                break;
            }
            first.remove();
            let session = self.sessions.get(id);
            if let Some(session) = session
                && session.value().last.load(Acquire) == *time
            {
                ended += usize::from(session.remove());
            }
        }
        ended
    }
}
