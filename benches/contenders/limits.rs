//! What no shared store can beat: tables without locks, guards or counts.

use std::ops::Range;
use std::time::Duration;

use ahash::RandomState;

use super::entry::Entry;
use super::{Contender, Id, Store, Time, Value, id, value};

type Table = hashbrown::HashMap<Id, Entry, RandomState>;

/// The limit, F: a hashbrown table for each thread.
pub struct Unshared<T> {
    tables: Vec<Table>,
    time: T,
}

/// One thread's table.
pub struct Own<'a, T> {
    table: &'a mut Table,
    time: T,
}

impl<T: Time> Contender for Unshared<T> {
    const SHARED: bool = false;
    type Time = T;
    type Store<'a>
        = Own<'a, T>
    where
        Self: 'a;

    fn new(time: T, _: Duration, _: u64) -> Self {
        let tables = Vec::new();
        Self { tables, time }
    }

    fn stores(&mut self, threads: usize) -> Vec<Own<'_, T>> {
        if self.tables.len() < threads {
            self.tables.resize_with(threads, Table::default);
        }
        let tables = self.tables[..threads].iter_mut();
        let own = |table| Own {
            table,
            time: self.time.clone(),
        };
        tables.map(own).collect()
    }
}

impl<T: Time> Store for Own<'_, T> {
    #[inline]
    fn with<R>(&mut self, id: &Id, read: impl FnOnce(&Value) -> R) -> Option<R> {
        let entry = self.table.get(id)?;
        Some(entry.read::<false, R>(self.time.now_millis(), read))
    }

    #[inline]
    fn update(&mut self, id: &Id) -> bool {
        let entry = self.table.get_mut(id);
        entry.map(|e| e.update(self.time.now_millis())).is_some()
    }

    #[inline]
    fn create(&mut self, id: Id, value: Value) -> bool {
        let entry = Entry::new(self.time.now_millis(), value);
        self.table.insert(id, entry).is_none()
    }

    #[inline]
    fn remove(&mut self, id: &Id) -> bool {
        self.table.remove(id).is_some()
    }

    fn collect(&mut self) -> usize {
        let now = self.time.now_millis();
        let before = self.table.len();
        self.table.retain(|_, entry| !entry.is_due(now));
        before - self.table.len()
    }
}

/// The second limit: one hashbrown table that all threads read and nobody can change.
pub struct Immutable<T, const TICK: bool> {
    table: Table,
    time: T,
}

impl<T: Time, const TICK: bool> Contender for Immutable<T, TICK> {
    const CHANGES: bool = false;
    const COLLECTS: bool = false;
    shared_by_threads!();

    fn new(time: T, _: Duration, _: u64) -> Self {
        let table = Table::default();
        Self { table, time }
    }

    fn fill(&mut self, sessions: Range<u64>) {
        let now = self.time.now_millis();
        let entries = sessions.map(|session| (id(session), Entry::new(now, value(session))));
        self.table.extend(entries);
    }
}

const ONLY_READ: &str = "a contender that is only read is not asked for changes";

impl<T: Time, const TICK: bool> Store for &Immutable<T, TICK> {
    #[inline]
    fn with<R>(&mut self, id: &Id, read: impl FnOnce(&Value) -> R) -> Option<R> {
        let entry = self.table.get(id)?;
        Some(entry.read::<TICK, R>(self.time.now_millis(), read))
    }

    fn update(&mut self, _: &Id) -> bool {
        unreachable!("{ONLY_READ}")
    }

    fn create(&mut self, _: Id, _: Value) -> bool {
        unreachable!("{ONLY_READ}")
    }

    fn remove(&mut self, _: &Id) -> bool {
        unreachable!("{ONLY_READ}")
    }

    fn collect(&mut self) -> usize {
        unreachable!("{ONLY_READ}")
    }
}
