//! Progress: a thread stops for ever after any of its steps, and every other operation, on the same
//! key and on others, ends within a bounded number of its own.
//!
//! What is a step: each access of the map's atomics, and each operation on the calendar's index,
//! which is a specification here. The reclaimer is one too: a thread that stopped delays the
//! freeing of memory, and nothing else. In the end the stopped threads go on, their operations end,
//! and the history of all is linearizable.

use crate::freezer::{self, Stops};
use crate::recorder::Recording;
use crate::schedules::schedules;
use crate::workload::{Op, Plan, Subject};
use fastrand::Rng;
use shuttle::thread;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

/// Every operation of the map; the keys from 1 on are those of [`setup`].
fn operations(first_value: u64) -> [Op; 21] {
    let value = |n| first_value + n;
    [
        Op::Get(1),
        Op::With(1),
        Op::Touch(1),
        Op::Peek(1),
        Op::Contains(3),
        Op::Insert(1, value(1)),
        Op::Insert(4, value(2)),
        Op::TryInsert(1, value(3)),
        Op::TryInsert(3, value(4)),
        Op::GetOrInsert(4, value(5)),
        Op::Update(1, value(6)),
        Op::Remove(1),
        Op::SetIdle(1, 5),
        Op::SetLifetime(1, 7),
        Op::Collect,
        Op::CollectIdle(2),
        Op::Evict,
        Op::Retain,
        Op::Iterate,
        Op::Grow,
        Op::Shrink,
    ]
}

/// What the others do meanwhile, each time with values of their own.
fn others(first_value: u64) -> Vec<Op> {
    let value = |n| first_value + n;
    vec![
        Op::Get(1),
        Op::With(1),
        Op::Touch(1),
        Op::Peek(1),
        Op::Contains(3),
        Op::Update(1, value(1)),
        Op::Insert(1, value(2)),
        Op::TryInsert(1, value(3)),
        Op::SetIdle(1, 20),
        Op::SetLifetime(1, 20),
        Op::Collect,
        Op::Remove(1),
        Op::TryInsert(1, value(4)),
        Op::GetOrInsert(4, value(5)),
        Op::Update(4, value(6)),
        Op::Insert(3, value(7)),
        Op::Iterate,
        Op::CollectIdle(2),
        Op::Grow,
        Op::Get(2),
        Op::Evict,
        Op::Advance(8),
        Op::Insert(2, value(8)),
        Op::Collect,
        Op::Shrink,
        Op::Retain,
        Op::Remove(4),
        Op::Insert(4, value(9)),
        Op::Get(4),
    ]
}

/// Two keys in the prime of their lives, one that is due, and one that is not there.
fn setup(recording: &mut Recording, subject: &Subject) {
    let ops = [
        Op::Insert(3, 1),
        Op::Advance(6),
        Op::Insert(1, 2),
        Op::Insert(2, 3),
        Op::Get(2),
        Op::Advance(5),
    ];
    for op in ops {
        recording.record(0, || subject.perform(op));
    }
}

/// The most steps of its own that any operation of a kind took.
type Most = BTreeMap<String, usize>;

fn kind(op: Op) -> String {
    let name = format!("{op:?}");
    name.split('(').next().unwrap_or_default().into()
}

/// What came of an execution.
#[derive(Default)]
struct Outcome {
    /// Of the operations that were not stopped.
    most: Most,
    /// Whether the stopped threads had ended before they were stopped.
    has_ended: bool,
}

