//! What a map does with one key, one operation after the other.

/// A live record. Times in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Record {
    pub(crate) value: u64,
    pub(crate) accessed: u64,
    idle: u64,
    limit: u64,
    /// The least and the greatest of both since its birth.
    idles: [u64; 2],
    limits: [u64; 2],
}

impl Record {
    fn new(value: u64, now: u64, terms: Terms) -> Self {
        let limit = now.saturating_add(terms.lifetime);
        Self {
            value,
            accessed: now,
            idle: terms.idle,
            limit,
            idles: [terms.idle; 2],
            limits: [limit; 2],
        }
    }

    fn with_idle(self, idle: u64) -> Self {
        let idles = [self.idles[0].min(idle), self.idles[1].max(idle)];
        Self {
            idle,
            idles,
            ..self
        }
    }

    fn with_limit(self, limit: u64) -> Self {
        let limits = [self.limits[0].min(limit), self.limits[1].max(limit)];
        Self {
            limit,
            limits,
            ..self
        }
    }

    /// When the record ends: the earliest time and the latest, if somebody changes its terms
    /// meanwhile.
    fn deadlines(&self, meanwhile: &[Step]) -> (u64, u64) {
        if meanwhile.is_empty() {
            let deadline = (self.accessed + self.idle).min(self.limit);
            return (deadline, deadline);
        }
        let any = meanwhile
            .iter()
            .fold(*self, |record, change| match change.call {
                Call::SetIdle(idle) => record.with_idle(idle),
                Call::SetLifetime(lifetime) => record.with_limit(change.first + lifetime),
                _ => record,
            });
        let deadline = |bound: usize| (any.accessed + any.idles[bound]).min(any.limits[bound]);
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
/// An operation takes place at the time that it reads from the clock, so that the readings are part
/// of the call: the clock may have moved on when it takes effect.
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
/// A record that is due ends by an exchange of its own, of which the listener is told: so an
/// operation that finds nothing takes place where there is nothing.
///
/// `meanwhile` are the changes of terms that ran at the same time. Each is a step of its own; but
/// others that run at the same time may judge the record by its old terms or by its new ones.
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
    let born = |value| Record::new(value, now, terms);
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
        Call::SetIdle(idle) => Some(Some(record.with_idle(idle))),
        Call::SetLifetime(lifetime) => Some(Some(record.with_limit(step.first + lifetime))),
    }
}
