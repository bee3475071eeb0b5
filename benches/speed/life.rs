//! Memory and collection. The process has no other map, so that its resident memory is the map's.

use std::thread;
use std::time::{Duration, Instant};

use contenders::load::{Lanes, Work, Worker, create};
use contenders::{Contender, IDLE, Skewed, Store, id};

use crate::calm;
use crate::plan::{Pace, own_idle};
use crate::subject::Line;

/// A collection that has not ended what is due by then never will.
const LIMIT: Duration = Duration::from_secs(300);

pub fn live<C: Contender<Time = Skewed>>(cell: &str, sessions: u64, pace: &Pace) -> Vec<Line> {
    calm::wait(pace.patience);
    let time = Skewed::default();
    let idle = idle::<C>(sessions);
    let mut contender = C::new(time.clone(), idle, sessions);
    let empty = resident();
    let per_session = |bytes: f64| bytes / sessions as f64;
    let half = sessions / 2;
    match cell {
        "memory" => {
            create(&mut contender.stores(1)[0], 0..sessions);
            let full = per_session(resident() - empty);
            vec![Line::new("resident a session", full, "B")]
        }
        "born" => {
            let store = &mut contender.stores(1)[0];
            create(store, 0..half);
            pass::<C>(&time, idle, 0.6);
            create(store, half..sessions);
            let full = resident();
            let nothing_due = nothing_due(store);
            pass::<C>(&time, idle, 0.45);
            let (nanos, ended) = collect_all::<C>(store, half);
            let rest = resident();
            pass::<C>(&time, idle, 1.0);
            collect_all::<C>(store, sessions - ended);
            let returned = |now: f64| (full - now) / (full - empty);
            let all = resident();
            let trimmed = trimmed();
            vec![
                Line::new("resident a session", per_session(full - empty), "B"),
                Line::new("collect with nothing due", nothing_due, "ns"),
                Line::new("collect half: a session ended", nanos, "ns"),
                Line::new("returned of that half", returned(rest) * 2.0, "ratio"),
                Line::new("returned of all", returned(all), "ratio"),
                Line::new(
                    "returned of all after malloc_trim",
                    returned(trimmed),
                    "ratio",
                ),
            ]
        }
        "touched" => {
            let store = &mut contender.stores(1)[0];
            create(store, 0..sessions);
            pass::<C>(&time, idle, 0.6);
            for session in (0..sessions).step_by(2) {
                assert!(store.get(&id(session)).is_some(), "lapsed too early");
            }
            assert_eq!(store.collect(), 0, "nothing is due");
            pass::<C>(&time, idle, 0.45);
            let (nanos, _) = collect_all::<C>(store, half);
            vec![Line::new(
                "collect half beside touched ones: a session ended",
                nanos,
                "ns",
            )]
        }
        "churned" => {
            let lanes = Lanes::new(sessions);
            create(&mut contender.stores(1)[0], 0..sessions);
            let full = resident();
            let threads = if C::SHARED { 2 } else { 1 };
            let operations = sessions * 4 / threads;
            thread::scope(|scope| {
                for (thread, mut store) in (0..).zip(contender.stores(threads as usize)) {
                    let mut worker = Worker::new(&lanes, thread, threads);
                    scope.spawn(move || {
                        worker.run(Work::Churn, &mut store, operations);
                        worker.finish(&mut store);
                        worker.tally.check(Work::Churn);
                    });
                }
            });
            let grown = (resident() - empty) / (full - empty);
            vec![Line::new("resident after churn / before", grown, "ratio")]
        }
        _ => unreachable!("{cell} is no cell of a life"),
    }
}

pub fn idle<C: Contender>(sessions: u64) -> Duration {
    // Where time passes by itself, sessions that nobody wants to see lapse must not.
    if C::OWN_CLOCK && C::COLLECTS {
        own_idle(sessions)
    } else {
        IDLE
    }
}

/// Lets a share of the idle timeout pass.
pub fn pass<C: Contender>(time: &Skewed, idle: Duration, share: f64) {
    if C::OWN_CLOCK {
        thread::sleep(idle.mul_f64(share));
    } else {
        time.advance(idle.mul_f64(share));
    }
}

/// Nanoseconds a pass.
fn nothing_due(store: &mut impl Store) -> f64 {
    let begun = Instant::now();
    let mut passes = 0;
    while passes < 3 || begun.elapsed() < Duration::from_millis(100) {
        assert_eq!(store.collect(), 0, "nothing is due");
        passes += 1;
    }
    begun.elapsed().as_nanos() as f64 / f64::from(passes)
}

/// Nanoseconds a session ended, and how many did. Where time passes for real, others may become due
/// meanwhile.
fn collect_all<C: Contender>(store: &mut impl Store, due: u64) -> (f64, u64) {
    let begun = Instant::now();
    let mut ended = 0;
    while ended < due {
        ended += store.collect() as u64;
        assert!(begun.elapsed() < LIMIT, "{ended} of {due} ended");
    }
    let nanos = begun.elapsed().as_nanos() as f64;
    assert!(C::OWN_CLOCK || ended == due, "a session ended too early");
    (nanos / ended as f64, ended)
}

/// Bytes this process has in memory.
fn resident() -> f64 {
    memory_stats::memory_stats().map_or(f64::NAN, |memory| memory.physical_mem as f64)
}

/// The same after the allocator was asked to give back what it can.
fn trimmed() -> f64 {
    #[cfg(all(target_os = "linux", target_env = "gnu", not(feature = "mimalloc")))]
    // SAFETY: malloc_trim has no preconditions.
    unsafe {
        libc::malloc_trim(0);
    }
    resident()
}
