//! Snapshots in the background, and one at the end.

use super::{SnapshotError, SnapshotFile, WriteReport};
use crate::count::Count;
use crate::session::SessionStore;
use crate::survive::{attempt, survives};
use arc_swap::ArcSwapOption;
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The shortest pause between two snapshots.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);

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
///     .promptly(Duration::from_secs(1))
///     .on_result(|result| if let Err(error) = result { eprintln!("{error}") })
///     .spawn(&store);
/// periodic.stop()?; // at the end of the program: writes a last one
/// assert!(path.exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "it writes nothing until `spawn`"]
pub struct PeriodicBuilder {
    file: SnapshotFile,
    interval: Duration,
    spacing: Option<Duration>,
    listener: Listener,
}

type Listener = Box<dyn FnMut(&Result<WriteReport, SnapshotError>) + Send>;

/// Writes snapshots in a thread of its own, until it is stopped or dropped: then it writes a last
/// one, and waits for that.
///
/// Whatever becomes of one snapshot, the next one is tried: a full disk, a session that cannot be
/// written, or a panic ends that one only. What went wrong is seen in [`stats`](Self::stats) and
/// [`last_result`](Self::last_result), which a health check may ask; it is told to
/// [`on_result`](PeriodicBuilder::on_result); and with the feature `tracing` each failure is an
/// event of the level error, with the target `dwell::snapshot`.
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
/// assert_eq!(periodic.stats().failed, 0);
/// let written = periodic.stop()?;
/// assert_eq!(written.sessions, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
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
    record: Arc<Record>,
}

/// How many snapshots there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct PeriodicStats {
    /// Snapshots that were written.
    pub written: u64,
    /// Snapshots that were not, or of which it is not known whether they outlast a power failure.
    pub failed: u64,
    /// Panics of [`on_result`](PeriodicBuilder::on_result).
    pub listener_panics: u64,
}

/// What came of a snapshot. The error is shared, because it is told to several.
type Outcome = Result<WriteReport, Arc<SnapshotError>>;

#[derive(Default)]
struct Record {
    last: ArcSwapOption<Outcome>,
    written: Count,
    failed: Count,
    listener_panics: Count,
}

impl SnapshotFile {
    /// Snapshots at intervals, each of which begins when the last one is written.
    pub fn every(&self, interval: Duration) -> PeriodicBuilder {
        PeriodicBuilder {
            file: self.clone(),
            interval,
            spacing: None,
            listener: Box::new(|_| {}),
        }
    }
}

impl PeriodicBuilder {
    /// Writes also soon after a session was destroyed or an id was renewed, so that a crash brings
    /// back no more than what ended within `spacing` and the time that a snapshot takes. `spacing`
    /// is the pause after each snapshot, at the least.
    ///
    /// Each of these is a whole snapshot: where somebody logs out at any time, the store is written
    /// all the time, with that pause in between. A million sessions are 84 MiB and 3.3 s
    /// ([scaling](crate::book::scaling#one-process-is-enough)). Sessions that lapsed or were
    /// evicted are no reason to write: those that lapsed do not come back.
    #[doc(alias = "write-behind")]
    pub fn promptly(mut self, spacing: Duration) -> Self {
        self.spacing = Some(spacing);
        self
    }

    /// Calls `listener` after each snapshot, in the thread that wrote it. If it panics, that is
    /// counted, and the next snapshot is written and told.
    pub fn on_result(
        mut self,
        listener: impl FnMut(&Result<WriteReport, SnapshotError>) + Send + 'static,
    ) -> Self {
        self.listener = Box::new(listener);
        self
    }

    /// Starts the thread.
    ///
    /// # Panics
    /// If the operating system does not give a thread.
    pub fn spawn(self, store: &SessionStore) -> Periodic {
        let (stop, stopped) = channel::<()>();
        let record = Arc::new(Record::default());
        let writer = Writer {
            settings: self,
            store: store.clone(),
            record: Arc::clone(&record),
        };
        let thread = std::thread::Builder::new().name("dwell-snapshot".into());
        // Asked here: what ends after this has returned is a reason to write.
        let known = writer.ends();
        let thread = thread.spawn(move || writer.run(&stopped, known));
        Periodic {
            stop: Some(stop),
            thread: Some(thread.expect("the system gives a thread")),
            record,
        }
    }
}

