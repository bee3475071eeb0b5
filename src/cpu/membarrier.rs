//! Asymmetric barriers: almost free for the threads that read, dear for those that free.
//!
//! **Contract.** Take a thread that stores and then calls [`light`](Barrier::light), and one that
//! calls [`heavy`](Barrier::heavy), which returns true, and then loads. Either the second thread
//! sees the store, or what the first one does after `light` comes after all that the second one did
//! before `heavy`. Two SeqCst fences give the same, at the same price on both sides.
//!
//! On Linux `heavy` is the system call membarrier(2), which makes every running thread of the
//! process pass a full barrier; `light` keeps only the compiler from moving memory accesses across
//! it. Where the kernel does not offer the call, and on other systems, both are fences. Under loom
//! they are what the contract says and no more, or fences: models run on both, since fences hide
//! what the contract alone does not give.
//!
//! ```text
//!   UNKNOWN --> OFFERED --(the kernel refuses)--> WITHDRAWN: fences, of use when SETTLING is over
//!           \-> REFUSED: fences
//! ```
//!
//! **A sandbox that is entered later.** A kernel that has offered the call may refuse it from some
//! moment on, by a filter of seccomp. The thread that is refused withdraws the offer: from then on
//! each `light` is a fence, too. Its own `heavy` is none, and returns false, and so does each one
//! until a second has gone by.
//!
//! *Why that is safe.* Assume that a processor performs an access less than a second after it has
//! performed one that comes later in the program: that store buffers drain within a second. (The
//! bound is that of temporally bounded TSO: Morrison and Afek, Temporally Bounding TSO for
//! Fence-Free Asymmetric Synchronization, 2015. Real ones take less than a microsecond; a thread
//! that is interrupted passes a full barrier.) `light` loads the mode after the store that it
//! follows. Let *t* be a moment at which the withdrawal was visible to all threads: when a thread
//! has read it after its own fence. If `light` read the mode before *t*, the store before it was
//! performed before *t* and a second: each `heavy` that returns true later sees it, or a newer one.
//! If it read the mode after *t*, it found the withdrawal and is a fence, as `heavy` is. So the
//! second is worth one last heavy barrier: that is how loom models it.
//!
//! **Progress.** `light` is wait-free. `heavy` does not wait for the process's own threads; the
//! system call takes some microseconds, and kernels since 2024 take a lock of the whole system in
//! it and wait for other processors.

use crate::sync::{AtomicU64, AtomicUsize, Ordering, fence};

const UNKNOWN: usize = 0b00;
const OFFERED: usize = 0b01;
/// From the start.
const REFUSED: usize = 0b10;
/// After it had been offered.
const WITHDRAWN: usize = 0b11;
/// Modes in which both sides are fences.
const FENCES: usize = 0b10;

/// An asymmetric barrier. A process needs one; each has an answer of its own from the kernel.
#[derive(Debug)]
pub struct Barrier {
    /// What the kernel said, to the thread that asked first and to the one that was refused first.
    mode: AtomicUsize,
    /// When a thread first found the offer withdrawn, in nanoseconds; 0 while none has.
    withdrawn_at: AtomicU64,
}

impl Barrier {
    #[cfg(not(dwell_loom))]
    pub const fn new() -> Self {
        Self {
            mode: AtomicUsize::new(UNKNOWN),
            withdrawn_at: AtomicU64::new(0),
        }
    }

    #[cfg(dwell_loom)]
    pub fn new() -> Self {
        Self {
            mode: AtomicUsize::new(UNKNOWN),
            withdrawn_at: AtomicU64::new(0),
        }
    }

