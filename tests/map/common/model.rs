//! A plain single-threaded model of the map: a `BTreeMap` of records with
//! their deadlines in milliseconds. It says what each operation must answer,
//! which removals it must cause and which others it may.

use super::Removal;
use super::op::{Config, Key};
use dwell::RemovalCause::{self, Evicted, ExpiredIdle, ExpiredLifetime, Removed, Replaced};
use dwell::Stats;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Longer timeouts and lifetimes of single records count as this.
const LONGEST: u64 = (1 << 40) - 1;

#[derive(Clone, Copy, Debug)]
pub struct Record {
    pub number: u64,
    pub last_access: u64,
    pub idle_timeout: u64,
    pub deadline: u64,
}

impl Record {
    fn idle_deadline(&self) -> u64 {
        self.last_access.saturating_add(self.idle_timeout)
    }

    pub fn ends(&self) -> u64 {
        self.idle_deadline().min(self.deadline)
    }

    /// Its idle deadline if the map's idle timeout were `bound`.
    fn idle_deadline_within(&self, bound: u64, map_timeout: u64) -> u64 {
        let allowance = (self.idle_timeout + bound).saturating_sub(map_timeout);
        self.last_access.saturating_add(allowance)
    }

    /// Why it ends when it ends of age: the deadline that passed first.
    fn causes(&self) -> &'static [RemovalCause] {
        match self.deadline.cmp(&self.idle_deadline()) {
            Ordering::Less => &[ExpiredLifetime],
            Ordering::Equal => &[ExpiredLifetime, ExpiredIdle],
            Ordering::Greater => &[ExpiredIdle],
        }
    }

    /// The same in a pass with its own bound, by which it ends at `idle`.
    fn causes_within(&self, idle: u64, now: u64) -> &'static [RemovalCause] {
        match (now >= idle, now >= self.deadline) {
            (true, true) => &[ExpiredIdle, ExpiredLifetime],
            (true, false) => &[ExpiredIdle],
            (false, _) => self.causes(),
        }
    }
}

/// A removal the listener must have been told of by the end of the operation.
#[derive(Debug)]
struct Required {
    key: Key,
    number: u64,
    causes: &'static [RemovalCause],
}

/// What the operation under way may end beside what is due.
#[derive(Clone, Copy, Default)]
pub struct Licence {
    /// The bound of a `collect_idle`.
    pub idle_bound: Option<u64>,
    /// How many records an `evict` may take.
    pub evictions: usize,
}

pub struct Model {
    config: Config,
    pub now: u64,
    pub records: BTreeMap<Key, Record>,
    newest: u64,
    required: Vec<Required>,
    created: u64,
    updated: u64,
    removals: BTreeMap<u8, u64>,
}

impl Model {
    pub fn new(config: Config) -> Self {
        Model {
            config,
            now: 0,
            records: BTreeMap::new(),
            newest: 0,
            required: Vec::new(),
            created: 0,
            updated: 0,
            removals: BTreeMap::new(),
        }
    }

    /// The record as an access finds it: the access ends one that is due.
    pub fn alive(&mut self, key: Key) -> Option<&mut Record> {
        let record = *self.records.get(&key)?;
        if record.ends() <= self.now {
            self.end(key, record.causes());
        }
        self.records.get_mut(&key)
    }

    /// The same for an access that touches; returns the value's number.
    pub fn touch(&mut self, key: Key) -> Option<u64> {
        let now = self.now;
        let record = self.alive(key)?;
        record.last_access = record.last_access.max(now);
        Some(record.number)
    }

    pub fn peek(&mut self, key: Key) -> Option<u64> {
        self.alive(key).map(|record| record.number)
    }

    pub fn remove(&mut self, key: Key) -> Option<u64> {
        let number = self.peek(key)?;
        self.end(key, &[Removed]);
        Some(number)
    }

    /// A fresh record; returns the number of the one it replaces.
    pub fn insert(&mut self, key: Key, number: u64) -> Option<u64> {
        let replaced = self.peek(key);
        match replaced {
            Some(_) => self.end(key, &[Replaced]),
            None => self.created += 1,
        }
        let lifetime = self.config.max_lifetime;
        let record = Record {
            number,
            last_access: self.now,
            idle_timeout: self.config.idle_timeout,
            deadline: lifetime.map_or(u64::MAX, |lifetime| self.now + lifetime),
        };
        self.records.insert(key, record);
        self.newest = number;
        replaced
    }

    /// A new value in the same record. The listener is not told.
    pub fn update(&mut self, key: Key, number: u64) -> Option<u64> {
        let updated = self.touch(key)?;
        self.alive(key)?.number = number;
        self.updated += 1;
        Some(updated)
    }

