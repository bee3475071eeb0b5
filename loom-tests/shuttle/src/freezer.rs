//! A scheduler under which some threads stop after so many steps, and stay stopped until all others
//! have ended: for these, that is for ever.

use fastrand::Rng;
use shuttle::Runner;
use shuttle::current::TaskId;
use shuttle::scheduler::{Schedule, Scheduler, Task};
use std::cell::RefCell;

use crate::schedules::config;

/// Which threads stop, and when. A step is what a thread does from one access of an atomic to the
/// next.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stops {
    /// The steps that the first threads, in the order of `spawn`, take before they stop.
    pub(crate) after: Vec<usize>,
    /// Whether they take them among the steps of the others, at random by this seed; or first of
    /// all.
    pub(crate) among_others: Option<u64>,
}

thread_local! {
    /// The steps that each thread has taken. shuttle runs them all on one thread of the operating
    /// system.
    static STEPS: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// How many steps the current thread has taken.
pub(crate) fn steps() -> usize {
    let thread = usize::from(shuttle::current::me());
    STEPS.with_borrow(|steps| steps[thread])
}

/// Runs `execution` once.
pub(crate) fn run(stops: &Stops, execution: impl Fn() + Send + Sync + 'static) {
    STEPS.with_borrow_mut(Vec::clear);
    let freezer = Freezer {
        stops: stops.clone(),
        rng: Rng::with_seed(stops.among_others.unwrap_or(0)),
        has_run: false,
    };
    Runner::new(freezer, config()).run(execution);
}

struct Freezer {
    stops: Stops,
    rng: Rng,
    has_run: bool,
}

impl Freezer {
    /// The steps that a thread may still take, if it is one of those that stop.
    fn release(&mut self, task: usize) -> Option<&mut usize> {
        self.stops.after.get_mut(task.checked_sub(1)?)
    }

    fn choose(&mut self, runnable: &[usize]) -> usize {
        let of_left = |freezer: &mut Self, wanted: fn(Option<usize>) -> bool| -> Vec<usize> {
            let all = runnable.iter().copied();
            all.filter(|&task| wanted(freezer.release(task).copied()))
                .collect()
        };
        let stopping = of_left(self, |left| left.is_some_and(|left| left > 0));
        if self.stops.among_others.is_none()
            && let Some(&first) = stopping.first()
        {
            return first;
        }
        let going = of_left(self, |left| left != Some(0));
        // When all others have ended, the stopped ones go on.
        let choice = if going.is_empty() { runnable } else { &going };
        choice[self.rng.usize(..choice.len())]
    }
}

impl Scheduler for Freezer {
    fn new_execution(&mut self) -> Option<Schedule> {
        let is_first = !std::mem::replace(&mut self.has_run, true);
        is_first.then(|| Schedule::new(0))
    }

    fn next_task(
        &mut self,
        runnable: &[&Task],
        _current: Option<TaskId>,
        _is_yielding: bool,
    ) -> Option<TaskId> {
        let tasks: Vec<_> = runnable.iter().map(|task| usize::from(task.id())).collect();
        let chosen = self.choose(&tasks);
        if let Some(left) = self.release(chosen) {
            *left = left.saturating_sub(1);
        }
        STEPS.with_borrow_mut(|steps| {
            if steps.len() <= chosen {
                steps.resize(chosen + 1, 0);
            }
            steps[chosen] += 1;
        });
        Some(TaskId::from(chosen))
    }

    fn next_u64(&mut self) -> u64 {
        self.rng.u64(..)
    }
}
