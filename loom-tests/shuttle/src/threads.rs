//! Histories on threads of the operating system; and that the check has teeth.

use crate::heats;
use crate::recorder::Recording;
use crate::spec::{Call, ENDLESS, Found, Step, Terms};
use crate::workload::{Op, Plan, Subject};
use crossbeam_skiplist::{SkipMap, map::Entry};
use fastrand::Rng;

const THREADS: usize = 3;
const OPS: usize = 6;

fn histories(few: usize) -> usize {
    let factor = std::env::var("DWELL_HISTORIES");
    few * factor.map_or(1, |n| n.parse::<usize>().expect("a whole number"))
}

/// The histories of many maps, each with its plan. Maps are made and raced in portions. Returns how
/// many steps overlapped others.
fn record(histories: usize, mut check: impl FnMut(&Plan, Recording)) -> usize {
    const PORTION: usize = 1_000;
    let seed = match std::env::var("DWELL_HISTORIES_SEED") {
        Ok(seed) => seed.parse().expect("DWELL_HISTORIES_SEED is a number"),
        Err(_) => fastrand::u64(..),
    };
    println!("DWELL_HISTORIES_SEED={seed}");
    let mut rng = Rng::with_seed(seed);
    let (mut overlapping, mut events) = (0, 0);
    for _ in 0..histories.div_ceil(PORTION) {
        let subjects: Vec<_> = (0..PORTION)
            .map(|_| {
                let plan = Plan::random(THREADS, OPS, &mut rng);
                (Subject::new(&plan), plan)
            })
            .collect();
        let recordings = heats::run(&subjects, THREADS, |thread, (subject, plan)| {
            let mut recording = Recording::default();
            for &op in &plan.threads[thread] {
                recording.record(thread, || subject.perform(op));
            }
            recording
        });
        for ((subject, plan), parts) in subjects.iter().zip(recordings) {
            let mut recording = Recording::default();
            parts.into_iter().for_each(|part| recording.append(part));
            overlapping += recording.overlapping();
            events += recording.len();
            subject.conclude(&mut recording);
            check(plan, recording);
        }
    }
    println!("THREADS: {histories} histories, {overlapping} of {events} steps overlap others");
    overlapping
}

#[test]
fn histories_of_threads_are_linearizable() {
    let overlapping = record(histories(40_000), |plan, recording| {
        recording.check(plan.terms)
    });
    assert!(overlapping > 0, "the threads ran one after the other");
}

/// What a map may get wrong, as if its answers were these.
#[test]
fn answers_that_no_order_explains_are_refused() {
    type Mistake = (&'static str, fn(&mut Step) -> bool);
    let mistakes: [Mistake; 6] = [
        ("a look-up misses a record", |step| {
            let is_hit =
                matches!(step.call, Call::Get | Call::Peek) && step.found != Found::Nothing;
            step.found = Found::Nothing;
            is_hit
        }),
        ("a record is seen after its end", |step| {
            let is_seen = step.call == Call::Peek && step.found != Found::Nothing;
            step.last += 1_000;
            is_seen
        }),
        ("a record is collected early", |step| {
            let is_end = step.call == Call::Expired;
            step.last = 0;
            is_end
        }),
        ("a taken key is inserted again", |step| {
            let is_refusal =
                matches!(step.call, Call::TryInsert { .. }) && step.found != Found::Nothing;
            step.found = Found::Nothing;
            is_refusal
        }),
        ("an update is lost", |step| {
            let is_update = matches!(step.call, Call::Update { .. });
            let is_change = is_update && step.found != Found::Nothing;
            step.call = Call::Get;
            is_change
        }),
        ("a removal is lost", |step| {
            let is_removal = step.call == Call::Remove && step.found != Found::Nothing;
            step.call = Call::Get;
            is_removal
        }),
    ];
    let mut refused = [0; 6];
    record(1_000, |plan, recording| {
        for (count, (_, mistake)) in refused.iter_mut().zip(&mistakes) {
            let mut wrong = recording.clone();
            if wrong.change_one(mistake) {
                *count += usize::from(!wrong.unexplained(plan.terms).is_empty());
            }
        }
    });
    for ((name, _), refused) in mistakes.iter().zip(refused) {
        println!("TEETH {name}: refused in {refused} of 1,000 histories");
        assert!(refused > 0, "{name}");
    }
}

/// Races threads on skip lists until the check refuses a history.
fn refuses(name: &str, ops: fn(&mut Rng, u64) -> Op) {
    const PORTION: usize = 5_000;
    const TERMS: Terms = Terms {
        idle: ENDLESS,
        lifetime: ENDLESS,
    };
    let mut rng = Rng::with_seed(1);
    for portion in 1..=200 {
        let subjects: Vec<_> = (0..PORTION)
            .map(|_| {
                let values = 1..=(THREADS * OPS) as u64;
                let plan: Vec<Op> = values.map(|value| ops(&mut rng, value)).collect();
                (SkipMap::new(), plan)
            })
            .collect();
        let recordings = heats::run(&subjects, THREADS, |thread, (map, plan)| {
            let mut recording = Recording::default();
            for &op in &plan[thread * OPS..][..OPS] {
                recording.record(thread, || vec![(1, on_skip_list(map, op))]);
            }
            recording
        });
        for parts in recordings {
            let mut recording = Recording::default();
            parts.into_iter().for_each(|part| recording.append(part));
            if let Some(history) = recording.unexplained(TERMS).pop() {
                println!(
                    "TEETH {name}: refused within {} histories",
                    portion * PORTION
                );
                println!("{history}");
                return;
            }
        }
    }
    panic!("{name}: no history was refused");
}

fn on_skip_list(map: &SkipMap<u64, u64>, op: Op) -> Step {
    let value = |entry: Option<Entry<'_, u64, u64>>| Found::from(entry.map(|entry| *entry.value()));
    let (call, found) = match op {
        Op::Get(key) => (Call::Get, value(map.get(&key))),
        Op::Insert(key, new) => {
            map.insert(key, new);
            (Call::Insert { new }, Found::Unsaid)
        }
        Op::GetOrInsert(key, new) => {
            let found = *map.get_or_insert(key, new).value();
            let existing = (found != new).then_some(found);
            (Call::GetOrInsert { new }, existing.into())
        }
        Op::Remove(key) => (Call::Remove, value(map.remove(&key))),
        other => unreachable!("a skip list is not asked to {other:?}"),
    };
    Step {
        call,
        found,
        first: 0,
        last: 0,
    }
}

/// crossbeam-skiplist #1143: `remove` may return one entry to two callers.
#[test]
fn the_skip_lists_double_removal_is_refused() {
    refuses("double removal", |rng, value| match rng.u8(0..3) {
        0 => Op::Get(1),
        1 => Op::GetOrInsert(1, value),
        _ => Op::Remove(1),
    });
}

/// crossbeam-skiplist #1023: an insertion that replaces lets the key vanish for a moment.
#[test]
fn the_skip_lists_vanishing_replacement_is_refused() {
    refuses("vanishing replacement", |rng, value| match rng.u8(0..2) {
        0 => Op::Get(1),
        _ => Op::Insert(1, value),
    });
}