    /// A thread calls this before its first barrier. The first call of a process registers it,
    /// which takes some milliseconds where it has threads already.
    pub fn prepare(&self) {
        // Relaxed, both: one answer for all threads, which each has read before its first barrier.
        if self.mode.load(Ordering::Relaxed) == UNKNOWN {
            let answer = if kernel::offers() { OFFERED } else { REFUSED };
            let _ =
                self.mode
                    .compare_exchange(UNKNOWN, answer, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Whether both sides are fences.
    #[inline]
    pub fn is_fences(&self) -> bool {
        // Relaxed: by the argument above.
        self.mode.load(Ordering::Relaxed) & FENCES != 0
    }

    #[inline]
    pub fn light(&self) {
        kernel::light();
        if self.is_fences() {
            light_fence();
        }
    }

    /// False if there was no barrier: the offer was withdrawn less than a second before.
    pub fn heavy(&self) -> bool {
        fence(Ordering::SeqCst);
        // Relaxed: a thread that reads an older mode asks the kernel, whose barrier serves in all
        // modes.
        match self.mode.load(Ordering::Relaxed) {
            REFUSED => true,
            WITHDRAWN => {
                // The withdrawal is visible before the second begins, or is seen to be over.
                fence(Ordering::SeqCst);
                kernel::has_settled(&self.withdrawn_at)
            }
            _ => {
                let is_done = kernel::heavy();
                if !is_done {
                    // Relaxed: by the argument above.
                    let _ = self.mode.compare_exchange(
                        OFFERED,
                        WITHDRAWN,
                        Ordering::Relaxed,
                        Ordering::Relaxed,
                    );
                }
                is_done
            }
        }
    }
}

#[cold]
#[inline(never)]
fn light_fence() {
    fence(Ordering::SeqCst);
}

#[cfg(all(target_os = "linux", not(dwell_loom)))]
mod kernel {
    use crate::sync::{AtomicU64, Ordering, compiler_fence};

    /// Nanoseconds until the stores of all threads are visible.
    const SETTLING: u64 = 1_000_000_000;

    pub(super) fn offers() -> bool {
        command(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)
    }

    #[inline(always)]
    pub(super) fn light() {
        compiler_fence(Ordering::SeqCst);
    }

    pub(super) fn heavy() -> bool {
        // A child of fork may have to register anew.
        command(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED)
            || offers() && command(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED)
    }

    /// Whether a second has gone by since the withdrawal was visible. The first call begins it.
    pub(super) fn has_settled(withdrawn_at: &AtomicU64) -> bool {
        let now = now();
        // Acquire and Release pair with each other: the withdrawal was visible before the moment
        // was noted.
        match withdrawn_at.compare_exchange(0, now, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => false,
            Err(since) => now.saturating_sub(since) >= SETTLING,
        }
    }

    /// Nanoseconds that have gone by, but for those in which the machine was suspended.
    fn now() -> u64 {
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: the call writes to `time` alone.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
        (time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64).max(1)
    }

    fn command(command: libc::c_int) -> bool {
        // SAFETY: the call takes three numbers and touches no memory of ours.
        unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
    }
}

/// Other systems offer nothing.
#[cfg(not(any(target_os = "linux", dwell_loom)))]
mod kernel {
    use crate::sync::AtomicU64;

    pub(super) fn offers() -> bool {
        false
    }

    #[inline(always)]
    pub(super) fn light() {}

    pub(super) fn heavy() -> bool {
        false
    }

    pub(super) fn has_settled(_: &AtomicU64) -> bool {
        true
    }
}

/// The contract, as a specification.
#[cfg(dwell_loom)]
mod kernel {
    use loom::sync::atomic::{AtomicUsize, Ordering};
    use std::cell::Cell;

    thread_local! {
        /// All threads of a model run on the thread of its test.
        static BY_CONTRACT: Cell<bool> = const { Cell::new(false) };
        static REFUSES: Cell<bool> = const { Cell::new(false) };
    }

    /// The contract. A fence does more: it makes of the loads before it what an Acquire would, and
    /// of the stores after it what a Release would.
    struct Line {
        light: AtomicUsize,
        heavy: AtomicUsize,
    }

    loom::lazy_static! {
        static ref LINE: Line = Line {
            light: AtomicUsize::new(0),
            heavy: AtomicUsize::new(0),
        };
    }

    /// Has the models of this thread run on the contract alone.
    pub fn go_by_contract() {
        BY_CONTRACT.set(true);
    }

    /// Has the kernel refuse from now on, or no more.
    pub fn refuse(refuses: bool) {
        REFUSES.set(refuses);
    }

    /// What makes the line comes before all that use it: a model's first thread calls `prepare`
    /// first.
    pub(super) fn offers() -> bool {
        if BY_CONTRACT.get() {
            let _: &Line = &LINE;
        }
        BY_CONTRACT.get()
    }

    pub(super) fn light() {
        if BY_CONTRACT.get() {
            LINE.light.fetch_add(1, Ordering::Release);
            // After a `heavy` that does not see the line above.
            LINE.heavy.fetch_add(0, Ordering::Acquire);
        }
    }

    pub(super) fn heavy() -> bool {
        !REFUSES.get() && barrier()
    }

    /// The second that goes by is one more heavy barrier.
    pub(super) fn has_settled(_: &crate::sync::AtomicU64) -> bool {
        barrier()
    }

    fn barrier() -> bool {
        LINE.heavy.fetch_add(1, Ordering::Release);
        LINE.light.fetch_add(0, Ordering::Acquire);
        true
    }
}

#[cfg(dwell_loom)]
pub use kernel::{go_by_contract, refuse};
