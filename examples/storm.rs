//! Drives a map of sessions from many threads for some seconds while its collector runs, prints
//! how fast it was, and then checks the books: no session in use was lost, each one created is live
//! or has ended once, every value was dropped exactly once. Fails if they do not balance.
//!
//! ```text
//! cargo run --release --example storm -- --seconds 10 --sessions 1000000
//! ```

mod common;

use std::{
    num::{NonZeroU64, NonZeroUsize},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use clap::Parser;
use common::{Tally, balances, progress, wait_for_drops};
use dwell::{IdleMap, RemovalCause};
use hdrhistogram::Histogram;
use indicatif::{HumanBytes, HumanCount};
use memory_stats::memory_stats;

const IDLE: Duration = Duration::from_secs(2);
/// A keeper is seen to this often, so that it never lapses.
const KEEPER_ROUND: Duration = Duration::from_millis(200);
/// A keeper missing within this time of its last touch is a session lost. Beyond it, the thread
/// was not scheduled for so long that the session may have lapsed rightly.
const KEEPER_MARGIN: Duration = Duration::from_secs(1);
const KEEPERS_PER_THREAD: u64 = 64;
/// Reading the clock costs as much as an operation, so only one operation in so many is timed.
const TIMED_ONE_IN: u64 = 16;

/// With glibc's allocator a change of a session costs a third to a half more.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Drives sessions from many threads, then checks that none was lost.
#[derive(Parser)]
struct Args {
    /// Seconds the storm lasts
    #[arg(long, default_value = "10")]
    seconds: NonZeroU64,
    /// Sessions to fill the map with, and ids to draw from during the storm
    #[arg(long, default_value = "1000000")]
    sessions: NonZeroUsize,
    /// Threads driving them [default: twice the processors]
    #[arg(long)]
    threads: Option<NonZeroUsize>,
}

// What the values tell of themselves.
static MADE: Tally = Tally::new();
static DROPPED: Tally = Tally::new();
/// Reads and drops that met another session's contents, or those of a value already dropped.
static BROKEN: Tally = Tally::new();

// What the threads were told by the calls they made.
static CREATED: Tally = Tally::new();
static REMOVED: Tally = Tally::new();

// What the removal listener was told.
static EXPIRED: Tally = Tally::new();
static HEARD_REMOVED: Tally = Tally::new();

// What the threads find out about the sessions they keep.
static KEEPERS_MET: Tally = Tally::new();
static KEEPERS_EXCUSED: Tally = Tally::new();
static KEEPERS_LOST: Tally = Tally::new();

struct Session {
    id: u64,
    visits: u64,
    seal: AtomicU64,
}

impl Session {
    const INTACT: u64 = 0x05e5_5101_1a11_600d;
    const DROPPED: u64 = 0xdead_dead_dead_dead;

    fn new(id: u64, visits: u64) -> Self {
        MADE.add_one();
        let seal = AtomicU64::new(Self::INTACT ^ id);
        Self { id, visits, seal }
    }

    fn visited(&self) -> Self {
        self.verify(self.id);
        Self::new(self.id, self.visits + 1)
    }

    fn verify(&self, id: u64) {
        if self.id != id || self.seal.load(Relaxed) != Self::INTACT ^ id {
            BROKEN.add_one();
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        DROPPED.add_one();
        if self.seal.swap(Self::DROPPED, Relaxed) != Self::INTACT ^ self.id {
            BROKEN.add_one();
        }
    }
}

type Map = IdleMap<u64, Session>;

#[derive(Clone, Copy, Debug)]
enum Op {
    Create,
    Get,
    Touch,
    Update,
    Destroy,
}

const OPS: [Op; 5] = [Op::Create, Op::Get, Op::Touch, Op::Update, Op::Destroy];

fn listen(cause: RemovalCause) {
    match cause {
        RemovalCause::ExpiredIdle | RemovalCause::ExpiredLifetime => EXPIRED.add_one(),
        RemovalCause::Removed => HEARD_REMOVED.add_one(),
        _ => {}
    }
}

fn create(map: &Map, id: u64) -> bool {
    match map.try_insert(id, Session::new(id, 0)) {
        Ok(_) => {
            CREATED.add_one();
            true
        }
        Err(occupied) => {
            occupied.existing.verify(id);
            false
        }
    }
}

fn destroy(map: &Map, id: u64) {
    if let Some(session) = map.remove(&id) {
        REMOVED.add_one();
        session.verify(id);
    }
}

/// How often a thread did each operation, and how long it took.
struct Timings {
    counts: [u64; OPS.len()],
    latencies: [Histogram<u64>; OPS.len()],
}

impl Timings {
    fn new() -> Self {
        let minute = Duration::from_secs(60).as_nanos() as u64;
        let histogram = Histogram::new_with_bounds(1, minute, 3).expect("the bounds are valid");
        Self {
            counts: [0; OPS.len()],
            latencies: std::array::from_fn(|_| histogram.clone()),
        }
    }

    fn merge(&mut self, other: &Self) {
        for op in OPS.map(|op| op as usize) {
            self.counts[op] += other.counts[op];
            let added = self.latencies[op].add(&other.latencies[op]);
            added.expect("the bounds are the same");
        }
    }
}

/// A session that only its own thread changes, and often enough that it must always be there with
/// exactly the visits the thread counted.
struct Keeper {
    id: u64,
    visits: u64,
    round: u64,
    touched: Instant,
}

impl Keeper {
    fn create(map: &Map, id: u64) -> Self {
        let touched = Instant::now();
        if !create(map, id) {
            KEEPERS_LOST.add_one();
        }
        Self {
            id,
            visits: 0,
            round: 0,
            touched,
        }
    }

    /// Touches the session in another way each round. Whether it came late is asked only after the
    /// session was missed, since the thread may be held up in the middle of the call as well.
    fn see_to(&mut self, map: &Map) {
        let now = Instant::now();
        let seen = match self.round % 4 {
            0 => map.get(&self.id).map(|session| session.visits),
            1 => map.with(&self.id, |session| session.visits),
            2 => map.touch(&self.id).then_some(self.visits),
            _ => {
                self.visits += 1;
                map.update(&self.id, Session::visited)
                    .map(|session| session.visits)
            }
        };
        if seen == Some(self.visits) {
            KEEPERS_MET.add_one();
            self.round += 1;
            self.touched = now;
            return;
        }
        if seen.is_none() && self.touched.elapsed() > KEEPER_MARGIN {
            KEEPERS_EXCUSED.add_one();
        } else {
            KEEPERS_LOST.add_one();
        }
        destroy(map, self.id);
        *self = Self::create(map, self.id);
    }
}

/// One thread's part: random operations on sessions all threads share, and rounds to its keepers.
///
/// The lower half of the ids is touched often. The upper half is created but hardly touched again,
/// so those sessions lapse.
fn storm(map: &Map, ids: u64, thread: u64, stop: &AtomicBool) -> Timings {
    let mut timings = Timings::new();
    let mut random = fastrand::Rng::with_seed(thread);
    let first_keeper = ids + thread * KEEPERS_PER_THREAD;
    let mut keepers: Vec<_> = (first_keeper..first_keeper + KEEPERS_PER_THREAD)
        .map(|id| Keeper::create(map, id))
        .collect();
    let mut last_round = Instant::now();

    while !stop.load(Relaxed) {
        for turn in 0..1024 {
            let op = match random.u32(0..100) {
                0..10 => Op::Create,
                10..65 => Op::Get,
                65..80 => Op::Touch,
                80..95 => Op::Update,
                _ => Op::Destroy,
            };
            let id = match op {
                Op::Create | Op::Destroy => random.u64(0..ids),
                _ => random.u64(0..ids.div_ceil(2)),
            };
            let started = (turn % TIMED_ONE_IN == 0).then(Instant::now);
            perform(map, op, id);
            if let Some(started) = started {
                let nanos = started.elapsed().as_nanos() as u64;
                timings.latencies[op as usize].saturating_record(nanos);
            }
            timings.counts[op as usize] += 1;
        }
        if last_round.elapsed() >= KEEPER_ROUND {
            last_round = Instant::now();
            for keeper in &mut keepers {
                keeper.see_to(map);
            }
        }
    }
    for keeper in &mut keepers {
        keeper.see_to(map);
    }
    timings
}

fn perform(map: &Map, op: Op, id: u64) {
    match op {
        Op::Create => {
            create(map, id);
        }
        Op::Get => {
            if let Some(session) = map.get(&id) {
                session.verify(id);
            }
        }
        Op::Touch => {
            map.touch(&id);
        }
        Op::Update => {
            map.update(&id, Session::visited);
        }
        Op::Destroy => destroy(map, id),
    }
}

/// Fills the map from all threads and prints what a session costs in memory. The collector is not
/// running yet, so nothing leaves the map however long this takes.
fn fill(map: &Map, ids: u64, threads: u64) {
    const CHUNK: u64 = 4096;
    let before = memory_stats();
    let bar = progress(ids, "fill ");
    let next = AtomicU64::new(0);
    let started = Instant::now();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let first = next.fetch_add(CHUNK, Relaxed);
                    if first >= ids {
                        break;
                    }
                    let chunk = first..ids.min(first + CHUNK);
                    bar.inc(chunk.end - chunk.start);
                    for id in chunk {
                        create(map, id);
                    }
                }
            });
        }
    });
    let took = started.elapsed();
    bar.finish_and_clear();
    let filled = map.len() as u64;
    println!("filled with {} sessions in {took:.2?}", HumanCount(filled));
    if let (Some(before), Some(after)) = (before, memory_stats()) {
        let grown = after.physical_mem.saturating_sub(before.physical_mem) as u64;
        let payload = size_of::<u64>() + size_of::<Session>();
        println!(
            "memory grew by {}: {} B a session, {payload} B of them its key and value",
            HumanBytes(grown),
            grown / filled.max(1),
        );
    }
}

