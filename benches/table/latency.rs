//! Single look-ups of living sessions, each timed, while another thread collects as many.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::Plan;
use crate::life::{own_idle, pass};
use crate::report::{Column, Samples, Unit};
use contenders::load::{Random, create};
use contenders::own::Dwell;
use contenders::peers::{Dash, Locked, Moka, Papaya, SccIndex, SccMap};
use contenders::{Contender, Skewed, Store, id};

/// In nanoseconds.
const HOUR: u64 = 3_600_000_000_000;

type Measure = fn(u64, Duration) -> Latencies;

const CONTENDERS: [(&str, Measure); 7] = [
    ("dwell", latencies::<Dwell<Skewed>>),
    ("dashmap", latencies::<Dash<Skewed>>),
    ("papaya", latencies::<Papaya<Skewed>>),
    ("scc-map", latencies::<SccMap<Skewed>>),
    ("scc-index", latencies::<SccIndex<Skewed>>),
    ("moka", latencies::<Moka<Skewed>>),
    ("mutex", latencies::<Locked<Skewed>>),
];

/// Quantiles, at rest and during collection.
const QUANTILES: [(&str, f64); 5] = [
    ("p50", 0.5),
    ("p99", 0.99),
    ("p99.9", 0.999),
    ("p99.99", 0.9999),
    ("max", 1.0),
];

/// The samples of each quantity, the contenders taking turns.
pub fn run(plan: &Plan) -> Vec<Column> {
    let mut rest = QUANTILES.map(|_| Samples::default());
    let mut collecting = QUANTILES.map(|_| Samples::default());
    let mut throughput = Samples::default();
    for _ in 0..plan.lives {
        for (contender, measure) in CONTENDERS.iter().filter(|(name, _)| plan.includes(name)) {
            plan.patience.wait_for_calm();
            let latencies = measure(plan.sessions, plan.slice * 3);
            for (quantile, (_, share)) in QUANTILES.iter().enumerate() {
                let of = |phase: &Phase| phase.nanos.value_at_quantile(*share) as f64;
                rest[quantile].add(contender, of(&latencies.rest));
                collecting[quantile].add(contender, of(&latencies.collecting));
            }
            let ratio = latencies.collecting.rate() / latencies.rest.rate();
            throughput.add(contender, ratio);
        }
    }
    let named = |phase: &str, samples: [Samples; QUANTILES.len()]| {
        let named = QUANTILES.iter().zip(samples);
        let named = named.map(|((name, _), samples)| {
            Column::new(format!("{name} {phase}"), Unit::Nanoseconds, samples)
        });
        named.collect::<Vec<_>>()
    };
    let mut table = named("at rest", rest);
    table.extend(named("collecting", collecting));
    table.push(Column::new("throughput / at rest", Unit::Ratio, throughput));
    table
}

struct Latencies {
    rest: Phase,
    collecting: Phase,
}

struct Phase {
    nanos: Histogram<u64>,
    took: Duration,
}

impl Phase {
    fn rate(&self) -> f64 {
        self.nanos.len() as f64 / self.took.as_secs_f64()
    }
}

fn latencies<C: Contender<Time = Skewed>>(sessions: u64, rest: Duration) -> Latencies {
    let time = Skewed::default();
    let idle = own_idle::<C>(sessions);
    let mut contender = C::new(time.clone(), idle);
    let half = sessions / 2;
    let [reader, collector] = &mut contender.stores(2)[..] else {
        unreachable!("two stores were asked for");
    };
    create(reader, 0..half);
    pass::<C>(&time, idle, 0.6);
    create(reader, half..sessions);
    assert_eq!(collector.collect(), 0, "nothing is due");
    let rest = read_during(reader, half, || thread::sleep(rest));
    pass::<C>(&time, idle, 0.45);
    let collecting = read_during(reader, half, || {
        let mut ended = 0;
        while ended < half {
            ended += collector.collect() as u64;
        }
    });
    Latencies { rest, collecting }
}

/// Looks up sessions from `half` to twice that, on another thread, until `act` returns.
fn read_during(store: &mut (impl Store + Send), half: u64, act: impl FnOnce()) -> Phase {
    let done = AtomicBool::new(false);
    let start = Barrier::new(2);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            start.wait();
            read(store, half, &done)
        });
        start.wait();
        act();
        done.store(true, Relaxed);
        reader.join().expect("the reader does not panic")
    })
}

fn read(store: &mut impl Store, half: u64, stop: &AtomicBool) -> Phase {
    let mut random = Random(1);
    let mut nanos = Histogram::new_with_max(HOUR, 3).expect("valid bounds");
    let begun = Instant::now();
    loop {
        let session = half + random.below(half);
        let id = id(session);
        let asked = Instant::now();
        let found = store.get(&id);
        let took = asked.elapsed();
        assert!(found.is_some(), "a living session was lost");
        nanos
            .record(took.as_nanos() as u64)
            .expect("no look-up takes an hour");
        if stop.load(Relaxed) {
            break;
        }
    }
    Phase {
        nanos,
        took: begun.elapsed(),
    }
}
