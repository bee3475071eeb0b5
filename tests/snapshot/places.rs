//! Where the file is: behind links, beside others with names alike, and not at all.

use crate::machine::Machine;
use crate::sessions::IDLE;
use dwell::session::{SessionStore, Settings};
use dwell::snapshot::{SnapshotError, SnapshotFile};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

fn one_session() -> SessionStore {
    let store = SessionStore::new(IDLE);
    store.create().unwrap();
    store
}

fn restored(path: &Path) -> u64 {
    let builder = SessionStore::builder(Settings::new(IDLE));
    let restored = SnapshotFile::new(path).restore(builder).unwrap().1;
    restored.sessions
}

/// Writes twice through a link, and reads through it and at its end.
fn is_followed(link: &Path, target: &Path) {
    for sessions in 1..3 {
        let store = one_session();
        for _ in 1..sessions {
            store.create().unwrap();
        }
        SnapshotFile::new(link).write(&store).unwrap();
        assert!(link.is_symlink(), "{link:?} is a link as before");
        assert!(!target.is_symlink() && target.is_file());
        assert_eq!((restored(link), restored(target)), (sessions, sessions));
    }
    let names = fs::read_dir(target.parent().unwrap()).unwrap();
    let is_unfinished = |name: &OsStr| name.as_bytes().ends_with(b".partial");
    assert!(
        !names
            .flatten()
            .any(|entry| is_unfinished(&entry.file_name()))
    );
}

#[test]
fn a_link_is_followed_and_stays() {
    let machine = Machine::new();
    let at = |name: &str| machine.directory.path().join(name);
    fs::create_dir_all(at("volume/deep")).unwrap();
    // To a file that there is not yet; then it is there.
    symlink(at("volume/whole"), at("absolute")).unwrap();
    is_followed(&at("absolute"), &at("volume/whole"));
    is_followed(&at("absolute"), &at("volume/whole"));
    symlink("volume/deep/sessions", at("relative")).unwrap();
    is_followed(&at("relative"), &at("volume/deep/sessions"));
    // A link to a link, of which the second is relative to its own directory; and a directory that
    // is one.
    symlink("../second", at("volume/deep/first")).unwrap();
    symlink("deep/third", at("volume/second")).unwrap();
    is_followed(&at("volume/deep/first"), &at("volume/deep/third"));
    symlink("volume/deep", at("folder")).unwrap();
    symlink("../fourth", at("volume/deep/up")).unwrap();
    is_followed(&at("folder/up"), &at("volume/fourth"));
}

#[test]
fn a_link_to_another_file_system_is_followed() {
    let machine = Machine::new();
    let Ok(elsewhere) = tempfile::tempdir_in("/dev/shm") else {
        return;
    };
    let device = |path: &Path| fs::metadata(path).unwrap().dev();
    if device(elsewhere.path()) == device(machine.directory.path()) {
        return;
    }
    let (link, target) = (machine.file().path().to_owned(), elsewhere.path().join("s"));
    symlink(&target, &link).unwrap();
    is_followed(&link, &target);
}

#[test]
fn a_link_that_leads_nowhere_and_what_is_no_file_are_errors_and_stay() {
    let machine = Machine::new();
    let at = |name: &str| machine.directory.path().join(name);
    symlink("round", at("round")).unwrap();
    symlink("missing/sessions", at("dangling")).unwrap();
    fs::create_dir(at("folder")).unwrap();
    symlink("folder", at("to-folder")).unwrap();
    symlink("/dev/null", at("to-null")).unwrap();
    let write = |name: &str| SnapshotFile::new(at(name)).write(&one_session());
    let restore = |name: &str| {
        let builder = SessionStore::builder(Settings::new(IDLE));
        SnapshotFile::new(at(name)).restore(builder).map(drop)
    };
    for name in ["round", "dangling"] {
        assert!(matches!(write(name), Err(SnapshotError::Io { .. })));
    }
    assert!(matches!(restore("round"), Err(SnapshotError::Io { .. })));
    assert!(matches!(
        restore("dangling"),
        Err(SnapshotError::Missing { .. })
    ));
    for name in ["folder", "to-folder", "to-null"] {
        assert!(matches!(write(name), Err(SnapshotError::NotAFile { .. })));
        assert!(matches!(restore(name), Err(SnapshotError::NotAFile { .. })));
    }
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
    assert_eq!(fs::read_dir(machine.directory.path()).unwrap().count(), 5);
}

#[test]
fn what_is_unfinished_of_another_file_stays_however_alike_the_names_are() {
    let names: [&[u8]; 9] = [
        b"s", b"s.x", b"s.x.y", b".s", b"s*", b"s?", b"[s]", b"S", b"s\xff.x",
    ];
    for of in names {
        let machine = Machine::new();
        let directory = machine.directory.path();
        let at = |name: &[u8]| directory.join(OsStr::from_bytes(name));
        SnapshotFile::new(at(of)).write(&one_session()).unwrap();
        for name in names {
            fs::write(at(&[b".", name, b".aB3dE9.partial"].concat()), "half").unwrap();
        }
        let others: [&[u8]; 4] = [
            b".s..partial",
            b".s.a-b.partial",
            b"s.abcdef.partial",
            b".s.abcdef.partial.x",
        ];
        for name in others {
            fs::write(at(name), "somebody's").unwrap();
        }
        assert_eq!(restored(&at(of)), 1);
        for name in names {
            let unfinished = at(&[b".", name, b".aB3dE9.partial"].concat());
            assert_eq!(unfinished.exists(), name != of, "{unfinished:?} of {of:?}");
        }
        assert!(others.iter().all(|name| at(name).exists()));
    }
}

#[test]
fn what_is_unfinished_behind_a_link_is_removed_there() {
    let machine = Machine::new();
    let at = |name: &str| machine.directory.path().join(name);
    fs::create_dir(at("volume")).unwrap();
    symlink("volume/real", at("sessions")).unwrap();
    machine.file().write(&one_session()).unwrap();
    for name in [
        "volume/.real.abcdef.partial",
        "volume/.sessions.abcdef.partial",
    ] {
        fs::write(at(name), "half").unwrap();
    }
    let builder = machine.builder(Settings::new(IDLE));
    machine.file().restore(builder).unwrap();
    assert!(!at("volume/.real.abcdef.partial").exists());
    assert!(at("volume/.sessions.abcdef.partial").exists());
}
