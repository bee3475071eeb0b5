//! Faults, byte by byte, in files of many small blocks.

use super::block::{Content, GREATEST_RATIO, HEAD, Sealer};
use super::header::Header;
use super::{SnapshotError, SnapshotFile};
use crate::ManualClock;
use crate::session::{Builder, SessionId, SessionStore, Settings};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

const IDLE: Duration = Duration::from_secs(600);
const SESSIONS: u64 = 24;

struct Bench {
    directory: TempDir,
    clock: ManualClock,
    file: SnapshotFile,
    ids: Vec<SessionId>,
    bytes: Vec<u8>,
}

impl Bench {
    fn new(key: Option<[u8; 32]>) -> Self {
        let directory = TempDir::new().unwrap();
        let clock = ManualClock::new();
        clock.set(Duration::from_secs(1_000_000_000));
        let mut file =
            SnapshotFile::new(directory.path().join("snapshot")).wall_clock(clock.clone());
        file.key = key;
        file.block_bytes = 225;
        let mut bench = Self {
            directory,
            clock,
            file,
            ids: Vec::new(),
            bytes: Vec::new(),
        };
        let store = bench.builder().build().unwrap();
        for number in 0..SESSIONS {
            let session = store.create().unwrap();
            session.set("number", number).unwrap();
            bench.ids.push(*session.id());
        }
        let written = bench.file.write(&store).unwrap();
        assert_eq!(written.sessions, SESSIONS);
        bench.bytes = fs::read(bench.file.path()).unwrap();
        assert_eq!(bench.bytes.len() as u64, written.bytes);
        bench
    }

    fn builder(&self) -> Builder {
        SessionStore::builder(Settings::new(IDLE)).clock(self.clock.clone())
    }

    fn put(&self, bytes: &[u8]) {
        fs::write(self.file.path(), bytes).unwrap();
    }

    fn restore(&self) -> Result<u64, SnapshotError> {
        let (store, restored) = self.file.restore(self.builder())?;
        assert_eq!(store.len() as u64, restored.sessions);
        Ok(restored.sessions)
    }

    /// How many sessions can be recovered: each is one that was written, and whole.
    fn recover(&self) -> Result<u64, SnapshotError> {
        let (store, restored) = self.file.recover(self.builder())?;
        let whole = (0..SESSIONS).zip(&self.ids).filter(|(number, id)| {
            let session = store.find(id);
            session
                .is_some_and(|session| *session.get::<u64>("number").unwrap().unwrap() == *number)
        });
        assert_eq!(whole.count() as u64, restored.sessions);
        assert_eq!(store.len() as u64, restored.sessions);
        Ok(restored.sessions)
    }

    fn blocks(&self) -> usize {
        self.starts().len()
    }

    /// Where the blocks begin.
    fn starts(&self) -> Vec<usize> {
        let is_start = |at: &usize| self.bytes[*at..].starts_with(super::block::MARKER);
        (0..self.bytes.len()).filter(is_start).collect()
    }
}

fn both(test: impl Fn(Bench)) {
    test(Bench::new(None));
    test(Bench::new(Some([9; 32])));
}

#[test]
fn a_file_that_is_cut_anywhere_is_refused_and_its_whole_blocks_can_be_recovered() {
    both(|bench| {
        assert_eq!(bench.blocks(), 9, "three sessions in each, and the end");
        assert_eq!(bench.restore().unwrap(), SESSIONS);
        let mut most = 0;
        for length in 0..bench.bytes.len() {
            bench.put(&bench.bytes[..length]);
            let refused = bench.restore();
            match length < super::header::LENGTH {
                true => {
                    assert!(
                        matches!(refused, Err(SnapshotError::NotASnapshot)),
                        "{refused:?}"
                    );
                    assert!(bench.recover().is_err());
                }
                false => {
                    assert!(
                        matches!(refused, Err(SnapshotError::Truncated { .. })),
                        "{length}: {refused:?}"
                    );
                    let recovered = bench.recover().unwrap();
                    assert!(
                        recovered >= most,
                        "{length}: {recovered}, and {most} before"
                    );
                    most = recovered;
                }
            }
        }
        assert_eq!(most, SESSIONS, "all but the end was there");
    });
}

