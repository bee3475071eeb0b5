//! The conformance suite for stores finds what a store can get wrong: faults are planted into a
//! plain one that passes.

use dwell::web::testing::{Answer, Report, Store, Subject, Values, conformance};
use dwell::{Clock, ManualClock};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

/// What a store may get wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    CreationDropsEmptyKeys,
    CreationOverwrites,
    CreationInTwoSteps,
    SaveCreates,
    SaveKeepsWhatWasRemoved,
    SaveInTwoSteps,
    SaveDoesNotMerge,
    SaveUndoesDeletions,
    SaveCountsOnce,
    SaveRevives,
    SaveLeavesTheEnd,
    DeletionDoesNothing,
    DeletionDeletesAll,
    LoadIgnoresTheEnd,
    LoadMovesTheEnd,
    TouchDoesNothing,
    TouchForgets,
    TouchCreates,
    SweepDeletesAll,
}

/// The entry that tells which version a request has loaded.
const VERSION: &str = "version";

/// Each version there was, the last one last.
#[derive(Clone)]
struct Record {
    versions: Vec<Values>,
    lifetime: u64,
    end: u64,
}

/// A plain store: one operation at a time.
struct Plain {
    fault: Fault,
    clock: ManualClock,
    created: AtomicU64,
    turns: Mutex<()>,
    records: Mutex<HashMap<String, Record>>,
}

impl Plain {
    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    /// Until it is dropped, nobody else has a turn; but for who has this fault.
    fn turn(&self, fault: Fault) -> Option<MutexGuard<'_, ()>> {
        (!self.is(fault)).then(|| self.turns.lock().unwrap())
    }

    /// Long enough for who does not wait for their turn.
    fn dawdle(&self, fault: Fault) {
        if self.is(fault) {
            (0..200).for_each(|_| thread::yield_now());
        }
    }

    /// A record, whether or not it has ended.
    fn any(&self, id: &str) -> Option<Record> {
        self.records.lock().unwrap().get(id).cloned()
    }

    fn live(&self, id: &str) -> Option<Record> {
        let now = self.clock.now_millis();
        self.any(id).filter(|record| record.end > now)
    }

    fn put(&self, id: &str, versions: Vec<Values>, lifetime: Duration) {
        let lifetime = lifetime.as_millis() as u64;
        let end = self.clock.now_millis() + lifetime;
        let record = Record {
            versions,
            lifetime,
            end,
        };
        self.records.lock().unwrap().insert(id.to_owned(), record);
    }

    fn create_under(&self, id: Option<&str>, mut values: Values, lifetime: Duration) -> String {
        let _turn = self.turn(Fault::CreationInTwoSteps);
        let is_free = |id: &&str| self.live(id).is_none() || self.is(Fault::CreationOverwrites);
        let id = match id.filter(is_free) {
            Some(id) => id.to_owned(),
            None => format!("id{}", self.created.fetch_add(1, Ordering::Relaxed)),
        };
        self.dawdle(Fault::CreationInTwoSteps);
        if self.is(Fault::CreationDropsEmptyKeys) {
            values.remove("");
        }
        self.put(&id, vec![values], lifetime);
        id
    }

    fn load_now(&self, id: &str) -> Option<Values> {
        let _turn = self.turn(Fault::None);
        let found = match self.fault {
            Fault::LoadIgnoresTheEnd => self.any(id),
            _ => self.live(id),
        };
        let record = found?;
        if self.is(Fault::LoadMovesTheEnd) {
            let lifetime = Duration::from_millis(record.lifetime);
            self.put(id, record.versions.clone(), lifetime);
        }
        let mut values = record.versions.last()?.clone();
        values.insert(VERSION.into(), (record.versions.len() - 1).into());
        Some(values)
    }

    fn save_now(&self, id: &str, mut values: Values, lifetime: Duration) {
        let _turn = self.turn(Fault::SaveInTwoSteps);
        let found = match self.fault {
            Fault::SaveRevives => self.any(id),
            _ => self.live(id),
        };
        let Some(mut record) = found else {
            if self.is(Fault::SaveCreates) {
                self.put(id, vec![values], lifetime);
            }
            return;
        };
        self.dawdle(Fault::SaveInTwoSteps);
        let version = values.remove(VERSION).and_then(|version| version.as_u64());
        let last = record.versions.len() - 1;
        let loaded = version.map_or(last, |version| version as usize);
        if self.is(Fault::SaveCountsOnce) && loaded != last {
            return;
        }
        let merged = self.merge(
            &record.versions[loaded],
            values,
            record.versions[last].clone(),
        );
        record.versions.push(merged);
        let lifetime = match self.fault {
            Fault::SaveLeavesTheEnd => Duration::from_millis(record.end - self.clock.now_millis()),
            _ => lifetime,
        };
        self.put(id, record.versions, lifetime);
    }

    fn merge(&self, loaded: &Values, request: Values, now: Values) -> Values {
        if self.is(Fault::SaveDoesNotMerge) {
            return request;
        }
        let mut merged = match self.fault {
            Fault::SaveUndoesDeletions => loaded.clone().into_iter().chain(now).collect(),
            _ => now,
        };
        if !self.is(Fault::SaveKeepsWhatWasRemoved) {
            merged.retain(|key, _| request.contains_key(key) || !loaded.contains_key(key));
        }
        let changed = request.into_iter();
        merged.extend(changed.filter(|(key, value)| loaded.get(key) != Some(value)));
        merged
    }

    fn touch_now(&self, id: &str, lifetime: Duration) {
        let _turn = self.turn(Fault::TouchDoesNothing);
        match (self.live(id), self.fault) {
            (_, Fault::TouchDoesNothing) => {}
            (Some(_), Fault::TouchForgets) => self.put(id, vec![Values::new()], lifetime),
            (None, Fault::TouchCreates) => self.put(id, vec![Values::new()], lifetime),
            (Some(record), _) => self.put(id, record.versions, lifetime),
            (None, _) => {}
        }
    }

    fn delete_now(&self, id: &str) {
        let _turn = self.turn(Fault::DeletionDoesNothing);
        let mut records = self.records.lock().unwrap();
        match self.fault {
            Fault::DeletionDoesNothing => {}
            Fault::DeletionDeletesAll => records.clear(),
            _ => drop(records.remove(id)),
        }
    }

    fn sweep(&self) {
        let now = self.clock.now_millis();
        let keeps = |record: &Record| record.end > now && !self.is(Fault::SweepDeletesAll);
        let mut records = self.records.lock().unwrap();
        records.retain(|_, record| keeps(record));
    }
}

