//! [`dwell::IdleMap`] operation by operation, beside its peers and an unshared hashbrown table.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{
    BatchSize, BenchmarkGroup, BenchmarkId, Criterion, criterion_group, criterion_main,
};

use contenders::load::{Lanes, Work, Worker, create};
use contenders::own::Dwell;
use contenders::peers::{Dash, Locked, Moka, Papaya, SccIndex, SccMap, Unshared};
use contenders::{Coarse, Contender, IDLE, Skewed, Store};

/// Runs `$bench::<C>($group, name, ...)` for each contender `C` on the clock `$time`.
macro_rules! each {
    ($bench:ident::<$time:ty>($group:expr $(, $argument:expr)*)) => {
        $bench::<Dwell<$time>>($group, "dwell" $(, $argument)*);
        $bench::<Dwell<$time, true>>($group, "dwell-handle" $(, $argument)*);
        $bench::<Dash<$time>>($group, "dashmap" $(, $argument)*);
        $bench::<Papaya<$time>>($group, "papaya" $(, $argument)*);
        $bench::<SccMap<$time>>($group, "scc-map" $(, $argument)*);
        $bench::<SccIndex<$time>>($group, "scc-index" $(, $argument)*);
        $bench::<Moka<$time>>($group, "moka" $(, $argument)*);
        $bench::<Locked<$time>>($group, "mutex" $(, $argument)*);
        $bench::<Unshared<$time>>($group, "unshared" $(, $argument)*);
    };
}

type Group<'a> = BenchmarkGroup<'a, WallTime>;

fn group<'a>(criterion: &'a mut Criterion, name: &str) -> Group<'a> {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(10);
    group.warm_up_time(Duration::from_millis(200));
    group.measurement_time(Duration::from_millis(500));
    group
}

/// `threads` threads do `work` on a map of `sessions`; the time is that of an operation of each.
fn work<C: Contender<Time = Coarse>>(
    group: &mut Group<'_>,
    name: &str,
    work: Work,
    sessions: u64,
    threads: u64,
) {
    let mut contender = C::new(Coarse, IDLE);
    let maps = if C::SHARED { 1 } else { threads };
    let lanes: Vec<_> = (0..maps).map(|_| Lanes::new(sessions)).collect();
    for (lanes, mut store) in lanes.iter().zip(contender.stores(maps as usize)) {
        Worker::new(lanes, 0, 1).fill(&mut store);
    }
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

fn get_touch(criterion: &mut Criterion) {
    let group = &mut group(criterion, "get_touch");
    each!(work::<Coarse>(group, Work::Uniform, 1_024, 1));
    each!(work::<Coarse>(group, Work::Uniform, 102_400, 1));
    each!(work::<Coarse>(group, Work::Dependent, 102_400, 1));
    each!(work::<Coarse>(group, Work::Unknown, 102_400, 1));
}

fn hot_session(criterion: &mut Criterion) {
    let group = &mut group(criterion, "hot_session_2_threads");
    each!(work::<Coarse>(group, Work::Hot, 1_024, 2));
}

fn mixed(criterion: &mut Criterion) {
    let group = &mut group(criterion, "mixed");
    each!(work::<Coarse>(group, Work::Mixed, 102_400, 1));
}

fn churn(criterion: &mut Criterion) {
    let group = &mut group(criterion, "churn");
    each!(work::<Coarse>(group, Work::Churn, 102_400, 1));
}

/// Sessions in the maps that are collected.
const COLLECTED: u64 = 16_384;

fn nothing_due<C: Contender>(group: &mut Group<'_>, name: &str) {
    let mut contender = C::new(C::Time::default(), IDLE);
    let store = &mut contender.stores(1)[0];
    create(store, 0..COLLECTED);
    group.bench_function(BenchmarkId::new("nothing due", name), |bencher| {
        bencher.iter(|| assert_eq!(store.collect(), 0));
    });
}

/// The older half lapses.
fn half_due<C: Contender<Time = Skewed>>(group: &mut Group<'_>, name: &str) {
    if C::OWN_CLOCK {
        return;
    }
    let lapsing = || {
        let time = Skewed::default();
        let mut contender = C::new(time.clone(), IDLE);
        create(&mut contender.stores(1)[0], 0..COLLECTED / 2);
        time.advance(IDLE.mul_f64(0.6));
        create(&mut contender.stores(1)[0], COLLECTED / 2..COLLECTED);
        time.advance(IDLE.mul_f64(0.45));
        contender
    };
    group.bench_function(BenchmarkId::new("half due", name), |bencher| {
        let collect = |contender: &mut C| {
            let ended = contender.stores(1)[0].collect();
            assert_eq!(ended as u64, COLLECTED / 2);
        };
        bencher.iter_batched_ref(lapsing, collect, BatchSize::PerIteration);
    });
}

fn collect(criterion: &mut Criterion) {
    let group = &mut group(criterion, "collect");
    each!(nothing_due::<Coarse>(group));
    each!(half_due::<Skewed>(group));
}

criterion_group!(benches, get_touch, hot_session, mixed, churn, collect);
criterion_main!(benches);
