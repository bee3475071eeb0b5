//! The peers, all with one fast hasher, and the unshared limit.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use ahash::RandomState;
use moka::ops::compute::{CompResult, Op};

use super::{Contender, IDLE, Id, Store, Time, Value, fold, updated};

/// A timestamp beside the value: how a map without expiry is made an idle map.
struct Entry {
    last: AtomicU64,
    value: Value,
}

impl Entry {
    fn new(now: u64, value: Value) -> Self {
        Self {
            last: AtomicU64::new(now),
            value,
        }
    }

    /// `TICK`: write only if the clock has moved since.
    #[inline]
    fn read<const TICK: bool>(&self, now: u64) -> u64 {
        if !TICK || self.last.load(Relaxed) != now {
            self.last.store(now, Relaxed);
        }
        fold(&self.value)
    }

    #[inline]
    fn update(&mut self, now: u64) {
        *self.last.get_mut() = now;
        self.value = updated(&self.value);
    }

    #[inline]
    fn is_due(&self, now: u64) -> bool {
        self.last.load(Relaxed) + IDLE.as_millis() as u64 <= now
    }
}

impl Clone for Entry {
    fn clone(&self) -> Self {
        Self::new(self.last.load(Relaxed), self.value)
    }
}

type Table = hashbrown::HashMap<Id, Entry, RandomState>;

fn collect_table(table: &mut Table, now: u64) -> usize {
    let before = table.len();
    table.retain(|_, entry| !entry.is_due(now));
    before - table.len()
}

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
    type Store<'a> = Own<'a, T>;

    fn new(time: T, _: Duration) -> Self {
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
    fn get(&mut self, id: &Id) -> Option<u64> {
        let entry = self.table.get(id)?;
        Some(entry.read::<false>(self.time.now_millis()))
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
        collect_table(self.table, self.time.now_millis())
    }
}

/// hashbrown behind one mutex.
pub struct Locked<T> {
    table: Mutex<Table>,
    time: T,
}

impl<T> Locked<T> {
    #[inline]
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().expect("no holder of the lock panicked")
    }
}

impl<T: Time> Contender for Locked<T> {
    type Time = T;
    type Store<'a> = &'a Self;

    fn new(time: T, _: Duration) -> Self {
        let table = Mutex::default();
        Self { table, time }
    }

    fn stores(&mut self, threads: usize) -> Vec<&Self> {
        vec![self; threads]
    }
}

impl<T: Time> Store for &Locked<T> {
    #[inline]
    fn get(&mut self, id: &Id) -> Option<u64> {
        let now = self.time.now_millis();
        self.lock().get(id).map(|entry| entry.read::<false>(now))
    }

    #[inline]
    fn update(&mut self, id: &Id) -> bool {
        let now = self.time.now_millis();
        self.lock().get_mut(id).map(|e| e.update(now)).is_some()
    }

    #[inline]
    fn create(&mut self, id: Id, value: Value) -> bool {
        let entry = Entry::new(self.time.now_millis(), value);
        self.lock().insert(id, entry).is_none()
    }

    #[inline]
    fn remove(&mut self, id: &Id) -> bool {
        self.lock().remove(id).is_some()
    }

    fn collect(&mut self) -> usize {
        collect_table(&mut self.lock(), self.time.now_millis())
    }
}

/// dashmap with 64 shards.
pub struct Dash<T> {
    map: dashmap::DashMap<Id, Entry, RandomState>,
    time: T,
}

impl<T: Time> Contender for Dash<T> {
    type Time = T;
    type Store<'a> = &'a Self;

    fn new(time: T, _: Duration) -> Self {
        let map = dashmap::DashMap::with_hasher_and_shard_amount(RandomState::default(), 64);
        Self { map, time }
    }

    fn stores(&mut self, threads: usize) -> Vec<&Self> {
        vec![self; threads]
    }
}

impl<T: Time> Store for &Dash<T> {
    #[inline]
    fn get(&mut self, id: &Id) -> Option<u64> {
        let entry = self.map.get(id)?;
        Some(entry.read::<false>(self.time.now_millis()))
    }