impl Store for Plain {
    fn create(&self, values: Values, lifetime: Duration) -> Answer<'_, String> {
        Box::pin(async move { Ok(self.create_under(None, values, lifetime)) })
    }

    fn create_as<'a>(
        &'a self,
        id: &'a str,
        values: Values,
        lifetime: Duration,
    ) -> Option<Answer<'a, String>> {
        let answer = async move { Ok(self.create_under(Some(id), values, lifetime)) };
        Some(Box::pin(answer))
    }

    fn load<'a>(&'a self, id: &'a str) -> Answer<'a, Option<Values>> {
        Box::pin(async { Ok(self.load_now(id)) })
    }

    fn save<'a>(&'a self, id: &'a str, values: Values, lifetime: Duration) -> Answer<'a, ()> {
        Box::pin(async move {
            self.save_now(id, values, lifetime);
            Ok(())
        })
    }

    fn touch<'a>(&'a self, id: &'a str, lifetime: Duration) -> Option<Answer<'a, ()>> {
        Some(Box::pin(async move {
            self.touch_now(id, lifetime);
            Ok(())
        }))
    }

    fn delete<'a>(&'a self, id: &'a str) -> Answer<'a, ()> {
        Box::pin(async {
            self.delete_now(id);
            Ok(())
        })
    }

    fn delete_expired(&self) -> Option<Answer<'_, ()>> {
        Some(Box::pin(async {
            self.sweep();
            Ok(())
        }))
    }
}

struct Lab {
    fault: Fault,
    clock: ManualClock,
}

impl Subject for Lab {
    fn store(&self) -> Box<dyn Store> {
        Box::new(Plain {
            fault: self.fault,
            clock: self.clock.clone(),
            created: AtomicU64::new(0),
            turns: Mutex::default(),
            records: Mutex::default(),
        })
    }

    fn advance(&self, by: Duration) -> bool {
        self.clock.advance(by);
        true
    }
}

fn examine(fault: Fault) -> Report {
    let clock = ManualClock::new();
    conformance(&Lab { fault, clock })
}

#[test]
fn a_store_without_a_fault_passes_every_check() {
    let report = examine(Fault::None);
    assert!(report.failed.is_empty(), "{:#?}", report.failed);
    assert_eq!((report.passed.len(), report.skipped.len()), (19, 0));
}

#[test]
fn the_suite_finds_each_fault() {
    let created = "what was created is loaded as it is";
    let saved = "a save changes, adds and removes";
    let deleted = "a deleted record is not loaded";
    let slow = "a slow request's save does not bring back what was deleted";
    let races = "saves that race a deletion do not bring it back";
    let unknown = "an id that was not issued is not adopted";
    let taken = "a new record under a taken id spoils nothing";
    let at_once = "nor do two new records under one id at once";
    let fifty = "of fifty overlapping requests each keeps its key";
    let threads = "of fifty threads too";
    let both = "changes and deletions of overlapping requests are kept";
    let twice = "a request may save more than once";
    let past = "a record past its end is not loaded";
    let no_return = "a save does not bring back what has ended";
    let due = "a record ends when it is due, and not before";
    let moves = "a save moves the end";
    let touches = "a touch moves the end, and nothing else";
    let no_touch = "a touch does not bring back what was deleted";
    let sweep = "deleting what has expired leaves the rest";
    let faults: [(Fault, &[&str]); 19] = [
        (Fault::CreationDropsEmptyKeys, &[created]),
        (Fault::CreationOverwrites, &[taken]),
        (Fault::CreationInTwoSteps, &[at_once]),
        (Fault::SaveCreates, &[slow, races, unknown, no_return]),
        (Fault::SaveKeepsWhatWasRemoved, &[saved, both]),
        (Fault::SaveInTwoSteps, &[races, threads]),
        (Fault::SaveDoesNotMerge, &[fifty, threads, both, twice]),
        (Fault::SaveUndoesDeletions, &[both]),
        (Fault::SaveCountsOnce, &[fifty, threads, both, twice]),
        (Fault::SaveRevives, &[no_return]),
        (Fault::SaveLeavesTheEnd, &[past, moves]),
        (Fault::DeletionDoesNothing, &[deleted, slow, races]),
        (Fault::DeletionDeletesAll, &[deleted]),
        (Fault::LoadIgnoresTheEnd, &[past, due]),
        (Fault::LoadMovesTheEnd, &[due]),
        (Fault::TouchDoesNothing, &[touches]),
        (Fault::TouchForgets, &[touches]),
        (Fault::TouchCreates, &[unknown, no_touch]),
        (Fault::SweepDeletesAll, &[sweep]),
    ];
    for (fault, due) in faults {
        let failed = examine(fault).failed;
        let failed: Vec<_> = failed.iter().map(|(name, _)| *name).collect();
        for check in due {
            assert!(
                failed.contains(check),
                "{fault:?} passes {check:?}: {failed:#?}"
            );
        }
    }
}