/// Runs the storm and returns the merged timings and how long it lasted.
fn run(map: &Map, ids: u64, threads: u64, seconds: u64) -> (Timings, Duration) {
    let stop = AtomicBool::new(false);
    let started = Instant::now();
    let mut total = Timings::new();
    thread::scope(|scope| {
        let stop = &stop;
        let workers: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(move || storm(map, ids, thread, stop)))
            .collect();
        let bar = progress(seconds * 1000, "storm");
        while started.elapsed() < Duration::from_secs(seconds) {
            bar.set_position(started.elapsed().as_millis() as u64);
            bar.set_message(format!("{} live", HumanCount(map.len() as u64)));
            thread::sleep(Duration::from_millis(50));
        }
        stop.store(true, Relaxed);
        for worker in workers {
            total.merge(&worker.join().expect("a storming thread panicked"));
        }
        bar.finish_and_clear();
    });
    (total, started.elapsed())
}

fn print_speed(timings: &Timings, expired: u64, lasted: Duration) {
    let clock = (0..1000).map(|_| Instant::now().elapsed()).min();
    println!(
        "latency of one operation in {TIMED_ONE_IN}, of which reading the clock is about {:?}:",
        clock.unwrap_or_default()
    );
    let quantiles = [0.5, 0.9, 0.99, 0.999, 0.9999, 1.0];
    print!("{:8} {:>12}", "", "a second");
    for heading in ["p50", "p90", "p99", "p99.9", "p99.99", "max"] {
        print!(" {heading:>9}");
    }
    println!();
    for op in OPS {
        print!(
            "{:8} {:>12}",
            format!("{op:?}"),
            rate(timings.counts[op as usize], lasted)
        );
        for quantile in quantiles {
            let nanos = timings.latencies[op as usize].value_at_quantile(quantile);
            print!(" {:>9.1?}", Duration::from_nanos(nanos));
        }
        println!();
    }
    println!("{:8} {:>12}", "Lapse", rate(expired, lasted));
    let all = timings.counts.iter().sum();
    println!("{:8} {:>12}", "All", rate(all, lasted));
}

