//! Sessions over a restart, in a file.

use crate::machine::Machine;
use crate::sessions::{IDLE, millis, seconds, together};
use dwell::session::{SessionError, SessionId, SessionStore, Settings};
use dwell::snapshot::{SnapshotError, SnapshotFile};
use proptest::prelude::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[test]
fn a_session_is_after_a_restart_what_it_was_before() {
    let machine = Machine::new();
    let store = machine.builder(Settings::new(IDLE)).build().unwrap();
    let session = store.create().unwrap();
    session.set("name", String::from("Ann")).unwrap();
    session.set("cart", vec![1_u64, 2]).unwrap();
    session.set_owner("ann").unwrap();
    session.set_lifetime(IDLE * 5).unwrap();
    machine.advance(seconds(20));
    let before = session.peek().unwrap();
    let id = *session.id();
    drop(session);

    let store = machine.restart(store, seconds(10));
    let mut session = store.find(&id).expect("it is there");
    assert_eq!(*session.get::<String>("name").unwrap().unwrap(), "Ann");
    assert_eq!(*session.get::<Vec<u64>>("cart").unwrap().unwrap(), [1, 2]);
    let after = session.peek().unwrap();
    assert_eq!(after.version, before.version);
    assert_eq!(after.owner, before.owner);
    assert_eq!(after.age, before.age + seconds(10));
    assert_eq!(after.lifetime_left, Some(IDLE * 5 - seconds(30)));
    let owned = store.owned_by("ann");
    assert_eq!((owned.len(), owned[0].key), (1, id.key()));
    let stats = store.stats();
    assert_eq!((stats.live, stats.owners, stats.anonymous), (1, 1, 0));
    assert!(stats.bytes > 0);

    // And it goes on as any other.
    session
        .update("n", |n: Option<&u64>| n.map_or(1, |n| n + 1))
        .unwrap();
    session.renew_with_grace(Duration::ZERO).unwrap();
    assert!(store.find(&id).is_none(), "the old id is gone");
    let renewed = *session.id();
    let store = machine.restart(store, seconds(1));
    assert!(store.find(&id).is_none());
    assert_eq!(store.destroy_owned_by("ann", None), 1);
    assert!(store.find(&renewed).is_none());
    assert_eq!(store.stats().owners, 0);
    assert_eq!(store.stats().bytes, 0);
}

#[test]
fn the_time_down_counts_for_the_idle_timeout() {
    let machine = Machine::new();
    for (down, lives) in [(seconds(49), true), (seconds(50), false)] {
        let store = machine.builder(Settings::new(IDLE)).build().unwrap();
        let id = *store.create().unwrap().id();
        machine.advance(seconds(10));
        let store = machine.restart(store, down);
        assert_eq!(store.peek(&id).is_some(), lives, "down for {down:?}");
        if lives {
            machine.advance(millis(999));
            assert!(store.peek(&id).is_some(), "to the millisecond");
            machine.advance(millis(1));
            assert!(store.peek(&id).is_none());
        }
    }
}

#[test]
fn the_time_down_counts_for_the_lifetime_and_for_a_timeout_of_its_own() {
    let machine = Machine::new();
    let settings = Settings::new(IDLE).max_lifetime(IDLE * 2);
    let store = machine.builder(settings).build().unwrap();
    let limited = *store.create().unwrap().id();
    let long = store.create().unwrap();
    long.set_idle_timeout(IDLE * 100).unwrap();
    long.set_lifetime(IDLE * 100).unwrap();
    let long = *long.id();
    machine.advance(IDLE / 2);
    store.find(&limited).unwrap();
    let store = machine.restart(store, IDLE / 2);
    store.find(&limited).expect("a minute is left");
    machine.advance(IDLE - millis(1));
    assert!(store.peek(&limited).is_some());
    machine.advance(millis(1));
    assert!(store.peek(&limited).is_none(), "its lifetime is over");
    machine.advance(IDLE * 97);
    assert!(store.find(&long).is_some());
    machine.advance(IDLE);
    assert!(store.find(&long).is_none());
}

