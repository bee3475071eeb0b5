//! A table of its own: what the models of `table` and `resize` work on.
//!
//! The calendar is a specification: a count in each record. Its inserter files it, and who ends it
//! takes it back; who comes second holds the token, and gives up the calendar's share.

use crate::watched::{Key, Value};
use dwell::internals::map::context::{Context, Remains};
use dwell::internals::map::record::status::{Observed, State};
use dwell::internals::map::record::{NEVER, Record, Terms, Unlinked};
use dwell::internals::map::table::insert::{Inserted, Taken};
use dwell::internals::map::table::line::CommitState;
use dwell::internals::map::table::lookup::FastLookup;
use dwell::internals::map::table::{Table, upper};
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
    remains: Remains<Key, Item>,
}

const NOW: u64 = 1;

/// Odd keys and even ones are in different lines of a table that has two; with four, those that
/// differ in the second bit too. The tags of keys up to 7 are alike, so that each of these in a
/// line is compared.
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
        idle_timeout: 10,
        absolute_deadline: NEVER,
        weight: 0,
        is_protected: false,
    }
}

impl World {
    /// A table of 2^bits lines with these keys, whose values are the keys.
    pub(crate) fn new(bits: u32, keys: &[u64]) -> Self {
        Self::with(Table::new(bits), keys)
    }

    /// The same, none of whose lines is ready but for those of the keys.
    pub(crate) fn untouched(bits: u32, keys: &[u64]) -> Self {
        Self::with(Table::untouched(bits), keys)
    }

    fn with(table: Table<Key, Item>, keys: &[u64]) -> Self {
        let world = Self {
            table,
            remains: Remains::new(1),
        };
        for &key in keys {
            assert!(world.insert(key, key));
        }
        world
    }

