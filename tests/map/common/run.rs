//! Runs a list of operations on a map and on its model side by side. After
//! each operation the results, the removals the listener was told of and the
//! ledger must agree.

use super::model::{Licence, Model};
use super::op::{Config, Key, MANY, Op};
use super::{Journal, Tally, Value, YEAR, assert_ledger, assert_quiet, millis};
use dwell::{Clock, Handle, IdleMap, ManualClock};
use std::collections::VecDeque;
use std::sync::Arc;

/// Runs the operations, then drops the map and looks for leaks.
pub fn run(config: Config, ops: impl IntoIterator<Item = Op>) {
    let tally = Tally::new();
    let mut pair = Pair::new(config, &tally);
    for op in ops {
        pair.step(op);
    }
    let Pair { map, mut held, .. } = pair;
    drop(map);
    assert!(held.iter().all(|handle| handle.number() > 0));
    held.clear();
    tally.assert_alive(0);
}

struct Pair {
    config: Config,
    clock: ManualClock,
    map: IdleMap<Key, Value>,
    journal: Journal<Key>,
    model: Model,
    tally: Arc<Tally>,
    /// The last few handles, which outlive their records.
    held: VecDeque<Handle<Key, Value>>,
    values: u64,
}

impl Pair {
    fn new(config: Config, tally: &Arc<Tally>) -> Self {
        let clock = ManualClock::new();
        let journal = Journal::new();
        let mut builder = IdleMap::builder()
            .idle_timeout(millis(config.idle_timeout))
            .clock(clock.clone())
            .on_removal(journal.listener());
        if let Some(lifetime) = config.max_lifetime {
            builder = builder.max_lifetime(millis(lifetime));
        }
        if let Some(capacity) = config.capacity {
            builder = builder.capacity(capacity);
        }
        Pair {
            config,
            clock,
            map: builder.build().unwrap(),
            journal,
            model: Model::new(config),
            tally: Arc::clone(tally),
            held: VecDeque::new(),
            values: 0,
        }
    }

    fn step(&mut self, op: Op) {
        let Pair { map, model, .. } = self;
        match op {
            Op::Get(key) => {
                let handle = map.get(&key);
                assert_eq!(number(&handle, key), model.touch(key), "{op:?}");
                self.held.extend(handle);
                if self.held.len() > 8 {
                    self.held.pop_front();
                }
            }
            Op::With(key) => {
                assert_eq!(map.with(&key, Value::number), model.touch(key), "{op:?}");
            }
            Op::Peek(key) => {
                assert_eq!(number(&map.peek(&key), key), model.peek(key), "{op:?}");
            }
            Op::Touch(key) => {
                assert_eq!(map.touch(&key), model.touch(key).is_some(), "{op:?}");
            }
            Op::ContainsKey(key) => {
                assert_eq!(map.contains_key(&key), model.peek(key).is_some(), "{op:?}");
            }
            Op::IdleFor(key) => {
                let now = model.now;
                let idle = model.alive(key).map(|r| now.saturating_sub(r.last_access));
                assert_eq!(map.idle_for(&key), idle.map(millis), "{op:?}");
            }
            Op::TimeLeft(key) => {
                let now = model.now;
                let left = model.alive(key).map(|record| record.ends() - now);
                assert_eq!(map.time_left(&key), left.map(millis), "{op:?}");
            }
            Op::Insert(key) => self.insert(key),
            Op::InsertMany(first) => (first..first + MANY).for_each(|key| self.insert(key)),
            Op::TryInsert(key) => self.try_insert(key),
            Op::GetOrInsertWith(key) => self.get_or_insert_with(key),
            Op::Update(key) => self.update(key),
            Op::Remove(key) => {
                assert_eq!(number(&map.remove(&key), key), model.remove(key), "{op:?}");
            }
            Op::RemoveIf(key, agree) => {
                let mut asked = None;
                let removed = map.remove_if(&key, |value| {
                    assert_eq!(asked.replace(value.number()), None, "asked twice");
                    agree
                });
                assert_eq!(asked, model.peek(key), "{op:?}");
                assert_eq!(number(&removed, key), asked.filter(|_| agree), "{op:?}");
                if agree {
                    model.remove(key);
                }
            }
            Op::SetIdleTimeout(key, span) => {
                let set = map.set_idle_timeout(&key, millis(span));
                assert_eq!(set, model.set_idle_timeout(key, span), "{op:?}");
            }
            Op::SetLifetime(key, span) => {
                let set = map.set_lifetime(&key, millis(span));
                assert_eq!(set, model.set_lifetime(key, span), "{op:?}");
            }
            Op::Collect => {
                model.collect();
                let ended = map.collect();
                assert_eq!(ended, self.reconcile(Licence::default()), "{op:?}");
            }
            Op::CollectIdle(bound) => {
                model.collect_idle(bound);
                let ended = map.collect_idle(millis(bound));
                let licence = Licence {
                    idle_bound: Some(bound),
                    ..Licence::default()
                };
                assert_eq!(ended, self.reconcile(licence), "{op:?}");
            }
            Op::Evict(n) => self.evict(n),
            Op::Retain(divisor) => self.retain(divisor),
            Op::Clear => {
                model.clear();
                map.clear();
            }
            Op::Iterate => {
                let mut seen: Vec<_> = map.iter().map(|h| (*h.key(), h.number())).collect();
                seen.sort_unstable();
                assert_eq!(seen, model.all_alive(), "{op:?}");
            }
            Op::Advance(span) => self.clock.advance(millis(span)),
            Op::AdvanceToDeadline(key, offset) => self.advance_to_deadline(key, offset),
            Op::AdvanceACentury => self.clock.advance(100 * YEAR),
            Op::GoBack(span) => self.clock.set(millis(model.now.saturating_sub(span))),
        }
        self.reconcile(Licence::default());
        self.model.now = self.clock.now_millis();
        self.check();
    }