#[test]
fn a_bit_that_flips_anywhere_is_found_and_costs_one_block() {
    both(|bench| {
        let most_in_a_block = SESSIONS - bench.blocks() as u64 + 3;
        for at in 0..bench.bytes.len() {
            let mut bytes = bench.bytes.clone();
            bytes[at] ^= 1 << (at % 8);
            bench.put(&bytes);
            let refused = bench.restore();
            assert!(refused.is_err(), "byte {at} does not matter");
            if at < super::header::LENGTH {
                assert!(
                    matches!(
                        refused,
                        Err(SnapshotError::NotASnapshot | SnapshotError::HeaderDamaged)
                    ),
                    "{refused:?}"
                );
                continue;
            }
            assert!(
                matches!(
                    refused,
                    Err(SnapshotError::Damaged { .. } | SnapshotError::Truncated { .. })
                ),
                "{at}: {refused:?}"
            );
            let recovered = bench.recover().unwrap();
            assert!(recovered + most_in_a_block >= SESSIONS, "{at}: {recovered}");
        }
    });
}

#[test]
fn blocks_that_are_swapped_repeated_or_left_out_are_found() {
    both(|bench| {
        let starts = bench.starts();
        let block = |number: usize| {
            let end = starts.get(number + 1).copied().unwrap_or(bench.bytes.len());
            bench.bytes[starts[number]..end].to_vec()
        };
        let header = bench.bytes[..starts[0]].to_vec();
        let last = starts.len() - 1;
        let all: Vec<_> = (0..=last).collect();
        let mut swapped = all.clone();
        swapped.swap(0, 1);
        let mut repeated = all.clone();
        repeated.insert(1, 0);
        let mut shorter = all.clone();
        shorter.remove(last - 1);
        let mut longer = all.clone();
        longer.push(0);
        for order in [swapped, repeated, shorter, longer] {
            let mut bytes = header.clone();
            order.iter().for_each(|number| bytes.extend(block(*number)));
            bench.put(&bytes);
            assert!(bench.restore().is_err(), "{order:?}");
        }
        // A block of another file.
        let other = Bench::new(bench.file.key);
        let mut bytes = header.clone();
        bytes.extend(&other.bytes[starts[0]..]);
        bench.put(&bytes);
        assert!(bench.restore().is_err());
        assert_eq!(bench.recover().unwrap(), 0);
    });
}

#[test]
fn another_version_and_another_key_are_told() {
    let bench = Bench::new(Some([9; 32]));
    let with = |key| {
        let mut file = bench.file.clone();
        file.key = key;
        (
            file.restore(bench.builder()).err(),
            file.recover(bench.builder()).err(),
        )
    };
    assert!(matches!(
        with(Some([8; 32])),
        (Some(SnapshotError::WrongKey), Some(SnapshotError::WrongKey))
    ));
    assert!(matches!(with(None).0, Some(SnapshotError::KeyNeeded)));
    let plain = Bench::new(None);
    let mut file = plain.file.clone();
    file.key = Some([9; 32]);
    let refused = file.restore(plain.builder()).err();
    assert!(
        matches!(refused, Some(SnapshotError::NotSealed)),
        "{refused:?}"
    );

    // As another version would write it: with a digest that is right.
    let mut bytes = bench.bytes.clone();
    bytes[8] = 3;
    let digest = super::header::short_digest("dwell snapshot header", &bytes[..52]);
    bytes[52..68].copy_from_slice(&digest);
    bench.put(&bytes);
    let refused = bench.restore();
    assert!(
        matches!(
            refused,
            Err(SnapshotError::Version {
                found: 3,
                supported: 2
            })
        ),
        "{refused:?}"
    );
    assert!(bench.directory.path().exists());
}

#[test]
fn what_was_found_is_told() {
    both(|bench| {
        let (length, starts) = (bench.bytes.len() as u64, bench.starts());
        bench.clock.advance(Duration::from_secs(5));
        let mut told = Vec::new();
        let restored = bench.file.restore_with(bench.builder(), |progress| {
            told.push((progress.sessions, progress.bytes as usize));
        });
        let restored = restored.unwrap().1;
        assert_eq!((restored.sessions, restored.lapsed), (SESSIONS, 0));
        assert_eq!((restored.lost_bytes, restored.is_complete), (0, true));
        assert_eq!(restored.age, Duration::from_secs(5));
        let due = (1..9).map(|block| (3 * block as u64, starts[block]));
        assert_eq!(told, due.collect::<Vec<_>>());

        // The third block is damaged.
        let mut bytes = bench.bytes.clone();
        bytes[starts[3] - 1] ^= 1;
        bench.put(&bytes);
        let refused = bench.restore();
        let (block, offset) = (2, starts[2] as u64);
        assert!(
            matches!(refused, Err(SnapshotError::Damaged { block: b, offset: o }) if (b, o) == (block, offset)),
            "{refused:?}"
        );
        let recovered = bench.file.recover(bench.builder()).unwrap().1;
        assert_eq!(recovered.sessions, SESSIONS - 3);
        assert_eq!(recovered.lost_bytes, (starts[3] - starts[2]) as u64);
        assert!(recovered.is_complete);

        // The last block, which says how many there are, is cut off.
        bench.put(&bench.bytes[..bench.bytes.len() - 1]);
        let recovered = bench.file.recover(bench.builder()).unwrap().1;
        assert_eq!(recovered.lost_bytes, length - 1 - starts[8] as u64);
        assert!(!recovered.is_complete);

        // There is something behind it.
        bench.put(&[&bench.bytes[..], b"x"].concat());
        let refused = bench.restore();
        assert!(
            matches!(refused, Err(SnapshotError::Trailing { offset }) if offset == length),
            "{refused:?}"
        );

        // All are too old.
        bench.put(&bench.bytes);
        bench.clock.advance(IDLE);
        let restored = bench.file.restore(bench.builder()).unwrap().1;
        assert_eq!((restored.sessions, restored.lapsed), (0, SESSIONS));
    });
}

