//! Telling whether the machine does something else at the same time. Linux tells; elsewhere it
//! always looks calm.

use std::cell::Cell;
use std::fs;
use std::thread;
use std::time::Duration;

const LOOKS: usize = 10;
const PAUSE: Duration = Duration::from_millis(10);

/// How long may still be spent on waiting, in all.
pub struct Patience(Cell<Duration>);

impl Patience {
    pub fn new(limit: Duration) -> Self {
        Self(Cell::new(limit))
    }

    pub fn is_over(&self) -> bool {
        self.0.get().is_zero()
    }

    /// Waits until nothing but this thread has run for a while.
    pub fn wait_for_calm(&self) {
        let mut calm = 0;
        while calm < LOOKS && !self.is_over() {
            calm = if runnable() <= 1 { calm + 1 } else { 0 };
            thread::sleep(PAUSE);
            if calm == 0 {
                self.0.set(self.0.get().saturating_sub(PAUSE));
            }
        }
    }
}

/// How many threads of the machine run or could.
fn runnable() -> usize {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let threads = load.split_whitespace().nth(3);
    let runnable = threads.and_then(|threads| threads.split('/').next()?.parse().ok());
    runnable.unwrap_or(1)
}

/// How long the calling thread has been ready to run and had no core.
pub fn waited() -> Duration {
    let statistics = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let waited = statistics.split_whitespace().nth(1);
    Duration::from_nanos(waited.and_then(|nanos| nanos.parse().ok()).unwrap_or(0))
}
