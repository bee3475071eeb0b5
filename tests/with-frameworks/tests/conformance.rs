//! The conformance suite for stores: ours pass it, and what others fail is known.

use dwell::ManualClock;
use dwell::web::testing::stores::{ActixSession, TowerSessions014, TowerSessions015};
use dwell::web::testing::{Report, Store, Subject, conformance};
use dwell::web::{actix_session, tower_sessions_014, tower_sessions_015};
use std::time::Duration;
use tower_sessions::MemoryStore;
use tower_sessions_moka_store::MokaStore;

/// Stores with a clock to set.
struct Timed<F>(F, ManualClock);

impl<F: Fn(ManualClock) -> Box<dyn Store> + Sync> Subject for Timed<F> {
    fn store(&self) -> Box<dyn Store> {
        (self.0)(self.1.clone())
    }

    fn advance(&self, by: Duration) -> bool {
        self.1.advance(by);
        true
    }
}

fn timed(store: impl Fn(ManualClock) -> Box<dyn Store> + Sync) -> Report {
    conformance(&Timed(store, ManualClock::new()))
}

/// Stores that go by the clock on the wall.
struct Untimed<F>(F);

impl<F: Fn() -> Box<dyn Store> + Sync> Subject for Untimed<F> {
    fn store(&self) -> Box<dyn Store> {
        (self.0)()
    }
}

fn untimed(store: impl Fn() -> Box<dyn Store> + Sync) -> Report {
    conformance(&Untimed(store))
}

#[track_caller]
fn passes(report: &Report, skipped: &[&str]) {
    assert!(report.failed.is_empty(), "{:#?}", report.failed);
    assert_eq!(report.skipped, skipped);
    assert_eq!(report.passed.len() + skipped.len(), 19);
}

const NEEDS_A_TOUCH: [&str; 2] = [
    "a touch moves the end, and nothing else",
    "a touch does not bring back what was deleted",
];

#[test]
fn the_store_for_tower_sessions_014_passes() {
    let report = timed(|clock| {
        let store = tower_sessions_014::RecordStore::with_clock(None, clock);
        Box::new(TowerSessions014::with_deletion(store))
    });
    passes(&report, &NEEDS_A_TOUCH);
}

#[test]
fn the_store_for_tower_sessions_015_passes() {
    let report = timed(|clock| {
        let store = tower_sessions_015::RecordStore::with_clock(None, clock);
        Box::new(TowerSessions015::with_deletion(store))
    });
    passes(&report, &NEEDS_A_TOUCH);
}

#[test]
fn the_store_for_actix_session_passes() {
    let report = timed(|clock| {
        let store = actix_session::RecordStore::with_clock(None, clock);
        Box::new(ActixSession(store))
    });
    let needs_ids_of_the_callers = [
        "a new record under a taken id spoils nothing",
        "nor do two new records under one id at once",
        "deleting what has expired leaves the rest",
    ];
    passes(&report, &needs_ids_of_the_callers);
}

/// What a store fails that takes each save as it comes.
const AS_IT_COMES: [&str; 7] = [
    "a slow request's save does not bring back what was deleted",
    "an id that was not issued is not adopted",
    "of fifty overlapping requests each keeps its key",
    "of fifty threads too",
    "changes and deletions of overlapping requests are kept",
    "a request may save more than once",
    "a save does not bring back what has ended",
];
/// What it may pass by luck.
const RACES: [&str; 2] = [
    "saves that race a deletion do not bring it back",
    "nor do two new records under one id at once",
];

#[track_caller]
fn fails(report: &Report, due: &[&str]) {
    let failed = report.failed.iter().map(|(name, _)| *name);
    let failed: Vec<_> = failed.filter(|name| !RACES.contains(name)).collect();
    assert_eq!(failed, due);
}

#[test]
fn what_others_fail() {
    let moka = untimed(|| Box::new(TowerSessions014::new(MokaStore::new(None))));
    fails(&moka, &AS_IT_COMES);
    let memory = untimed(|| Box::new(TowerSessions014::new(MemoryStore::default())));
    fails(&memory, &AS_IT_COMES);
}

/// A `CachingSessionStore` fills its cache by `save`, and by `create` under an id that is there
/// already.
#[test]
fn the_cache_tier_takes_each_save_as_it_comes_because_it_has_to() {
    let report = timed(|clock| {
        let cache = tower_sessions_014::RecordCache::with_clock(None, clock);
        Box::new(TowerSessions014::new(cache))
    });
    let mut due = AS_IT_COMES.to_vec();
    due.insert(2, "a new record under a taken id spoils nothing");
    fails(&report, &due);
}
