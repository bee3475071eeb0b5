//! Telling whether the machine does something else at the same time. Linux tells; elsewhere it
//! always looks calm.

use std::fs;
use std::thread;
use std::time::Duration;

const LOOKS: usize = 10;
const PAUSE: Duration = Duration::from_millis(5);

/// Waits until nothing but this thread has run for a while, for as long as `patience`.
pub fn wait(mut patience: Duration) {
    let mut calm = 0;
    while calm < LOOKS && !patience.is_zero() {
        calm = if runnable() <= 1 { calm + 1 } else { 0 };
        thread::sleep(PAUSE);
        if calm == 0 {
            patience = patience.saturating_sub(PAUSE);
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

pub fn cores() -> u64 {
    thread::available_parallelism().map_or(1, |cores| cores.get() as u64)
}
