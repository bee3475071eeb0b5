//! What the map needs fails it: a reader that stalls, a collector that dies, an allocator that has
//! no more.

use crate::allocator::{SUCCEED, assert_aborted, fail_each};
use crate::common::{MINUTE, Rig, assert_ledger, millis, panic_quietly};
use dwell::{Clock, IdleMap, ManualClock};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{Sender, channel};
use std::thread;

/// Records that come and go while a reader is stalled; `DWELL_CHURN` sets another number.
fn churn() -> u32 {
    let churn = std::env::var("DWELL_CHURN");
    churn.map_or(200_000, |n| n.parse().expect("DWELL_CHURN is a number"))
}

#[test]
fn a_stalled_reader_delays_the_freeing_of_memory_and_nothing_else() {
    let churn = churn();
    let rig = Rig::new();
    rig.insert(0);
    let (stalled, is_stalled) = channel();
    let (wake, woken) = channel::<()>();
    thread::scope(|scope| {
        let map = &rig.map;
        scope.spawn(move || {
            map.with(&0, |value| {
                stalled.send(()).unwrap();
                let _ = woken.recv();
                value.number()
            })
        });
        is_stalled.recv().unwrap();
        for key in 1..=churn {
            rig.insert(key);
            assert!(rig.map.remove(&key).is_some());
        }
        rig.map.collect();
        let garbage = rig.map.stats().garbage;
        println!("{garbage} records are kept after {churn} came and went");
        // What was retired before the reader was noticed may be gone; nothing else is, and nothing
        // is counted twice.
        let least = churn as usize / 2;
        assert!((least..=churn as usize).contains(&garbage), "{garbage}");
        assert_eq!(rig.map.len(), 1);
        drop(wake);
    });
    rig.assert_alive(1);
    rig.map.collect();
    assert_eq!(rig.map.stats().garbage, 0);
    rig.finish();
}

/// A clock that ends the collector's thread when it is told to.
struct DeadlyClock {
    clock: ManualClock,
    is_deadly: Arc<AtomicBool>,
    /// Drops its sender with the thread.
    died: Sender<()>,
}

impl Clock for DeadlyClock {
    fn now_millis(&self) -> u64 {
        if self.is_deadly.load(SeqCst) && thread::current().name() == Some("dwell-collector") {
            let _ = self.died.send(());
            panic_quietly();
        }
        self.clock.now_millis()
    }
}

#[test]
fn a_collector_that_dies_leaves_expiry_exact_and_the_rest_to_the_next_one() {
    const RECORDS: u32 = 1_000;
    let (clock, is_deadly) = (ManualClock::new(), Arc::new(AtomicBool::new(true)));
    let (died, has_died) = channel();
    let (ended, has_ended) = channel();
    let deadly = DeadlyClock {
        clock: clock.clone(),
        is_deadly: Arc::clone(&is_deadly),
        died,
    };
    let map = IdleMap::<u32, u32>::builder()
        .idle_timeout(MINUTE)
        .clock(deadly)
        .on_removal(move |record, _| ended.send(*record.key()).unwrap())
        .build();
    let map = Arc::new(map.unwrap());
    for key in 0..RECORDS {
        map.insert(key, key);
    }
    let dead = map.spawn_collector();
    has_died.recv().unwrap();
    while dead.is_running() {
        thread::yield_now();
    }

    clock.advance(MINUTE - millis(1));
    assert!(map.touch(&1));
    clock.advance(millis(1));
    assert!(map.get(&0).is_none(), "nobody has collected it");
    assert!(map.contains_key(&1));
    assert_eq!(map.len() as u32, RECORDS - 1);

    is_deadly.store(false, SeqCst);
    clock.advance(millis(200));
    let next = map.spawn_collector();
    let mut told: Vec<u32> = has_ended.iter().take(RECORDS as usize - 1).collect();
    told.sort_unstable();
    assert!(
        told.iter()
            .copied()
            .eq((0..RECORDS).filter(|&key| key != 1))
    );
    assert!(next.is_running());
    assert!(map.contains_key(&1));
    drop((dead, next));
    assert_ledger(&map);
}

/// Whatever allocates: insertion, a growing table, buckets, updates, retirement, shrinking,
/// iteration.
fn allocate_in_all_ways() {
    let clock = ManualClock::new();
    let builder = IdleMap::<u64, u64>::builder().idle_timeout(millis(8));
    let map = builder.clock(clock.clone()).build().unwrap();
    for key in 0..60 {
        map.insert(key, key);
        map.get_or_insert_with(key + 1, || 0);
        map.update(&key, |value| value + 1);
        map.remove(&(key / 2));
        clock.advance(millis(1));
    }
    assert!(map.iter().count() > 0);
    clock.advance(millis(8));
    map.collect();
}

/// A failed allocation ends the process, as in the standard library: the map never goes on with a
/// pointer to nothing. An allocator must not panic, says `GlobalAlloc`; so there is nothing to
/// catch.
#[test]
fn an_allocator_that_fails_ends_the_process_and_nothing_worse() {
    fail_each(
        "outages::an_allocator_that_fails_ends_the_process_and_nothing_worse",
        60,
        allocate_in_all_ways,
    );
}

/// A large table asks the operating system for memory of its own, past the allocator.
#[cfg(target_os = "linux")]
#[test]
fn a_system_without_memory_ends_the_process_and_nothing_worse() {
    const NAME: &str = "outages::a_system_without_memory_ends_the_process_and_nothing_worse";
    if std::env::var(SUCCEED).is_ok() {
        let map = IdleMap::<u64, [u64; 32]>::new(millis(1_000_000));
        for key in 0..u64::MAX {
            map.insert(key, [key; 32]);
        }
    }
    let program = std::env::current_exe().unwrap();
    // In kilobytes: enough to begin with.
    let output = std::process::Command::new("sh")
        .args(["-c", "ulimit -v 400000; exec \"$0\" \"$@\""])
        .arg(program)
        .args(["--exact", NAME, "--nocapture", "--test-threads=1"])
        .env(SUCCEED, "0")
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap();
    assert_aborted(output.status, &String::from_utf8_lossy(&output.stderr));
}
