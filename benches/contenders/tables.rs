//! Concurrent maps without expiry: a timestamp beside the value, and a sweep over all sessions.
//! `TICK`: the timestamp is written only if the clock has moved since.

use std::time::Duration;

use ahash::RandomState;

use super::entry::{Entry, Sweep};
use super::{Contender, Id, Store, Time, Value};

/// dashmap with 64 shards.
pub struct Dash<T, const TICK: bool> {
    map: dashmap::DashMap<Id, Entry, RandomState>,
    time: T,
}

impl<T: Time, const TICK: bool> Contender for Dash<T, TICK> {
    shared_by_threads!();

    fn new(time: T, _: Duration, _: u64) -> Self {
        let map = dashmap::DashMap::with_hasher_and_shard_amount(RandomState::default(), 64);
        Self { map, time }
    }
}

impl<T: Time, const TICK: bool> Store for &Dash<T, TICK> {
    #[inline]
    fn with<R>(&mut self, id: &Id, read: impl FnOnce(&Value) -> R) -> Option<R> {
        let entry = self.map.get(id)?;
        Some(entry.read::<TICK, R>(self.time.now_millis(), read))
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
        let mut sweep = Sweep::at(now);
        self.map.retain(|_, entry| sweep.keeps(entry));
        sweep.ended
    }
}

/// papaya.
pub struct Papaya<T, const TICK: bool> {
    map: papaya::HashMap<Id, Entry, RandomState>,
    time: T,
}

impl<T: Time, const TICK: bool> Contender for Papaya<T, TICK> {
    shared_by_threads!();

    fn new(time: T, _: Duration, _: u64) -> Self {
        let map = papaya::HashMap::with_hasher(RandomState::default());
        Self { map, time }
    }
}

impl<T: Time, const TICK: bool> Store for &Papaya<T, TICK> {
    #[inline]
    fn with<R>(&mut self, id: &Id, read: impl FnOnce(&Value) -> R) -> Option<R> {
        let map = self.map.pin();
        let entry = map.get(id)?;
        Some(entry.read::<TICK, R>(self.time.now_millis(), read))
    }

    #[inline]
    fn update(&mut self, id: &Id) -> bool {
        let now = self.time.now_millis();
        let replace = |entry: &Entry| entry.updated(now);
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
        let mut sweep = Sweep::at(now);
        self.map.pin().retain(|_, entry| sweep.keeps(entry));
        sweep.ended
    }
}

/// scc's `HashMap`.
pub struct SccMap<T, const TICK: bool> {
    map: scc::HashMap<Id, Entry, RandomState>,
    time: T,
}

impl<T: Time, const TICK: bool> Contender for SccMap<T, TICK> {
    shared_by_threads!();

    fn new(time: T, _: Duration, _: u64) -> Self {
        let map = scc::HashMap::with_hasher(RandomState::default());
        Self { map, time }
    }
}

impl<T: Time, const TICK: bool> Store for &SccMap<T, TICK> {
    #[inline]
    fn with<R>(&mut self, id: &Id, read: impl FnOnce(&Value) -> R) -> Option<R> {
        let now = self.time.now_millis();
        self.map
            .read_sync(id, |_, entry| entry.read::<TICK, R>(now, read))
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
        let mut sweep = Sweep::at(now);
        self.map.retain_sync(|_, entry| sweep.keeps(entry));
        sweep.ended
    }
}

/// scc's `HashIndex`.
pub struct SccIndex<T, const TICK: bool> {
    map: scc::HashIndex<Id, Entry, RandomState>,
    time: T,
}

impl<T: Time, const TICK: bool> Contender for SccIndex<T, TICK> {
    shared_by_threads!();

    fn new(time: T, _: Duration, _: u64) -> Self {
        let map = scc::HashIndex::with_hasher(RandomState::default());
        Self { map, time }
    }
}

impl<T: Time, const TICK: bool> Store for &SccIndex<T, TICK> {
    #[inline]
    fn with<R>(&mut self, id: &Id, read: impl FnOnce(&Value) -> R) -> Option<R> {
        let now = self.time.now_millis();
        self.map
            .peek_with(id, |_, entry| entry.read::<TICK, R>(now, read))
    }

    #[inline]
    fn update(&mut self, id: &Id) -> bool {
        let now = self.time.now_millis();
        let Some(mut occupied) = self.map.get_sync(id) else {
            return false;
        };
        let entry = occupied.get().updated(now);
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
        let mut sweep = Sweep::at(now);
        self.map.retain_sync(|_, entry| sweep.keeps(entry));
        sweep.ended
    }
}
