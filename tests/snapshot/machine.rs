//! A machine that is started again and again, and the file that is on it.

use crate::sessions::seconds;
use dwell::ManualClock;
use dwell::session::{Builder, SessionStore, Settings};
use dwell::snapshot::SnapshotFile;
use std::time::Duration;
use tempfile::TempDir;

/// A program that is started again and again: with a clock of its own each time, and one outside.
pub struct Machine {
    pub directory: TempDir,
    pub wall: ManualClock,
    pub clock: ManualClock,
}

impl Machine {
    pub fn new() -> Self {
        let wall = ManualClock::new();
        wall.set(seconds(1_700_000_000));
        let clock = ManualClock::new();
        clock.set(seconds(50_000));
        Self {
            directory: TempDir::new().unwrap(),
            wall,
            clock,
        }
    }

    pub fn file(&self) -> SnapshotFile {
        let path = self.directory.path().join("sessions");
        SnapshotFile::new(path).wall_clock(self.wall.clone())
    }

    pub fn builder(&self, settings: Settings) -> Builder {
        SessionStore::builder(settings).clock(self.clock.clone())
    }

    pub fn advance(&self, by: Duration) {
        self.wall.advance(by);
        self.clock.advance(by);
    }

    /// Down for some time. The machine's own clock begins anew.
    pub fn restart(&self, store: SessionStore, down: Duration) -> SessionStore {
        let settings = *store.settings();
        self.file().write(&store).unwrap();
        drop(store);
        self.wall.advance(down);
        self.clock.set(Duration::ZERO);
        let (store, _) = self.file().restore(self.builder(settings)).unwrap();
        store
    }
}