    #[inline]
    fn update(&mut self, id: &Id) -> bool {
        let now = self.time.now_millis();
        self.map.get_mut(id).map(|mut e| e.update(now)).is_some()
    }

    #[inline]
    fn create(&mut self, id: Id, value: Value) -> bool {
        let entry = Entry::new(self.time.now_millis(), value);
        self.map.insert(id, entry).is_none()
    }

    #[inline]
    fn remove(&mut self, id: &Id) -> bool {
        self.map.remove(id).is_some()
    }

    fn collect(&mut self) -> usize {
        let now = self.time.now_millis();
        let mut ended = 0;
        self.map.retain(|_, entry| {
            let due = entry.is_due(now);
            ended += usize::from(due);
            !due
        });
        ended
    }
}

/// papaya.
pub struct Papaya<T, const TICK: bool = false> {
    map: papaya::HashMap<Id, Entry, RandomState>,
    time: T,
}

impl<T: Time, const TICK: bool> Contender for Papaya<T, TICK> {
    type Time = T;
    type Store<'a> = &'a Self;

    fn new(time: T, _: Duration) -> Self {
        let map = papaya::HashMap::with_hasher(RandomState::default());
        Self { map, time }
    }

    fn stores(&mut self, threads: usize) -> Vec<&Self> {
        vec![self; threads]
    }
}

impl<T: Time, const TICK: bool> Store for &Papaya<T, TICK> {
    #[inline]
    fn get(&mut self, id: &Id) -> Option<u64> {
        let map = self.map.pin();
        let entry = map.get(id)?;
        Some(entry.read::<TICK>(self.time.now_millis()))
    }

    #[inline]
    fn update(&mut self, id: &Id) -> bool {
        let now = self.time.now_millis();
        let replace = |entry: &Entry| Entry::new(now, updated(&entry.value));
        self.map.pin().update(*id, replace).is_some()
    }

    #[inline]
    fn create(&mut self, id: Id, value: Value) -> bool {
        let entry = Entry::new(self.time.now_millis(), value);
        self.map.pin().try_insert(id, entry).is_ok()
    }

    #[inline]
    fn remove(&mut self, id: &Id) -> bool {
        self.map.pin().remove(id).is_some()
    }

    fn collect(&mut self) -> usize {
        let now = self.time.now_millis();
        let mut ended = 0;
        self.map.pin().retain(|_, entry| {
            let due = entry.is_due(now);
            ended += usize::from(due);
            !due
        });
        ended
    }
}

/// scc's `HashMap`.
pub struct SccMap<T, const TICK: bool = false> {
    map: scc::HashMap<Id, Entry, RandomState>,
    time: T,
}

impl<T: Time, const TICK: bool> Contender for SccMap<T, TICK> {
    type Time = T;
    type Store<'a> = &'a Self;

    fn new(time: T, _: Duration) -> Self {
        let map = scc::HashMap::with_hasher(RandomState::default());
        Self { map, time }
    }

    fn stores(&mut self, threads: usize) -> Vec<&Self> {
        vec![self; threads]
    }
}

impl<T: Time, const TICK: bool> Store for &SccMap<T, TICK> {
    #[inline]
    fn get(&mut self, id: &Id) -> Option<u64> {
        let now = self.time.now_millis();
        self.map.read_sync(id, |_, entry| entry.read::<TICK>(now))
    }

    #[inline]
    fn update(&mut self, id: &Id) -> bool {
        let now = self.time.now_millis();
        let updated = self.map.update_sync(id, |_, entry| entry.update(now));
        updated.is_some()
    }

    #[inline]
    fn create(&mut self, id: Id, value: Value) -> bool {
        let entry = Entry::new(self.time.now_millis(), value);
        self.map.insert_sync(id, entry).is_ok()
    }

    #[inline]
    fn remove(&mut self, id: &Id) -> bool {
        self.map.remove_sync(id).is_some()
    }

