//! Faults, byte by byte, in files of many small blocks.

use super::{SnapshotError, SnapshotFile};
use crate::ManualClock;
use crate::session::{Builder, SessionId, SessionStore, Settings};
use std::fs;
use std::time::Duration;
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
        file.block_bytes = 300;
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
        let marker = super::block::MARKER;
        self.bytes
            .windows(marker.len())
            .filter(|at| *at == marker)
            .count()
    }
}

fn both(test: impl Fn(Bench)) {
    test(Bench::new(None));
    test(Bench::new(Some([9; 32])));
}

#[test]
fn a_file_that_is_cut_anywhere_is_refused_and_its_whole_blocks_can_be_recovered() {
    both(|bench| {
        assert!(bench.blocks() > 5, "{}", bench.blocks());
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
        let marker = super::block::MARKER;
        let starts: Vec<_> = (0..bench.bytes.len())
            .filter(|at| bench.bytes[*at..].starts_with(marker))
            .collect();
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
    bytes[8] = 2;
    let digest = super::header::short_digest("dwell snapshot header", &bytes[..52]);
    bytes[52..68].copy_from_slice(&digest);
    bench.put(&bytes);
    let refused = bench.restore();
    assert!(
        matches!(
            refused,
            Err(SnapshotError::Version {
                found: 2,
                supported: 1
            })
        ),
        "{refused:?}"
    );
    assert!(bench.directory.path().exists());
}
