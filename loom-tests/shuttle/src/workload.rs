//! Random operations on a map, and how they are told to the specification.

use crate::recorder::{self, Recording, RecordingClock, Trail};
use crate::spec::{Call, ENDLESS, Found, Step, Terms};
use dwell::{Builder, Handle, IdleMap, RemovalCause};
use fastrand::Rng;
use std::hash::{BuildHasherDefault, Hasher};
use std::time::Duration;

/// Keys from here on only make the table grow and shrink; nobody records them.
const CROWD: u64 = 1_000;
/// Enough for the least table to grow twice.
const CROWD_SIZE: u64 = 24;

/// Schedules can be repeated only if hashes can.
#[derive(Default)]
pub(crate) struct Same(u64);

impl Hasher for Same {
    fn write(&mut self, _bytes: &[u8]) {
        unreachable!("keys are numbers");
    }
    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

type Map = IdleMap<u64, u64, BuildHasherDefault<Same>>;

/// What a thread may do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    Get(u64),
    With(u64),
    Touch(u64),
    Peek(u64),
    Contains(u64),
    Insert(u64, u64),
    TryInsert(u64, u64),
    GetOrInsert(u64, u64),
    Update(u64, u64),
    Remove(u64),
    SetIdle(u64, u64),
    SetLifetime(u64, u64),
    Collect,
    CollectIdle(u64),
    Evict,
    Retain,
    Iterate,
    Advance(u64),
    /// Inserts the crowd: the table grows.
    Grow,
    /// Removes the crowd: the table shrinks.
    Shrink,
}

/// How a map is built, and what is done with it.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) terms: Terms,
    pub(crate) capacity: Option<usize>,
    pub(crate) keys: u64,
    /// Of each thread.
    pub(crate) threads: Vec<Vec<Op>>,
}

impl Plan {
    /// What each thread does with an unbounded map.
    #[cfg(dwell_shuttle)]
    pub(crate) fn of(idle: u64, threads: &[&[Op]]) -> Self {
        Self {
            terms: Terms {
                idle,
                lifetime: ENDLESS,
            },
            capacity: None,
            keys: 4,
            threads: threads.iter().map(|ops| ops.to_vec()).collect(),
        }
    }

    pub(crate) fn random(threads: usize, ops: usize, rng: &mut Rng) -> Self {
        let keys = rng.u64(1..=3);
        let resizes = rng.u8(..) < 64;
        // Values are unique: the listener and the look-ups name records by them.
        let mut value = 0;
        let mut op = |rng: &mut Rng| {
            value += 1;
            Op::random(keys, value, resizes, rng)
        };
        Self {
            terms: Terms {
                idle: rng.u64(4..12),
                lifetime: if rng.bool() { ENDLESS } else { rng.u64(8..24) },
            },
            capacity: (rng.u8(..) < 64).then(|| rng.usize(1..=2)),
            keys,
            threads: (0..threads)
                .map(|_| (0..ops).map(|_| op(rng)).collect())
                .collect(),
        }
    }
}

impl Op {
    fn random(keys: u64, value: u64, resizes: bool, rng: &mut Rng) -> Self {
        let key = rng.u64(1..=keys);
        let span = rng.u64(1..16);
        match rng.u8(0..if resizes { 36 } else { 32 }) {
            0..3 => Self::Get(key),
            3 => Self::With(key),
            4 => Self::Touch(key),
            5 => Self::Peek(key),
            6 => Self::Contains(key),
            7..11 => Self::Insert(key, value),
            11..14 => Self::TryInsert(key, value),
            14 => Self::GetOrInsert(key, value),
            15..18 => Self::Update(key, value),
            18..21 => Self::Remove(key),
            21..23 => Self::SetIdle(key, span),
            23 => Self::SetLifetime(key, span),
            24..26 => Self::Collect,
            26 => Self::CollectIdle(span),
            27 => Self::Evict,
            28 => Self::Retain,
            29 => Self::Iterate,
            30..32 => Self::Advance(span / 2),
            32..34 => Self::Grow,
            _ => Self::Shrink,
        }
    }
}

/// A map whose operations are recorded.
pub(crate) struct Subject {
    pub(crate) map: Map,
    pub(crate) clock: RecordingClock,
    keys: u64,
}

impl Subject {
    pub(crate) fn new(plan: &Plan) -> Self {
        let clock = RecordingClock::default();
        let mut builder: Builder<u64, u64> = IdleMap::builder()
            .idle_timeout(millis(plan.terms.idle))
            .clock(clock.clone())
            .on_removal(recorder::tell);
        if plan.terms.lifetime != ENDLESS {
            builder = builder.max_lifetime(millis(plan.terms.lifetime));
        }
        if let Some(capacity) = plan.capacity {
            builder = builder.capacity(capacity);
        }
        Self {
            map: builder
                .hasher(BuildHasherDefault::default())
                .build()
                .unwrap(),
            clock,
            keys: plan.keys,
        }
    }

    /// Looks at each key, when the threads have ended.
    pub(crate) fn conclude(&self, recording: &mut Recording) {
        for key in 1..=self.keys {
            recording.record(usize::MAX, || self.perform(Op::Peek(key)));
        }
        let stats = self.map.stats();
        let ended = stats.expired + stats.evicted + stats.removed;
        assert_eq!(stats.created, stats.live as u64 + ended, "{stats:?}");
    }

