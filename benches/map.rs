//! [`dwell::IdleMap`] operation by operation, beside its peers and its limits.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{
    BatchSize, BenchmarkGroup, BenchmarkId, Criterion, criterion_group, criterion_main,
};

use contenders::load::{Lanes, Work, Worker, create};
use contenders::{Coarse, Contender, IDLE, NAMES, Skewed, Store, Task, run};

type Group<'a> = BenchmarkGroup<'a, WallTime>;

fn group<'a>(criterion: &'a mut Criterion, name: &str) -> Group<'a> {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(10);
    group.warm_up_time(Duration::from_millis(200));
    group.measurement_time(Duration::from_millis(500));
    group
}

/// `threads` threads do `work` on a map of `sessions`; the time is that of an operation of each.
struct Working<'a, 'b> {
    group: &'a mut Group<'b>,
    name: &'static str,
    work: Work,
    sessions: u64,
    threads: u64,
}

impl Task<Coarse> for Working<'_, '_> {
    type Output = ();
    fn run<C: Contender<Time = Coarse>>(self) {
        let Self {
            group,
            name,
            work,
            sessions,
            threads,
        } = self;
        if !C::CHANGES && [Work::Mixed, Work::Churn].contains(&work) {
            return;
        }
        let mut contender = C::new(Coarse, IDLE, sessions);
        contender.fill(0..sessions);
        let maps = if C::SHARED { 1 } else { threads };
        let lanes: Vec<_> = (0..maps).map(|_| Lanes::new(sessions)).collect();
        let of = |thread| match C::SHARED {
            true => Worker::new(&lanes[0], thread, threads),
            false => Worker::new(&lanes[thread as usize], 0, 1),
        };
        let title = format!("{work:?} {sessions}").to_lowercase();
        group.bench_function(BenchmarkId::new(title, name), |bencher| {
            bencher.iter_custom(|operations| {
                let start = Barrier::new(threads as usize);
                thread::scope(|scope| {
                    let stores = (0..).zip(contender.stores(threads as usize));
                    let workers = stores.map(|(thread, mut store)| {
                        let (mut worker, start) = (of(thread), &start);
                        scope.spawn(move || {
                            start.wait();
                            let begun = Instant::now();
                            worker.run(work, &mut store, operations);
                            let took = begun.elapsed();
                            worker.finish(&mut store);
                            worker.tally.check(work);
                            took
                        })
                    });
                    let workers: Vec<_> = workers.collect();
                    let times = workers.into_iter().map(|worker| worker.join());
                    let slowest = times.map(|took| took.expect("no worker panics")).max();
                    slowest.unwrap_or_default()
                })
            });
        });
    }
}

fn each(group: &mut Group<'_>, work: Work, sessions: u64, threads: u64) {
    for name in NAMES {
        let working = Working {
            group,
            name,
            work,
            sessions,
            threads,
        };
        run(name, working).expect("listed by this name");
    }
}

fn get_touch(criterion: &mut Criterion) {
    let group = &mut group(criterion, "get_touch");
    each(group, Work::Uniform, 1_024, 1);
    each(group, Work::Uniform, 102_400, 1);
    each(group, Work::Dependent, 102_400, 1);
    each(group, Work::Unknown, 102_400, 1);
}

fn hot_session(criterion: &mut Criterion) {
    let group = &mut group(criterion, "hot_session_2_threads");
    each(group, Work::Hot, 1_024, 2);
}

fn mixed(criterion: &mut Criterion) {
    let group = &mut group(criterion, "mixed");
    each(group, Work::Mixed, 102_400, 1);
}

fn churn(criterion: &mut Criterion) {
    let group = &mut group(criterion, "churn");
    each(group, Work::Churn, 102_400, 1);
}

/// Sessions in the maps that are collected.
const COLLECTED: u64 = 16_384;

struct NothingDue<'a, 'b>(&'a mut Group<'b>, &'static str);

impl Task<Coarse> for NothingDue<'_, '_> {
    type Output = ();
    fn run<C: Contender<Time = Coarse>>(self) {
        if !C::COLLECTS {
            return;
        }
        let mut contender = C::new(Coarse, IDLE, COLLECTED);
        let store = &mut contender.stores(1)[0];
        create(store, 0..COLLECTED);
        let Self(group, name) = self;
        group.bench_function(BenchmarkId::new("nothing due", name), |bencher| {
            bencher.iter(|| assert_eq!(store.collect(), 0));
        });
    }
}

/// The older half lapses.
struct HalfDue<'a, 'b>(&'a mut Group<'b>, &'static str);

impl Task<Skewed> for HalfDue<'_, '_> {
    type Output = ();
    fn run<C: Contender<Time = Skewed>>(self) {
        if C::OWN_CLOCK || !C::COLLECTS {
            return;
        }
        let lapsing = || {
            let time = Skewed::default();
            let mut contender = C::new(time.clone(), IDLE, COLLECTED);
            create(&mut contender.stores(1)[0], 0..COLLECTED / 2);
            time.advance(IDLE.mul_f64(0.6));
            create(&mut contender.stores(1)[0], COLLECTED / 2..COLLECTED);
            time.advance(IDLE.mul_f64(0.45));
            contender
        };
        let Self(group, name) = self;
        group.bench_function(BenchmarkId::new("half due", name), |bencher| {
            let collect = |contender: &mut C| {
                let ended = contender.stores(1)[0].collect();
                assert_eq!(ended as u64, COLLECTED / 2);
            };
            bencher.iter_batched_ref(lapsing, collect, BatchSize::PerIteration);
        });
    }
}

fn collect(criterion: &mut Criterion) {
    let group = &mut group(criterion, "collect");
    for name in NAMES {
        run(name, NothingDue(group, name)).expect("listed by this name");
        run(name, HalfDue(group, name)).expect("listed by this name");
    }
}

criterion_group!(benches, get_touch, hot_session, mixed, churn, collect);
criterion_main!(benches);
