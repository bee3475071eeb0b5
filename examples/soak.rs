//! Random operations on maps of random settings, for minutes or hours: whatever a map can be asked,
//! from many threads. Every few seconds the threads stop and the books are checked: each record
//! created is live or has ended once, each end was told once, every value was dropped exactly once.
//! Then a new map takes its place. Fails if the books of one do not balance, and prints its seed.
//!
//! ```text
//! cargo run --release --example soak -- --minutes 20
//! ```

mod common;

use clap::Parser;
use common::{Tally, balances, progress, wait_for_drops};
use dwell::{Handle, IdleMap, RemovalCause, Stats};
use fastrand::Rng;
use indicatif::HumanCount;
use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// Operations between two looks at the clock.
const TURN: u64 = 256;
/// Handles that a thread keeps.
const HELD: usize = 32;

/// Soaks maps in random operations, and checks their books.
#[derive(Parser)]
struct Args {
    /// How long it takes
    #[arg(long, default_value = "1")]
    minutes: f64,
    /// Seconds until a map's books are checked and the next one takes its place
    #[arg(long, default_value = "5")]
    seconds: u64,
    /// Threads [default: twice the processors]
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// The seed of the first map, to begin with the one that failed
    #[arg(long)]
    seed: Option<u64>,
}

static MADE: Tally = Tally::new();
static DROPPED: Tally = Tally::new();
/// Values that were read or dropped after they had been dropped, or found under another's key.
static BROKEN: Tally = Tally::new();

#[derive(Debug)]
struct Session {
    key: u64,
    /// Tells values of one key apart.
    number: u64,
    seal: AtomicU64,
}

impl Session {
    const INTACT: u64 = 0x05e5_5101_1a11_600d;

    fn new(key: u64, number: u64) -> Self {
        MADE.add_one();
        Self {
            key,
            number,
            seal: AtomicU64::new(Self::INTACT),
        }
    }

    fn verify(&self, key: u64) {
        if self.key != key || self.seal.load(Relaxed) != Self::INTACT {
            BROKEN.add_one();
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        DROPPED.add_one();
        if self.seal.swap(0, Relaxed) != Self::INTACT {
            BROKEN.add_one();
        }
    }
}

type Map = IdleMap<u64, Session>;

/// What the listener is told of one map, and what its callers are.
#[derive(Default)]
struct Books {
    expired: AtomicU64,
    evicted: AtomicU64,
    removed: AtomicU64,
    replaced: AtomicU64,
    created: AtomicU64,
    updated: AtomicU64,
    operations: AtomicU64,
}

impl Books {
    fn hear(&self, record: &Handle<u64, Session>, cause: RemovalCause) {
        record.verify(*record.key());
        let count = match cause {
            RemovalCause::ExpiredIdle | RemovalCause::ExpiredLifetime => &self.expired,
            RemovalCause::Evicted => &self.evicted,
            RemovalCause::Removed => &self.removed,
            _ => &self.replaced,
        };
        count.fetch_add(1, Relaxed);
    }
}

/// A map and what is done with it.
struct Round {
    map: Arc<Map>,
    books: Arc<Books>,
    keys: u64,
    idle: u64,
    capacity: Option<usize>,
    seed: u64,
}

impl Round {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let books = Arc::new(Books::default());
        let told = Arc::clone(&books);
        let idle = 1 << rng.u32(2..13);
        let keys = 1 << rng.u32(0..18);
        let capacity = rng.bool().then(|| 1 << rng.u32(0..16));
        let mut builder = IdleMap::builder()
            .idle_timeout(millis(idle))
            .on_removal(move |record, cause| told.hear(record, cause));
        if rng.bool() {
            builder = builder.max_lifetime(millis(1 + rng.u64(0..4 * idle)));
        }
        if let Some(capacity) = capacity {
            builder = builder.capacity(capacity);
        }
        if rng.u8(..) < 64 {
            let weigh = |key: &u64, _: &Session| (*key % 64) as u32;
            builder = builder.weight_capacity(1 << rng.u32(6..20), weigh);
        }
        if rng.bool() {
            builder = builder.touch_resolution(millis(rng.u64(0..idle)));
        }
        Self {
            map: Arc::new(builder.build().expect("the settings are valid")),
            books,
            keys,
            idle,
            capacity,
            seed,
        }
    }

