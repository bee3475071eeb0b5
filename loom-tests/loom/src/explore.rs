//! Runs a model under loom, and makes sure that the search was complete.

use crate::watched;
use loom::model::Builder;
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

/// How large a model is: it decides how many times loom may take the processor from a thread that
/// could go on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Size {
    /// Some atomics: every execution is searched.
    Small,
    /// Two threads and one protocol.
    Pair,
    /// Two threads, and the assembled map or two that do the same.
    LongPair,
    /// Three threads and one protocol.
    Trio,
    /// Three threads, and the assembled map, a resize, or three that do the same.
    LongTrio,
    /// Two that resize or collect all beside each other, and one more.
    Longest,
    /// Threads one after the other, in any order: for what is stale to the last one.
    InTurn,
    /// Two threads with operations of a layer that has no atomics of its own. What is stale to it
    /// the map's own models look after: here schedules count, so the second pass.
    Layered,
    /// The same with three threads, or with two such layers.
    LongLayered,
}

impl Size {
    /// The bound on preemptions; none for an exhaustive search.
    fn bound(self, is_deep: bool) -> Option<usize> {
        // Stock loom, loads as read-modify-writes, and announced accesses.
        let pass = if cfg!(dwell_shadow) {
            2
        } else {
            usize::from(cfg!(dwell_rmw))
        };
        let bounds = match (self, is_deep) {
            (Self::Small, _) => return None,
            (Self::Pair, false) => [3, 3, 2],
            (Self::Pair, true) => [4, 5, 3],
            (Self::LongPair | Self::Trio, false) => [2, 3, 1],
            (Self::LongPair | Self::Trio, true) => [3, 4, 2],
            (Self::LongTrio, false) => [1, 3, 1],
            (Self::LongTrio, true) => [2, 4, 1],
            (Self::Longest, false) => [1, 2, 1],
            (Self::Longest, true) => [2, 3, 1],
            (Self::InTurn, _) => [0, 1, 0],
            (Self::Layered, false) => [0, 2, 0],
            (Self::Layered, true) => [1, 3, 0],
            (Self::LongLayered, false) => [0, 1, 0],
            (Self::LongLayered, true) => [0, 2, 0],
        };
        Some(bounds[pass])
    }
}

/// A search that takes longer fails, unless `LOOM_MAX_DURATION` says otherwise.
const LIMIT: Duration = Duration::from_secs(60 * 60);

/// Searches all executions of `model` within the bound for its size, or within
/// `LOOM_MAX_PREEMPTIONS` if that is set; `LOOM_DEEP` asks for higher bounds. Fails if an execution
/// fails, leaks, or drops something twice, also if the map caught the panic.
pub(crate) fn explore(name: &str, size: Size, model: impl Fn() + Send + Sync + 'static) {
    note_panics();
    hash_repeatably();
    let iterations = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&iterations);
    let mut builder = Builder::new();
    if builder.preemption_bound.is_none() {
        let is_deep = std::env::var_os("LOOM_DEEP").is_some();
        builder.preemption_bound = size.bound(is_deep);
    }
    builder.max_branches = 100_000;
    builder.max_permutations = None;
    // loom returns as if all were well when it stops early, and looks at the time at each
    // checkpoint only.
    builder.checkpoint_interval = 64;
    let limit = *builder.max_duration.get_or_insert(LIMIT);
    let bound = builder.preemption_bound;
    let start = Instant::now();
    builder.check(move || {
        conclude_iteration();
        counted.fetch_add(1, Ordering::Relaxed);
        model();
    });
    let elapsed = start.elapsed();
    conclude_iteration();
    let iterations = iterations.load(Ordering::Relaxed);
    let bound = bound.map_or("none".into(), |bound| bound.to_string());
    let seconds = elapsed.as_secs_f64();
    assert!(
        elapsed < limit,
        "{name} at bound {bound}: cut short after {iterations} iterations"
    );
    println!("LOOM {name:72} {bound:>4} {iterations:>9} {seconds:>8.2} COMPLETE");
}

struct Same;

impl ahash::random_state::RandomSource for Same {
    fn gen_hasher_seed(&self) -> usize {
        0
    }
}

/// Hashes are the same in each execution, and in each process: ahash is compiled without a
/// generator. To be called before the first map is made.
fn hash_repeatably() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        ahash::random_state::set_random_source(Same).expect("no map was made before");
    });
}

thread_local! {
    /// Whether a panic happened in this iteration. loom's threads all run on the thread of their
    /// test.
    static HAS_PANICKED: Cell<bool> = const { Cell::new(false) };
}

/// The map catches panics of keys, values and listeners: one that the model's own ones raise must
/// not be lost in there.
fn note_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            HAS_PANICKED.set(true);
            report(info);
        }));
    });
}

/// What was deferred runs after the model has returned; so its outcome is looked at before the
/// next.
fn conclude_iteration() {
    assert!(
        !HAS_PANICKED.replace(false),
        "a panic was caught within the iteration before"
    );
    watched::assert_all_dropped();
}

/// Runs two closures at the same time.
pub(crate) fn both<W: 'static, A, B: 'static>(
    world: &Arc<W>,
    one: impl FnOnce(&W) -> A,
    other: impl FnOnce(&W) -> B + 'static,
) -> (A, B) {
    let shared = Arc::clone(world);
    let thread = loom::thread::spawn(move || other(&shared));
    let result = one(world);
    (result, thread.join().unwrap())
}

/// Runs three closures at the same time.
pub(crate) fn three<W: 'static, A, B: 'static, C: 'static>(
    world: &Arc<W>,
    one: impl FnOnce(&W) -> A,
    another: impl FnOnce(&W) -> B + 'static,
    third: impl FnOnce(&W) -> C + 'static,
) -> (A, B, C) {
    let shared = Arc::clone(world);
    let thread = loom::thread::spawn(move || third(&shared));
    let (one, another) = both(world, one, another);
    (one, another, thread.join().unwrap())
}

/// The only owner of what the threads shared, after they ended.
pub(crate) fn alone<W>(world: Arc<W>) -> W {
    Arc::into_inner(world).expect("every thread has ended")
}
