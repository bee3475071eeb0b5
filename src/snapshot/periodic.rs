//! Snapshots in the background, and one at the end.

use super::{SnapshotError, SnapshotFile, Written};
use crate::session::SessionStore;
use std::fmt;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Settings of snapshots in the background, from [`SnapshotFile::every`].
///
/// ```
/// use dwell::session::SessionStore;
/// use dwell::snapshot::SnapshotFile;
/// use std::time::Duration;
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("sessions.dwell");
/// let store = SessionStore::new(Duration::from_secs(60));
/// let file = SnapshotFile::new(&path);
/// let periodic = file
///     .every(Duration::from_secs(60))
///     .on_result(|result| if let Err(error) = result { eprintln!("{error}") })
///     .spawn(&store);
/// drop(periodic); // at the end of the program: writes a last one
/// assert!(path.exists());
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "it writes nothing until `spawn`"]
pub struct PeriodicBuilder {
    file: SnapshotFile,
    interval: Duration,
    listener: Listener,
}

type Listener = Box<dyn FnMut(&Result<Written, SnapshotError>) + Send>;

/// Writes snapshots in a thread of its own, until it is dropped: then it writes a last one, and waits for that.
///
/// ```
/// use dwell::session::SessionStore;
/// use dwell::snapshot::SnapshotFile;
/// use std::time::Duration;
///
/// # let directory = tempfile::tempdir()?;
/// # let file = SnapshotFile::new(directory.path().join("sessions.dwell"));
/// let store = SessionStore::new(Duration::from_secs(60));
/// let periodic = file.every(Duration::from_secs(60)).spawn(&store);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// Keep it for as long as the store. To drop it in the very statement that starts it is a warning:
///
/// ```compile_fail
/// #![deny(unused_must_use)]
/// use dwell::{session::SessionStore, snapshot::SnapshotFile};
/// fn start(file: &SnapshotFile, store: &SessionStore) {
///     file.every(std::time::Duration::from_secs(60)).spawn(store);
/// }
/// ```
#[must_use = "it stops when it is dropped: keep it for as long as the store"]
pub struct Periodic {
    /// Dropping it ends the thread.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl SnapshotFile {
    /// Snapshots at intervals, each of which begins when the last one is written.
    pub fn every(&self, interval: Duration) -> PeriodicBuilder {
        PeriodicBuilder {
            file: self.clone(),
            interval,
            listener: Box::new(|_| {}),
        }
    }
}

impl PeriodicBuilder {
    /// Calls `listener` after each snapshot, in the thread that wrote it.
    pub fn on_result(
        mut self,
        listener: impl FnMut(&Result<Written, SnapshotError>) + Send + 'static,
    ) -> Self {
        self.listener = Box::new(listener);
        self
    }

    /// Starts the thread.
    ///
    /// # Panics
    /// If the operating system does not give a thread.
    pub fn spawn(self, store: &SessionStore) -> Periodic {
        let Self {
            file,
            interval,
            mut listener,
        } = self;
        let store = store.clone();
        let (stop, stopped) = channel::<()>();
        let work = move || {
            loop {
                let is_last = stopped.recv_timeout(interval) != Err(RecvTimeoutError::Timeout);
                listener(&file.write(&store));
                if is_last {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("dwell-snapshot".into());
        Periodic {
            stop: Some(stop),
            thread: Some(thread.spawn(work).expect("the system gives a thread")),
        }
    }
}

impl Drop for Periodic {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A listener that panicked has said so.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for PeriodicBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeriodicBuilder")
            .field("file", &self.file)
            .field("interval", &self.interval)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Periodic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Periodic { .. }")
    }
}