    /// Soaks the map, and checks its books. False if they do not balance.
    fn run(self, threads: usize, lasts: Duration, total: &mut Stats) -> bool {
        let mut rng = Rng::with_seed(self.seed);
        let collectors: Vec<_> = (0..rng.usize(..3))
            .map(|_| self.map.spawn_collector())
            .collect();
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..threads {
                let mut rng = rng.fork();
                let (round, stop) = (&self, &stop);
                scope.spawn(move || round.work(&mut rng, stop));
            }
            thread::sleep(lasts);
            stop.store(true, Relaxed);
        });
        drop(collectors);
        let alive = self.map.iter().count() as u64;
        let stats = self.map.stats();
        let beyond = self.capacity.map_or(0, |capacity| {
            stats.live.saturating_sub(capacity + capacity / 64)
        });
        let Self {
            map, books, seed, ..
        } = self;
        drop(map);
        wait_for_drops(&MADE, &DROPPED);
        let heard = |count: &AtomicU64| count.load(Relaxed);
        let ended = stats.expired + stats.evicted + stats.removed;
        let replaced = heard(&books.replaced) + heard(&books.updated);
        let lines = [
            ("records created", heard(&books.created), stats.created),
            (
                "of them live or ended",
                stats.live as u64 + ended,
                stats.created,
            ),
            ("live, by iteration", alive, stats.live as u64),
            ("beyond the capacity", beyond as u64, 0),
            ("expired, is heard", heard(&books.expired), stats.expired),
            ("evicted, is heard", heard(&books.evicted), stats.evicted),
            ("removed, is heard", heard(&books.removed), stats.removed),
            ("replaced", replaced, stats.replaced),
            ("listener panics", stats.listener_panics, 0),
            ("drop panics", stats.drop_panics, 0),
            ("values dropped", DROPPED.total(), MADE.total()),
            ("values found broken", BROKEN.total(), 0),
        ];
        total.live += stats.live;
        total.created += stats.created;
        total.expired += stats.expired;
        total.evicted += stats.evicted;
        total.removed += stats.removed;
        total.replaced += stats.replaced;
        let balance = lines.iter().all(|(_, found, due)| found == due);
        if !balance {
            println!("the books of the map with --seed {seed} do not balance:");
            balances(&lines);
        }
        balance
    }

    fn work(&self, rng: &mut Rng, stop: &AtomicBool) {
        let mut held = VecDeque::with_capacity(HELD);
        while !stop.load(Relaxed) {
            for _ in 0..TURN {
                let key = rng.u64(..self.keys);
                if let Some(found) = self.operate(key, rng) {
                    found.verify(*found.key());
                    held.push_back(found);
                    if held.len() == HELD {
                        held.pop_front();
                    }
                }
            }
            self.books.operations.fetch_add(TURN, Relaxed);
            if rng.u8(..) == 0 {
                self.sweep(rng);
            }
        }
        for handle in held {
            handle.verify(*handle.key());
        }
    }

    /// One operation on one key.
    fn operate(&self, key: u64, rng: &mut Rng) -> Option<Handle<u64, Session>> {
        let (map, books) = (&self.map, &self.books);
        let number = rng.u64(..);
        let value = || Session::new(key, number);
        let created = |is_new| books.created.fetch_add(u64::from(is_new), Relaxed);
        match rng.u8(0..32) {
            0..8 => map.get(&key),
            8..11 => {
                map.with(&key, |session| session.verify(key));
                None
            }
            11 => map.touch(&key).then(|| map.peek(&key)).flatten(),
            12 => map.peek(&key),
            13..17 => {
                let replaced = map.insert(key, value());
                created(replaced.is_none());
                replaced
            }
            17..20 => {
                let tried = map.try_insert(key, value());
                created(tried.is_ok());
                Some(tried.unwrap_or_else(|occupied| occupied.existing))
            }
            20 => {
                let found = map.get_or_insert_with(key, value);
                created(found.number == number);
                Some(found)
            }
            21..25 => {
                let updated = map.update(&key, |session| {
                    session.verify(key);
                    value()
                });
                books
                    .updated
                    .fetch_add(u64::from(updated.is_some()), Relaxed);
                updated
            }
            25..28 => map.remove(&key),
            28 => map.remove_if(&key, |session| session.number % 2 == 0),
            29 => {
                map.set_idle_timeout(&key, millis(rng.u64(0..4 * self.idle)));
                None
            }
            30 => {
                map.set_lifetime(&key, millis(rng.u64(0..4 * self.idle)));
                None
            }
            _ => {
                let left = map.time_left(&key);
                let idle = map.idle_for(&key);
                (left.is_some() && idle.is_some())
                    .then(|| map.peek(&key))
                    .flatten()
            }
        }
    }

    /// One operation on many keys.
    fn sweep(&self, rng: &mut Rng) {
        let map = &self.map;
        match rng.u8(0..16) {
            0 => map.clear(),
            1 => map.retain(|key, session| {
                session.verify(*key);
                key % 3 != 0
            }),
            2..4 => _ = map.collect_idle(millis(rng.u64(0..self.idle))),
            4..6 => _ = map.evict(rng.usize(..100)),
            6..10 => map
                .iter()
                .take(10_000)
                .for_each(|found| found.verify(*found.key())),
            _ => _ = map.collect(),
        }
    }
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn main() -> ExitCode {
    let args = Args::parse();
    let threads = match args.threads {
        Some(threads) => threads.get(),
        None => 2 * thread::available_parallelism().map_or(1, NonZeroUsize::get),
    };
    let lasts = Duration::from_secs_f64(args.minutes * 60.0);
    let first = args.seed.unwrap_or_else(|| fastrand::u64(..));
    println!("{threads} threads for {lasts:.0?}, the first map with --seed {first}");

    let started = Instant::now();
    let bar = progress(lasts.as_millis() as u64, "soak ");
    let (mut maps, mut wrong, mut operations) = (0, 0, 0);
    let mut total = Stats::default();
    while started.elapsed() < lasts {
        let round = Round::new(first.wrapping_add(maps));
        let books = Arc::clone(&round.books);
        let left = lasts.saturating_sub(started.elapsed());
        let balanced = round.run(
            threads,
            left.min(Duration::from_secs(args.seconds)),
            &mut total,
        );
        maps += 1;
        wrong += u64::from(!balanced);
        operations += books.operations.load(Relaxed);
        bar.set_position(started.elapsed().as_millis() as u64);
        bar.set_message(format!(
            "{maps} maps, {} operations",
            HumanCount(operations)
        ));
    }
    bar.finish_and_clear();

    let rows = [
        ("maps", maps),
        ("operations on single keys", operations),
        ("records created", total.created),
        ("live in the end", total.live as u64),
        ("expired", total.expired),
        ("evicted", total.evicted),
        ("removed", total.removed),
        ("replaced and updated", total.replaced),
        ("values made", MADE.total()),
        ("values dropped", DROPPED.total()),
        ("values found broken", BROKEN.total()),
        ("maps whose books are wrong", wrong),
    ];
    for (what, count) in rows {
        println!("{what:28} {:>18}", HumanCount(count).to_string());
    }
    ExitCode::from(u8::from(wrong > 0))
}