#[test]
fn an_old_id_answers_for_what_is_left_of_its_grace() {
    let machine = Machine::new();
    let settings = Settings::new(IDLE).grace(seconds(20));
    let store = machine.builder(settings).build().unwrap();
    let mut session = store.create().unwrap();
    let old = *session.id();
    session.renew().unwrap();
    let new = *session.id();
    drop(session);
    machine.advance(seconds(5));
    let store = machine.restart(store, seconds(10));
    assert!(store.find(&old).is_some());
    let late = store.find(&old).map(|mut session| session.renew());
    assert!(matches!(late, Some(Err(SessionError::Superseded))));
    machine.advance(seconds(5));
    assert!(store.find(&old).is_none(), "its grace is over");
    assert!(store.find(&new).is_some());
}

#[test]
fn what_ended_does_not_come_back() {
    let machine = Machine::new();
    let store = machine.builder(Settings::new(IDLE)).build().unwrap();
    let ended = store.create().unwrap();
    let (id, stays) = (*ended.id(), *store.create().unwrap().id());
    ended.destroy().unwrap();
    let store = machine.restart(store, seconds(1));
    assert!(store.find(&id).is_none());
    assert!(store.find(&stays).is_some());
    let forged = stays.renewed().unwrap();
    assert!(
        store.find(&forged).is_none(),
        "another secret of the same key"
    );
}