/// What the thread has.
struct Writer {
    settings: PeriodicBuilder,
    store: SessionStore,
    record: Arc<Record>,
}

impl Writer {
    fn run(mut self, stopped: &Receiver<()>, mut known: (u64, u64)) {
        loop {
            let is_last = self.wait(stopped, known);
            // Asked before the store is read: what ends meanwhile is a reason to write again.
            let ends = self.ends();
            if self.write() {
                known = ends;
            }
            if is_last {
                return;
            }
        }
    }

    /// How many sessions were destroyed, and ids renewed.
    fn ends(&self) -> (u64, u64) {
        let stats = self.store.stats();
        (stats.destroyed, stats.renewed)
    }

    /// Waits until a snapshot is due. Whether it is the last one.
    fn wait(&self, stopped: &Receiver<()>, known: (u64, u64)) -> bool {
        let due = Instant::now().checked_add(self.settings.interval);
        let spacing = self.settings.spacing.unwrap_or(Duration::MAX);
        loop {
            // An interval without an end is waited for without an end.
            let left = due.map_or(Duration::MAX, |due| {
                due.saturating_duration_since(Instant::now())
            });
            let pause = left.min(spacing).max(SHORTEST_PAUSE);
            if stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                return true;
            }
            if pause >= left || self.ends() != known {
                return false;
            }
        }
    }

    /// Writes a snapshot, and tells of it. Whether it was written.
    fn write(&mut self) -> bool {
        let PeriodicBuilder { file, listener, .. } = &mut self.settings;
        let written = attempt(|| file.write(&self.store));
        let result = written.unwrap_or_else(|| {
            Err(SnapshotError::Panicked {
                path: file.path.clone(),
            })
        });
        note(file, &result);
        if !survives(|| listener(&result)) {
            self.record.listener_panics.one();
        }
        let is_written = result.is_ok();
        match is_written {
            true => self.record.written.one(),
            false => self.record.failed.one(),
        }
        let outcome = result.map_err(Arc::new);
        self.record.last.store(Some(Arc::new(outcome)));
        is_written
    }
}

/// For the log.
fn note(file: &SnapshotFile, result: &Result<WriteReport, SnapshotError>) {
    #[cfg(feature = "tracing")]
    match result {
        Ok(written) if written.skipped == 0 => tracing::debug!(
            target: "dwell::snapshot", path = ?file.path, sessions = written.sessions, "snapshot written"
        ),
        Ok(written) => tracing::warn!(
            target: "dwell::snapshot", path = ?file.path, sessions = written.sessions,
            skipped = written.skipped, "snapshot written without the sessions that cannot be"
        ),
        Err(error) => tracing::error!(
            target: "dwell::snapshot", path = ?file.path, %error, "no snapshot"
        ),
    }
    #[cfg(not(feature = "tracing"))]
    let _ = (file, result);
}

impl Periodic {
    /// How many snapshots there were, and how many failed.
    pub fn stats(&self) -> PeriodicStats {
        PeriodicStats {
            written: self.record.written.get(),
            failed: self.record.failed.get(),
            listener_panics: self.record.listener_panics.get(),
        }
    }

    /// What came of the newest snapshot. None before the first one.
    pub fn last_result(&self) -> Option<Result<WriteReport, Arc<SnapshotError>>> {
        self.record.last.load().as_deref().cloned()
    }

    /// Writes a last snapshot, and waits for it: what to do at the end of a program, when nobody
    /// uses the store any more. Dropping does the same, but does not tell what came of it.
    ///
    /// # Errors
    /// If the last snapshot could not be written.
    ///
    /// # Panics
    /// Never: the last result is there when the thread is over.
    pub fn stop(mut self) -> Result<WriteReport, Arc<SnapshotError>> {
        self.end();
        self.last_result().expect("the last snapshot was tried")
    }

    fn end(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // Its panics are caught.
            let _ = thread.join();
        }
    }
}

impl Drop for Periodic {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for PeriodicBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeriodicBuilder")
            .field("file", &self.file)
            .field("interval", &self.interval)
            .field("spacing", &self.spacing)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Periodic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Periodic")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
