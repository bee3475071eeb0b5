//! The allocator of a test binary: the system's. It counts what each thread allocates, and lets one
//! allocation of a thread fail that asked for it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};

/// None of a thread's allocations fails.
const NEVER: usize = usize::MAX;

thread_local! {
    /// Allocations of this thread, and their bytes.
    static COUNTED: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
    /// How many allocations of this thread succeed before one fails. Those after it succeed: code
    /// that overlooks the failure goes on.
    static LEFT: Cell<usize> = const { Cell::new(NEVER) };
}

struct Allocator;

/// Counts an allocation. Returns whether it succeeds.
fn succeeds(layout: Layout) -> bool {
    let (allocations, bytes) = COUNTED.get();
    COUNTED.set((allocations + 1, bytes + layout.size()));
    match LEFT.get() {
        NEVER => true,
        0 => {
            LEFT.set(NEVER);
            false
        }
        left => {
            LEFT.set(left - 1);
            true
        }
    }
}

// SAFETY: what it returns is the system allocator's, or null for a failure.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match succeeds(layout) {
            // SAFETY: the caller promises a layout that is not empty.
            true => unsafe { System.alloc(layout) },
            false => std::ptr::null_mut(),
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match succeeds(layout) {
            // SAFETY: the caller promises a layout that is not empty.
            true => unsafe { System.alloc_zeroed(layout) },
            false => std::ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller promises that this allocator gave the pointer, with this layout; it
        // got it from the system's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// How many allocations `work` makes on this thread, and of how many bytes.
pub fn counted(work: impl FnOnce()) -> (usize, usize) {
    let before = COUNTED.get();
    work();
    let after = COUNTED.get();
    (after.0 - before.0, after.1 - before.1)
}

/// Tells the process that runs a test alone how many allocations succeed.
pub const SUCCEED: &str = "DWELL_TEST_ALLOCATIONS";

/// Runs `name`, a test of this binary, in a process of its own.
fn run_alone(name: &str, left: usize) -> (ExitStatus, String) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(SUCCEED, left.to_string())
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status, said)
}

#[track_caller]
pub fn assert_aborted(status: ExitStatus, said: &str) {
    const ABORTED: i32 = 6;
    assert_eq!(status.signal(), Some(ABORTED), "{status}, {said}");
    assert!(said.contains("memory allocation of"), "{said}");
}

/// Lets each of the allocations of `act` fail in turn, each in a process of its own, which runs
/// `name`: the path of the test that calls this.
pub fn fail_each(name: &str, at_least: usize, act: fn()) {
    if let Ok(left) = std::env::var(SUCCEED) {
        LEFT.set(left.parse().unwrap());
        act();
        LEFT.set(NEVER);
        return;
    }
    let mut failed = 0;
    loop {
        let (status, said) = run_alone(name, failed);
        if status.success() {
            break;
        }
        assert_aborted(status, &format!("after {failed}: {said}"));
        failed += 1;
    }
    println!("each of {failed} allocations failed once");
    assert!(failed > at_least, "{failed}");
}