    /// Does it, and tells what it turned out to consist of.
    pub(crate) fn perform(&self, op: Op) -> Vec<(u64, Step)> {
        drop(recorder::trail());
        let mut steps = Vec::new();
        let single = self.do_one(op, &mut steps);
        let trail = recorder::trail();
        // These judge by their first reading; what follows it are not theirs.
        let is_sweep = matches!(op, Op::Collect | Op::CollectIdle(_));
        let last = if is_sweep { trail.first } else { trail.last };
        if let Some((key, call, found)) = single {
            steps.push((key, step(call, found, trail.first, last)));
        }
        let own = single.map(|(key, ..)| key);
        let has_bound = matches!(op, Op::CollectIdle(_));
        tell_ends(&trail, last, own, has_bound, &mut steps);
        steps
    }

    /// Operations on one key return what they did; those on many keys add it to `steps`.
    fn do_one(&self, op: Op, steps: &mut Vec<(u64, Step)>) -> Option<(u64, Call, Found)> {
        let map = &self.map;
        let value = |handle: Option<Handle<u64, u64>>| Found::from(handle.map(|value| *value));
        let something = |is_there| match is_there {
            true => Found::Something,
            false => Found::Nothing,
        };
        Some(match op {
            Op::Get(key) => (key, Call::Get, value(map.get(&key))),
            Op::With(key) => (key, Call::Get, map.with(&key, |value| *value).into()),
            Op::Touch(key) => (key, Call::Get, something(map.touch(&key))),
            Op::Peek(key) => (key, Call::Peek, value(map.peek(&key))),
            Op::Contains(key) => (key, Call::Peek, something(map.contains_key(&key))),
            Op::Insert(key, new) => (key, Call::Insert { new }, value(map.insert(key, new))),
            Op::TryInsert(key, new) => {
                let existing = map.try_insert(key, new).err();
                let existing = existing.map(|occupied| *occupied.existing);
                (key, Call::TryInsert { new }, existing.into())
            }
            Op::GetOrInsert(key, new) => {
                let found = *map.get_or_insert_with(key, || new);
                let existing = (found != new).then_some(found);
                (key, Call::GetOrInsert { new }, existing.into())
            }
            Op::Update(key, new) => {
                let mut old = None;
                let updated = map.update(&key, |value| {
                    old = Some(*value);
                    new
                });
                let replaced = updated.and(old);
                (key, Call::Update { new }, replaced.into())
            }
            Op::Remove(key) => (key, Call::Remove, value(map.remove(&key))),
            Op::SetIdle(key, span) => {
                let set = map.set_idle_timeout(&key, millis(span));
                (key, Call::SetIdle(span), something(set))
            }
            Op::SetLifetime(key, span) => {
                let set = map.set_lifetime(&key, millis(span));
                (key, Call::SetLifetime(span), something(set))
            }
            Op::Iterate => {
                for record in map.iter() {
                    // The reading that the record was judged by.
                    let trail = recorder::trail();
                    let (key, found) = (*record.key(), Found::Value(*record));
                    tell_ends(&trail, trail.last, None, false, steps);
                    if key < CROWD {
                        steps.push((key, step(Call::Peek, found, 0, trail.last)));
                    }
                }
                return None;
            }
            Op::Collect => return ignore(map.collect()),
            Op::CollectIdle(span) => return ignore(map.collect_idle(millis(span))),
            Op::Evict => return ignore(map.evict(1)),
            Op::Retain => {
                map.retain(|_, value| value % 3 != 0);
                return None;
            }
            Op::Advance(span) => {
                self.clock.advance(span);
                return None;
            }
            Op::Grow => {
                (CROWD..CROWD + CROWD_SIZE).for_each(|key| drop(map.insert(key, key)));
                return None;
            }
            Op::Shrink => {
                (CROWD..CROWD + CROWD_SIZE).for_each(|key| drop(map.remove(&key)));
                return ignore(map.collect());
            }
        })
    }
}

fn ignore<T>(_result: T) -> Option<(u64, Call, Found)> {
    None
}

/// Adds the ends that the listener was told of, but for those that the operation itself returned.
/// With `has_bound` the operation ended what was idle by a bound of its own.
fn tell_ends(
    trail: &Trail,
    last: u64,
    own: Option<u64>,
    has_bound: bool,
    steps: &mut Vec<(u64, Step)>,
) {
    for told in trail.told.iter().filter(|told| told.key < CROWD) {
        let call = match told.cause {
            RemovalCause::ExpiredIdle if has_bound => Call::Evicted,
            RemovalCause::ExpiredIdle | RemovalCause::ExpiredLifetime => Call::Expired,
            RemovalCause::Evicted => Call::Evicted,
            // The operation has returned the record.
            _ if own == Some(told.key) => continue,
            RemovalCause::Removed => Call::Evicted,
            cause => panic!("{cause:?} without a call that replaces"),
        };
        let found = Found::Value(told.value);
        steps.push((told.key, step(call, found, trail.first, last)));
    }
}

fn step(call: Call, found: Found, first: u64, last: u64) -> Step {
    Step {
        call,
        found,
        first,
        last,
    }
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}
