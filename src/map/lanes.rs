//! Lanes: threads spread over a few copies of what is written often, so that they share fewer cache lines.

/// How many lanes a map has: as many as the machine runs threads at once, to the next power of two.
pub(crate) fn count() -> usize {
    if cfg!(any(dwell_loom, dwell_shuttle)) {
        return 1;
    }
    const MOST: usize = 64;
    std::thread::available_parallelism()
        .map_or(1, |threads| threads.get().next_power_of_two())
        .min(MOST)
}

/// This thread's lane. `lanes` is a power of two.
#[inline]
pub(crate) fn current(lanes: usize) -> usize {
    use std::cell::Cell;
    // Not part of any protocol, so that it need not be visible to loom: any lane is right.
    use std::sync::atomic::{AtomicUsize, Ordering};

    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static LANE: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    // A thread whose locals are gone already takes the first lane.
    let lane = LANE.try_with(|lane| {
        if lane.get() == usize::MAX {
            lane.set(NEXT.fetch_add(1, Ordering::Relaxed) & (usize::MAX >> 1));
        }
        lane.get()
    });
    lane.unwrap_or(0) & (lanes - 1)
}
