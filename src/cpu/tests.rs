//! Barriers: of a store and a look on each side, at least one look sees the other's store.
//!
//! The other side is a processor of its own, which keeps its stores to itself for a while: so this
//! notices a barrier that is not there. Where the kernel offers membarrier(2), and where it
//! refuses.

use super::membarrier::Barrier;
use crate::IdleMap;
use crossbeam_utils::CachePadded;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const ROUNDS: usize = 100_000;

type Word = CachePadded<AtomicUsize>;

static BARRIER: Barrier = Barrier::new();

/// What two threads store, and where they wait for each other.
#[derive(Default)]
struct Shared {
    reader: Word,
    writer: Word,
    arrived: Word,
}

impl Shared {
    fn meet(&self, all: usize) {
        self.arrived.fetch_add(1, Ordering::AcqRel);
        let mut looks = 0;
        while self.arrived.load(Ordering::Acquire) < all {
            looks += 1;
            if looks % 1_000 == 0 {
                thread::yield_now();
            }
        }
    }

    /// In each round stores the round's number, calls the barrier, and looks what the other one has
    /// stored.
    fn run(&self, mine: &Word, other: &Word, barrier: fn()) -> Vec<usize> {
        BARRIER.prepare();
        let round = |round| {
            self.meet(2 * round);
            mine.store(round, Ordering::Relaxed);
            barrier();
            other.load(Ordering::Relaxed)
        };
        (1..=ROUNDS).map(round).collect()
    }
}

/// Rounds in which neither saw the other's store.
fn missed() -> usize {
    let shared = &Shared::default();
    let (seen_by_reader, seen_by_writer) = thread::scope(|scope| {
        let reader =
            scope.spawn(move || shared.run(&shared.reader, &shared.writer, || BARRIER.light()));
        let free = || assert!(BARRIER.heavy(), "the kernel takes back what it has offered");
        let seen_by_writer = shared.run(&shared.writer, &shared.reader, free);
        (reader.join().unwrap(), seen_by_writer)
    });
    let both = seen_by_reader.into_iter().zip(seen_by_writer);
    (1..)
        .zip(both)
        .filter(|&(round, (one, other))| one < round && other < round)
        .count()
}

#[test]
fn one_of_two_sees_the_other() {
    assert_eq!(missed(), 0);
}

/// From here on the kernel offers this thread, and those that it starts, no membarrier.
fn refuse() {
    let statement = |code: u32, jump_if_false, value| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: jump_if_false,
        k: value,
    };
    let mut filter = [
        // The number of the system call is the first word of what a filter is shown.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        statement(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            1,
            libc::SYS_membarrier as u32,
        ),
        statement(
            libc::BPF_RET | libc::BPF_K,
            0,
            libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32,
        ),
        statement(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: the program and its filter live during the calls.
    let is_refused = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::SECCOMP_MODE_FILTER,
                &raw const program,
            ) == 0
            && libc::syscall(libc::SYS_membarrier, libc::MEMBARRIER_CMD_QUERY, 0, 0) == -1
    };
    assert!(is_refused, "the kernel does not take the filter");
}

/// What the kernel answers is of the whole process: so a test starts itself again as another one.
fn in_another_process(test: &str, body: fn()) {
    const AGAIN: &str = "DWELL_MEMBARRIER_REFUSED";
    if std::env::var_os(AGAIN).is_some() {
        return body();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .env(AGAIN, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "{text}");
}

#[test]
fn one_of_two_sees_the_other_where_the_kernel_refuses() {
    let test = "cpu::tests::one_of_two_sees_the_other_where_the_kernel_refuses";
    in_another_process(test, || {
        refuse();
        assert_eq!(missed(), 0);
    });
}

/// A server that enters its sandbox when it has started.
#[test]
fn what_is_retired_is_freed_although_the_kernel_takes_back_its_offer() {
    let test = "cpu::tests::what_is_retired_is_freed_although_the_kernel_takes_back_its_offer";
    in_another_process(test, || {
        let map = IdleMap::new(Duration::from_secs(60));
        map.insert(0, 0);
        if map.stats().uses_fences {
            // It offered nothing.
            return;
        }
        BARRIER.prepare();
        refuse();
        let begun = Instant::now();
        let most = Duration::from_secs(60);
        while !map.stats().uses_fences || map.stats().garbage > 0 {
            assert!(begun.elapsed() < most, "{:?}", map.stats());
            for value in 0..1_000 {
                map.insert(1, value);
            }
            map.collect();
        }
        while !BARRIER.heavy() {
            assert!(
                begun.elapsed() < most,
                "no barrier, since the offer was taken back"
            );
        }
        assert_eq!(missed(), 0);
    });
}