    pub(crate) fn begin(&self) -> Context<'_, Key, Item> {
        Context::new(&self.remains, NOW)
    }

    /// True if the key had no live record.
    pub(crate) fn insert(&self, key: u64, number: u64) -> bool {
        let context = self.begin();
        let hash = hash(key);
        let record = Unlinked::new(upper(hash), Key::new(key), Item::new(number), terms());
        let inserted = self.table.insert(
            hash,
            record,
            |one, other| one == other,
            |existing| seen(existing, &context).is_none(),
            &context,
        );
        match inserted {
            Ok(Inserted { record, .. }) => {
                self.file(record, &context);
                true
            }
            Err(_) => false,
        }
    }

    /// Puts a value under a key. Returns the one that was there.
    pub(crate) fn put(&self, key: u64, number: u64) -> Option<u64> {
        let context = self.begin();
        let hash = hash(key);
        let mut record = Unlinked::new(upper(hash), Key::new(key), Item::new(number), terms());
        loop {
            let inserted = self.table.insert(
                hash,
                record,
                |one, other| one == other,
                |existing| seen(existing, &context).is_none(),
                &context,
            );
            let (mut existing, rejected) = match inserted {
                Ok(Inserted { record, .. }) => {
                    self.file(record, &context);
                    return None;
                }
                Err(Taken { existing, rejected }) => (existing, rejected),
            };
            while let Some((old, observed)) = seen(existing, &context) {
                if old.status.replace(observed, rejected.pointer().as_ptr()) {
                    // SAFETY: linked during the operation.
                    let new = unsafe { context.at(rejected.into_linked().as_ptr()) };
                    new.status.commit();
                    self.succeed(old, new, &context);
                    return Some(old.value().value.number());
                }
                existing = old;
            }
            record = rejected;
        }
    }

    pub(crate) fn get(&self, key: u64) -> Option<u64> {
        let context = self.begin();
        let (record, _) = self.find(key, &context)?;
        Some(record.value().value.number())
    }

    /// The same, decided at first sight if possible.
    pub(crate) fn lookup_fast(&self, key: u64) -> Option<u64> {
        let context = self.begin();
        match self.table.lookup_fast(hash(key), &context.guard) {
            FastLookup::Absent => None,
            FastLookup::Likely(record)
                if is(record.key(), key) && matches!(record.status.load(), State::Live(_)) =>
            {
                Some(record.value().value.number())
            }
            _ => self.get(key),
        }
    }

    /// The value that was removed.
    pub(crate) fn remove(&self, key: u64) -> Option<u64> {
        let context = self.begin();
        loop {
            let (record, seen) = self.find(key, &context)?;
            if record.status.kill(seen) {
                self.table.unlink(record, &context);
                if record.value().meet() {
                    context.retire(record);
                } else {
                    context.release(record);
                }
                return Some(record.value().value.number());
            }
        }
    }

    /// Puts a value in the place of the one that is there. Returns that one.
    pub(crate) fn replace(&self, key: u64, number: impl Fn(u64) -> u64) -> Option<u64> {
        let context = self.begin();
        loop {
            let (old, seen) = self.find(key, &context)?;
            let before = old.value().value.number();
            let item = Item::new(number(before));
            let new = Unlinked::new(old.hash(), Key::new(key), item, terms());
            new.record().status.start(seen);
            if old.status.replace(seen, new.pointer().as_ptr()) {
                // SAFETY: linked during the operation.
                let new = unsafe { context.at(new.into_linked().as_ptr()) };
                self.succeed(old, new, &context);
                return Some(before);
            }
        }
    }

    /// Starts a table that is larger by one bit, whatever the number of records.
    pub(crate) fn grow(&self) {
        self.table.fit(1_000, 1, &self.begin());
    }

    /// Starts the smallest table.
    pub(crate) fn shrink(&self) {
        self.table.fit(0, 1, &self.begin());
    }

    /// Starts a table of the same size, if chains have become long.
    pub(crate) fn shorten(&self) -> bool {
        self.table.renew(&self.begin())
    }

    /// Whether there are lines besides the first one of the first chain.
    pub(crate) fn is_long(&self) -> bool {
        let context = self.begin();
        let commit_word = self.table.lines(&context.guard).line(0).commit_word.load();
        matches!(commit_word.decode(), CommitState::Link(_))
    }

    /// Migrates all that is left.
    pub(crate) fn finish(&self) {
        self.table.migrate_rest(usize::MAX, &self.begin());
    }

    /// Migrates one of the units that are left. False if none was.
    pub(crate) fn take_part(&self) -> bool {
        self.table.migrate_rest(1, &self.begin())
    }

    /// Migrates the next unit.
    pub(crate) fn migrate_some(&self) {
        self.table.migrate_some(1, &self.begin());
    }

    /// Records that were retired.
    pub(crate) fn retired(&self) -> usize {
        self.remains.garbage()
    }

    pub(crate) fn lines(&self) -> usize {
        self.table.lines(&self.begin().guard).len()
    }

    /// All keys and values, by key.
    pub(crate) fn contents(&self) -> Vec<(u64, u64)> {
        let mut contents = Vec::new();
        let mut position = 0;
        while position < 1 << 32 {
            let context = self.begin();
            position = self.table.visit_line(position, &context, |record, _| {
                let key: &u64 = record.key().borrow();
                contents.push((*key, record.value().value.number()));
            });
        }
        contents.sort_unstable();
        contents
    }

    fn find<'v>(
        &self,
        key: u64,
        context: &'v Context<'_, Key, Item>,
    ) -> Option<(&'v Entry, Observed)> {
        self.table.find(hash(key), |other| is(other, key), context)
    }

    fn succeed(&self, old: &Entry, new: &Entry, context: &Context<'_, Key, Item>) {
        let from_table = self.table.forward(old, new, context);
        let from_calendar = old.value().meet();
        match (from_table, from_calendar) {
            (true, true) => context.retire(old),
            (false, false) => {}
            _ => context.release(old),
        }
        if from_calendar {
            self.file(new, context);
        }
    }

    fn file(&self, record: &Entry, context: &Context<'_, Key, Item>) {
        let mut record = record;
        while record.value().meet() {
            context.release(record);
            let State::Forward(successor) = record.status.load() else {
                return;
            };
            // SAFETY: its token is the one in hand.
            record = unsafe { context.follow(successor) };
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let context = Context::new(&self.remains, NOW);
        self.table.dismantle(&context, |record| {
            // The calendar's share, and the table's.
            self.remains.free_if_last(record);
            self.remains.free_if_last(record);
        });
    }
}

/// The live record that a record of this operation leads to.
fn seen<'v>(
    record: &'v Entry,
    context: &'v Context<'_, Key, Item>,
) -> Option<(&'v Entry, Observed)> {
    let mut record = record;
    loop {
        match record.status.load() {
            State::Live(seen) => return Some((record, seen)),
            // SAFETY: followed from a record of this operation.
            State::Forward(successor) => record = unsafe { context.follow(successor) },
            State::Dead | State::Pending => return None,
        }
    }
}
