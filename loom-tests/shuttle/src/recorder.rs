//! Records what threads call, and what they are told.

use crate::checker::{Event, is_linearizable};
use crate::spec::{self, Call, State, Step, Terms};
use dwell::{Clock, Handle, RemovalCause};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

#[cfg(dwell_shuttle)]
use shuttle::{sync::atomic::AtomicU64 as Time, thread_local};
#[cfg(not(dwell_shuttle))]
use std::{sync::atomic::AtomicU64 as Time, thread_local};

thread_local! {
    /// What the thread read from the clock during its operation, first and last.
    static READINGS: Cell<Option<(u64, u64)>> = const { Cell::new(None) };
    /// What the listener was told on this thread during its operation.
    static TOLD: RefCell<Vec<Told>> = const { RefCell::new(Vec::new()) };
}

/// A removal that the listener was told of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    pub(crate) key: u64,
    pub(crate) value: u64,
    pub(crate) cause: RemovalCause,
}

/// To be called by the map's listener.
pub(crate) fn tell(record: &Handle<u64, u64>, cause: RemovalCause) {
    let (key, value) = (*record.key(), **record);
    TOLD.with(|told| told.borrow_mut().push(Told { key, value, cause }));
}

/// A clock that remembers what each thread has read. Clones share the time.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecordingClock(Arc<Time>);

impl RecordingClock {
    pub(crate) fn advance(&self, millis: u64) {
        self.0.fetch_add(millis, SeqCst);
    }
}

impl Clock for RecordingClock {
    fn now_millis(&self) -> u64 {
        let now = self.0.load(SeqCst);
        READINGS.with(|readings| {
            let first = readings.get().map_or(now, |(first, _)| first);
            readings.set(Some((first, now)));
        });
        now
    }
}

/// What an operation has left behind.
pub(crate) struct Trail {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) told: Vec<Told>,
}

/// What happened since the last call on this thread.
pub(crate) fn trail() -> Trail {
    let (first, last) = READINGS.with(Cell::take).unwrap_or_default();
    let told = TOLD.with(RefCell::take);
    Trail { first, last, told }
}

/// The steps of one thread, by key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recording(Vec<(u64, Event<Step>)>);

/// One counter orders calls and returns of all threads. std's, so that it changes no schedule.
static MOMENTS: AtomicU64 = AtomicU64::new(0);

impl Recording {
    /// Records the steps that an operation turns out to have consisted of. Each took place during
    /// it.
    pub(crate) fn record(&mut self, thread: usize, operation: impl FnOnce() -> Vec<(u64, Step)>) {
        let called = MOMENTS.fetch_add(1, SeqCst);
        let steps = operation();
        let returned = MOMENTS.fetch_add(1, SeqCst);
        self.0.extend(steps.into_iter().map(|(key, step)| {
            let event = Event {
                thread,
                called,
                returned,
                step,
            };
            (key, event)
        }));
    }

    pub(crate) fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    /// Makes the first answer wrong that `mistake` can make wrong. False if there is none.
    #[cfg(not(dwell_shuttle))]
    pub(crate) fn change_one(&mut self, mistake: impl Fn(&mut Step) -> bool) -> bool {
        self.0.iter_mut().any(|(_, event)| {
            let mut wrong = event.step;
            let has_changed = mistake(&mut wrong);
            if has_changed {
                event.step = wrong;
            }
            has_changed
        })
    }

    #[cfg(not(dwell_shuttle))]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    #[cfg(not(dwell_shuttle))]
    /// How many operations overlapped another thread's.
    pub(crate) fn overlapping(&self) -> usize {
        let is_alone = |(_, event): &&(u64, Event<Step>)| event.returned == event.called + 1;
        self.len() - self.0.iter().filter(is_alone).count()
    }

    /// The keys whose histories no order explains, with these histories.
    pub(crate) fn unexplained(&self, terms: Terms) -> Vec<String> {
        let mut by_key = BTreeMap::<u64, Vec<Event<Step>>>::new();
        for (key, event) in &self.0 {
            by_key.entry(*key).or_default().push(event.clone());
        }
        let apply = |state: &State, (step, meanwhile): &(Step, Vec<Step>)| {
            spec::apply(terms, state, step, meanwhile)
        };
        by_key
            .into_iter()
            .filter(|(_, events)| !is_linearizable(&with_changes(events), None, apply))
            .map(|(key, events)| describe(key, events))
            .collect()
    }

    /// Fails unless each key's history is linearizable.
    #[track_caller]
    pub(crate) fn check(&self, terms: Terms) {
        let unexplained = self.unexplained(terms);
        assert!(
            unexplained.is_empty(),
            "not linearizable:\n{}",
            unexplained.join("\n")
        );
    }
}

/// Beside each event the changes of terms that ran at the same time.
fn with_changes(events: &[Event<Step>]) -> Vec<Event<(Step, Vec<Step>)>> {
    let changes = || {
        let is_change = |call| matches!(call, Call::SetIdle(_) | Call::SetLifetime(_));
        events
            .iter()
            .filter(move |event| is_change(event.step.call))
    };
    let with_changes = |event: &Event<Step>| {
        let overlaps = |change: &&Event<Step>| {
            change.called <= event.returned && event.called <= change.returned
        };
        let mut meanwhile: Vec<Step> = changes().filter(overlaps).map(|other| other.step).collect();
        if meanwhile == [event.step] {
            // Itself only: it judges by the old terms.
            meanwhile.clear();
        }
        Event {
            thread: event.thread,
            called: event.called,
            returned: event.returned,
            step: (event.step, meanwhile),
        }
    };
    events.iter().map(with_changes).collect()
}

/// A history in the order of its calls.
fn describe(key: u64, mut events: Vec<Event<Step>>) -> String {
    events.sort_by_key(|event| event.called);
    let start = events.first().map_or(0, |event| event.called);
    let lines = events.iter().map(|event| {
        let (called, returned) = (event.called - start, event.returned - start);
        let Step {
            call,
            found,
            first,
            last,
        } = event.step;
        let thread = event.thread;
        format!(
            "  thread {thread} [{called:3},{returned:3}] at {first}..{last}: {call:?} -> {found:?}"
        )
    });
    let lines: Vec<_> = lines.collect();
    format!("key {key}:\n{}", lines.join("\n"))
}
