//! Writing: beside the old file, which is replaced when the new one is on the disk.

use super::SnapshotFile;
use super::block::{Content, Sealer};
use super::error::SnapshotError;
use super::header::Header;
use crate::session::{Encoded, SessionStore};
#[cfg(unix)]
use std::fs::File;
use std::io::{BufWriter, Error, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// How far a snapshot is.
///
/// ```
/// use dwell::session::SessionStore;
/// use dwell::snapshot::SnapshotFile;
/// use std::time::Duration;
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("sessions.dwell");
/// let store = SessionStore::new(Duration::from_secs(60));
/// let show = |progress: dwell::snapshot::Progress| {
///     println!("{} of {}", progress.sessions, progress.expected);
/// };
/// SnapshotFile::new(path).write_with(&store, show)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Sessions done.
    pub sessions: u64,
    /// Sessions that there were when it began.
    pub expected: u64,
    /// Bytes written or read.
    pub bytes: u64,
}

/// What was written.
///
/// ```
/// use dwell::session::SessionStore;
/// use dwell::snapshot::SnapshotFile;
/// use std::time::Duration;
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("sessions.dwell");
/// let written = SnapshotFile::new(path).write(&SessionStore::new(Duration::from_secs(60)))?;
/// assert_eq!((written.sessions, written.skipped), (0, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct WriteReport {
    /// Sessions in the file.
    pub sessions: u64,
    /// Sessions left out: an attribute cannot be written as JSON any more, or panics; or the
    /// session has more than a gigabyte.
    pub skipped: u64,
    /// The file's length.
    pub bytes: u64,
    /// How long it took.
    pub took: Duration,
}

/// The file as it grows.
struct Growing<W> {
    to: W,
    sealer: Sealer,
    blocks: u32,
    bytes: u64,
    sessions: u64,
    /// The block that is being filled.
    content: Content,
}

impl<W: Write> Growing<W> {
    fn take(&mut self, session: Encoded) {
        self.content.bytes.extend(session.bytes);
        self.content.weight += session.weight;
        self.sessions += 1;
    }

    /// Puts the block into the file, and begins the next one.
    fn put(&mut self, is_last: bool) -> std::io::Result<()> {
        let content = std::mem::take(&mut self.content);
        let block = self.sealer.seal(self.blocks, is_last, &content);
        let block = block.ok_or_else(|| Error::other("a block is too large"))?;
        self.to.write_all(&block)?;
        self.blocks += 1;
        self.bytes += block.len() as u64;
        Ok(())
    }

    /// Puts what is left into the file, and how many sessions there are.
    fn end(&mut self) -> std::io::Result<()> {
        if !self.content.bytes.is_empty() {
            self.put(false)?;
        }
        self.content.bytes.extend(self.sessions.to_le_bytes());
        self.put(true)?;
        self.to.flush()
    }
}

impl SnapshotFile {
    /// Writes all sessions of a store. Nobody who uses the store waits for it.
    ///
    /// Weakly consistent: each session is whole, as it was at some moment meanwhile; one that was
    /// there all the time is in the file. Memory: a block, about a fifth of a megabyte, or the
    /// largest session.
    ///
    /// Several threads may write at the same time: the last one to finish stays.
    ///
    /// # Errors
    /// If the operating system refuses: the disk is full, or the directory cannot be written to.
    /// The old file is as it was then. After [`SnapshotError::NotSynced`] the new one is in its
    /// place.
    pub fn write(&self, store: &SessionStore) -> Result<WriteReport, SnapshotError> {
        self.write_with(store, |_| {})
    }

    /// As [`write`](Self::write), and tells how far it is after each block.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_with(
        &self,
        store: &SessionStore,
        mut progress: impl FnMut(Progress),
    ) -> Result<WriteReport, SnapshotError> {
        let started = Instant::now();
        let target = self.target()?;
        let (directory, prefix) = target.beside();
        let file = tempfile::Builder::new()
            .prefix(&prefix)
            .suffix(PARTIAL)
            .tempfile_in(directory)
            .map_err(self.failed("create"))?;

        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(|error| SnapshotError::Random(error.into()))?;
        let header = Header::new(self.now(), nonce, self.key.as_ref());
        let mut growing = Growing {
            to: BufWriter::new(&file),
            sealer: Sealer::new(header, self.key.as_ref()),
            blocks: 0,
            bytes: 0,
            sessions: 0,
            content: Content::default(),
        };
        let header = header.to_bytes();
        let written = growing.to.write_all(&header);
        written.map_err(self.failed("write"))?;
        growing.bytes = header.len() as u64;

        let expected = store.len() as u64;
        let mut skipped = 0;
        for session in store.saved(|| self.now()) {
            match session {
                Ok(session) if session.weight <= self.largest_session => growing.take(session),
                _ => {
                    skipped += 1;
                    continue;
                }
            }
            if growing.content.bytes.len() >= self.block_bytes {
                growing.put(false).map_err(self.failed("write"))?;
                progress(Progress {
                    sessions: growing.sessions,
                    expected,
                    bytes: growing.bytes,
                });
            }
        }
        growing.end().map_err(self.failed("write"))?;
        let (sessions, bytes) = (growing.sessions, growing.bytes);
        drop(growing);
        file.as_file().sync_all().map_err(self.failed("write"))?;
        let persisted = file.persist(&target.path);
        persisted.map_err(|error| self.failed("replace")(error.error))?;
        sync_directory(directory).map_err(|source| SnapshotError::NotSynced {
            path: self.path.clone(),
            source,
        })?;
        progress(Progress {
            sessions,
            expected,
            bytes,
        });
        Ok(WriteReport {
            sessions,
            skipped,
            bytes,
            took: started.elapsed(),
        })
    }
}

/// How the names of unfinished files end.
pub(super) const PARTIAL: &str = ".partial";

/// So that the new name is on the disk too.
#[cfg(unix)]
fn sync_directory(directory: &Path) -> std::io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(not(unix))]
fn sync_directory(_directory: &Path) -> std::io::Result<()> {
    Ok(())
}