#[test]
fn the_file_logs_nobody_in_and_is_for_its_owner_only() {
    for key in [None, Some([3; 32])] {
        let machine = Machine::new();
        let store = machine.builder(Settings::new(IDLE)).build().unwrap();
        let mut session = store.create().unwrap();
        session.set("note", String::from("in plain words")).unwrap();
        let ids = [*session.id(), {
            session.renew().unwrap();
            *session.id()
        }];
        let file = machine.file();
        let file = match key {
            None => file,
            Some(key) => file.key(key),
        };
        file.write(&store).unwrap();
        let bytes = fs::read(file.path()).unwrap();
        for id in ids {
            let cookie = id.to_cookie();
            // 16 bytes of 48 are the key: the secret's begin with the 22nd character, and whole
            // ones with the 24th.
            let secret = base64_bytes(&cookie[24..]);
            assert!(
                !bytes.windows(8).any(|found| found == &secret[..8]),
                "a secret"
            );
            assert!(
                !bytes
                    .windows(8)
                    .any(|found| found == &cookie.as_bytes()[24..32])
            );
        }
        let is_readable = bytes.windows(14).any(|found| found == b"in plain words");
        assert_eq!(is_readable, key.is_none());
        let mode = fs::metadata(file.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

fn base64_bytes(text: &str) -> Vec<u8> {
    let digit = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'-' => 62,
        _ => 63,
    };
    let groups = text.as_bytes().chunks_exact(4);
    let bytes = groups.flat_map(|group| {
        let bits = group
            .iter()
            .fold(0_u32, |bits, c| bits << 6 | u32::from(digit(*c)));
        [(bits >> 16) as u8, (bits >> 8) as u8, bits as u8]
    });
    bytes.collect()
}

/// Two values that are always written together.
#[test]
fn each_session_is_whole_however_much_goes_on() {
    const SESSIONS: usize = 2_000;
    let machine = Machine::new();
    let store = machine.builder(Settings::new(IDLE)).build().unwrap();
    let ids: Vec<_> = (0..SESSIONS)
        .map(|_| *store.create().unwrap().id())
        .collect();
    let is_over = AtomicBool::new(false);
    let file = machine.file();
    together(3, |number| {
        if number == 0 {
            for _ in 0..5 {
                let written = file.write(&store).unwrap();
                assert!(written.sessions >= SESSIONS as u64);
                let (restored, _) = file.restore(machine.builder(Settings::new(IDLE))).unwrap();
                for id in &ids {
                    let session = restored.peek(id).expect("it was there all the time");
                    let value = |key| session.attributes.get::<u64>(key).unwrap();
                    assert_eq!(value("one"), value("two"), "half a change");
                }
            }
            is_over.store(true, Ordering::Relaxed);
            return;
        }
        let mut round = 0_u64;
        while !is_over.load(Ordering::Relaxed) {
            round += 1;
            for id in &ids {
                let both = store.find(id).unwrap().update_all(|attributes| {
                    attributes.set("one", round)?;
                    attributes.set("two", round)
                });
                both.unwrap();
            }
            store.create().unwrap().destroy().unwrap();
        }
    });
}

#[test]
fn the_first_start_is_told_apart_and_no_name_is_an_error() {
    let machine = Machine::new();
    let missing = machine.file().restore(machine.builder(Settings::new(IDLE)));
    assert!(matches!(missing, Err(SnapshotError::Missing { .. })));
    let store = SessionStore::new(IDLE);
    let nameless = SnapshotFile::new("/").write(&store);
    assert!(matches!(nameless, Err(SnapshotError::NoFileName { .. })));
    let nowhere = SnapshotFile::new("/nowhere/at/all").write(&store);
    assert!(matches!(nowhere, Err(SnapshotError::Io { .. })));
}

#[test]
fn what_a_killed_program_left_is_removed_and_nothing_else() {
    let machine = Machine::new();
    let store = machine.builder(Settings::new(IDLE)).build().unwrap();
    machine.file().write(&store).unwrap();
    let beside = |name: &str| machine.directory.path().join(name);
    fs::write(beside(".sessions.abc.partial"), "half").unwrap();
    fs::write(beside(".others.abc.partial"), "another program's").unwrap();
    fs::write(beside(".sessions.abc.old"), "somebody's").unwrap();
    machine.restart(store, Duration::ZERO);
    assert!(!beside(".sessions.abc.partial").exists());
    assert!(beside(".others.abc.partial").exists());
    assert!(beside(".sessions.abc.old").exists());
}

#[test]
fn progress_is_told_and_adds_up() {
    let machine = Machine::new();
    let store = machine.builder(Settings::new(IDLE)).build().unwrap();
    for number in 0..10_000_u64 {
        store.create().unwrap().set("n", number).unwrap();
    }
    let mut told = Vec::new();
    let written = machine
        .file()
        .write_with(&store, |progress| told.push(progress))
        .unwrap();
    assert!(told.is_sorted_by_key(|progress| progress.sessions));
    assert_eq!(told.len(), 4, "a megabyte, in blocks of a quarter");
    let last = told.last().unwrap();
    assert_eq!(
        (last.sessions, last.expected, last.bytes),
        (10_000, 10_000, written.bytes)
    );
    let mut blocks = 0;
    let restored = machine
        .file()
        .restore_with(machine.builder(Settings::new(IDLE)), |_| blocks += 1);
    assert_eq!(restored.unwrap().1.sessions, 10_000);
    assert!(blocks > 1);
}

#[test]
fn snapshots_in_the_background_and_one_at_the_end() {
    let machine = Machine::new();
    let store = machine.builder(Settings::new(IDLE)).build().unwrap();
    let results = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&results);
    let periodic = machine
        .file()
        .every(millis(1))
        .on_result(move |result| {
            heard
                .lock()
                .unwrap()
                .push(result.as_ref().unwrap().sessions)
        })
        .spawn(&store);
    while results.lock().unwrap().len() < 3 {
        std::thread::yield_now();
    }
    let id = *store.create().unwrap().id();
    drop(periodic);
    assert_eq!(results.lock().unwrap().last(), Some(&1));
    let (store, _) = machine
        .file()
        .restore(machine.builder(Settings::new(IDLE)))
        .unwrap();
    assert!(store.find(&id).is_some());
}

#[test]
fn a_bounded_store_restores_no_more_than_it_may_hold() {
    let machine = Machine::new();
    let store = machine.builder(Settings::new(IDLE)).build().unwrap();
    for _ in 0..1_000 {
        store.create().unwrap();
    }
    machine.file().write(&store).unwrap();
    let smaller = machine.builder(Settings::new(IDLE).capacity(100));
    let (store, _) = machine.file().restore(smaller).unwrap();
    assert!(store.len() <= 110, "{}", store.len());
}

/// How long a session was idle, and how long it still lives.
fn times(store: &SessionStore, id: &SessionId) -> Option<(Duration, Duration)> {
    Some((store.idle_for(&id.key())?, store.time_left(&id.key())?))
}

fn attribute() -> impl Strategy<Value = (String, String)> {
    (".{0,20}", ".{0,200}")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever sessions there are, they come back as they were.
    #[test]
    fn any_sessions_come_back(
        sessions in prop::collection::vec(
            (prop::collection::vec(attribute(), 0..5), prop::option::of(".{0,10}"), 1_u64..60_000, 0_u64..70_000),
            0..40,
        ),
        is_sealed: bool,
        down in 0_u64..60_000,
    ) {
        let machine = Machine::new();
        let file = machine.file();
        let file = if is_sealed { file.key([1; 32]) } else { file };
        let store = machine.builder(Settings::new(IDLE)).build().unwrap();
        let mut expected: Vec<(SessionId, Option<_>)> = Vec::new();
        for (attributes, owner, lifetime, pause) in &sessions {
            let session = store.create().unwrap();
            for (key, value) in attributes {
                session.set(key, value.clone()).unwrap();
            }
            if let Some(owner) = owner {
                session.set_owner(owner).unwrap();
            }
            session.set_lifetime(millis(*lifetime)).unwrap();
            machine.advance(millis(pause / 40));
            expected.push((*session.id(), None));
        }
        for (id, left) in &mut expected {
            *left = times(&store, id).zip(store.peek(id));
        }
        file.write(&store).unwrap();
        machine.wall.advance(millis(down));
        machine.clock.set(Duration::ZERO);
        let (restored, report) = file.restore(machine.builder(Settings::new(IDLE))).unwrap();
        prop_assert_eq!(report.sessions as usize, restored.len());
        for (id, before) in expected {
            let lives = before.as_ref().filter(|((_, left), _)| *left > millis(down));
            let after = times(&restored, &id).zip(restored.peek(&id));
            prop_assert_eq!(lives.is_some(), after.is_some());
            let (Some(((idle, left), before)), Some(((idle_now, left_now), after))) = (lives, after) else {
                continue;
            };
            prop_assert_eq!(*idle + millis(down), idle_now);
            prop_assert_eq!(*left - millis(down), left_now);
            prop_assert_eq!(&before.owner, &after.owner);
            prop_assert_eq!(before.version, after.version);
            let values = |attributes: &dwell::session::Attributes| -> Vec<_> {
                attributes.values().map(|(key, value)| (key.to_owned(), value.to_json().unwrap())).collect()
            };
            prop_assert_eq!(values(&before.attributes), values(&after.attributes));
        }
    }

    /// Whatever becomes of a file: an error, or the sessions that were written; never a panic,
    /// never others.
    #[test]
    fn any_damage_is_an_error(
        is_sealed: bool,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_usize..4), 1..8),
    ) {
        let machine = Machine::new();
        let file = machine.file();
        let file = if is_sealed { file.key([1; 32]) } else { file };
        let store = machine.builder(Settings::new(IDLE)).build().unwrap();
        for number in 0..200_u64 {
            store.create().unwrap().set("n", number).unwrap();
        }
        file.write(&store).unwrap();
        let whole = fs::read(file.path()).unwrap();
        let mut bytes = whole.clone();
        for (at, byte, kind) in edits {
            let at = at.index(bytes.len().max(1));
            match kind {
                0 => bytes.insert(at, byte),
                1 if at < bytes.len() => drop(bytes.remove(at)),
                2 => bytes.truncate(at),
                _ if at < bytes.len() => bytes[at] = byte,
                _ => {}
            }
        }
        fs::write(file.path(), &bytes).unwrap();
        let restored = file.restore(machine.builder(Settings::new(IDLE)));
        prop_assert_eq!(restored.is_ok(), bytes == whole);
        if let Ok((recovered, report)) = file.recover(machine.builder(Settings::new(IDLE))) {
            prop_assert_eq!(recovered.len() as u64, report.sessions);
            for session in recovered.iter() {
                let written = store.peek_key(&session.key).expect("it was written");
                prop_assert_eq!(written.version, session.version);
            }
        }
    }
}
