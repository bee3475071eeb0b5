//! A calendar of its own: what the models of `calendar` work on. Ends, collections and evictions
//! are the map's own loops.
//!
//! The table is a specification: a slot for each key, which leads to the record or its predecessor.

use crate::watched::{Key, Value};
use dwell::RemovalCause;
use dwell::internals::map::context::{Context, Remains};
use dwell::internals::map::expiry::bucket::{Class, Place};
use dwell::internals::map::expiry::{Calendar, Filing};
use dwell::internals::map::ops::ends::{Ends, Token};
use dwell::internals::map::ops::search::{Evicts, Spared};
use dwell::internals::map::record::status::{Observed, State};
use dwell::internals::map::record::{NEVER, Record, Terms, Unlinked};
use dwell::internals::sync::{AtomicPtr, Ordering};
use std::ptr;

type Entry = Record<Key, Value>;
type Operation<'m> = Context<'m, Key, Value>;

const KEYS: usize = 3;
/// In milliseconds; so a quantum is one millisecond.
pub(crate) const IDLE: u64 = 4;

pub(crate) struct World {
    calendar: Calendar<Key, Value>,
    remains: Remains<Key, Value>,
    slots: [AtomicPtr<Entry>; KEYS],
}

impl World {
    /// With the first `keys` keys, whose records are born at zero.
    pub(crate) fn new(keys: usize) -> Self {
        Self::with(keys, false)
    }

    /// The same, of which every record is protected that replaces another.
    pub(crate) fn protecting(keys: usize) -> Self {
        Self::with(keys, true)
    }

    fn with(keys: usize, protects: bool) -> Self {
        let world = Self {
            calendar: Calendar::new(IDLE, 1, true, protects),
            remains: Remains::new(1),
            slots: [(); KEYS].map(|()| AtomicPtr::new(ptr::null_mut())),
        };
        for key in 0..keys {
            world.insert(key, 0);
        }
        world
    }

