//! A table of its own: what the models of `table` and `resize` work on.
//!
//! The calendar is a specification: a count in each record. Its inserter files it, and who ends it takes it
//! back; who comes second holds the token, and gives up the calendar's share.

use crate::watched::{Key, Value};
use dwell::internals::map::context::Visit;
use dwell::internals::map::record::status::{Observed, State};
use dwell::internals::map::record::{NEVER, Record, Terms, Unlinked};
use dwell::internals::map::table::line::DoorState;
use dwell::internals::map::table::lookup::Glance;
use dwell::internals::map::table::{Inserted, Table, Taken, upper};
use dwell::internals::reclaim::retired::Limbo;
use dwell::internals::sync::{AtomicUsize, Ordering};
use std::borrow::Borrow;

pub(crate) struct Item {
    value: Value,
    token: AtomicUsize,
}

impl Item {
    fn new(number: u64) -> Self {
        Self {
            value: Value::new(number),
            token: AtomicUsize::new(0),
        }
    }

    /// True for the second of the two who come here.
    fn meet(&self) -> bool {
        self.token.fetch_add(1, Ordering::AcqRel) == 1
    }
}

type Entry = Record<Key, Item>;

pub(crate) struct World {
    pub(crate) table: Table<Key, Item>,
    limbo: Limbo<Key, Item>,
}

const NOW: u64 = 1;

/// Odd keys and even ones are in different lines of a table that has two; with four, those that differ in
/// the second bit too. The tags of keys up to 7 are alike, so that each of these in a line is compared.
fn hash(key: u64) -> u64 {
    let (low, high) = (key & 1, key >> 1 & 1);
    low << 63 | high << 62 | key >> 3
}

fn is(this: &Key, key: u64) -> bool {
    let this: &u64 = this.borrow();
    *this == key
}

fn terms() -> Terms {
    Terms {
        birth: 0,
        idle: 10,
        limit: NEVER,
        weight: 0,
        is_protected: false,
    }
}

impl World {
    /// A table of 2^bits lines with these keys, whose values are the keys.
    pub(crate) fn new(bits: u32, keys: &[u64]) -> Self {
        let world = Self {
            table: Table::new(bits),
            limbo: Limbo::new(1),
        };
        for &key in keys {
            assert!(world.insert(key, key));
        }
        world
    }