/// Some threads do an operation each and stop in the middle of it; two others do everything.
fn execute(plan: &Plan, stopped: &[Op], stops: &Stops) -> Outcome {
    let outcome = Arc::new(Mutex::new(Outcome::default()));
    let result = Arc::clone(&outcome);
    let (plan, stopped) = (plan.clone(), stopped.to_vec());
    freezer::run(stops, move || {
        let subject = Arc::new(Subject::new(&plan));
        let mut recording = Recording::default();
        setup(&mut recording, &subject);
        let ended: Arc<[AtomicBool]> = stopped.iter().map(|_| AtomicBool::new(false)).collect();
        let stopping: Vec<_> = stopped
            .iter()
            .enumerate()
            .map(|(number, &op)| {
                let (subject, ended) = (Arc::clone(&subject), Arc::clone(&ended));
                thread::spawn(move || {
                    let mut recording = Recording::default();
                    recording.record(1 + number, || subject.perform(op));
                    ended[number].store(true, SeqCst);
                    recording
                })
            })
            .collect();
        let going: Vec<_> = [1, 2]
            .map(|number| {
                let (subject, outcome) = (Arc::clone(&subject), Arc::clone(&outcome));
                thread::spawn(move || {
                    let mut recording = Recording::default();
                    for op in others(100 * number) {
                        let before = freezer::steps();
                        recording.record(10 + number as usize, || subject.perform(op));
                        let steps = freezer::steps() - before;
                        let most = &mut outcome.lock().unwrap().most;
                        let most = most.entry(kind(op)).or_default();
                        *most = steps.max(*most);
                    }
                    recording
                })
            })
            .into();
        for thread in going {
            recording.append(thread.join().unwrap());
        }
        outcome.lock().unwrap().has_ended = ended.iter().all(|ended| ended.load(SeqCst));
        for thread in stopping {
            recording.append(thread.join().unwrap());
        }
        subject.conclude(&mut recording);
        recording.check(plan.terms);
    });
    let mut outcome = result.lock().unwrap();
    std::mem::take(&mut *outcome)
}

fn plans() -> [(&'static str, Plan); 2] {
    let unbounded = Plan::of(10, &[]);
    let bounded = Plan {
        capacity: Some(3),
        ..unbounded.clone()
    };
    [("unbounded", unbounded), ("bounded", bounded)]
}

/// What an operation may take at the most: a few times what it takes alone. Those of the first arm
/// settle at their end, and so go through what waits to be freed. By the specification of
/// reclamation each write has a time of its own, also while a thread stands still: so there are
/// many generations of it here, where epochs would make one.
fn bound(kind: &str) -> usize {
    match kind {
        "Grow" | "Shrink" | "Collect" | "Retain" => 5_000,
        _ => 500,
    }
}

fn assert_bounded(most: &Most) {
    for (kind, &steps) in most {
        assert!(steps <= bound(kind), "{kind} took {steps} steps");
    }
}

fn merge(most: &mut Most, other: &Most) {
    for (kind, steps) in other {
        let most = most.entry(kind.clone()).or_default();
        *most = (*steps).max(*most);
    }
}

#[test]
fn every_operation_ends_beside_a_thread_that_stopped_after_any_step() {
    for (name, plan) in plans() {
        // Nobody stops: what the operations cost anyhow.
        let free = execute(&plan, &[], &Stops::default()).most;
        let mut most = Most::new();
        let mut total = 0;
        for op in operations(900) {
            let mut steps = 0;
            loop {
                let stops = Stops {
                    after: vec![steps],
                    among_others: None,
                };
                let outcome = execute(&plan, &[op], &stops);
                merge(&mut most, &outcome.most);
                if outcome.has_ended {
                    break;
                }
                steps += 1;
            }
            println!(
                "FROZEN {name:9} {:14} after each of {steps:4} steps",
                kind(op)
            );
            total += steps;
        }
        println!("FROZEN {name:9} {total} steps in all");
        for (kind, steps) in &most {
            println!(
                "BESIDE {name:9} {kind:14} {steps:5} steps at most, {} if nobody stops",
                free[kind]
            );
        }
        assert_bounded(&most);
    }
}

#[test]
fn every_operation_ends_beside_two_threads_that_stopped_somewhere() {
    let mut rng = Rng::with_seed(1);
    let mut most = Most::new();
    let executions = schedules(2_000);
    for _ in 0..executions {
        let (_, plan) = &plans()[rng.usize(..2)];
        let mut op = |first_value| {
            *rng.choice(&operations(first_value))
                .expect("there are some")
        };
        let stopped = [op(900), op(950)];
        let mut after = || {
            let magnitude = rng.u32(3..11);
            rng.usize(..1 << magnitude)
        };
        let stops = Stops {
            after: vec![after(), after()],
            among_others: Some(rng.u64(..)),
        };
        merge(&mut most, &execute(plan, &stopped, &stops).most);
    }
    println!("FROZEN two threads, {executions} times");
    for (kind, steps) in &most {
        println!("BESIDE two       {kind:14} {steps:5} steps at most");
    }
    assert_bounded(&most);
}
