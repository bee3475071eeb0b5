//! Shards: a few copies of what is written often, so that threads that run at the same time share fewer cache lines.
//!
//! On Linux a processor has a shard, whichever threads it runs: there may be more threads than processors, and two of one shard
//! on two processors would take its lines from each other. Elsewhere a thread has one. Any shard is right: a thread that is
//! moved in the middle of an operation goes on with the one it has.

// Not part of any protocol, so that the atomics need not be visible to loom.
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many shards a map has: as many as the machine runs threads at once, to the next power of two.
pub fn count() -> usize {
    if cfg!(any(dwell_loom, dwell_shuttle)) {
        return 1;
    }
    const MOST: usize = 64;
    std::thread::available_parallelism()
        .map_or(1, |threads| threads.get().next_power_of_two())
        .min(MOST)
}

/// The shard to use now. `shards` is a power of two.
#[inline]
pub fn current(shards: usize) -> usize {
    if shards == 1 {
        0
    } else {
        number() & (shards - 1)
    }
}

static NEXT: AtomicUsize = AtomicUsize::new(0);

fn next() -> usize {
    // Relaxed: a number for each.
    NEXT.fetch_add(1, Ordering::Relaxed) & (usize::MAX >> 1)
}

/// The number of this thread's processor, in the order in which they were met: those that a container may use need not
/// be numbered one after the other.
#[cfg(all(target_os = "linux", not(any(dwell_loom, dwell_shuttle))))]
fn number() -> usize {
    /// Processors that are told apart.
    const MOST: usize = 1024;
    const UNMET: usize = usize::MAX;
    /// Its number is being drawn.
    const MEETING: usize = usize::MAX - 1;
    static MET: [AtomicUsize; MOST] = [const { AtomicUsize::new(UNMET) }; MOST];

    #[cold]
    fn meet(processor: &AtomicUsize) -> usize {
        // Relaxed, all: any shard is right, and who comes second takes the first one for once.
        let is_first = processor
            .compare_exchange(UNMET, MEETING, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok();
        if !is_first {
            return 0;
        }
        let number = next();
        processor.store(number, Ordering::Relaxed);
        number
    }

    // SAFETY: the call takes nothing and touches no memory of ours.
    let processor = unsafe { libc::sched_getcpu() };
    // -1 where the kernel does not say: the last one then.
    let processor = &MET[processor as usize % MOST];
    match processor.load(Ordering::Relaxed) {
        UNMET | MEETING => meet(processor),
        number => number,
    }
}

/// The number of this thread.
#[cfg(not(all(target_os = "linux", not(any(dwell_loom, dwell_shuttle)))))]
fn number() -> usize {
    use std::cell::Cell;

    thread_local! {
        static NUMBER: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    // A thread whose locals are gone already takes the first shard.
    let number = NUMBER.try_with(|number| {
        if number.get() == usize::MAX {
            number.set(next());
        }
        number.get()
    });
    number.unwrap_or(0)
}
