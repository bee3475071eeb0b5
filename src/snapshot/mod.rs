//! Sessions over a restart: all of them in a file. Needs the feature `snapshot`.
//!
//! A [`SnapshotFile`] is written while traffic goes on: nobody waits for it. It is weakly
//! consistent: each session is whole, as it was at some moment while the file was written.
//! Deadlines are kept in wall-clock time, so the time that the program is down counts.
//!
//! The file holds a hash of each secret, never an id: nobody logs in with it. With a key it is
//! encrypted and authenticated as well; without one it has a checksum for each block, which finds
//! accidents, not attacks. It is written beside the old one, with mode 0600, and takes its place
//! when it is on the disk; so there is a whole file at any time, whatever happens.
//!
//! # What a crash brings back
//!
//! A program that stops in good order writes a last snapshot, and nothing is lost. One that crashes
//! goes on from the snapshot before:
//!
//! - Sessions and changes since then are lost.
//! - **Sessions that were destroyed since then are back**, and so is what their users could do: a
//!   logout, and a "log out everywhere", is undone.
//! - **Ids that were renewed away since then answer again**, also after a renewal with zero grace,
//!   and the id that the user got instead does not. A session that began before a login is
//!   anonymous again. But if an id was stolen and renewed away, the thief's answers, and the user's
//!   own does not.
//!
//! [`PeriodicBuilder::promptly`] makes that time short: a snapshot soon after each logout and each
//! renewal. [`SnapshotFile::on_restore`] makes what is back worth less: a program may clear owners,
//! so that everybody logs in anew. Where neither is enough, keep sessions in Redis.
//!
//! ```
//! use dwell::session::{SessionStore, Settings};
//! use dwell::snapshot::{SnapshotError, SnapshotFile};
//! use std::time::Duration;
//!
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("sessions.dwell");
//! let file = SnapshotFile::new(path).key([7; 32]);
//! let settings = Settings::new(Duration::from_secs(30 * 60));
//! let store = match file.restore(SessionStore::builder(settings)) {
//!     Ok((store, _)) => store,
//!     // The first start.
//!     Err(SnapshotError::Missing { .. }) => SessionStore::builder(settings).build()?,
//!     Err(error) => return Err(error.into()),
//! };
//! let id = *store.create()?.id();
//! file.write(&store)?;
//!
//! let (store, restored) = file.restore(SessionStore::builder(settings))?;
//! assert_eq!(restored.sessions, 1);
//! assert!(store.find(&id).is_some());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod block;
mod error;
mod header;
mod periodic;
mod place;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use error::SnapshotError;
pub use periodic::{Periodic, PeriodicBuilder, PeriodicStats};
pub use read::RestoreReport;
pub use write::{Progress, WriteReport};

use crate::Clock;
use crate::session::SavedSession;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// A key: 32 bytes that nobody else knows.
pub(crate) type Key = [u8; 32];

/// Bytes of sessions in a block, before they are compressed.
const BLOCK_BYTES: usize = 192 << 10;
/// The largest session that is written. A block's length has 32 bits.
const LARGEST_SESSION: usize = 1 << 30;

type Review = Arc<dyn Fn(&mut SavedSession) -> bool + Send + Sync>;

/// A file for the sessions of a store. This is only where it is and how it is sealed; nothing is
/// open.
///
/// A file belongs to one program: two that write it replace each other's. Where its path is a
/// symbolic link, the file is the one that the link leads to: it is written beside that, and takes
/// that one's place. A file that is a mount point by itself cannot be replaced: mount its
/// directory.
///
/// ```
/// use dwell::session::SessionStore;
/// use dwell::snapshot::SnapshotFile;
/// use std::time::Duration;
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("sessions.dwell");
/// let store = SessionStore::new(Duration::from_secs(60));
/// store.create()?;
/// let written = SnapshotFile::new(path).write(&store)?;
/// assert_eq!(written.sessions, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias("persistence", "file store", "FileStore"))]
#[derive(Clone)]
#[must_use = "it writes nothing until `write` or `every`"]
pub struct SnapshotFile {
    path: PathBuf,
    key: Option<Key>,
    wall_clock: Option<Arc<dyn Clock>>,
    on_restore: Option<Review>,
    block_bytes: usize,
    largest_session: usize,
}

impl SnapshotFile {
    /// The file at a path. Its directory must exist, and should be the program's own.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            key: None,
            wall_clock: None,
            on_restore: None,
            block_bytes: BLOCK_BYTES,
            largest_session: LARGEST_SESSION,
        }
    }

    /// Encrypts and authenticates the file with a key (XChaCha20-Poly1305). Keep the key elsewhere:
    /// who has both can read all attributes, though not log in.
    pub fn key(mut self, key: [u8; 32]) -> Self {
        self.key = Some(key);
        self
    }

    /// What time it is outside: milliseconds since the Unix epoch. Default: the system's. For
    /// tests.
    pub fn wall_clock(mut self, clock: impl Clock) -> Self {
        self.wall_clock = Some(Arc::new(clock));
        self
    }

    /// Lets the program look at each session before it is live again, by [`restore`](Self::restore)
    /// or [`recover`](Self::recover), and change it: clear its owner, drop attributes, shorten its
    /// terms. Whether it is to be live: those that are not are counted as
    /// [`left_out`](RestoreReport::left_out).
    ///
    /// After a crash the file may hold sessions that ended since, and ids that were renewed away. A
    /// program for which that is too much makes them worth less here. If `review` panics, so does
    /// the restoring.
    ///
    /// ```
    /// use dwell::snapshot::SnapshotFile;
    ///
    /// // The visitors keep their carts, and log in anew.
    /// let file = SnapshotFile::new("sessions.dwell").on_restore(|session| {
    ///     session.owner = None;
    ///     true
    /// });
    /// ```
    pub fn on_restore(
        mut self,
        review: impl Fn(&mut SavedSession) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.on_restore = Some(Arc::new(review));
        self
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn now(&self) -> u64 {
        if let Some(clock) = &self.wall_clock {
            return clock.now_millis();
        }
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        since_epoch.map_or(0, |time| {
            u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
        })
    }

    fn failed<'a>(
        &'a self,
        what: &'static str,
    ) -> impl FnOnce(std::io::Error) -> SnapshotError + 'a {
        move |source| SnapshotError::Io {
            what,
            path: self.path.clone(),
            source,
        }
    }
}

impl fmt::Debug for SnapshotFile {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotFile")
            .field("path", &self.path)
            .field("sealed", &self.key.is_some())
            .finish_non_exhaustive()
    }
}