    fn insert(&mut self, key: Key) {
        let value = self.value();
        let replaced = self.model.insert(key, value.number());
        let handle = self.map.insert(key, value);
        assert_eq!(number(&handle, key), replaced, "insert {key}");
        self.reconcile(Licence::default());
    }

    fn try_insert(&mut self, key: Key) {
        let value = self.value();
        let made = value.number();
        let existing = self.model.peek(key);
        match self.map.try_insert(key, value) {
            Ok(handle) => {
                assert_eq!(existing, None, "try_insert {key}");
                assert_eq!(handle.number(), made);
                self.model.insert(key, made);
            }
            Err(occupied) => {
                assert_eq!(Some(occupied.existing.number()), existing);
                assert_eq!(occupied.value.number(), made);
            }
        }
    }

    fn get_or_insert_with(&mut self, key: Key) {
        let value = self.value();
        let made = value.number();
        let existing = self.model.touch(key);
        let handle = self.map.get_or_insert_with(key, || {
            assert_eq!(existing, None, "{key} was present");
            value
        });
        assert_eq!(handle.number(), existing.unwrap_or(made));
        if existing.is_none() {
            self.model.insert(key, made);
        }
    }

    fn update(&mut self, key: Key) {
        let value = self.value();
        let made = value.number();
        let old = self.model.update(key, made);
        let (mut value, mut seen) = (Some(value), None);
        let handle = self.map.update(&key, |current| {
            seen = Some(current.number());
            value.take().expect("nobody interferes: it runs once")
        });
        assert_eq!(seen, old, "update {key}");
        assert_eq!(number(&handle, key), old.map(|_| made), "update {key}");
    }

    /// Counts those as well that it finds expired.
    fn evict(&mut self, n: usize) {
        let most = n.min(self.model.records.len());
        let evicted = self.map.evict(n);
        assert_eq!(evicted, most);
        let ended = self.reconcile(Licence {
            evictions: n,
            ..Licence::default()
        });
        assert_eq!(ended, most);
    }

    fn retain(&mut self, divisor: Key) {
        let alive = self.model.all_alive();
        let mut asked = Vec::new();
        self.map.retain(|key, value| {
            asked.push((*key, value.number()));
            key % divisor != 0
        });
        asked.sort_unstable();
        assert_eq!(asked, alive, "retain asks once for each live record");
        for (key, _) in alive.into_iter().filter(|(key, _)| key % divisor == 0) {
            self.model.remove(key);
        }
    }

    fn advance_to_deadline(&mut self, key: Key, offset: i64) {
        if let Some(record) = self.model.records.get(&key) {
            let at = record.ends().saturating_add_signed(offset);
            if at > self.model.now {
                self.clock.set(millis(at));
            }
        }
    }

    fn value(&mut self) -> Value {
        self.values += 1;
        self.tally.value(self.values)
    }

    /// Returns how many records ended.
    fn reconcile(&mut self, licence: Licence) -> usize {
        let removals = self.journal.take();
        self.model.reconcile(&removals, licence);
        removals.len()
    }

    fn check(&self) {
        assert_ledger(&self.map);
        assert_quiet(&self.map);
        self.model.assert_stats(&self.map.stats());
        if let Some(capacity) = self.config.capacity {
            assert!(self.map.len() <= capacity);
        }
        if self.config.audited {
            self.audit();
        }
        for handle in &self.held {
            let record = self.model.records.get(handle.key());
            let is_there = record.is_some_and(|r| r.number == handle.number());
            // One that is due counts as live until it is met.
            assert_eq!(handle.is_live(), is_there, "{handle:?}");
        }
    }

    /// Looks at the deadlines of the keys that have single operations.
    fn audit(&self) {
        for (key, record) in self.model.records.range(..1_000) {
            let (now, at) = (self.model.now, record.ends());
            if now < at {
                let idle = now.saturating_sub(record.last_access);
                assert_eq!(self.map.idle_for(key), Some(millis(idle)), "{key}");
                assert_eq!(self.map.time_left(key), Some(millis(at - now)), "{key}");
            }
        }
    }
}

fn number(handle: &Option<Handle<Key, Value>>, key: Key) -> Option<u64> {
    let handle = handle.as_ref()?;
    assert_eq!(*handle.key(), key);
    Some(handle.number())
}
