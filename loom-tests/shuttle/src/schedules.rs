//! Histories under shuttle: every atomic step of the map, and of the clock, is a place where the
//! scheduler may let another thread go on. All orderings are SeqCst here: stale values are loom's
//! part.

use crate::recorder::Recording;
use crate::workload::{Plan, Subject};
use fastrand::Rng;
use shuttle::rand::Rng as _;
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, MaxSteps, Runner, thread};
use std::sync::Arc;

/// How many schedules, times `DWELL_HISTORIES`.
pub(crate) fn schedules(few: usize) -> usize {
    let factor = std::env::var("DWELL_HISTORIES");
    few * factor.map_or(1, |n| n.parse::<usize>().expect("a whole number"))
}

pub(crate) fn config() -> Config {
    let mut config = Config::new();
    config.silence_warnings = true;
    config.stack_size = 1 << 18;
    // No history is this long: an operation that never ends would be.
    config.max_steps = MaxSteps::FailAfter(200_000);
    config
}

/// A plan that is drawn from shuttle's numbers, so that a schedule repeats it too.
fn random_plan(threads: usize, ops: usize) -> Plan {
    let seed = shuttle::rand::thread_rng().r#gen();
    Plan::random(threads, ops, &mut Rng::with_seed(seed))
}

/// Does what is planned, and checks the history.
pub(crate) fn perform(plan: &Plan) {
    let subject = Arc::new(Subject::new(plan));
    let workers: Vec<_> = plan
        .threads
        .iter()
        .cloned()
        .enumerate()
        .map(|(number, ops)| {
            let subject = Arc::clone(&subject);
            thread::spawn(move || {
                let mut recording = Recording::default();
                for op in ops {
                    recording.record(number, || subject.perform(op));
                }
                recording
            })
        })
        .collect();
    let mut recording = Recording::default();
    for worker in workers {
        recording.append(worker.join().unwrap());
    }
    subject.conclude(&mut recording);
    recording.check(plan.terms);
}

fn run(name: &str, scheduler: impl Scheduler + 'static, threads: usize, ops: usize) {
    let started = std::time::Instant::now();
    let histories = Runner::new(scheduler, config()).run(move || {
        perform(&random_plan(threads, ops));
    });
    println!(
        "SHUTTLE {name}: {histories} histories of {threads} threads with {ops} operations each, {:.1} s",
        started.elapsed().as_secs_f64()
    );
}

#[test]
fn random_schedules_of_two_threads_are_linearizable() {
    run("random", RandomScheduler::new(schedules(40_000)), 2, 6);
}

#[test]
fn random_schedules_of_three_threads_are_linearizable() {
    run("random", RandomScheduler::new(schedules(40_000)), 3, 5);
}

#[test]
fn pct_schedules_of_two_threads_are_linearizable() {
    run(
        "PCT, depth 3",
        PctScheduler::new(3, schedules(40_000)),
        2,
        6,
    );
}

#[test]
fn pct_schedules_of_three_threads_are_linearizable() {
    run(
        "PCT, depth 4",
        PctScheduler::new(4, schedules(40_000)),
        3,
        5,
    );
}
