//! tower-sessions' `MemoryStore`, used as its layer uses it: a touch is a load and a save, which is
//! not atomic. It never collects. Layer, cookie and HTTP are not included.

use std::collections::HashMap;
use std::time::Duration;

use ::time::OffsetDateTime;
use pollster::FutureExt;
use serde_json::Number;
use tower_sessions_core::SessionStore;
use tower_sessions_core::session::{self, Record};
use tower_sessions_memory_store::MemoryStore;

use super::{Contender, Id, Store, Time, Value, updated};

pub struct Tower<T> {
    store: MemoryStore,
    idle: Duration,
    _time: T,
}

impl<T> Tower<T> {
    fn expiry(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc() + self.idle
    }

    fn load(&self, id: &Id) -> Option<Record> {
        let loaded = self.store.load(&key(id)).block_on();
        loaded.expect("memory does not fail")
    }

    fn save(&self, mut record: Record) {
        record.expiry_date = self.expiry();
        let saved = self.store.save(&record).block_on();
        saved.expect("memory does not fail");
    }
}

fn key(id: &Id) -> session::Id {
    session::Id(i128::from_le_bytes(*id))
}

/// What serde_json makes of a value.
fn data(value: Value) -> HashMap<String, serde_json::Value> {
    let numbers = value.map(|number| serde_json::Value::Number(Number::from(number)));
    HashMap::from([("value".into(), serde_json::Value::Array(numbers.into()))])
}

fn value(record: &Record) -> Value {
    let numbers = &record.data["value"];
    std::array::from_fn(|place| numbers[place].as_u64().expect("a number was stored"))
}

impl<T: Time> Contender for Tower<T> {
    const OWN_CLOCK: bool = true;
    const COLLECTS: bool = false;
    const TELLS_REMOVED: bool = false;
    shared_by_threads!();

    fn new(time: T, idle: Duration, _: u64) -> Self {
        Self {
            store: MemoryStore::default(),
            idle,
            _time: time,
        }
    }
}

impl<T: Time> Store for &Tower<T> {
    fn with<R>(&mut self, id: &Id, read: impl FnOnce(&Value) -> R) -> Option<R> {
        let record = self.load(id)?;
        let value = value(&record);
        self.save(record);
        Some(read(&value))
    }

    fn update(&mut self, id: &Id) -> bool {
        let Some(mut record) = self.load(id) else {
            return false;
        };
        record.data = data(updated(&value(&record)));
        self.save(record);
        true
    }

    /// A known id makes the store choose another.
    fn create(&mut self, id: Id, value: Value) -> bool {
        let mut record = Record {
            id: key(&id),
            data: data(value),
            expiry_date: self.expiry(),
        };
        let created = self.store.create(&mut record).block_on();
        created.expect("memory does not fail");
        record.id == key(&id)
    }

    fn remove(&mut self, id: &Id) -> bool {
        let removed = self.store.delete(&key(id)).block_on();
        removed.expect("memory does not fail");
        true
    }

    fn collect(&mut self) -> usize {
        unreachable!("a contender that does not collect is not asked to")
    }
}
