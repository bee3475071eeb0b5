//! Throughput: time-boxed slices of one kind of work, the contenders in turn.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;

use crate::Plan;
use crate::calm;
use crate::report::Samples;
use contenders::load::{Lanes, Tally, Work, Worker};
use contenders::own::Dwell;
use contenders::peers::{Dash, Locked, Moka, Papaya, SccIndex, SccMap, Unshared};
use contenders::{Coarse, Contender, IDLE};

/// As many as F has tables.
pub const THREADS: u64 = 2;
/// The share of a slice's time its threads may wait for a core that something else has.
const DISTURBANCE: f64 = 0.03;
const ATTEMPTS: usize = 10;
/// How many operations run between two looks at anything shared with the driver.
const BATCH: u64 = 64;

#[derive(Clone, Copy)]
pub struct Cell {
    pub work: Work,
    pub threads: u64,
}

type Load = fn(u64) -> Box<dyn Rig>;

const CONTENDERS: [(&str, Load); 13] = [
    ("F", load::<Unshared<Coarse>>),
    ("dwell", load::<Dwell<Coarse>>),
    ("dwell-handle", load::<Dwell<Coarse, true>>),
    ("dwell-1s", load::<Dwell<Coarse, false, 1_000>>),
    ("dashmap", load::<Dash<Coarse>>),
    ("papaya", load::<Papaya<Coarse>>),
    ("papaya-tick", load::<Papaya<Coarse, true>>),
    ("scc-map", load::<SccMap<Coarse>>),
    ("scc-map-tick", load::<SccMap<Coarse, true>>),
    ("scc-index", load::<SccIndex<Coarse>>),
    ("scc-index-tick", load::<SccIndex<Coarse, true>>),
    ("moka", load::<Moka<Coarse>>),
    ("mutex", load::<Locked<Coarse>>),
];

/// Core-nanoseconds an operation in each cell, the contenders taking turns. The maps are filled
/// once and serve all cells.
pub fn run<const CELLS: usize>(
    plan: &Plan,
    sessions: u64,
    cells: [Cell; CELLS],
) -> [Samples; CELLS] {
    let included = CONTENDERS.iter().filter(|(name, _)| plan.includes(name));
    let mut rigs: Vec<_> = included
        .map(|&(name, load)| (name, load(sessions)))
        .collect();
    let mut samples = cells.map(|_| Samples::default());
    let mut disturbed = 0;
    for _ in 0..plan.slices {
        for (name, rig) in &mut rigs {
            for (cell, samples) in cells.iter().zip(&mut samples) {
                if let Some((nanos, calm)) = rig.measure(*cell, plan) {
                    samples.add(name, nanos);
                    disturbed += usize::from(!calm);
                }
            }
        }
        rigs.rotate_left(1);
    }
    if disturbed > 0 {
        eprintln!("{disturbed} samples disturbed: their threads had to wait for a core");
    }
    samples
}

/// A filled contender of any kind.
trait Rig {
    /// Core-nanoseconds an operation, and whether the threads had their cores to themselves.
    /// Nothing where the contender has no such cell.
    fn measure(&mut self, cell: Cell, plan: &Plan) -> Option<(f64, bool)>;
}

struct Loaded<C> {
    contender: C,
    /// One for each map.
    lanes: Vec<Lanes>,
}

fn load<C: Contender + 'static>(sessions: u64) -> Box<dyn Rig> {
    let mut contender = C::new(C::Time::default(), IDLE);
    let maps = if C::SHARED { 1 } else { THREADS };
    let lanes: Vec<_> = (0..maps).map(|_| Lanes::new(sessions)).collect();
    thread::scope(|scope| {
        for (thread, mut store) in (0..).zip(contender.stores(THREADS as usize)) {
            let worker = worker::<C>(&lanes, thread, THREADS);
            scope.spawn(move || worker.fill(&mut store));
        }
    });
    Box::new(Loaded { contender, lanes })
}

fn worker<C: Contender>(lanes: &[Lanes], thread: u64, threads: u64) -> Worker<'_> {
    if C::SHARED {
        Worker::new(&lanes[0], thread, threads)
    } else {
        Worker::new(&lanes[thread as usize], 0, 1)
    }
}

impl<C: Contender> Rig for Loaded<C> {
    fn measure(&mut self, cell: Cell, plan: &Plan) -> Option<(f64, bool)> {
        if !C::SHARED && cell.threads > THREADS {
            return None;
        }
        let mut calmest = (f64::NAN, f64::INFINITY);
        for _ in 0..ATTEMPTS {
            plan.patience.wait_for_calm();
            let (nanos, disturbance) = self.slice(cell, plan);
            if disturbance < calmest.1 {
                calmest = (nanos, disturbance);
            }
            if disturbance <= DISTURBANCE || plan.patience.is_over() {
                break;
            }
        }
        let (nanos, disturbance) = calmest;
        Some((nanos, disturbance <= DISTURBANCE))
    }
}

impl<C: Contender> Loaded<C> {
    /// Core-nanoseconds an operation, and the share of the time threads waited for a core
    /// (zero with more threads than cores).
    fn slice(&mut self, Cell { work, threads }: Cell, plan: &Plan) -> (f64, f64) {
        let cores = thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
        let done: Vec<CachePadded<AtomicU64>> =
            (0..threads).map(|_| CachePadded::default()).collect();
        let total = || done.iter().map(|done| done.load(Relaxed)).sum::<u64>();
        let stop = AtomicBool::new(false);
        let start = Barrier::new(threads as usize + 1);
        thread::scope(|scope| {
            let stores = self.contender.stores(threads as usize);
            let workers: Vec<_> = (0..threads)
                .zip(stores)
                .zip(&done)
                .map(|((thread, mut store), done)| {
                    let mut worker = worker::<C>(&self.lanes, thread, threads);
                    let (start, stop) = (&start, &stop);
                    scope.spawn(move || {
                        start.wait();
                        let waited = calm::waited();
                        while !stop.load(Relaxed) {
                            worker.run(work, &mut store, BATCH);
                            done.store(done.load(Relaxed) + BATCH, Relaxed);
                        }
                        let waited = calm::waited() - waited;
                        worker.finish(&mut store);
                        (worker.tally, waited)
                    })
                })
                .collect();
            start.wait();
            thread::sleep(plan.warm_up);
            let (from, begun) = (total(), Instant::now());
            thread::sleep(plan.slice);
            let (operations, elapsed) = (total() - from, begun.elapsed());
            stop.store(true, Relaxed);
            let ends: Vec<(Tally, Duration)> = workers
                .into_iter()
                .map(|worker| worker.join().expect("no worker panics"))
                .collect();
            ends.iter().for_each(|(tally, _)| tally.check(work));
            let nanos = elapsed.as_nanos() as f64 * threads.min(cores) as f64 / operations as f64;
            let disturbance = if threads <= cores {
                let waited: Duration = ends.iter().map(|(_, waited)| *waited).sum();
                let spent = (plan.warm_up + plan.slice) * threads as u32;
                waited.div_duration_f64(spent)
            } else {
                0.0
            };
            (nanos, disturbance)
        })
    }
}
