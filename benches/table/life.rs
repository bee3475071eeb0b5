//! Memory and collection. Each sample is a contender's life in a process of its own, so that its
//! resident memory is its own.

use std::env;
use std::error::Error;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::Plan;
use crate::report::{Column, Samples, Unit};
use contenders::load::{Lanes, Work, Worker, create};
use contenders::own::Dwell;
use contenders::peers::{Dash, Locked, Moka, Papaya, SccIndex, SccMap, Unshared};
use contenders::{Contender, IDLE, Skewed, Store, id};

#[derive(Clone, Copy, ValueEnum)]
pub enum Life {
    /// The older half lapses, then all.
    Born,
    /// All are created, every other one is touched later, the untouched lapse.
    Touched,
    /// Four creations and removals for each session.
    Churned,
}

impl Life {
    /// What [`run_here`] prints, in its order.
    fn quantities(self) -> &'static [(&'static str, Unit)] {
        match self {
            Self::Born => &[
                ("resident a session", Unit::Bytes),
                ("collect with nothing due", Unit::Nanoseconds),
                ("collect half: a session ended", Unit::Nanoseconds),
                ("of its memory freed then", Unit::Ratio),
                ("freed once all are collected", Unit::Ratio),
                ("resident returned once all are collected", Unit::Ratio),
            ],
            Self::Touched => &[(
                "collect half with the other half touched: a session ended",
                Unit::Nanoseconds,
            )],
            Self::Churned => &[("resident after churn / before", Unit::Ratio)],
        }
    }
}

type Live = fn(Life, u64) -> Vec<f64>;

const CONTENDERS: [(&str, Live); 8] = [
    ("F", live::<Unshared<Skewed>>),
    ("dwell", live::<Dwell<Skewed>>),
    ("dashmap", live::<Dash<Skewed>>),
    ("papaya", live::<Papaya<Skewed>>),
    ("scc-map", live::<SccMap<Skewed>>),
    ("scc-index", live::<SccIndex<Skewed>>),
    ("moka", live::<Moka<Skewed>>),
    ("mutex", live::<Locked<Skewed>>),
];

/// The samples of each quantity, the contenders taking turns.
pub fn run(plan: &Plan, life: Life) -> Result<Vec<Column>, Box<dyn Error>> {
    let quantities = life.quantities();
    let mut table = vec![Samples::default(); quantities.len()];
    for _ in 0..plan.lives {
        for (contender, _) in CONTENDERS.iter().filter(|(name, _)| plan.includes(name)) {
            let kind = life.to_possible_value().expect("no kind is skipped");
            plan.patience.wait_for_calm();
            let child = Command::new(env::current_exe()?)
                .args(["--contender", contender, "--life", kind.get_name()])
                .args(["--sessions", &plan.sessions.to_string()])
                .output()?;
            if !child.status.success() {
                return Err(String::from_utf8_lossy(&child.stderr).into());
            }
            let values = String::from_utf8(child.stdout)?;
            for (samples, value) in table.iter_mut().zip(values.split_whitespace()) {
                samples.add(contender, value.parse()?);
            }
        }
    }
    let columns = quantities.iter().zip(table);
    Ok(columns
        .map(|(&(title, unit), samples)| Column::new(title, unit, samples))
        .collect())
}

/// Lives and prints the quantities.
pub fn run_here(contender: &str, life: Life, sessions: u64) -> Result<(), Box<dyn Error>> {
    let (_, live) = CONTENDERS
        .iter()
        .find(|(name, _)| *name == contender)
        .ok_or("no such contender")?;
    for value in live(life, sessions) {
        println!("{value}");
    }
    Ok(())
}

fn live<C: Contender<Time = Skewed>>(life: Life, sessions: u64) -> Vec<f64> {
    let time = Skewed::default();
    let idle = own_idle::<C>(sessions);
    let mut contender = C::new(time.clone(), idle);
    let empty = Memory::now();
    let per_session = |memory: f64| memory / sessions as f64;
    match life {
        Life::Born => {
            let store = &mut contender.stores(1)[0];
            create(store, 0..sessions / 2);
            pass::<C>(&time, idle, 0.6);
            create(store, sessions / 2..sessions);
            let full = Memory::now();
            let idle_pass = nothing_due(store);
            pass::<C>(&time, idle, 0.45);
            let ended = collect_all(store, sessions / 2);
            let half = Memory::now();
            pass::<C>(&time, idle, 1.0);
            collect_all(store, sessions - sessions / 2);
            let rest = Memory::now();
            vec![
                per_session(full.resident - empty.resident),
                idle_pass,
                ended,
                (full.allocated - half.allocated) / (full.allocated - empty.allocated) * 2.0,
                (full.allocated - rest.allocated) / (full.allocated - empty.allocated),
                (full.resident - rest.resident) / (full.resident - empty.resident),
            ]
        }
        Life::Touched => {
            let store = &mut contender.stores(1)[0];
            create(store, 0..sessions);
            pass::<C>(&time, idle, 0.6);
            for session in (0..sessions).step_by(2) {
                assert!(store.get(&id(session)).is_some(), "lapsed too early");
            }
            assert_eq!(store.collect(), 0, "nothing is due");
            pass::<C>(&time, idle, 0.45);
            vec![collect_all(store, sessions / 2)]
        }
        Life::Churned => {
            let lanes = Lanes::new(sessions);
            Worker::new(&lanes, 0, 1).fill(&mut contender.stores(1)[0]);
            let full = Memory::now();
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
            let churned = Memory::now();
            vec![(churned.resident - empty.resident) / (full.resident - empty.resident)]
        }
    }
}

/// The idle timeout where time has to pass for real: long enough that creating all sessions
/// takes a small part of it.
pub fn own_idle<C: Contender>(sessions: u64) -> Duration {
    if C::OWN_CLOCK {
        Duration::from_micros(15 * sessions).max(Duration::from_secs(1))
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

/// Nanoseconds a session ended.
fn collect_all(store: &mut impl Store, due: u64) -> f64 {
    let begun = Instant::now();
    let mut ended = 0;
    while ended < due {
        ended += store.collect() as u64;
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "{ended} of {due} ended"
        );
    }
    let nanos = begun.elapsed().as_nanos() as f64;
    assert_eq!(ended, due, "a session ended too early");
    nanos / ended as f64
}

/// Bytes this process holds.
struct Memory {
    resident: f64,
    /// By the allocator's own account; not a number where it keeps none.
    allocated: f64,
}

impl Memory {
    fn now() -> Self {
        let resident = memory_stats::memory_stats().map_or(f64::NAN, |m| m.physical_mem as f64);
        Self {
            resident,
            allocated: allocated(),
        }
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn allocated() -> f64 {
    // SAFETY: mallinfo2 has no preconditions.
    let account = unsafe { libc::mallinfo2() };
    (account.uordblks + account.hblkhd) as f64
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn allocated() -> f64 {
    f64::NAN
}