    fn collect(&mut self) -> usize {
        let now = self.time.now_millis();
        let mut ended = 0;
        self.map.retain_sync(|_, entry| {
            let due = entry.is_due(now);
            ended += usize::from(due);
            !due
        });
        ended
    }
}

/// scc's `HashIndex`.
pub struct SccIndex<T, const TICK: bool = false> {
    map: scc::HashIndex<Id, Entry, RandomState>,
    time: T,
}

impl<T: Time, const TICK: bool> Contender for SccIndex<T, TICK> {
    type Time = T;
    type Store<'a> = &'a Self;

    fn new(time: T, _: Duration) -> Self {
        let map = scc::HashIndex::with_hasher(RandomState::default());
        Self { map, time }
    }

    fn stores(&mut self, threads: usize) -> Vec<&Self> {
        vec![self; threads]
    }
}

impl<T: Time, const TICK: bool> Store for &SccIndex<T, TICK> {
    #[inline]
    fn get(&mut self, id: &Id) -> Option<u64> {
        let now = self.time.now_millis();
        self.map.peek_with(id, |_, entry| entry.read::<TICK>(now))
    }

    #[inline]
    fn update(&mut self, id: &Id) -> bool {
        let now = self.time.now_millis();
        let Some(mut occupied) = self.map.get_sync(id) else {
            return false;
        };
        let entry = Entry::new(now, updated(&occupied.get().value));
        occupied.update(entry);
        true
    }

    #[inline]
    fn create(&mut self, id: Id, value: Value) -> bool {
        let entry = Entry::new(self.time.now_millis(), value);
        self.map.insert_sync(id, entry).is_ok()
    }

    #[inline]
    fn remove(&mut self, id: &Id) -> bool {
        self.map.remove_sync(id)
    }

    fn collect(&mut self) -> usize {
        let now = self.time.now_millis();
        let mut ended = 0;
        self.map.retain_sync(|_, entry| {
            let due = entry.is_due(now);
            ended += usize::from(due);
            !due
        });
        ended
    }
}

/// moka's `sync::Cache` with `time_to_idle`; it has its own clock.
pub struct Moka<T> {
    cache: moka::sync::Cache<Id, Value, RandomState>,
    /// As of the last collection.
    entries: AtomicU64,
    _time: T,
}

impl<T: Time> Contender for Moka<T> {
    const OWN_CLOCK: bool = true;
    type Time = T;
    type Store<'a> = &'a Self;

    fn new(time: T, idle: Duration) -> Self {
        let cache = moka::sync::Cache::builder()
            .time_to_idle(idle)
            .build_with_hasher(RandomState::default());
        Self {
            cache,
            entries: AtomicU64::new(0),
            _time: time,
        }
    }

    fn stores(&mut self, threads: usize) -> Vec<&Self> {
        vec![self; threads]
    }
}

impl<T: Time> Store for &Moka<T> {
    #[inline]
    fn get(&mut self, id: &Id) -> Option<u64> {
        self.cache.get(id).map(|value| fold(&value))
    }

    #[inline]
    fn update(&mut self, id: &Id) -> bool {
        let result = self.cache.entry_by_ref(id).and_compute_with(|entry| {
            entry.map_or(Op::Nop, |entry| Op::Put(updated(entry.value())))
        });
        matches!(result, CompResult::ReplacedWith(_))
    }

    /// moka's insert does not tell whether the id was new.
    #[inline]
    fn create(&mut self, id: Id, value: Value) -> bool {
        self.cache.insert(id, value);
        true
    }

    #[inline]
    fn remove(&mut self, id: &Id) -> bool {
        self.cache.remove(id).is_some()
    }

    /// Counts what has ended since the last call, as moka ends sessions in other calls too. One
    /// pass is bounded; what is still due is left to the next.
    fn collect(&mut self) -> usize {
        self.cache.run_pending_tasks();
        let entries = self.cache.entry_count();
        let before = self.entries.swap(entries, Relaxed);
        before.saturating_sub(entries) as usize
    }
}
