//! A full disk, a directory that cannot be written to, and a program that is killed while it
//! writes: an error that tells, and the old file as it was.
//!
//! A binary of its own, without a harness: it starts itself again as the program that is hindered
//! or killed.

use dwell::session::{SessionId, SessionStore, Settings};
use dwell::snapshot::{SnapshotError, SnapshotFile};
use std::env;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const ROLE: &str = "--writer";
const SESSIONS: usize = 20_000;
/// Nobody in particular: the root user may write anywhere.
const NOBODY: u32 = 65_534;

fn main() {
    let arguments: Vec<_> = env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == ROLE) {
        return write(&arguments[at + 1], &arguments[at + 2]);
    }
    // What a test runner asks of a test.
    if arguments.iter().any(|argument| argument == "--list") {
        return;
    }
    a_full_disk_is_told_and_the_old_file_stays();
    a_directory_that_cannot_be_written_to_is_told_and_the_old_file_stays();
    a_directory_that_cannot_be_synced_is_told_and_the_new_file_is_there();
    a_program_that_is_killed_while_it_writes_leaves_a_whole_file();
    println!("snapshot faults: ok");
}

fn builder() -> dwell::session::Builder {
    SessionStore::builder(Settings::new(Duration::from_secs(600)))
}

fn store(sessions: usize) -> SessionStore {
    let store = builder().build().unwrap();
    for _ in 0..sessions {
        store.create().unwrap().set("some", "x".repeat(50)).unwrap();
    }
    store
}

/// The program: writes a large store, once or over and over, and says what came of it.
fn write(path: &str, times: &str) {
    let file = SnapshotFile::new(path);
    let store = store(SESSIONS);
    for _ in 0..times.parse::<usize>().unwrap() {
        match file.write(&store) {
            Ok(written) => println!("written {}", written.sessions),
            Err(error @ SnapshotError::Io { .. }) => println!("refused: {error}"),
            Err(error @ SnapshotError::NotSynced { .. }) => println!("not synced: {error}"),
            Err(error) => println!("otherwise: {error}"),
        }
    }
}

/// A directory with a snapshot of one session.
fn old_file() -> (TempDir, SnapshotFile, SessionId) {
    let directory = TempDir::new().unwrap();
    let file = SnapshotFile::new(directory.path().join("sessions"));
    let store = store(1);
    let id = *store.create().unwrap().id();
    file.write(&store).unwrap();
    (directory, file, id)
}

fn has(file: &SnapshotFile, id: &SessionId) -> bool {
    let (store, _) = file.restore(builder()).expect("the old file is whole");
    store.find(id).is_some()
}

fn names(directory: &Path) -> usize {
    fs::read_dir(directory).unwrap().count()
}

fn this_program(path: &Path, times: usize) -> Vec<String> {
    let program = env::current_exe().unwrap();
    let words = [
        program.to_str().unwrap(),
        ROLE,
        path.to_str().unwrap(),
        &times.to_string(),
    ];
    words.map(str::to_owned).to_vec()
}

fn a_full_disk_is_told_and_the_old_file_stays() {
    let (directory, file, id) = old_file();
    // No file may be longer than some kilobytes: what is beyond is refused, as by a disk that is
    // full.
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 16; exec \"$@\"", "sh"])
        .args(this_program(file.path(), 1))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.starts_with("refused: cannot write the snapshot"),
        "{said}"
    );
    assert!(has(&file, &id));
    assert_eq!(names(directory.path()), 1, "nothing is left beside it");
}

/// What the program says that writes once and is nobody in particular, while the directory has
/// these permissions.
fn said_by_nobody(directory: &TempDir, file: &SnapshotFile, mode: u32) -> String {
    let modes = |mode| fs::set_permissions(directory.path(), Permissions::from_mode(mode)).unwrap();
    // The program where anybody finds it.
    let public = TempDir::new().unwrap();
    fs::set_permissions(public.path(), Permissions::from_mode(0o755)).unwrap();
    let copy = public.path().join("program");
    let words = this_program(file.path(), 1);
    fs::copy(&words[0], &copy).unwrap();
    let mut command = Command::new(copy);
    command.args(&words[1..]);
    if fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0) {
        chown(directory.path(), Some(NOBODY), None).unwrap();
        command.uid(NOBODY);
    }
    modes(mode);
    let said = command.output().unwrap().stdout;
    modes(0o755);
    String::from_utf8_lossy(&said).into_owned()
}

fn a_directory_that_cannot_be_written_to_is_told_and_the_old_file_stays() {
    let (directory, file, id) = old_file();
    let said = said_by_nobody(&directory, &file, 0o555);
    assert!(
        said.starts_with("refused: cannot create the snapshot"),
        "{said}"
    );
    assert!(has(&file, &id));
    assert_eq!(names(directory.path()), 1);
}

/// It was told as a failure, after which "the old file is as it was".
fn a_directory_that_cannot_be_synced_is_told_and_the_new_file_is_there() {
    let (directory, file, _) = old_file();
    // It may be written to, but not be opened for reading.
    let said = said_by_nobody(&directory, &file, 0o333);
    assert!(said.starts_with("not synced: "), "{said}");
    let (_, restored) = file.restore(builder()).expect("a whole file");
    assert_eq!(restored.sessions, SESSIONS as u64, "the new one");
    assert_eq!(names(directory.path()), 1);
}

fn a_program_that_is_killed_while_it_writes_leaves_a_whole_file() {
    let mut was_unfinished = false;
    for round in 0..12 {
        let (directory, file, id) = old_file();
        let words = this_program(file.path(), 1_000);
        let mut process = Command::new(&words[0])
            .args(&words[1..])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(process.stdout.take().unwrap()).lines();
        // In the first round before anything is known to be written, later after some.
        let is_in_first = round % 2 == 0;
        if is_in_first {
            while names(directory.path()) == 1 {
                std::thread::yield_now();
            }
        } else {
            said.next().unwrap().unwrap();
            while names(directory.path()) == 1 {
                std::thread::yield_now();
            }
        }
        process.kill().unwrap();
        process.wait().unwrap();
        was_unfinished |= names(directory.path()) == 2;
        let (store, restored) = file.restore(builder()).expect("there is a whole file");
        let is_old = store.find(&id).is_some() && restored.sessions == 2;
        assert!(
            is_old || restored.sessions == SESSIONS as u64,
            "{restored:?}"
        );
        assert_eq!(names(directory.path()), 1, "what was unfinished is gone");
    }
    assert!(was_unfinished, "none was killed while it wrote");
}
