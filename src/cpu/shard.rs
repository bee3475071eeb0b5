//! Shards: a few copies of what is written often, so that threads that run at the same time share
//! fewer cache lines.
//!
//! On Linux a processor has a shard, whichever threads it runs: there may be more threads than
//! processors, and two of one shard on two processors would take its lines from each other.
//! Elsewhere a thread has one. Any shard is right: a thread that is moved in the middle of an
//! operation goes on with the one it has.

// Not part of any protocol, so that the atomics need not be visible to loom.
#[cfg(not(all(target_os = "linux", not(any(dwell_loom, dwell_shuttle)))))]
use std::num::NonZeroUsize;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The most shards that a map has.
const MOST: usize = 64;

/// How many shards a map has: as many as there are processors that the process may run on, to the
/// next power of two. Counted once: the first call costs two system calls, and the others a load.
pub fn count() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    if cfg!(any(dwell_loom, dwell_shuttle)) {
        return 1;
    }
    *COUNT.get_or_init(|| processors().next_power_of_two().min(MOST))
}

/// The processors that the process's first thread or this one may run on: a map that a pinned
/// thread builds is used by the others, too. What a control group lets the process use of them at a
/// time does not matter: its threads run on all.
#[cfg(all(target_os = "linux", not(any(dwell_loom, dwell_shuttle))))]
fn processors() -> usize {
    let first = libc::pid_t::try_from(std::process::id()).unwrap_or_default();
    let sets = [first, 0].map(|thread| {
        // SAFETY: a set of processors is an array of numbers, for which zero is a value.
        let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
        // SAFETY: the call writes to the set, whose size it is told, and to nothing else.
        let is_told =
            unsafe { libc::sched_getaffinity(thread, size_of_val(&set), &raw mut set) } == 0;
        is_told.then_some(set)
    });
    let is_used = |&processor: &usize| {
        // SAFETY: the number is below that of a set's processors.
        let has = |set: &libc::cpu_set_t| unsafe { libc::CPU_ISSET(processor, set) };
        sets.iter().flatten().any(has)
    };
    (0..libc::CPU_SETSIZE as usize)
        .filter(is_used)
        .count()
        .max(1)
}

#[cfg(not(all(target_os = "linux", not(any(dwell_loom, dwell_shuttle)))))]
fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
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

/// The number of this thread's processor, in the order in which they were met: those that a
/// container may use need not be numbered one after the other.
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
        // Relaxed, all: any shard is right, and the thread that comes second takes the first one
        // for once.
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

#[cfg(all(test, target_os = "linux", not(any(dwell_loom, dwell_shuttle))))]
mod tests {
    use super::processors;

    /// Such a map had one shard for ever.
    #[test]
    fn a_pinned_thread_counts_the_processors_of_the_process() {
        let all = processors();
        let pinned = std::thread::spawn(|| {
            // SAFETY: a set of processors is an array of numbers, for which zero is a value.
            let mut one: libc::cpu_set_t = unsafe { std::mem::zeroed() };
            // SAFETY: the number is below that of a set's processors; the call reads the set, whose
            // size it is told.
            let is_pinned = unsafe {
                libc::CPU_SET(libc::sched_getcpu() as usize, &mut one);
                libc::sched_setaffinity(0, size_of_val(&one), &raw const one) == 0
            };
            assert!(is_pinned);
            processors()
        });
        assert_eq!(pinned.join().unwrap(), all);
    }
}
