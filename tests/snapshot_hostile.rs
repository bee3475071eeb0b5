//! Files that are made to hurt, unsealed, with checks that are right: what reading them takes is
//! bounded by their length.
//!
//! A binary of its own: its allocator counts what the whole process has taken, so its tests take
//! turns and no others may run beside them.

use dwell::session::{SessionStore, Settings};
use dwell::snapshot::{SnapshotError, SnapshotFile};
use sha2::{Digest, Sha256};
use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tempfile::TempDir;

/// The system's allocator, and how much it has given: in all, now, and at the most.
struct Counting;

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);
static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is handed on to the system's allocator as it is; the counters change no
// answer.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Relaxed);
        MOST.fetch_max(
            NOW.fetch_add(layout.size(), Relaxed) + layout.size(),
            Relaxed,
        );
        // SAFETY: the caller vouches for the layout, as it does towards the system's allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the memory is from `alloc` above, thus from the system's allocator, with this
        // layout.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What a build of a store and the reading itself take, beside what the file makes.
const BASE: usize = 1 << 20;
/// By what the documentation says memory is bounded, and twice for what an allocation that grows
/// leaves behind.
const RATIO: usize = 2 * 32;
/// As much as a writer that is honest makes fit.
const HONEST: usize = 32;
const IDLE: Duration = Duration::from_secs(600);

/// Nobody else allocates as long as this is held.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn short_digest(purpose: &str, bytes: &[u8]) -> [u8; 16] {
    let hash = Sha256::new().chain_update(purpose).chain_update([0]);
    let hash = hash.chain_update(bytes).finalize();
    hash[..16].try_into().unwrap()
}

/// A file as it is documented in the heads of `src/snapshot/header.rs` and `block.rs`.
struct File {
    header: Vec<u8>,
    bytes: Vec<u8>,
    blocks: u32,
}

impl File {
    fn new() -> Self {
        let mut header = b"dwellsnp".to_vec();
        header.extend(2_u16.to_le_bytes());
        header.extend(0_u16.to_le_bytes());
        header.extend(1_000_u64.to_le_bytes());
        header.extend([7; 16]);
        header.extend([0; 16]);
        let digest = short_digest("dwell snapshot header", &header);
        header.extend(digest);
        let bytes = header.clone();
        Self {
            header,
            bytes,
            blocks: 0,
        }
    }

    /// A whole file of one block.
    fn of(content: &[u8], filling: usize, sessions: u64) -> Self {
        let mut file = Self::new();
        file.block(false, content, filling);
        file.end(sessions);
        file
    }

    /// A block of these bytes, packed as tightly as it goes, and `filling` zeros.
    fn block(&mut self, is_last: bool, content: &[u8], filling: usize) {
        self.claiming(is_last, content, content.len(), filling);
    }

    fn claiming(&mut self, is_last: bool, content: &[u8], claimed: usize, filling: usize) {
        let packed = lz4_flex::compress(content);
        let mut plain = (packed.len() as u32).to_le_bytes().to_vec();
        plain.extend((claimed as u32).to_le_bytes());
        plain.extend(packed);
        plain.resize(plain.len() + filling, 0);
        let mut head = b"dwellblk".to_vec();
        head.extend(self.blocks.to_le_bytes());
        head.push(u8::from(is_last));
        head.extend((plain.len() as u32 + 16).to_le_bytes());
        let check = [&self.header[..], &head, &plain].concat();
        self.bytes.extend(head);
        self.bytes.extend(plain);
        self.bytes
            .extend(short_digest("dwell snapshot block", &check));
        self.blocks += 1;
    }

    fn end(&mut self, sessions: u64) {
        self.block(true, &sessions.to_le_bytes(), 0);
    }
}

fn varint(mut number: u64, to: &mut Vec<u8>) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

/// A session as it stands in a block.
struct Session<'a> {
    key: u64,
    replaced: u64,
    owner: Option<&'a str>,
    version: u64,
    created: u64,
    last_access: u64,
    idle_timeout: Option<u64>,
    limit: Option<u64>,
    attributes: u64,
}

impl Default for Session<'_> {
    fn default() -> Self {
        Self {
            key: 0,
            replaced: 0,
            owner: None,
            version: 1,
            created: now(),
            last_access: now(),
            idle_timeout: None,
            limit: None,
            attributes: 0,
        }
    }
}

fn now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.unwrap().as_millis() as u64
}

impl Session<'_> {
    fn put(&self, to: &mut Vec<u8>) {
        to.extend(self.key.to_le_bytes());
        to.extend([0; 8 + 32]);
        varint(self.replaced, to);
        match self.owner {
            None => to.push(0),
            Some(owner) => {
                to.push(1);
                varint(owner.len() as u64, to);
                to.extend(owner.as_bytes());
            }
        }
        for number in [self.version, self.created, self.last_access] {
            varint(number, to);
        }
        for number in [self.idle_timeout, self.limit] {
            to.push(u8::from(number.is_some()));
            if let Some(number) = number {
                varint(number, to);
            }
        }
        varint(self.attributes, to);
    }
}

