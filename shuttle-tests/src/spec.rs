//! What a map does with one key, one operation after the other.

/// A live record. Times in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Record {
    pub(crate) value: u64,
    pub(crate) accessed: u64,
    pub(crate) idle: u64,
    pub(crate) limit: u64,
}

impl Record {
    /// When the record ends: the earliest time and the latest, if somebody changes its terms meanwhile.
    fn deadlines(&self, meanwhile: &[Step]) -> (u64, u64) {
        let (mut idle, mut limit) = ([self.idle; 2], [self.limit; 2]);
        for change in meanwhile {
            match change.call {
                Call::SetIdle(other) => idle = [idle[0].min(other), idle[1].max(other)],
                Call::SetLifetime(lifetime) => {
                    let other = change.first + lifetime;
                    limit = [limit[0].min(other), limit[1].max(other)];
                }
                _ => {}
            }
        }
        let deadline = |bound: usize| (self.accessed + idle[bound]).min(limit[bound]);
        (deadline(0), deadline(1))
    }
}

/// What is under the key.
pub(crate) type State = Option<Record>;

/// An operation on a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Get,
    Peek,
    Insert {
        new: u64,
    },
    TryInsert {
        new: u64,
    },
    GetOrInsert {
        new: u64,
    },
    Update {
        new: u64,
    },
    Remove,
    SetIdle(u64),
    SetLifetime(u64),
    /// The listener was told of the end of the record that was found.
    Expired,
    /// The same, of a record that need not have been due.
    Evicted,
}

/// What an operation says of the record it found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Nothing,
    /// A record, and the operation does not say which.
    Something,
    /// The operation does not say whether there was one.
    #[cfg(not(dwell_shuttle))]
    Unsaid,
    Value(u64),
}

impl From<Option<u64>> for Found {
    fn from(value: Option<u64>) -> Self {
        value.map_or(Self::Nothing, Self::Value)
    }
}

/// A call with its outcome.
///
/// An operation takes place at the time that it reads from the clock, so that the readings are part of the
/// call: the clock may have moved on when it takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) call: Call,
    pub(crate) found: Found,
    /// What the operation read from the clock first, and last.
    pub(crate) first: u64,
    pub(crate) last: u64,
}

/// The terms of new records.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) idle: u64,
    pub(crate) lifetime: u64,
}

/// Where a lifetime has no end.
pub(crate) const ENDLESS: u64 = u64::MAX / 2;

/// The state after a step, or none if the step cannot take place in this state.
///
/// A record that is due ends by an exchange of its own, of which the listener is told: so an operation that
/// finds nothing takes place where there is nothing.
///
/// `meanwhile` are the changes of terms that ran at the same time. Each is a step of its own; but until it
/// has returned, others may judge the record by its old terms or by its new ones.
pub(crate) fn apply(terms: Terms, state: &State, step: &Step, meanwhile: &[Step]) -> Option<State> {
    let now = step.last;
    let deadlines = state.map(|record| record.deadlines(meanwhile));
    let is_live = deadlines.is_none_or(|(_, latest)| now < latest);
    let is_due = deadlines.is_some_and(|(earliest, _)| now >= earliest);
    let is_there = match step.found {
        Found::Nothing => state.is_none(),
        Found::Something => state.is_some(),
        #[cfg(not(dwell_shuttle))]
        Found::Unsaid => true,
        Found::Value(value) => state.is_some_and(|record| record.value == value),
    };
    let is_told = matches!(step.call, Call::Expired | Call::Evicted);
    if !is_there || !is_told && !is_live {
        return None;
    }
    let born = |value| Record {
        value,
        accessed: now,
        idle: terms.idle,
        limit: now.saturating_add(terms.lifetime),
    };
    let touched = |record: Record| Record {
        accessed: record.accessed.max(now),
        ..record
    };
    let Some(record) = *state else {
        return match step.call {
            Call::Insert { new } | Call::TryInsert { new } | Call::GetOrInsert { new } => {
                Some(Some(born(new)))
            }
            Call::Expired | Call::Evicted => None,
            _ => Some(None),
        };
    };
    match step.call {
        Call::Peek | Call::TryInsert { .. } => Some(Some(record)),
        Call::Get | Call::GetOrInsert { .. } => Some(Some(touched(record))),
        Call::Insert { new } => Some(Some(born(new))),
        Call::Update { new } => Some(Some(Record {
            value: new,
            ..touched(record)
        })),
        Call::Remove | Call::Evicted => Some(None),
        Call::Expired => is_due.then_some(None),
        Call::SetIdle(idle) => Some(Some(Record { idle, ..record })),
        Call::SetLifetime(lifetime) => Some(Some(Record {
            limit: step.first + lifetime,
            ..record
        })),
    }
}
