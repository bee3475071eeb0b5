//! Threads that take turns, each on sessions of its own, and what they have in common.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Barrier, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::recorder::{Access, notes_of};
use dwell::internals::sync::Kind;
use dwell::{IdleMap, ManualClock};

/// Sessions in the map; a line of the table or a record is met by few operations of a thread only.
const SESSIONS: u64 = 40_000;
/// Operations of each thread.
const OPERATIONS: u64 = 2_000;
/// A line belongs to all if each thread writes it in more than this share of its operations.
const COMMON: f64 = 0.02;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `with`, the clock not having moved since the session's last access.
    With,
    /// `with` after a tick.
    WithAfterTick,
    /// `get`, and the handle dropped.
    Get,
    GetAfterTick,
    Peek,
    Touch,
    TouchAfterTick,
    /// `with` of an id that is not there.
    Unknown,
    Update,
    Insert,
    Remove,
    /// 90 % `with` after a tick, 4 % updates, 3 % insertions, 3 % removals.
    Mixed,
    CollectNothingDue,
    /// A session of those that a collection ends.
    Collect,
}

impl Operation {
    pub const ALL: [Self; 14] = [
        Self::With,
        Self::WithAfterTick,
        Self::Get,
        Self::GetAfterTick,
        Self::Peek,
        Self::Touch,
        Self::TouchAfterTick,
        Self::Unknown,
        Self::Update,
        Self::Insert,
        Self::Remove,
        Self::Mixed,
        Self::CollectNothingDue,
        Self::Collect,
    ];
}

/// A cache line that all threads write.
#[derive(Clone, Debug, PartialEq)]
pub struct SharedLine {
    /// The share of operations that write it.
    pub share: f64,
    /// Where in the map's sources.
    pub places: BTreeSet<String>,
}

/// Averages of an operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Count {
    /// Cache lines with atomics that are read or written; those of the thread's own included.
    pub lines: f64,
    /// Of these, written.
    pub written: f64,
    pub read_modify_writes: f64,
    pub fences: f64,
    pub allocations: f64,
    pub shared: Vec<SharedLine>,
}

type Map = IdleMap<u64, [u64; 8]>;

/// Keeps this thread on a processor of its own, which has a shard of its own.
#[cfg(target_os = "linux")]
fn settle_down(thread: u64) {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    let allowed = sched_getaffinity(None).expect("a thread may ask for its own");
    let mut processors = (0..CpuSet::MAX_CPU).filter(|number| allowed.is_set(*number));
    if let Some(processor) = processors.nth(thread as usize) {
        let mut own = CpuSet::new();
        own.set(processor);
        sched_setaffinity(None, &own).expect("a thread may choose among its processors");
    }
}

/// Each thread has a shard of its own, wherever it runs.
#[cfg(not(target_os = "linux"))]
fn settle_down(_thread: u64) {}

/// Counts what `operation` accesses, with as many threads as the map has shards, and at least two.
pub fn count(operation: Operation) -> Count {
    // Two crowds would share the processors, and so their shards.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let threads =
        thread::available_parallelism().map_or(2, |threads| threads.get().clamp(2, 64)) as u64;
    let clock = ManualClock::new();
    let map: Map = IdleMap::builder()
        .idle_timeout(Duration::from_secs(1_000))
        .clock(clock.clone())
        .build()
        .expect("a valid configuration");
    let turn = Mutex::new(());
    let together = Barrier::new(threads as usize);
    let each: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                let (map, clock, turn, together) = (&map, &clock, &turn, &together);
                scope.spawn(move || {
                    settle_down(thread);
                    let own = |n: u64| n * threads + thread;
                    for session in 0..SESSIONS / threads {
                        let _turn = turn.lock().expect("no holder panicked");
                        map.insert(own(session), [0; 8]);
                    }
                    together.wait();
                    let turn = turn.lock().expect("no holder panicked");
                    let counted = count_thread(operation, map, clock, own);
                    drop(turn);
                    // A thread that ends gives its slot to others.
                    together.wait();
                    counted
                })
            })
            .collect();
        let joined = workers.into_iter().map(|worker| worker.join());
        joined
            .map(|counted| counted.expect("no worker panics"))
            .collect()
    });
    summarize(&each)
}

/// The accesses of each operation, and the allocations of all.
struct Thread {
    operations: Vec<Vec<Access>>,
    allocations: u64,
    /// The operations that a call stands for.
    weight: f64,
}

