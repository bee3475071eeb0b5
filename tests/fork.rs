//! A child of fork(2) that goes on without exec. A binary of its own: no other test's thread may be
//! inside of a map when this one forks.
#![cfg(target_os = "linux")]

use dwell::IdleMap;
use std::panic::catch_unwind;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

type Map = IdleMap<u64, [u64; 8]>;

const REMOVALS: u64 = 20_000;

/// Works on the map as a program does, and says how much memory still waits after collections.
fn churn(map: &Map) -> usize {
    for key in 1..=REMOVALS {
        map.insert(key, [key; 8]);
        assert_eq!(map.with(&key, |value| value[0]), Some(key));
        assert!(map.remove(&key).is_some());
    }
    for _ in 0..4 {
        map.collect();
    }
    assert!(map.contains_key(&0));
    map.stats().garbage
}

/// Runs `check` in a child, and says whether it returned.
fn succeeds_in_a_child(check: impl FnOnce() + std::panic::UnwindSafe) -> bool {
    // SAFETY: the child runs `check` and ends. What it allocates and locks is its own: no other
    // thread of this process is inside of an allocator or of the standard streams, they wait for
    // messages.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        let status = i32::from(catch_unwind(check).is_err());
        // SAFETY: it ends the child, and runs nothing of the parent's.
        unsafe { libc::_exit(status) }
    }
    let mut status = 0;
    // SAFETY: the status is written to a local.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    status == 0
}

#[test]
fn a_child_of_fork_goes_on_and_frees_memory_unless_a_thread_was_inside_of_a_map() {
    let map = Map::new(Duration::from_secs(60));
    map.insert(0, [0; 8]);
    // A barrier was asked for before the fork: the child registers for it anew.
    assert_eq!(churn(&map), 0);
    assert!(succeeds_in_a_child(|| assert_eq!(churn(&map), 0)));

    let (enter, entered) = channel();
    let (leave, left) = channel::<()>();
    thread::scope(|scope| {
        let map = &map;
        scope.spawn(move || {
            map.with(&0, |_| {
                enter.send(()).unwrap();
                left.recv().unwrap();
            })
        });
        entered.recv().unwrap();
        // The other thread's pin is in the child for ever, the thread is not.
        let keeps_all = succeeds_in_a_child(|| assert_eq!(churn(map), REMOVALS as usize));
        leave.send(()).unwrap();
        assert!(keeps_all);
    });
    assert_eq!(churn(&map), 0);
}