    pub(crate) fn visit(&self) -> Visit<'_, Key, Item> {
        Visit::new(&self.limbo, NOW)
    }

    /// True if the key had no live record.
    pub(crate) fn insert(&self, key: u64, number: u64) -> bool {
        let visit = self.visit();
        let hash = hash(key);
        let record = Unlinked::new(upper(hash), Key::new(key), Item::new(number), terms());
        let inserted = self.table.insert(
            hash,
            record,
            |one, other| one == other,
            |existing| seen(existing, &visit).is_none(),
            &visit,
        );
        match inserted {
            Ok(Inserted { record, .. }) => {
                self.file(record, &visit);
                true
            }
            Err(_) => false,
        }
    }

    /// Puts a value under a key. Returns the one that was there.
    pub(crate) fn put(&self, key: u64, number: u64) -> Option<u64> {
        let visit = self.visit();
        let hash = hash(key);
        let mut record = Unlinked::new(upper(hash), Key::new(key), Item::new(number), terms());
        loop {
            let inserted = self.table.insert(
                hash,
                record,
                |one, other| one == other,
                |existing| seen(existing, &visit).is_none(),
                &visit,
            );
            let (mut existing, rejected) = match inserted {
                Ok(Inserted { record, .. }) => {
                    self.file(record, &visit);
                    return None;
                }
                Err(Taken { existing, rejected }) => (existing, rejected),
            };
            while let Some((old, observed)) = seen(existing, &visit) {
                if old.life.replace(observed, rejected.pointer().as_ptr()) {
                    // SAFETY: linked during the visit.
                    let new = unsafe { visit.at(rejected.into_linked().as_ptr()) };
                    new.life.commit();
                    self.succeed(old, new, &visit);
                    return Some(old.value().value.number());
                }
                existing = old;
            }
            record = rejected;
        }
    }

    pub(crate) fn get(&self, key: u64) -> Option<u64> {
        let visit = self.visit();
        let (record, _) = self.find(key, &visit)?;
        Some(record.value().value.number())
    }

    /// The same, decided at first sight if possible.
    pub(crate) fn glance(&self, key: u64) -> Option<u64> {
        let visit = self.visit();
        match self.table.glance(hash(key), &visit.guard) {
            Glance::Absent => None,
            Glance::Likely(record)
                if is(record.key(), key) && matches!(record.life.load(), State::Live(_)) =>
            {
                Some(record.value().value.number())
            }
            _ => self.get(key),
        }
    }

    /// The value that was removed.
    pub(crate) fn remove(&self, key: u64) -> Option<u64> {
        let visit = self.visit();
        loop {
            let (record, seen) = self.find(key, &visit)?;
            if record.life.kill(seen) {
                self.table.unlink(record, &visit);
                if record.value().meet() {
                    visit.retire(record);
                } else {
                    visit.left(record);
                }
                return Some(record.value().value.number());
            }
        }
    }

    /// Puts a value in the place of the one that is there. Returns that one.
    pub(crate) fn replace(&self, key: u64, number: impl Fn(u64) -> u64) -> Option<u64> {
        let visit = self.visit();
        loop {
            let (old, seen) = self.find(key, &visit)?;
            let before = old.value().value.number();
            let item = Item::new(number(before));
            let new = Unlinked::new(old.hash(), Key::new(key), item, terms());
            new.record().life.start(seen);
            if old.life.replace(seen, new.pointer().as_ptr()) {
                // SAFETY: linked during the visit.
                let new = unsafe { visit.at(new.into_linked().as_ptr()) };
                self.succeed(old, new, &visit);
                return Some(before);
            }
        }
    }

    /// Starts a table that is larger by one bit, whatever the number of records.
    pub(crate) fn grow(&self) {
        self.table.fit(1_000, 1, &self.visit());
    }

    /// Starts the smallest table.
    pub(crate) fn shrink(&self) {
        self.table.fit(0, 1, &self.visit());
    }

    /// Starts a table of the same size, if chains have become long.
    pub(crate) fn shorten(&self) -> bool {
        self.table.renew(&self.visit())
    }

    /// Whether there are lines besides the first one of the first chain.
    pub(crate) fn is_long(&self) -> bool {
        let visit = self.visit();
        let door = self.table.lines(&visit.guard).line(0).door.load();
        matches!(door.decode(), DoorState::Link(_))
    }

    /// Takes over all that is left.
    pub(crate) fn finish(&self) {
        let visit = self.visit();
        self.table.lines(&visit.guard).finish(&visit);
    }

    /// Takes over one of the units that are left. False if none was.
    pub(crate) fn take_part(&self) -> bool {
        let visit = self.visit();
        self.table.lines(&visit.guard).go_on(1, &visit)
    }

    /// Takes over the next unit.
    pub(crate) fn take_along(&self) {
        let visit = self.visit();
        self.table.lines(&visit.guard).take_along(1, &visit);
    }

    /// Records that were retired.
    pub(crate) fn retired(&self) -> usize {
        self.limbo.garbage()
    }

    pub(crate) fn lines(&self) -> usize {
        self.table.lines(&self.visit().guard).len()
    }

    /// All keys and values, by key.
    pub(crate) fn contents(&self) -> Vec<(u64, u64)> {
        let mut contents = Vec::new();
        let mut position = 0;
        while position < 1 << 32 {
            let visit = self.visit();
            position = self.table.visit_line(position, &visit, |record, _| {
                let key: &u64 = record.key().borrow();
                contents.push((*key, record.value().value.number()));
            });
        }
        contents.sort_unstable();
        contents
    }

    fn find<'v>(&self, key: u64, visit: &'v Visit<'_, Key, Item>) -> Option<(&'v Entry, Observed)> {
        self.table.find(hash(key), |other| is(other, key), visit)
    }

    fn succeed(&self, old: &Entry, new: &Entry, visit: &Visit<'_, Key, Item>) {
        let from_table = self.table.hand_over(old, new, visit);
        let from_calendar = old.value().meet();
        match (from_table, from_calendar) {
            (true, true) => visit.retire(old),
            (false, false) => {}
            _ => visit.left(old),
        }
        if from_calendar {
            self.file(new, visit);
        }
    }

    fn file(&self, record: &Entry, visit: &Visit<'_, Key, Item>) {
        let mut record = record;
        while record.value().meet() {
            visit.left(record);
            let State::Forward(successor) = record.life.load() else {
                return;
            };
            // SAFETY: its token is the one in hand.
            record = unsafe { visit.follow(successor) };
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let visit = Visit::new(&self.limbo, NOW);
        self.table.dismantle(&visit, |record| {
            // The calendar's share, and the table's.
            self.limbo.free_if_last(record);
            self.limbo.free_if_last(record);
        });
    }
}

/// The live record that a record of this visit leads to.
fn seen<'v>(record: &'v Entry, visit: &'v Visit<'_, Key, Item>) -> Option<(&'v Entry, Observed)> {
    let mut record = record;
    loop {
        match record.life.load() {
            State::Live(seen) => return Some((record, seen)),
            // SAFETY: followed from a record of this visit.
            State::Forward(successor) => record = unsafe { visit.follow(successor) },
            State::Dead | State::Pending => return None,
        }
    }
}