fn rate(count: u64, lasted: Duration) -> String {
    HumanCount((count as f64 / lasted.as_secs_f64()) as u64).to_string()
}

fn main() -> ExitCode {
    let args = Args::parse();
    let threads = match args.threads {
        Some(threads) => threads.get(),
        None => 2 * thread::available_parallelism().map_or(1, NonZeroUsize::get),
    } as u64;
    let ids = args.sessions.get() as u64;

    let builder = IdleMap::builder().idle_timeout(IDLE);
    let builder = builder.on_removal(|_, cause| listen(cause));
    let map: Arc<Map> = Arc::new(builder.build().expect("the settings are valid"));
    fill(&map, ids, threads);
    let collector = map.spawn_collector();
    println!(
        "{threads} threads for {} s, sessions lapse after {IDLE:?}",
        args.seconds
    );
    let (timings, lasted) = run(&map, ids, threads, args.seconds.get());
    drop(collector);
    let stats = map.stats();
    drop(map);
    wait_for_drops(&MADE, &DROPPED);

    print_speed(&timings, stats.expired, lasted);
    println!("{stats:#?}");
    println!(
        "keepers: met {} times, excused {} times because their thread came late",
        HumanCount(KEEPERS_MET.total()),
        HumanCount(KEEPERS_EXCUSED.total()),
    );
    let accounted = stats.live as u64 + stats.expired + stats.evicted + stats.removed;
    let balanced = balances(&[
        ("keepers lost", KEEPERS_LOST.total(), 0),
        ("sessions evicted", stats.evicted, 0),
        ("sessions created", stats.created, CREATED.total()),
        ("of them live or ended", accounted, stats.created),
        ("removed, say callers", REMOVED.total(), stats.removed),
        ("removed, is heard", HEARD_REMOVED.total(), stats.removed),
        ("expired, is heard", EXPIRED.total(), stats.expired),
        ("values dropped", DROPPED.total(), MADE.total()),
        ("values found broken", BROKEN.total(), 0),
    ]);
    ExitCode::from(u8::from(!balanced))
}
