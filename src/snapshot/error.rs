//! What can go wrong with a snapshot.

use crate::BuildError;
use std::io;
use std::path::PathBuf;

/// Why a snapshot could not be written or read. When writing fails, the old file is as it was, but
/// for [`NotSynced`](Self::NotSynced); when reading fails, there is no store.
///
/// ```
/// use dwell::session::{SessionStore, Settings};
/// use dwell::snapshot::{SnapshotError, SnapshotFile};
/// use std::time::Duration;
///
/// let builder = SessionStore::builder(Settings::new(Duration::from_secs(60)));
/// let missing = SnapshotFile::new("/nowhere/sessions.dwell").restore(builder);
/// assert!(matches!(missing, Err(SnapshotError::Missing { .. })));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// There is no file: nothing was ever written there.
    #[error("there is no snapshot at {path:?}: start with an empty store")]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The path has no file name.
    #[error("{path:?} names no file: give the path of one")]
    NoFileName {
        /// The path.
        path: PathBuf,
    },
    /// The path leads to something else than a file: a directory, a device, a pipe. It stays as it
    /// is.
    #[error("{path:?} is no regular file: give the path of one, or of one that may be created")]
    NotAFile {
        /// Where the path leads.
        path: PathBuf,
    },
    /// The new file is in its place, and whole; but the directory could not be synced. If the
    /// machine loses its power soon, the old file may be there again.
    #[error(
        "the snapshot {path:?} was written, but its directory could not be synced: a power failure may bring \
         back the one before; the program needs to be allowed to read the directory: {source}"
    )]
    NotSynced {
        /// The snapshot's path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something that the program brought along panicked while [`Periodic`](super::Periodic) wrote:
    /// a clock, an allocator. The next snapshot is written nevertheless.
    #[error(
        "a panic ended the writing of the snapshot {path:?}: the program's log has its message"
    )]
    Panicked {
        /// The snapshot's path.
        path: PathBuf,
    },
    /// The operating system refuses.
    #[error("cannot {what} the snapshot {path:?}")]
    Io {
        /// What it refuses.
        what: &'static str,
        /// The snapshot's path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The operating system gives no random bytes.
    #[error("the operating system gives no random bytes, so no snapshot was written")]
    Random(#[source] io::Error),
    /// The file is none of these.
    #[error("the file is no snapshot: check the path")]
    NotASnapshot,
    /// Another version of this crate wrote it.
    #[error(
        "the snapshot is of version {found}, this program reads {supported}: use the program that wrote it"
    )]
    Version {
        /// The file's version.
        found: u16,
        /// The version that is understood.
        supported: u16,
    },
    /// The file is sealed with another key.
    #[error("the snapshot is sealed with another key: give that one")]
    WrongKey,
    /// The file is sealed, and no key was given.
    #[error("the snapshot is sealed: give its key")]
    KeyNeeded,
    /// A key was given, and the file is not sealed: anybody may have written it.
    #[error("the snapshot is not sealed, though it should be: somebody else may have written it")]
    NotSealed,
    /// The beginning of the file is damaged. Nothing of it can be recovered.
    #[error("the beginning of the snapshot is damaged: restore an older copy of the file")]
    HeaderDamaged,
    /// A block is damaged.
    #[error(
        "block {block} of the snapshot, at byte {offset}, is damaged: `recover` loads the others"
    )]
    Damaged {
        /// Its number, from 0.
        block: u32,
        /// Where it begins.
        offset: u64,
    },
    /// The end is missing.
    #[error(
        "the snapshot ends after {blocks} whole blocks, without its end: `recover` loads these"
    )]
    Truncated {
        /// Whole blocks.
        blocks: u32,
    },
    /// Something follows the end.
    #[error(
        "something follows the end of the snapshot, at byte {offset}: `recover` loads what is before it"
    )]
    Trailing {
        /// Where.
        offset: u64,
    },
    /// The store could not be built.
    #[error(transparent)]
    Store(#[from] BuildError),
}
