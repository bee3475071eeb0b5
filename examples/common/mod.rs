//! What the examples that check their books share.

use crossbeam_utils::CachePadded;
use dwell::IdleMap;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// A counter that threads add to without sharing a cache line.
pub struct Tally([CachePadded<AtomicU64>; 32]);

impl Tally {
    pub const fn new() -> Self {
        Self([const { CachePadded::new(AtomicU64::new(0)) }; 32])
    }

    pub fn add_one(&self) {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local!(static LANE: usize = THREADS.fetch_add(1, Relaxed));
        let lane = LANE.with(|lane| *lane);
        self.0[lane % self.0.len()].fetch_add(1, Relaxed);
    }

    pub fn total(&self) -> u64 {
        self.0.iter().map(|lane| lane.load(Relaxed)).sum()
    }
}

/// A bar that draws itself.
pub fn progress(length: u64, name: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} {wide_bar} {percent:>3}% {msg}")
        .expect("the template is valid");
    let bar = ProgressBar::new(length).with_style(style).with_prefix(name);
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// Waits until every value made was dropped, or gives up. Removed records are reclaimed by epochs,
/// which move on only while maps are in use: so one is used.
pub fn wait_for_drops(made: &Tally, dropped: &Tally) {
    let scratch = IdleMap::new(Duration::from_secs(60));
    let started = Instant::now();
    while dropped.total() < made.total() && started.elapsed() < Duration::from_secs(5) {
        for id in 0..256 {
            scratch.insert(id, ());
            scratch.remove(&id);
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Prints each line of the books, as found and as it should be, and tells whether all hold.
pub fn balances(books: &[(&str, u64, u64)]) -> bool {
    for &(what, found, due) in books {
        let verdict = if found == due { "ok" } else { "WRONG" };
        let (found, due) = (HumanCount(found), HumanCount(due));
        println!("{verdict:5} {what:22} {found:>13} of {due}");
    }
    books.iter().all(|(_, found, due)| found == due)
}
