//! Single operations, each timed, while another thread does something: nothing, collects half of
//! the sessions, makes the map grow, or stops for a while inside of a look-up, as a preempted
//! thread would.
//!
//! Closed: one operation after the other. Open: operations arrive by a schedule that is fixed in
//! advance, and their latency counts from when they were to start, so that a stall is paid for by
//! all that it delays.

use std::collections::VecDeque;
use std::hint;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use contenders::load::{Random, create};
use contenders::{Contender, Skewed, Store, id, value};
use hdrhistogram::Histogram;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rand_distr::Exp;

use crate::calm;
use crate::life::{idle, pass};
use crate::plan::Pace;
use crate::subject::Line;

/// In nanoseconds.
const HOUR: u64 = 3_600_000_000_000;
/// Arrivals a second.
const RATE: f64 = 100_000.0;
/// The schedule ends after so many arrivals.
const ARRIVALS: usize = 2_000_000;
/// How long a stopped thread stops.
const STOP: Duration = Duration::from_millis(5);
/// Numbers of sessions that are created and removed meanwhile.
const NEW: u64 = 1 << 40;

const OPERATIONS: [&str; 4] = ["get", "update", "create", "remove"];
pub const QUANTILES: [(&str, f64); 7] = [
    ("p50", 0.5),
    ("p90", 0.9),
    ("p99", 0.99),
    ("p99.9", 0.999),
    ("p99.99", 0.9999),
    ("p99.999", 0.99999),
    ("max", 1.0),
];

pub fn measure<C: Contender<Time = Skewed>>(cell: &str, sessions: u64, pace: &Pace) -> Vec<Line> {
    let (situation, load) = cell.split_once(' ').expect("a situation and a load");
    let time = Skewed::default();
    let idle = idle::<C>(sessions);
    let mut contender = C::new(time.clone(), idle, sessions);
    let [actor, other] = &mut contender.stores(2)[..] else {
        unreachable!("two stores were asked for");
    };
    // Those that stay are `living`.
    let living = match situation {
        "growing" => 0..sessions / 8,
        "collecting" => sessions / 2..sessions,
        _ => 0..sessions,
    };
    if situation == "collecting" {
        create(actor, 0..living.start);
        pass::<C>(&time, idle, 0.6);
    }
    create(actor, living.clone());
    if situation == "collecting" {
        assert_eq!(other.collect(), 0, "nothing is due");
        pass::<C>(&time, idle, 0.45);
    }
    let schedule = if load == "open" {
        schedule()
    } else {
        Vec::new()
    };
    calm::wait(pace.patience);
    let act = |store: &mut C::Store<'_>| match situation {
        "collecting" => {
            let mut ended = 0;
            while ended < living.start {
                ended += store.collect() as u64;
            }
        }
        "growing" => create(store, living.end..sessions),
        "stopped" => {
            let begun = Instant::now();
            let mut random = Random(2);
            while begun.elapsed() < pace.phase {
                let session = random.below(living.end);
                let found = store.with(&id(session), |_| thread::sleep(STOP));
                assert!(found.is_some(), "a living session was lost");
            }
        }
        _ => thread::sleep(pace.phase),
    };
    let mut bench = Bench::new(living.start, living.end - living.start);
    let done = AtomicBool::new(false);
    let start = Barrier::new(2);
    let took = thread::scope(|scope| {
        let timed = scope.spawn(|| {
            start.wait();
            let begun = Instant::now();
            if load == "open" {
                bench.open(actor, &done, &schedule);
            } else {
                bench.closed(actor, &done);
            }
            begun.elapsed()
        });
        start.wait();
        act(other);
        done.store(true, Relaxed);
        timed.join().expect("the timed thread does not panic")
    });
    bench.lines(took)
}

/// When operations are to start, in nanoseconds.
fn schedule() -> Vec<u64> {
    let gaps = Exp::new(RATE / 1e9).expect("a valid law");
    let mut now = 0.0;
    let gaps = SmallRng::seed_from_u64(3).sample_iter(gaps).take(ARRIVALS);
    gaps.map(|gap: f64| {
        now += gap;
        now as u64
    })
    .collect()
}

/// The thread whose operations are timed: 90 % look-ups, 4 % updates, 3 % creations, 3 % removals.
struct Bench {
    first: u64,
    living: u64,
    random: Random,
    created: VecDeque<u64>,
    next: u64,
    nanos: [Histogram<u64>; 4],
}

impl Bench {
    fn new(first: u64, living: u64) -> Self {
        Self {
            first,
            living,
            random: Random(1),
            created: VecDeque::new(),
            next: NEW,
            nanos: OPERATIONS.map(|_| Histogram::new_with_max(HOUR, 3).expect("valid bounds")),
        }
    }

    fn closed(&mut self, store: &mut impl Store, done: &AtomicBool) {
        loop {
            let (operation, id) = self.choose();
            let begun = Instant::now();
            self.act(store, operation, id);
            self.record(operation, begun.elapsed().as_nanos() as u64);
            if done.load(Relaxed) {
                break;
            }
        }
    }

    /// Serves all that arrives until `done`, late as it may be.
    fn open(&mut self, store: &mut impl Store, done: &AtomicBool, schedule: &[u64]) {
        let begun = Instant::now();
        let now = || begun.elapsed().as_nanos() as u64;
        let mut end = u64::MAX;
        for &due in schedule {
            let (operation, id) = self.choose();
            while now() < due {
                hint::spin_loop();
            }
            if end == u64::MAX && done.load(Relaxed) {
                end = now();
            }
            if due > end {
                break;
            }
            self.act(store, operation, id);
            self.record(operation, now() - due);
        }
    }

    /// An operation, and the number of the session that it is for.
    fn choose(&mut self) -> (usize, u64) {
        match self.random.below(100) {
            0..90 => (0, self.first + self.random.below(self.living)),
            90..94 => (1, self.first + self.random.below(self.living)),
            94..97 => {
                self.next += 1;
                self.created.push_back(self.next);
                (2, self.next)
            }
            _ => match self.created.pop_front() {
                Some(oldest) => (3, oldest),
                None => (0, self.first),
            },
        }
    }

    #[inline]
    fn act(&mut self, store: &mut impl Store, operation: usize, session: u64) {
        let id = id(session);
        let is_known = match operation {
            0 => store.get(&id).is_some(),
            1 => store.update(&id),
            2 => store.create(id, value(session)),
            _ => store.remove(&id),
        };
        assert!(is_known, "a session was lost");
    }

    fn record(&mut self, operation: usize, nanos: u64) {
        let recorded = self.nanos[operation].record(nanos);
        recorded.expect("no operation takes an hour");
    }

    fn lines(&self, took: Duration) -> Vec<Line> {
        let mut lines = Vec::new();
        for (operation, nanos) in OPERATIONS.iter().zip(&self.nanos) {
            for (quantile, share) in QUANTILES {
                let value = nanos.value_at_quantile(share) as f64;
                lines.push(Line::new(format!("{operation} {quantile}"), value, "ns"));
            }
            lines.push(Line::new(
                format!("{operation} count"),
                nanos.len() as f64,
                "count",
            ));
        }
        let operations: u64 = self.nanos.iter().map(Histogram::len).sum();
        let rate = operations as f64 / took.as_secs_f64();
        lines.push(Line::new("operations a second", rate, "count"));
        lines
    }
}