fn attribute(name: &str, json: &[u8], to: &mut Vec<u8>) {
    varint(name.len() as u64, to);
    to.extend(name.as_bytes());
    varint(json.len() as u64, to);
    to.extend(json);
}

/// Restores and recovers a file, and says how many sessions were restored, and what it took at the
/// most.
fn read(file: &File) -> (Result<u64, SnapshotError>, usize) {
    let directory = TempDir::new().unwrap();
    let snapshot = SnapshotFile::new(directory.path().join("sessions"));
    fs::write(snapshot.path(), &file.bytes).unwrap();
    let builder = || SessionStore::builder(Settings::new(IDLE));
    let before = NOW.load(Relaxed);
    MOST.store(before, Relaxed);
    let recovered = snapshot.recover(builder()).map(|(_, found)| found.sessions);
    let restored = snapshot.restore(builder()).map(|(store, found)| {
        assert_eq!(store.len() as u64, found.sessions);
        found.sessions
    });
    if let (Ok(restored), Ok(recovered)) = (&restored, &recovered) {
        assert_eq!(restored, recovered);
    }
    (restored, MOST.load(Relaxed) - before)
}

/// Reading takes what the file's length bounds. Whether it was restored.
fn is_bounded(file: &File) -> Result<u64, SnapshotError> {
    let (restored, most) = read(file);
    let bound = RATIO * file.bytes.len() + BASE;
    assert!(
        most < bound,
        "{most} bytes for a file of {}",
        file.bytes.len()
    );
    restored
}

fn is_refused(file: &File) {
    let refused = is_bounded(file);
    assert!(
        matches!(refused, Err(SnapshotError::Damaged { block: 0, .. })),
        "{refused:?}"
    );
}

/// What is refused when it is packed tightly, and taken when it is as long as it has to be.
fn is_taken_when_it_is_paid_for(content: &[u8], weight: usize, sessions: u64) {
    let tight = File::of(content, 0, sessions);
    assert!(weight > HONEST * tight.bytes.len(), "{weight}");
    is_refused(&tight);
    let paid = File::of(content, weight.div_ceil(HONEST), sessions);
    assert_eq!(is_bounded(&paid).unwrap(), sessions);
}

#[test]
fn a_file_that_is_as_it_is_documented_is_read() {
    let _alone = alone();
    let mut file = File::new();
    let mut content = Vec::new();
    for key in 0..3 {
        let session = Session {
            key,
            owner: Some("ann"),
            attributes: 2,
            ..Session::default()
        };
        session.put(&mut content);
        attribute("a", b"1", &mut content);
        attribute("b", b"\"x\"", &mut content);
    }
    file.block(false, &content, 200);
    file.end(3);
    assert_eq!(is_bounded(&file).unwrap(), 3);
}

#[test]
fn a_value_that_packs_to_nothing_is_paid_for() {
    let _alone = alone();
    let mut content = Vec::new();
    let session = Session {
        attributes: 1,
        ..Session::default()
    };
    session.put(&mut content);
    attribute("blob", &vec![b' '; 4 << 20], &mut content);
    let weight = content.len() + 2_000;
    is_taken_when_it_is_paid_for(&content, weight, 1);
}

#[test]
fn an_owner_that_packs_to_nothing_is_paid_for() {
    let _alone = alone();
    let mut content = Vec::new();
    let session = Session {
        owner: Some(&"o".repeat(4 << 20)),
        ..Session::default()
    };
    session.put(&mut content);
    let weight = content.len() + 2_000;
    is_taken_when_it_is_paid_for(&content, weight, 1);
}

#[test]
fn many_empty_sessions_are_paid_for() {
    let _alone = alone();
    let mut content = Vec::new();
    for key in 0..100_000 {
        let session = Session {
            key,
            ..Session::default()
        };
        session.put(&mut content);
    }
    let weight = content.len() + 100_000 * 1_024;
    is_taken_when_it_is_paid_for(&content, weight, 100_000);
}

#[test]
fn many_small_attributes_are_paid_for() {
    let _alone = alone();
    let mut content = Vec::new();
    for key in 0..2_000 {
        let session = Session {
            key,
            attributes: 100,
            ..Session::default()
        };
        session.put(&mut content);
        for name in 0..100_u8 {
            attribute(std::str::from_utf8(&[name]).unwrap(), b"1", &mut content);
        }
    }
    let weight = content.len() + 2_000 * (1_024 + 100 * 192);
    is_taken_when_it_is_paid_for(&content, weight, 2_000);
}

#[test]
fn counts_that_nothing_stands_behind_reserve_nothing() {
    let _alone = alone();
    let with = |session: Session<'_>| {
        let mut file = File::new();
        let mut content = Vec::new();
        session.put(&mut content);
        file.block(false, &content, 100);
        file.end(1);
        is_refused(&file);
    };
    for count in [1, 9, u64::from(u32::MAX), u64::MAX] {
        with(Session {
            attributes: count,
            ..Session::default()
        });
        with(Session {
            replaced: count,
            ..Session::default()
        });
    }
    // A block that claims more than it holds, and one whose number of sessions is wrong.
    for claimed in [1 << 20, u32::MAX as usize] {
        let mut file = File::new();
        file.claiming(false, &[0; 64], claimed, 0);
        file.end(0);
        is_refused(&file);
    }
    for sessions in [1, u64::MAX] {
        let mut file = File::new();
        file.end(sessions);
        let refused = is_bounded(&file);
        assert!(matches!(refused, Err(SnapshotError::Truncated { .. })));
    }
}

