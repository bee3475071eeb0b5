//! Snapshots in the background go on, whatever becomes of one, and tell what went wrong.

use crate::machine::Machine;
use crate::sessions::{IDLE, millis};
use dwell::session::{SessionId, Settings};
use dwell::snapshot::{Periodic, SnapshotError};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const NEVER: Duration = Duration::MAX;

/// Waits for the snapshots' thread.
fn until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        std::thread::yield_now();
    }
}

fn has(machine: &Machine, id: &SessionId) -> bool {
    let builder = machine.builder(Settings::new(IDLE));
    let (store, _) = machine.file().restore(builder).expect("a whole file");
    store.peek(id).is_some()
}

fn more_written(periodic: &Periodic) {
    let written = periodic.stats().written;
    until(|| periodic.stats().written > written);
}

/// An attribute that panics when it is written, as often as it is told to.
struct Touchy;

static PANICS: AtomicU64 = AtomicU64::new(0);

impl Serialize for Touchy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let left = PANICS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            left.checked_sub(1)
        });
        assert!(left.is_err(), "touchy");
        // What is more than a text or a number is written anew each time.
        serializer.collect_seq([0])
    }
}

impl<'d> Deserialize<'d> for Touchy {
    fn deserialize<D: Deserializer<'d>>(deserializer: D) -> Result<Self, D::Error> {
        <[u8; 1]>::deserialize(deserializer).map(|_| Self)
    }
}

#[test]
fn a_session_that_panics_when_it_is_written_costs_itself_only() {
    let machine = Machine::new();
    let store = machine.builder(Settings::new(IDLE)).build().unwrap();
    store.create().unwrap().set("touchy", Touchy).unwrap();
    let calm = *store.create().unwrap().id();
    PANICS.store(1, Ordering::Relaxed);
    let written = machine.file().write(&store).unwrap();
    assert_eq!((written.sessions, written.skipped), (1, 1));
    PANICS.store(1, Ordering::Relaxed);
    let periodic = machine.file().every(millis(1)).spawn(&store);
    more_written(&periodic);
    until(|| periodic.last_result().unwrap().unwrap().sessions == 2);
    let id = *store.create().unwrap().id();
    assert_eq!(periodic.stop().unwrap().sessions, 3);
    assert!(has(&machine, &calm) && has(&machine, &id));
}

#[test]
fn a_listener_that_panics_is_counted_and_told_of_the_next_one() {
    let machine = Machine::new();
    let store = machine.builder(Settings::new(IDLE)).build().unwrap();
    let mut told = 0;
    let listener = move |_: &Result<_, _>| {
        told += 1;
        assert!(told > 2, "the listener panics twice");
    };
    let periodic = machine
        .file()
        .every(millis(1))
        .on_result(listener)
        .spawn(&store);
    until(|| periodic.stats().written > 3);
    let stats = periodic.stats();
    assert_eq!((stats.listener_panics, stats.failed), (2, 0));
    let id = *store.create().unwrap().id();
    drop(periodic);
    assert!(has(&machine, &id), "the last one is written");
}

/// A wall clock that is not there for a while.
#[test]
fn a_panic_of_what_the_program_brought_along_is_an_error_of_one_snapshot() {
    static IS_BROKEN: AtomicBool = AtomicBool::new(true);
    struct Fragile(dwell::ManualClock);
    impl dwell::Clock for Fragile {
        fn now_millis(&self) -> u64 {
            assert!(!IS_BROKEN.load(Ordering::Relaxed), "no time");
            self.0.now_millis()
        }
    }
    let machine = Machine::new();
    let store = machine.builder(Settings::new(IDLE)).build().unwrap();
    let id = *store.create().unwrap().id();
    let file = machine.file().wall_clock(Fragile(machine.wall.clone()));
    let periodic = file.every(millis(1)).spawn(&store);
    until(|| periodic.stats().failed > 1);
    let error = periodic.last_result().unwrap().unwrap_err();
    assert!(matches!(*error, SnapshotError::Panicked { .. }), "{error}");
    assert_eq!(periodic.stats().written, 0);
    IS_BROKEN.store(false, Ordering::Relaxed);
    more_written(&periodic);
    periodic.stop().unwrap();
    assert!(has(&machine, &id));
    let names = fs::read_dir(machine.directory.path()).unwrap();
    assert_eq!(names.count(), 1, "nothing unfinished stays");
}

#[test]
fn without_a_listener_a_failure_can_be_found_out() {
    let machine = Machine::new();
    let store = machine.builder(Settings::new(IDLE)).build().unwrap();
    let directory = machine.directory.path().join("volume");
    let file = dwell::snapshot::SnapshotFile::new(directory.join("sessions"));
    let periodic = file.every(millis(1)).spawn(&store);
    until(|| periodic.stats().failed > 1);
    let result = periodic.last_result().unwrap();
    assert!(matches!(&*result.unwrap_err(), SnapshotError::Io { .. }));
    assert!(format!("{periodic:?}").contains("written: 0"));
    // The volume is there again.
    fs::create_dir(&directory).unwrap();
    more_written(&periodic);
    until(|| matches!(periodic.last_result(), Some(Ok(_))));
    // In one step, for a snapshot may be written at any moment.
    fs::rename(&directory, machine.directory.path().join("gone")).unwrap();
    let last = periodic.stop();
    assert!(matches!(&*last.unwrap_err(), SnapshotError::Io { .. }));
}

#[test]
fn before_the_first_one_there_is_no_result_and_stopping_writes_it() {
    let machine = Machine::new();
    let store = machine.builder(Settings::new(IDLE)).build().unwrap();
    let periodic = machine.file().every(NEVER).spawn(&store);
    assert!(periodic.last_result().is_none());
    assert_eq!((periodic.stats().written, periodic.stats().failed), (0, 0));
    assert_eq!(periodic.stop().unwrap().sessions, 0);
}

/// What a crash right after it would bring back.
#[test]
fn a_logout_and_a_renewal_are_in_the_file_soon_if_one_asks_for_it() {
    let machine = Machine::new();
    let store = machine.builder(Settings::new(IDLE)).build().unwrap();
    let session = store.create().unwrap();
    let mut renewed = store.create().unwrap();
    let (gone, old) = (*session.id(), *renewed.id());
    machine.file().write(&store).unwrap();
    let periodic = machine
        .file()
        .every(NEVER)
        .promptly(millis(1))
        .spawn(&store);
    session.destroy().unwrap();
    until(|| !has_now(&machine, &gone));
    renewed.renew_with_grace(Duration::ZERO).unwrap();
    until(|| !has_now(&machine, &old) && has_now(&machine, renewed.id()));
    store.destroy_all();
    until(|| !has_now(&machine, renewed.id()));
    drop(periodic);
}

/// As `has`, while the file is being written: its unfinished parts stay.
fn has_now(machine: &Machine, id: &SessionId) -> bool {
    let builder = machine.builder(Settings::new(IDLE));
    let (store, restored) = machine.file().recover(builder).expect("a whole file");
    assert!(restored.is_complete && restored.lost_bytes == 0);
    store.peek(id).is_some()
}
