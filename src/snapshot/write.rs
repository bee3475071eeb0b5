//! Writing: beside the old file, which is replaced when the new one is on the disk.

use super::SnapshotFile;
use super::block::{Content, Sealer};
use super::error::SnapshotError;
use super::header::Header;
use crate::session::SessionStore;
use std::ffi::OsString;
#[cfg(unix)]
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// About what a session takes in a block, beside its owner and its attributes.
const SESSION_BYTES: usize = 96;

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
pub struct Written {
    /// Sessions in the file.
    pub sessions: u64,
    /// Sessions left out, because an attribute could not be written as JSON any more.
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
}

impl<W: Write> Growing<W> {
    fn put(&mut self, content: &Content) -> std::io::Result<()> {
        let block = self.sealer.seal(self.blocks, content);
        let block = block.ok_or_else(|| std::io::Error::other("a session is too large"))?;
        self.to.write_all(&block)?;
        self.blocks += 1;
        self.bytes += block.len() as u64;
        Ok(())
    }
}

impl SnapshotFile {
    /// Writes all sessions of a store. Nobody who uses the store waits for it.
    ///
    /// Weakly consistent: each session is whole, as it was at some moment meanwhile; one that was there all the
    /// time is in the file. Memory: a block, about a quarter of a megabyte, or the largest session.
    ///
    /// # Errors
    /// If the operating system refuses: the disk is full, or the directory cannot be written to. The old file
    /// is as it was then.
    pub fn write(&self, store: &SessionStore) -> Result<Written, SnapshotError> {
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
    ) -> Result<Written, SnapshotError> {
        let started = Instant::now();
        let (directory, prefix) = self.beside()?;
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
        };
        let header = header.to_bytes();
        let written = growing.to.write_all(&header);
        written.map_err(self.failed("write"))?;
        growing.bytes = header.len() as u64;

        let expected = store.len() as u64;
        let (mut sessions, mut skipped) = (0, 0);
        let mut block = Vec::new();
        let mut size = 0;
        for saved in store.saved(|| self.now()) {
            let Ok(saved) = saved else {
                skipped += 1;
                continue;
            };
            size += SESSION_BYTES + saved.bytes();
            sessions += 1;
            block.push(saved);
            if size >= self.block_bytes {
                let content = Content::Sessions(std::mem::take(&mut block));
                growing.put(&content).map_err(self.failed("write"))?;
                size = 0;
                let bytes = growing.bytes;
                progress(Progress {
                    sessions,
                    expected,
                    bytes,
                });
            }
        }
        if !block.is_empty() {
            let content = Content::Sessions(block);
            growing.put(&content).map_err(self.failed("write"))?;
        }
        let end = Content::End { sessions };
        growing.put(&end).map_err(self.failed("write"))?;
        let bytes = growing.bytes;
        let flushed = growing.to.flush();
        drop(growing);
        flushed.map_err(self.failed("write"))?;
        file.as_file().sync_all().map_err(self.failed("write"))?;
        let persisted = file.persist(&self.path);
        persisted.map_err(|error| self.failed("replace")(error.error))?;
        sync_directory(directory).map_err(self.failed("keep"))?;
        progress(Progress {
            sessions,
            expected,
            bytes,
        });
        Ok(Written {
            sessions,
            skipped,
            bytes,
            took: started.elapsed(),
        })
    }

    /// The directory of the file, and how the names of unfinished ones in it begin.
    pub(super) fn beside(&self) -> Result<(&Path, OsString), SnapshotError> {
        let name = self.path.file_name();
        let name = name.ok_or_else(|| SnapshotError::NoFileName {
            path: self.path.clone(),
        })?;
        let mut prefix = OsString::from(".");
        prefix.push(name);
        prefix.push(".");
        let directory = self.path.parent().filter(|path| *path != Path::new(""));
        Ok((directory.unwrap_or(Path::new(".")), prefix))
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
