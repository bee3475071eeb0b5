//! The seed's design: a map and a list in the order of access, both behind one mutex; as it is, and
//! in shards. Each collects from the end of the list.

use std::time::Duration;

use ahash::RandomState;
use crossbeam_utils::CachePadded;
use hashlink::LinkedHashMap;

use super::entry::Entry;
use super::{Contender, Id, Store, Time, Value};

/// The least recently accessed first.
pub struct Sessions {
    entries: LinkedHashMap<Id, Entry, RandomState>,
    /// The oldest goes when there are more.
    capacity: usize,
}

impl Sessions {
    fn create(&mut self, id: Id, entry: Entry) -> bool {
        let is_new = self.entries.insert(id, entry).is_none();
        if self.entries.len() > self.capacity {
            self.entries.pop_front();
        }
        is_new
    }

    fn collect(&mut self, now: u64) -> usize {
        let before = self.entries.len();
        while self.entries.front().is_some_and(|(_, e)| e.is_due(now)) {
            self.entries.pop_front();
        }
        before - self.entries.len()
    }
}

pub trait Mutex: Send + Sync {
    fn new(sessions: Sessions) -> Self;
    fn locked<R>(&self, act: impl FnOnce(&mut Sessions) -> R) -> R;
}

impl Mutex for std::sync::Mutex<Sessions> {
    fn new(sessions: Sessions) -> Self {
        Self::new(sessions)
    }

    #[inline]
    fn locked<R>(&self, act: impl FnOnce(&mut Sessions) -> R) -> R {
        act(&mut self.lock().expect("no holder of the lock panicked"))
    }
}

impl Mutex for parking_lot::Mutex<Sessions> {
    fn new(sessions: Sessions) -> Self {
        Self::new(sessions)
    }

    #[inline]
    fn locked<R>(&self, act: impl FnOnce(&mut Sessions) -> R) -> R {
        act(&mut self.lock())
    }
}

/// `SHARDS` is a power of two of at most 256.
pub struct Seed<T, M, const SHARDS: usize> {
    shards: Box<[CachePadded<M>]>,
    time: T,
}

impl<T, M: Mutex, const SHARDS: usize> Seed<T, M, SHARDS> {
    fn with_capacity(time: T, capacity: usize) -> Self {
        let shard = |_| {
            let entries = LinkedHashMap::default();
            M::new(Sessions { entries, capacity }).into()
        };
        let shards = (0..SHARDS).map(shard).collect();
        Self { shards, time }
    }

    /// Ids are random: one byte is as good as a hash.
    #[inline]
    fn shard(&self, id: &Id) -> &M {
        &self.shards[usize::from(id[15]) % SHARDS]
    }
}

impl<T: Time, M: Mutex, const SHARDS: usize> Contender for Seed<T, M, SHARDS> {
    shared_by_threads!();

    fn new(time: T, _: Duration, _: u64) -> Self {
        Self::with_capacity(time, usize::MAX)
    }

    fn bounded(time: T, _: Duration, capacity: u64) -> Option<Self> {
        Some(Self::with_capacity(time, capacity as usize / SHARDS))
    }
}

impl<T: Time, M: Mutex, const SHARDS: usize> Store for &Seed<T, M, SHARDS> {
    #[inline]
    fn with<R>(&mut self, id: &Id, read: impl FnOnce(&Value) -> R) -> Option<R> {
        self.shard(id).locked(|sessions| {
            let entry = sessions.entries.to_back(id)?;
            Some(entry.read::<false, R>(self.time.now_millis(), read))
        })
    }

    #[inline]
    fn update(&mut self, id: &Id) -> bool {
        self.shard(id).locked(|sessions| {
            let entry = sessions.entries.to_back(id);
            entry.map(|e| e.update(self.time.now_millis())).is_some()
        })
    }

    #[inline]
    fn create(&mut self, id: Id, value: Value) -> bool {
        self.shard(&id)
            .locked(|sessions| sessions.create(id, Entry::new(self.time.now_millis(), value)))
    }

    #[inline]
    fn remove(&mut self, id: &Id) -> bool {
        let shard = self.shard(id);
        shard.locked(|sessions| sessions.entries.remove(id).is_some())
    }

    fn collect(&mut self) -> usize {
        let now = self.time.now_millis();
        let shards = self.shards.iter();
        shards
            .map(|shard| shard.locked(|sessions| sessions.collect(now)))
            .sum()
    }
}
