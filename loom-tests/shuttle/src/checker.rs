//! Whether a history of one object is linearizable: the search of Wing and Gong, with Lowe's memory
//! of where it has been.

use std::collections::HashSet;
use std::hash::Hash;

/// An operation that was called and has returned.
#[derive(Clone, Debug)]
pub(crate) struct Event<S> {
    pub(crate) thread: usize,
    pub(crate) called: u64,
    pub(crate) returned: u64,
    pub(crate) step: S,
}

/// Whether some order of the events explains them all: no event comes before one that had returned
/// when it was called, and each is possible in the state that those before it leave behind.
pub(crate) fn is_linearizable<S, T>(
    events: &[Event<S>],
    initial: T,
    apply: impl Fn(&T, &S) -> Option<T>,
) -> bool
where
    S: Clone,
    T: Clone + Eq + Hash,
{
    assert!(events.len() <= 128, "the search keeps a set in 128 bits");
    let mut events = events.to_vec();
    events.sort_by_key(|event| event.called);
    let search = Search { events, apply };
    search.explains(0, initial, &mut HashSet::new())
}

struct Search<S, F> {
    /// By the time of their calls.
    events: Vec<Event<S>>,
    apply: F,
}

impl<S, F> Search<S, F> {
    /// Whether the events that are not in the set `done` can follow in this state.
    fn explains<T>(&self, done: u128, state: T, been: &mut HashSet<(u128, T)>) -> bool
    where
        T: Clone + Eq + Hash,
        F: Fn(&T, &S) -> Option<T>,
    {
        let left = || {
            let events = self.events.iter().enumerate();
            events.filter(|(index, _)| done >> index & 1 == 0)
        };
        // Whatever is next was called before any of the others had returned.
        let Some(first_return) = left().map(|(_, event)| event.returned).min() else {
            return true;
        };
        if !been.insert((done, state.clone())) {
            return false;
        }
        left()
            .take_while(|(_, event)| event.called < first_return)
            .any(|(index, event)| {
                (self.apply)(&state, &event.step)
                    .is_some_and(|next| self.explains(done | 1 << index, next, been))
            })
    }
}

#[cfg(not(dwell_shuttle))]
mod tests {
    use super::*;

    /// A register: `Some(n)` writes n, and `None` with what it read.
    type Step = (Option<u64>, u64);

    fn register(state: &u64, step: &Step) -> Option<u64> {
        match *step {
            (Some(written), _) => Some(written),
            (None, read) => (read == *state).then_some(*state),
        }
    }

    fn event(called: u64, returned: u64, step: Step) -> Event<Step> {
        Event {
            thread: 0,
            called,
            returned,
            step,
        }
    }

    #[test]
    fn a_read_may_see_a_write_that_overlaps_it_or_not() {
        for read in [0, 1] {
            let events = [event(0, 3, (Some(1), 0)), event(1, 2, (None, read))];
            assert!(is_linearizable(&events, 0, register));
        }
    }

    #[test]
    fn a_read_that_follows_a_write_sees_it() {
        let events = [event(0, 1, (Some(1), 0)), event(2, 3, (None, 0))];
        assert!(!is_linearizable(&events, 0, register));
    }

    #[test]
    fn what_one_reader_has_seen_a_later_one_does_not_miss() {
        let write = event(0, 9, (Some(1), 0));
        let events = [write, event(1, 2, (None, 1)), event(3, 4, (None, 0))];
        assert!(!is_linearizable(&events, 0, register));
    }

    /// The search agrees with a trial of all orders.
    #[test]
    fn the_verdict_is_that_of_all_orders() {
        fn is_explained(left: &mut Vec<Event<Step>>, state: u64) -> bool {
            if left.is_empty() {
                return true;
            }
            (0..left.len()).any(|next| {
                let event = left.remove(next);
                let is_first = left.iter().all(|other| event.called < other.returned);
                let explained = is_first
                    && register(&state, &event.step).is_some_and(|state| is_explained(left, state));
                left.insert(next, event);
                explained
            })
        }
        let mut rng = fastrand::Rng::with_seed(1);
        let mut verdicts = [0; 2];
        for _ in 0..5_000 {
            let mut times: Vec<u64> = (0..12).collect();
            rng.shuffle(&mut times);
            let mut events: Vec<_> = times
                .chunks(2)
                .map(|pair| {
                    let step = if rng.bool() {
                        (Some(rng.u64(0..3)), 0)
                    } else {
                        (None, rng.u64(0..3))
                    };
                    event(pair[0].min(pair[1]), pair[0].max(pair[1]), step)
                })
                .collect();
            let verdict = is_linearizable(&events, 0, register);
            assert_eq!(verdict, is_explained(&mut events, 0), "{events:?}");
            verdicts[usize::from(verdict)] += 1;
        }
        assert!(verdicts[0] > 500 && verdicts[1] > 500, "{verdicts:?}");
    }
}
