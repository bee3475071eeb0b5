//! Asymmetric barriers: almost free for those who read, dear for those who free.
//!
//! **Contract.** Take a thread that stores and then calls [`light`], and one that calls [`heavy`] and then
//! loads. Either the second sees the store, or what the first one does after `light` comes after all that the
//! second one did before `heavy`. Two SeqCst fences give the same, at the same price on both sides.
//!
//! On Linux `heavy` is the system call membarrier(2), which makes every running thread of the process pass a
//! full barrier; `light` keeps only the compiler from moving memory accesses across it. Where the kernel does not
//! offer the call, [`prepare`] says so, and threads call [`fallback_fence`] in the place of `light`: a fence, as `heavy` is one
//! then. On other systems both are fences. Under loom they are what the contract says and no more, or fences: models run on
//! both, since fences hide what the contract alone does not give.
//!
//! **Progress.** Both are wait-free; the system call takes some microseconds.

use crate::sync::{Ordering, fence};

#[cfg(all(target_os = "linux", not(dwell_loom)))]
mod system {
    use super::{Ordering, fence};
    use crate::sync::{AtomicUsize, compiler_fence};

    const UNKNOWN: usize = 0;
    const OFFERED: usize = 1;
    const REFUSED: usize = 2;

    /// What the kernel said to whoever asked first.
    static ANSWER: AtomicUsize = AtomicUsize::new(UNKNOWN);

    /// A thread calls this before its first barrier. False if `fallback_fence` has to stand in for `light`.
    pub fn prepare() -> bool {
        if ANSWER.load(Ordering::Relaxed) == UNKNOWN {
            let answer = if register() { OFFERED } else { REFUSED };
            // One answer for all: a thread that it does not hold for fails in `heavy`.
            let _ = ANSWER.compare_exchange(UNKNOWN, answer, Ordering::Relaxed, Ordering::Relaxed);
        }
        // Relaxed: it does not change any more.
        ANSWER.load(Ordering::Relaxed) == OFFERED
    }

    #[inline]
    pub fn light() {
        compiler_fence(Ordering::SeqCst);
    }

    /// Does what `light` does, whatever `heavy` is.
    pub fn fallback_fence() {
        fence(Ordering::SeqCst);
    }

    /// False if the kernel took back what it had offered: then there was no barrier.
    pub fn heavy() -> bool {
        fence(Ordering::SeqCst);
        ANSWER.load(Ordering::Relaxed) != OFFERED
            || command(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED)
            // A child of fork may have to register anew.
            || register() && command(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED)
    }

    fn register() -> bool {
        command(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)
    }

    fn command(command: libc::c_int) -> bool {
        // SAFETY: the call takes three numbers and touches no memory of ours.
        unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
    }
}

#[cfg(all(target_os = "linux", not(dwell_loom)))]
pub use system::{fallback_fence, heavy, light, prepare};

#[cfg(not(any(target_os = "linux", dwell_loom)))]
mod fences {
    use super::{Ordering, fence};

    pub fn prepare() -> bool {
        true
    }

    #[inline]
    pub fn light() {
        fence(Ordering::SeqCst);
    }

    /// Does what `light` does, whatever `heavy` is.
    pub fn fallback_fence() {
        fence(Ordering::SeqCst);
    }

    pub fn heavy() -> bool {
        fence(Ordering::SeqCst);
        true
    }
}

#[cfg(not(any(target_os = "linux", dwell_loom)))]
pub use fences::{fallback_fence, heavy, light, prepare};

#[cfg(dwell_loom)]
mod spec {
    use super::{Ordering, fence};
    use loom::sync::atomic::AtomicUsize;
    use std::cell::Cell;

    thread_local! {
        /// All threads of a model run on the thread of its test.
        static BY_CONTRACT: Cell<bool> = const { Cell::new(false) };
    }

    /// The contract. A fence does more: it makes of the loads before it what an Acquire would, and of the stores after
    /// it what a Release would.
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

    /// What makes the line comes before all that use it: a model's first thread calls this first.
    pub fn prepare() -> bool {
        if BY_CONTRACT.get() {
            let _: &Line = &LINE;
        }
        true
    }

    pub fn light() {
        if !BY_CONTRACT.get() {
            return fence(Ordering::SeqCst);
        }
        LINE.light.fetch_add(1, Ordering::Release);
        // After a `heavy` that does not see the line above.
        LINE.heavy.fetch_add(0, Ordering::Acquire);
    }

    pub fn fallback_fence() {
        light();
    }

    pub fn heavy() -> bool {
        if !BY_CONTRACT.get() {
            fence(Ordering::SeqCst);
            return true;
        }
        LINE.heavy.fetch_add(1, Ordering::Release);
        LINE.light.fetch_add(0, Ordering::Acquire);
        true
    }
}

#[cfg(dwell_loom)]
pub use spec::{fallback_fence, go_by_contract, heavy, light, prepare};