/// Can be written as JSON until it cannot.
struct Fickle;

static CAN_BE_WRITTEN: AtomicBool = AtomicBool::new(true);

impl Serialize for Fickle {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match CAN_BE_WRITTEN.load(Ordering::Relaxed) {
            // More than a text or a number, which would be kept as the JSON that it was.
            true => [true].serialize(serializer),
            false => Err(serde::ser::Error::custom("not any more")),
        }
    }
}

impl<'d> Deserialize<'d> for Fickle {
    fn deserialize<D: Deserializer<'d>>(deserializer: D) -> Result<Self, D::Error> {
        <[bool; 1]>::deserialize(deserializer).map(|_| Self)
    }
}

#[test]
fn a_session_that_cannot_be_written_is_left_out_and_counted() {
    let bench = Bench::new(None);
    let store = bench.builder().build().unwrap();
    for _ in 0..2 {
        store.create().unwrap().set("fickle", Fickle).unwrap();
    }
    store.create().unwrap().set("name", "x".repeat(3)).unwrap();
    CAN_BE_WRITTEN.store(false, Ordering::Relaxed);
    let written = bench.file.write(&store).unwrap();
    assert_eq!((written.sessions, written.skipped), (1, 2));
    assert_eq!(bench.restore().unwrap(), 1);
}

#[test]
fn what_compresses_well_comes_back() {
    let bench = Bench::new(None);
    let store = bench.builder().build().unwrap();
    let session = store.create().unwrap();
    session.set("blob", "x".repeat(100_000)).unwrap();
    // Not smaller than the part that it may make again.
    let bytes = bench.file.write(&store).unwrap().bytes as usize;
    assert!(
        (100_000 / GREATEST_RATIO..5_000).contains(&bytes),
        "{bytes}"
    );
    assert_eq!(bench.restore().unwrap(), 1);
}

#[test]
fn no_two_blocks_are_sealed_alike() {
    let key = [9; 32];
    let sealed = |nonce, number, content: &Content| {
        let sealer = Sealer::new(Header::new(0, nonce, Some(&key)), Some(&key));
        let block = sealer.seal(number, true, content).unwrap();
        // Without its head, and what it is checked by: with one nonce, text that is the same stays
        // the same here.
        block[HEAD..block.len() - 16].to_vec()
    };
    let content = Content {
        bytes: vec![7; 8],
        weight: 8,
    };
    let block = sealed([1; 16], 0, &content);
    assert_eq!(block, sealed([1; 16], 0, &content));
    assert_ne!(block, sealed([1; 16], 1, &content), "of one file");
    assert_ne!(block, sealed([2; 16], 0, &content), "of two files");
}

#[test]
fn without_a_clock_of_its_own_a_file_has_the_systems() {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let (before, at) = (now(), SnapshotFile::new("sessions").now());
    assert!((before.as_millis()..=now().as_millis()).contains(&u128::from(at)));
}

#[test]
fn what_is_not_written_yet_stands_beside_the_file() {
    for (path, directory) in [("sessions", "."), ("data/sessions", "data")] {
        let file = SnapshotFile::new(path);
        assert_eq!(
            file.target().unwrap().beside(),
            (Path::new(directory), ".sessions.".into())
        );
    }
}

#[test]
fn what_is_shown_of_a_file_names_it_and_holds_no_key() {
    let file = SnapshotFile::new("data/sessions").key([9; 32]);
    let shown = format!("{file:?}");
    assert!(shown.contains("data/sessions") && !shown.contains("9, 9"));
    let periodic = file.every(IDLE);
    assert!(format!("{periodic:?}").contains("600s"));
    let bench = Bench::new(None);
    let periodic = bench.file.every(IDLE).spawn(&SessionStore::new(IDLE));
    assert!(format!("{periodic:?}").contains("Periodic"));
}