fn count_thread(
    operation: Operation,
    map: &Map,
    clock: &ManualClock,
    own: impl Fn(u64) -> u64,
) -> Thread {
    use Operation::*;
    if operation == Collect {
        return count_collection(map, clock, own(0) == 0);
    }
    let tick = || clock.advance(Duration::from_millis(1));
    // Lines that are only touched once, and what was postponed to the next change.
    for n in 0..OPERATIONS {
        map.update(&own(n), |value| *value);
    }
    tick();
    if !matches!(
        operation,
        WithAfterTick | GetAfterTick | TouchAfterTick | Mixed
    ) {
        (0..OPERATIONS).for_each(|n| assert!(map.touch(&own(n))));
    }
    let new = |n: u64| own(SESSIONS + n);
    let mut operations = Vec::new();
    let mut allocations = 0;
    for n in 0..OPERATIONS {
        let act = || match operation {
            With | WithAfterTick => assert!(map.with(&own(n), |_| ()).is_some()),
            Get | GetAfterTick => assert!(map.get(&own(n)).is_some()),
            Peek => assert!(map.peek(&own(n)).is_some()),
            Touch | TouchAfterTick => assert!(map.touch(&own(n))),
            Unknown => assert!(map.with(&new(n), |_| ()).is_none()),
            Update => assert!(map.update(&own(n), |value| *value).is_some()),
            Insert => assert!(map.try_insert(new(n), [0; 8]).is_ok()),
            Remove => assert!(map.remove(&own(n)).is_some()),
            Mixed => match n % 100 {
                0..90 => assert!(map.with(&own(n), |_| ()).is_some()),
                90..94 => assert!(map.update(&own(n), |value| *value).is_some()),
                94..97 => assert!(map.try_insert(new(n), [0; 8]).is_ok()),
                _ => assert!(map.remove(&own(n)).is_some()),
            },
            CollectNothingDue => assert_eq!(map.collect(), 0),
            Collect => unreachable!("counted as a whole"),
        };
        let (notes, allocated) = watch(1 << 16, act);
        operations.push(notes);
        allocations += allocated;
    }
    Thread {
        operations,
        allocations,
        weight: 1.0,
    }
}

/// All sessions are due, and the first thread ends them.
fn count_collection(map: &Map, clock: &ManualClock, is_first: bool) -> Thread {
    let (mut operations, mut allocations, mut ended) = (Vec::new(), 0, 0);
    if is_first {
        clock.advance(Duration::from_secs(2_000));
        let (notes, allocated) = watch(1 << 22, || ended = map.collect());
        operations.push(notes);
        allocations = allocated;
    }
    Thread {
        operations,
        allocations,
        weight: ended as f64,
    }
}

/// What `act` accesses, and how often it allocates.
fn watch(most: usize, act: impl FnOnce()) -> (Vec<Access>, u64) {
    let mut notes = Vec::new();
    let allocated = allocation_counter::measure(|| notes = notes_of(most, act));
    // One is the notes' own.
    (notes, allocated.count_total - 1)
}

fn summarize(threads: &[Thread]) -> Count {
    let threads: Vec<_> = threads
        .iter()
        .filter(|thread| thread.weight > 0.0)
        .collect();
    let operations: f64 = threads
        .iter()
        .map(|t| t.operations.len() as f64 * t.weight)
        .sum();
    let all = || threads.iter().flat_map(|thread| &thread.operations);
    let of =
        |kind| all().flatten().filter(|access| access.kind == kind).count() as f64 / operations;
    let lines = |is_counted: fn(&Access) -> bool| {
        let lines = all().map(|notes| distinct(notes, is_counted).len());
        lines.sum::<usize>() as f64 / operations
    };
    let allocations = threads.iter().map(|thread| thread.allocations).sum::<u64>();
    Count {
        lines: lines(|access| access.kind != Kind::Fence),
        written: lines(is_write),
        read_modify_writes: of(Kind::ReadModifyWrite),
        fences: of(Kind::Fence),
        allocations: allocations as f64 / operations,
        shared: shared(&threads),
    }
}

fn is_write(access: &Access) -> bool {
    matches!(access.kind, Kind::Store | Kind::ReadModifyWrite)
}

fn distinct(notes: &[Access], is_counted: fn(&Access) -> bool) -> HashSet<usize> {
    let counted = notes.iter().filter(|access| is_counted(access));
    counted.map(|access| access.line).collect()
}

/// The lines that each thread writes often.
fn shared(threads: &[&Thread]) -> Vec<SharedLine> {
    let mut writers = HashMap::<usize, Vec<f64>>::new();
    for thread in threads {
        let mut times = HashMap::<usize, usize>::new();
        for notes in &thread.operations {
            for line in distinct(notes, is_write) {
                *times.entry(line).or_default() += 1;
            }
        }
        let operations = thread.operations.len() as f64 * thread.weight;
        for (line, times) in times {
            writers
                .entry(line)
                .or_default()
                .push(times as f64 / operations);
        }
    }
    writers.retain(|_, shares| {
        threads.len() > 1
            && shares.len() == threads.len()
            && shares.iter().all(|share| *share > COMMON)
    });
    let mut shared: BTreeMap<usize, SharedLine> = writers
        .into_iter()
        .map(|(line, shares)| {
            let share = shares.iter().sum::<f64>() / shares.len() as f64;
            let places = BTreeSet::new();
            (line, SharedLine { share, places })
        })
        .collect();
    for access in threads
        .iter()
        .flat_map(|t| &t.operations)
        .flatten()
        .filter(|a| is_write(a))
    {
        if let Some(line) = shared.get_mut(&access.line) {
            let file = access.place.file().rsplit('/').next().unwrap_or_default();
            line.places
                .insert(format!("{file}:{}", access.place.line()));
        }
    }
    shared.into_values().collect()
}