    pub fn set_idle_timeout(&mut self, key: Key, span: u64) -> bool {
        let record = self.alive(key);
        record
            .map(|record| record.idle_timeout = span.clamp(1, LONGEST))
            .is_some()
    }

    pub fn set_lifetime(&mut self, key: Key, span: u64) -> bool {
        let deadline = self.now + span.min(LONGEST);
        let record = self.alive(key);
        record.map(|record| record.deadline = deadline).is_some()
    }

    pub fn clear(&mut self) {
        for (key, record) in self.records.clone() {
            let due = record.ends() <= self.now;
            self.end(key, if due { record.causes() } else { &[Removed] });
        }
    }

    /// Requires the end of all that has been due for a whole quantum.
    pub fn collect(&mut self) {
        for (key, record) in self.records.clone() {
            if self.long_past(record.ends()) {
                self.end(key, record.causes());
            }
        }
    }

    pub fn collect_idle(&mut self, bound: u64) {
        for (key, record) in self.records.clone() {
            let idle = record.idle_deadline_within(bound, self.config.idle_timeout);
            if self.long_past(idle.min(record.deadline)) {
                self.end(key, record.causes_within(idle, self.now));
            }
        }
    }

    fn long_past(&self, deadline: u64) -> bool {
        deadline.saturating_add(self.config.quantum()) <= self.now
    }

    pub fn all_alive(&self) -> Vec<(Key, u64)> {
        let alive = self.records.iter();
        let alive = alive.filter(|(_, record)| self.now < record.ends());
        alive.map(|(key, record)| (*key, record.number)).collect()
    }

    fn end(&mut self, key: Key, causes: &'static [RemovalCause]) {
        let record = self.records.remove(&key).expect("only what is there ends");
        self.required.push(Required {
            key,
            number: record.number,
            causes,
        });
    }

    /// Compares the removals the listener saw during an operation with those
    /// that were required and those that were allowed.
    pub fn reconcile(&mut self, removals: &[Removal<Key>], mut licence: Licence) {
        for &(key, number, cause) in removals {
            let required = self.required.iter().position(|r| r.number == number);
            if let Some(required) = required.map(|index| self.required.swap_remove(index)) {
                assert_eq!(required.key, key);
                assert!(required.causes.contains(&cause), "{cause:?}: {required:?}");
            } else {
                let record = self.records.get(&key).filter(|r| r.number == number);
                let Some(&record) = record else {
                    panic!("{cause:?} of {number} under {key}, which is not there");
                };
                let allowed = self.allows(&record, cause, &mut licence);
                assert!(allowed, "{cause:?} of {record:?} at {}", self.now);
                self.records.remove(&key);
            }
            *self.removals.entry(door(cause)).or_default() += 1;
        }
        assert!(self.required.is_empty(), "never ended: {:?}", self.required);
    }

    fn allows(&self, record: &Record, cause: RemovalCause, licence: &mut Licence) -> bool {
        if record.ends() <= self.now {
            return record.causes().contains(&cause);
        }
        if cause == Evicted && licence.evictions > 0 {
            licence.evictions -= 1;
            return true;
        }
        if cause == Evicted {
            let over = |capacity| self.records.len() > capacity;
            return self.config.capacity.is_some_and(over) && record.number != self.newest;
        }
        licence.idle_bound.is_some_and(|bound| {
            let idle = record.idle_deadline_within(bound, self.config.idle_timeout);
            idle <= self.now && record.causes_within(idle, self.now).contains(&cause)
        })
    }

    /// The ledger of the map must be the ledger of the model.
    pub fn assert_stats(&self, stats: &Stats) {
        let removals = |cause| self.removals.get(&door(cause)).copied().unwrap_or(0);
        assert_eq!(stats.live, self.records.len(), "live: {stats:?}");
        assert_eq!(stats.created, self.created, "created: {stats:?}");
        assert_eq!(stats.expired, removals(ExpiredIdle), "expired: {stats:?}");
        assert_eq!(stats.evicted, removals(Evicted), "evicted: {stats:?}");
        assert_eq!(stats.removed, removals(Removed), "removed: {stats:?}");
        let replaced = removals(Replaced) + self.updated;
        assert_eq!(stats.replaced, replaced, "replaced: {stats:?}");
    }
}

/// The counter of the ledger that a cause goes to.
fn door(cause: RemovalCause) -> u8 {
    match cause {
        ExpiredIdle | ExpiredLifetime => 0,
        Evicted => 1,
        Removed => 2,
        Replaced => 3,
        other => panic!("a cause the model does not know: {other:?}"),
    }
}
