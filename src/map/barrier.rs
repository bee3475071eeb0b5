//! Asymmetric barriers: almost free for those who read, dear for those who free.
//!
//! **Contract.** Take a thread that stores and then calls [`light`], and one that calls [`heavy`] and then
//! loads. Either the second sees the store, or what the first one does after `light` comes after all that the
//! second one did before `heavy`. Two SeqCst fences give the same, at the same price on both sides.
//!
//! On Linux `heavy` is the system call membarrier(2), which makes every running thread of the process pass a
//! full barrier; `light` keeps only the compiler from moving memory accesses across it. Where the kernel does not
//! offer the call, [`prepare`] says so, and threads call [`medium`] in the place of `light`: a fence, as `heavy` is one
//! then. On other systems both are fences, and so they are under loom.
//!
//! **Progress.** Both are wait-free; the system call takes some microseconds.

use crate::sync::{Ordering, fence};

#[cfg(all(target_os = "linux", not(any(dwell_loom, dwell_shuttle))))]
mod membarrier {
    use super::{Ordering, fence};
    use crate::sync::{AtomicUsize, compiler_fence};

    const UNKNOWN: usize = 0;
    const OFFERED: usize = 1;
    const REFUSED: usize = 2;

    /// What the kernel said to whoever asked first.
    static ANSWER: AtomicUsize = AtomicUsize::new(UNKNOWN);

    /// A thread calls this before its first barrier. False if `medium` has to stand in for `light`.
    pub(crate) fn prepare() -> bool {
        if ANSWER.load(Ordering::Relaxed) == UNKNOWN {
            let answer = if register() { OFFERED } else { REFUSED };
            // One answer for all: a thread that it does not hold for fails in `heavy`.
            let _ = ANSWER.compare_exchange(UNKNOWN, answer, Ordering::Relaxed, Ordering::Relaxed);
        }
        // Relaxed: it does not change any more.
        ANSWER.load(Ordering::Relaxed) == OFFERED
    }

    #[inline]
    pub(crate) fn light() {
        compiler_fence(Ordering::SeqCst);
    }

    /// False if the kernel took back what it had offered: then there was no barrier.
    pub(crate) fn heavy() -> bool {
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

#[cfg(all(target_os = "linux", not(any(dwell_loom, dwell_shuttle))))]
pub(crate) use membarrier::{heavy, light, prepare};

#[cfg(not(all(target_os = "linux", not(any(dwell_loom, dwell_shuttle)))))]
mod fences {
    use super::{Ordering, fence};

    pub(crate) fn prepare() -> bool {
        true
    }

    #[inline]
    pub(crate) fn light() {
        fence(Ordering::SeqCst);
    }

    pub(crate) fn heavy() -> bool {
        fence(Ordering::SeqCst);
        true
    }
}

#[cfg(not(all(target_os = "linux", not(any(dwell_loom, dwell_shuttle)))))]
pub(crate) use fences::{heavy, light, prepare};

/// Does what `light` does, whatever `heavy` is.
pub(crate) fn medium() {
    fence(Ordering::SeqCst);
}