#[test]
fn names_that_come_twice_or_out_of_order_are_damage() {
    let _alone = alone();
    for names in [["a", "a"], ["b", "a"]] {
        let mut content = Vec::new();
        let session = Session {
            attributes: 2,
            ..Session::default()
        };
        session.put(&mut content);
        names
            .iter()
            .for_each(|name| attribute(name, b"1", &mut content));
        let file = File::of(&content, 200, 1);
        is_refused(&file);
    }
}

#[test]
fn a_session_that_comes_twice_is_there_once() {
    let _alone = alone();
    let mut content = Vec::new();
    for _ in 0..2 {
        Session::default().put(&mut content);
    }
    let file = File::of(&content, 200, 2);
    assert_eq!(is_bounded(&file).unwrap(), 1);
}

/// No overflow, no session that lives for ever, and none that cannot be written to any more.
#[test]
fn numbers_at_their_extremes_do_no_harm() {
    let _alone = alone();
    let extremes = [0, now(), 1 << 40, u64::MAX - 1, u64::MAX];
    let optional = || extremes.map(Some).into_iter().chain([None]);
    for created in extremes {
        for last_access in extremes {
            for (idle_timeout, limit) in
                optional().flat_map(|idle| optional().map(move |limit| (idle, limit)))
            {
                let session = Session {
                    created,
                    last_access,
                    idle_timeout,
                    limit,
                    ..Session::default()
                };
                let mut content = Vec::new();
                session.put(&mut content);
                let file = File::of(&content, 100, 1);
                let directory = TempDir::new().unwrap();
                let snapshot = SnapshotFile::new(directory.path().join("sessions"));
                fs::write(snapshot.path(), &file.bytes).unwrap();
                let settings = Settings::new(IDLE).max_lifetime(IDLE * 2);
                let restored = snapshot.restore(SessionStore::builder(settings));
                let (store, _) = restored.expect("a session, or one that has lapsed");
                let Some(listed) = store.iter().next() else {
                    continue;
                };
                let years = Duration::from_secs(35 * 366 * 24 * 3_600);
                assert!(listed.time_left < years, "{listed:?}");
                store.collect();
                snapshot.write(&store).unwrap();
                store.destroy_all();
            }
        }
    }
    for version in [0, (1 << 62) + 1, u64::MAX] {
        let mut content = Vec::new();
        let session = Session {
            version,
            ..Session::default()
        };
        session.put(&mut content);
        let file = File::of(&content, 100, 1);
        is_refused(&file);
    }
}

/// Nested deeper than anybody reads: an error when it is asked for, and no end of the stack.
#[test]
fn a_value_that_is_nested_without_end_is_an_error_of_its_own() {
    let _alone = alone();
    let mut content = Vec::new();
    let session = Session {
        attributes: 1,
        ..Session::default()
    };
    session.put(&mut content);
    attribute("deep", &vec![b'['; 1 << 20], &mut content);
    let file = File::of(&content, 1 << 16, 1);
    let directory = TempDir::new().unwrap();
    let snapshot = SnapshotFile::new(directory.path().join("sessions"));
    fs::write(snapshot.path(), &file.bytes).unwrap();
    let (store, _) = snapshot
        .restore(SessionStore::builder(Settings::new(IDLE)))
        .unwrap();
    let session = store.iter().next().unwrap();
    assert!(session.attributes.get::<serde_json::Value>("deep").is_err());
    assert_eq!(snapshot.write(&store).unwrap().sessions, 1);
}

/// Each of the heads says that a block as long as the rest begins there: to check each would take
/// the square of the file's length.
#[test]
fn places_that_look_like_blocks_are_not_looked_at_without_end() {
    let _alone = alone();
    let mut file = File::new();
    let heads = 4_000_u32;
    let length = heads / 2 * 17;
    for _ in 0..heads {
        file.bytes.extend(b"dwellblk");
        file.bytes.extend(7_u32.to_le_bytes());
        file.bytes.push(0);
        file.bytes.extend(length.to_le_bytes());
    }
    let directory = TempDir::new().unwrap();
    let snapshot = SnapshotFile::new(directory.path().join("sessions"));
    fs::write(snapshot.path(), &file.bytes).unwrap();
    let before = ALLOCATED.load(Relaxed);
    let recovered = snapshot.recover(SessionStore::builder(Settings::new(IDLE)));
    let (_, found) = recovered.unwrap();
    assert_eq!(found.sessions, 0);
    assert_eq!(found.lost_bytes, file.bytes.len() as u64 - 68);
    // A body is allocated when it is read, and once more to be checked.
    let read = ALLOCATED.load(Relaxed) - before;
    assert!(read < 40 * file.bytes.len() + BASE, "{read}");
}
