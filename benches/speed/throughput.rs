//! Throughput: time-boxed slices of one kind of work.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use contenders::load::{Lanes, Tally, Work, Worker};
use contenders::{Coarse, Contender, FILLERS, IDLE};
use crossbeam_utils::CachePadded;

use crate::calm;
use crate::plan::Pace;
use crate::subject::Line;

/// The share of a slice's time its threads may wait for a core that something else has.
const DISTURBANCE: f64 = 0.03;
const ATTEMPTS: usize = 5;
/// How many operations run between two looks at anything shared with the driver.
const BATCH: u64 = 64;

/// A contender that is full.
pub struct Loaded<C> {
    contender: C,
    /// One for each map.
    lanes: Vec<Lanes>,
}

impl<C: Contender<Time = Coarse>> Loaded<C> {
    pub fn new(sessions: u64) -> Self {
        let mut contender = C::new(Coarse, IDLE, sessions);
        contender.fill(0..sessions);
        let maps = if C::SHARED { 1 } else { FILLERS };
        let lanes = (0..maps).map(|_| Lanes::new(sessions)).collect();
        Self { contender, lanes }
    }

    /// The calmest of a few slices.
    pub fn measure(&mut self, cell: &str, threads: u64, pace: &Pace) -> Vec<Line> {
        let work = work(cell);
        if work == Work::Zipf {
            self.lanes.iter_mut().for_each(Lanes::draw);
        }
        let mut calmest = Line::new(cell, f64::NAN, "ns");
        calmest.waited = f64::INFINITY;
        for _ in 0..ATTEMPTS {
            calm::wait(pace.patience);
            let (nanos, waited) = self.slice(work, threads, pace);
            if waited < calmest.waited {
                (calmest.value, calmest.waited) = (nanos, waited);
            }
            if waited <= DISTURBANCE || pace.patience.is_zero() {
                break;
            }
        }
        vec![calmest]
    }

    /// Core-nanoseconds an operation, and the share of the time threads waited for a core
    /// (zero with more threads than cores).
    fn slice(&mut self, work: Work, threads: u64, pace: &Pace) -> (f64, f64) {
        let cores = calm::cores();
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
            thread::sleep(pace.warm_up);
            let (from, begun) = (total(), Instant::now());
            thread::sleep(pace.slice);
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
                waited.div_duration_f64((pace.warm_up + pace.slice) * threads as u32)
            } else {
                0.0
            };
            (nanos, disturbance)
        })
    }
}

fn work(cell: &str) -> Work {
    match cell {
        "uniform" => Work::Uniform,
        "zipf" => Work::Zipf,
        "dependent" => Work::Dependent,
        "unknown" => Work::Unknown,
        "hot" => Work::Hot,
        "mixed" => Work::Mixed,
        "churn" => Work::Churn,
        _ => unreachable!("{cell} is no cell of throughput"),
    }
}

fn worker<C: Contender>(lanes: &[Lanes], thread: u64, threads: u64) -> Worker<'_> {
    if C::SHARED {
        Worker::new(&lanes[0], thread, threads)
    } else {
        Worker::new(&lanes[thread as usize], 0, 1)
    }
}