    fn begin(&self, now: u64) -> Operation<'_> {
        Context::new(&self.remains, now)
    }

    fn unlinked(key: usize, now: u64, is_protected: bool) -> Unlinked<Key, Value> {
        let terms = Terms {
            birth: now,
            idle_timeout: IDLE,
            absolute_deadline: NEVER,
            weight: 0,
            is_protected,
        };
        Unlinked::new(0, Key::new(key as u64), Value::new(key as u64), terms)
    }

    /// The key has no record before.
    pub(crate) fn insert(&self, key: usize, now: u64) {
        let context = self.begin(now);
        let record = Self::unlinked(key, now, false);
        record.record().status.commit();
        let pointer = record.into_linked().as_ptr();
        self.slots[key].store(pointer, Ordering::Release);
        // SAFETY: its token is in our hands.
        self.calendar
            .file(unsafe { context.at(pointer) }, Filing::New, &context);
    }

    pub(crate) fn touch(&self, key: usize, now: u64) -> bool {
        let context = self.begin(now);
        while let Some((record, seen)) = self.find(key, &context) {
            if record.status.touch(seen, seen.touched_at(now)) {
                return true;
            }
        }
        false
    }

    /// As a removal does.
    pub(crate) fn end(&self, key: usize) -> bool {
        let context = self.begin(0);
        while let Some((record, seen)) = self.find(key, &context) {
            if Ends::end(
                self,
                record,
                seen,
                RemovalCause::Removed,
                Token::Filed,
                &context,
            ) {
                return true;
            }
        }
        false
    }

    /// As an insertion of a taken key does: the record starts anew.
    pub(crate) fn replace(&self, key: usize, now: u64) -> bool {
        let context = self.begin(now);
        let new = Self::unlinked(key, now, true);
        Place::await_token(new.record());
        while let Some((old, seen)) = self.find(key, &context) {
            new.record().status.start(seen.touched_at(now));
            if old.status.replace(seen, new.pointer().as_ptr()) {
                // SAFETY: linked during the operation.
                let new = unsafe { context.at(new.into_linked().as_ptr()) };
                self.forward(key, &context);
                if self.calendar.inherit(old, new, &context) {
                    context.release(old);
                } else {
                    context.note_stale();
                }
                return true;
            }
        }
        false
    }

    /// Gives a record another idle timeout.
    pub(crate) fn allow(&self, key: usize, idle_timeout: u64) -> bool {
        let context = self.begin(0);
        while let Some((record, seen)) = self.find(key, &context) {
            record.set_idle_timeout(idle_timeout);
            if record.status.advance(seen) {
                self.calendar.refile(record, &context);
                return true;
            }
        }
        false
    }

    /// Drains all that is due, and ends what has expired. Returns how many it ended.
    pub(crate) fn collect(&self, now: u64) -> usize {
        let mut ended = 0;
        while let Some(more) = self.drain_due(&self.begin(now)) {
            ended += more;
        }
        ended
    }

    /// Looks at every record that has a token, as a collection of what is idle does. Returns how
    /// many are live.
    pub(crate) fn look_through(&self) -> usize {
        let context = self.begin(0);
        let tokens = self.tokens(&context);
        let is_live = |(_, record): &&(_, &Entry)| matches!(record.status.load(), State::Live(_));
        tokens.iter().filter(is_live).count()
    }

    /// Ends a record as a map without a bound does. False if there is none.
    pub(crate) fn evict(&self) -> bool {
        let spared = Spared {
            record: None,
            protected: false,
        };
        self.evict_one(&spared, &self.begin(0)).is_some()
    }

    fn find<'v>(&self, key: usize, context: &'v Operation<'_>) -> Option<(&'v Entry, Observed)> {
        let pointer = self.slots[key].load(Ordering::Acquire);
        if pointer.is_null() {
            return None;
        }
        // SAFETY: read from the slot during the operation.
        let mut record = unsafe { context.at(pointer) };
        loop {
            match record.status.load() {
                State::Live(seen) => return Some((record, seen)),
                // SAFETY: followed from a record of this operation.
                State::Forward(successor) => record = unsafe { context.follow(successor) },
                State::Dead | State::Pending => return None,
            }
        }
    }

    /// Hands the slot of a replaced record to its successor.
    fn forward(&self, key: usize, context: &Operation<'_>) {
        loop {
            let pointer = self.slots[key].load(Ordering::Acquire);
            if pointer.is_null() {
                return;
            }
            // SAFETY: read from the slot during the operation.
            let record = unsafe { context.at(pointer) };
            let State::Forward(successor) = record.status.load() else {
                return;
            };
            if self.exchange_slot(key, pointer, successor) {
                context.release(record);
            }
        }
    }

    fn exchange_slot(&self, key: usize, from: *mut Entry, to: *mut Entry) -> bool {
        self.slots[key]
            .compare_exchange(from, to, Ordering::Release, Ordering::Relaxed)
            .is_ok()
    }

    /// Checks the calendar's promise, when nothing else goes on: each live record has one token, in
    /// a bucket of its kind that is not too late, and its place leads there. Returns the keys that
    /// have a live record.
    pub(crate) fn live(&self) -> Vec<usize> {
        let context = self.begin(0);
        let live = |key: &usize| self.find(*key, &context).is_some();
        let keys: Vec<_> = (0..KEYS).filter(live).collect();
        for &key in &keys {
            let (record, seen) = self.find(key, &context).unwrap();
            let quantum = self.calendar.quantum_of(record.deadline(seen));
            let places = self.places_of(record, &context);
            assert_eq!(places.len(), 1, "tokens of one record");
            let (class, filed) = places[0];
            assert!(filed <= quantum, "{filed} is later than {quantum}");
            let is = self.calendar.class_of(record, seen);
            let is_apart = [class, is].map(|class| class == Class::Protected);
            assert_eq!(is_apart[0], is_apart[1], "{is:?} filed as {class:?}");
            assert!(
                self.calendar.take_back(record, &context),
                "the record's place does not lead to its token"
            );
            self.calendar.file(record, Filing::Again, &context);
        }
        assert_eq!(self.remains.stale_entries(), self.stale_entries());
        keys
    }

    /// Classes and quanta of the buckets that hold a token of the record, or of one that it
    /// replaced.
    fn places_of(&self, record: &Entry, context: &Operation<'_>) -> Vec<(Class, u64)> {
        self.tokens(context)
            .into_iter()
            .filter(|(_, token)| ptr::eq(last(token, context), record))
            .map(|(place, _)| place)
            .collect()
    }

    /// Tokens of records that have ended.
    fn stale_entries(&self) -> usize {
        let context = self.begin(0);
        let has_ended = |token: &Entry| !matches!(token.status.load(), State::Live(_));
        let tokens = self.tokens(&context);
        tokens.iter().filter(|token| has_ended(token.1)).count()
    }

    fn tokens<'v>(&self, context: &'v Operation<'_>) -> Vec<((Class, u64), &'v Entry)> {
        let mut tokens = Vec::new();
        for class in Class::ALL {
            let mut next = self.calendar.after(class, None, context);
            while let Some(bucket) = next {
                for index in 0..bucket.size() {
                    if let Some(token) = bucket.peek(index) {
                        let place = (bucket.class, bucket.key.quantum);
                        // SAFETY: read from a bucket during the operation.
                        tokens.push((place, unsafe { context.at(token) }));
                    }
                }
                next = self.calendar.after(class, Some(bucket.key), context);
            }
        }
        tokens
    }
}

impl Ends<Key, Value> for World {
    fn calendar(&self) -> &Calendar<Key, Value> {
        &self.calendar
    }

    fn unlink(&self, dead: &Entry, context: &Operation<'_>) {
        let key = dead.value().number() as usize;
        self.forward(key, context);
        let pointer = ptr::from_ref(dead).cast_mut();
        assert!(self.exchange_slot(key, pointer, ptr::null_mut()));
    }

    fn announce(&self, _: &Entry, _: RemovalCause, _: &Operation<'_>) {}

    fn prefetch(&self, _: &Entry, _: &Operation<'_>) {}
}

impl Evicts<Key, Value> for World {
    fn is_bounded(&self) -> bool {
        false
    }

    fn can_spare_protected(&self) -> bool {
        false
    }
}

fn last<'v>(record: &'v Entry, context: &'v Operation<'_>) -> &'v Entry {
    let mut record = record;
    while let State::Forward(successor) = record.status.load() {
        // SAFETY: followed from a record of this operation.
        record = unsafe { context.follow(successor) };
    }
    record
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let context = Context::new(&self.remains, 0);
        self.calendar
            .dismantle(&context, |record| self.remains.free_if_last(record));
        for slot in &self.slots {
            let mut pointer = slot.load(Ordering::Relaxed);
            while !pointer.is_null() {
                // SAFETY: the slot still has its share in the record.
                let record = unsafe { context.at(pointer) };
                pointer = match record.status.load() {
                    State::Forward(successor) => successor,
                    _ => ptr::null_mut(),
                };
                self.remains.free_if_last(record);
            }
        }
    }
}
