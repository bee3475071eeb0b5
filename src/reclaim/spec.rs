//! The contract of reclamation as a specification, for loom and for shuttle.
//!
//! All that the contract orders goes through one word, the moment. A thread that retires something,
//! or asks for a stamp, raises or releases it; a thread that pins acquires it: so a thread that
//! pins afterwards sees what was unlinked before. Each read of a record asserts that its reader was
//! pinned before the record was retired.
//!
//! | | stamps | deferred actions |
//! |---|---|---|
//! | loom | are never over, the cheapest to search; or, after [`let_periods_end`], at the first moment that the contract allows | run at the end of the model |
//! | shuttle | are over at the first moment that the contract allows | run at that moment |
//!
//! No scheme frees earlier, so that a schedule under which something is freed too early for the map
//! is not hidden by the scheme's own slowness.

use super::Reclaim;
use core::sync::atomic::Ordering;
use std::cell::Cell;
use std::collections::{BTreeSet, VecDeque};
// The state of the specification is std's, so that loom neither explores nor orders by it.
use std::sync::atomic::AtomicUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[cfg(dwell_loom)]
type Moment = loom::sync::atomic::AtomicUsize;
#[cfg(dwell_shuttle)]
type Moment = AtomicUsize;

/// What one execution knows. Moments are numbers of pins and retirements.
struct Execution {
    moment: Moment,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    /// The moments at which the guards were made that are held.
    held: BTreeSet<usize>,
    /// In the order of their moments.
    actions: VecDeque<(usize, Action)>,
}

struct Action(Box<dyn FnOnce()>);
// SAFETY: `Reclaim::defer` demands an action that may run on any thread.
unsafe impl Send for Action {}

thread_local! {
    /// All threads of an execution run on one thread of the operating system.
    static PERIODS_END: Cell<bool> = const { Cell::new(cfg!(dwell_shuttle)) };
}

/// Lets grace periods end in the models of this thread.
pub fn let_periods_end() {
    PERIODS_END.set(true);
}

impl Execution {
    fn new() -> Self {
        Self {
            moment: Moment::new(0),
            waiting: Mutex::default(),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(dwell_loom)]
loom::lazy_static! {
    static ref EXECUTION: Execution = Execution::new();
}

#[cfg(dwell_loom)]
fn with<R>(act: impl FnOnce(&Execution) -> R) -> R {
    act(&EXECUTION)
}

#[cfg(dwell_shuttle)]
thread_local! {
    static EXECUTION: Execution = Execution::new();
}

#[cfg(dwell_shuttle)]
fn with<R>(act: impl FnOnce(&Execution) -> R) -> R {
    EXECUTION.with(act)
}

impl Drop for Execution {
    fn drop(&mut self) {
        let actions = core::mem::take(&mut self.waiting().actions);
        // Under shuttle they are left over from an execution that failed: its atomics cannot be
        // used any more.
        if cfg!(dwell_shuttle) || std::thread::panicking() {
            core::mem::forget(actions);
            return;
        }
        for (_, action) in actions {
            (action.0)();
        }
    }
}

impl Waiting {
    fn next_due(&mut self) -> Option<Action> {
        let (moment, _) = self.actions.front()?;
        if self.held.first().is_some_and(|oldest| oldest < moment) {
            return None;
        }
        self.actions.pop_front().map(|(_, action)| action)
    }
}

/// A pinned thread: the moment at which it was pinned.
#[derive(Debug)]
pub struct Guard(usize);

impl Reclaim for Guard {
    fn pin() -> Self {
        with(|execution| {
            if !PERIODS_END.get() {
                return Self(execution.moment.load(Ordering::Acquire));
            }
            let moment = execution.moment.fetch_add(1, Ordering::Acquire);
            execution.waiting().held.insert(moment);
            Self(moment)
        })
    }

    unsafe fn defer<F: FnOnce() + 'static>(&self, action: F) {
        let stamp = self.stamp();
        let action = Action(Box::new(action));
        with(|execution| execution.waiting().actions.push_back((stamp, action)));
    }

    fn stamp(&self) -> usize {
        if PERIODS_END.get() {
            with(|execution| execution.moment.fetch_add(0, Ordering::Release))
        } else {
            0
        }
    }

    fn is_over(&self, stamp: usize) -> bool {
        PERIODS_END.get()
            && with(|execution| {
                execution.moment.fetch_add(0, Ordering::Acquire);
                let waiting = execution.waiting();
                waiting.held.first().is_none_or(|&oldest| oldest >= stamp)
            })
    }

    fn count_writes(&self, _writes: usize) {}

    fn flush(&self) {}
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !PERIODS_END.get() {
            return;
        }
        if std::thread::panicking() {
            // loom's objects cannot be used any more.
            #[cfg(dwell_shuttle)]
            with(|execution| execution.waiting().held.remove(&self.0));
            return;
        }
        with(|execution| {
            execution.moment.fetch_add(0, Ordering::Release);
            execution.waiting().held.remove(&self.0);
        });
        if cfg!(dwell_shuttle) {
            while let Some(action) = with(|execution| execution.waiting().next_due()) {
                (action.0)();
            }
        }
    }
}

/// When the record was retired; 0 while it was not.
#[derive(Debug)]
pub struct Mark(AtomicUsize);

impl Mark {
    pub fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    pub fn retire(&self) {
        // Where periods end under loom, a stamp alone must order: a retirement says nothing then,
        // and is never early.
        let is_silent = cfg!(dwell_loom) && PERIODS_END.get();
        let now = if is_silent {
            usize::MAX
        } else {
            with(|execution| execution.moment.fetch_add(1, Ordering::Release)) + 1
        };
        let before = self.0.swap(now, Ordering::Relaxed);
        assert_eq!(before, 0, "a record was retired twice");
    }

    pub fn check(&self, guard: &Guard) {
        let retired = self.0.load(Ordering::Relaxed);
        assert!(
            retired == 0 || retired > guard.0,
            "a record was read by a thread that pinned after it was retired"
        );
    }
}
