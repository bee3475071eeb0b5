//! Samples by what they are of, with their spread.

use std::collections::BTreeMap;

use crate::sheet::Row;

/// Everything that tells a quantity apart from others but the contender.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub allocator: String,
    pub job: String,
    pub cell: String,
    pub sessions: u64,
    pub threads: u64,
    pub quantity: String,
}

impl Key {
    /// With the system's allocator.
    pub fn new(job: &str, cell: &str, sessions: u64, threads: u64, quantity: &str) -> Self {
        Self {
            allocator: "system".into(),
            job: job.into(),
            cell: cell.into(),
            sessions,
            threads,
            quantity: quantity.into(),
        }
    }

    pub fn throughput(cell: &str, sessions: u64, threads: u64) -> Self {
        Self::new("throughput", cell, sessions, threads, cell)
    }

    pub fn tails(cell: &str, sessions: u64, quantity: &str) -> Self {
        Self::new("tails", cell, sessions, 1, quantity)
    }

    pub fn life(cell: &str, sessions: u64, quantity: &str) -> Self {
        Self::new("life", cell, sessions, 1, quantity)
    }

    pub fn with(mut self, allocator: &str) -> Self {
        self.allocator = allocator.into();
        self
    }
}

/// The least, the median and the greatest.
pub type Spread = [f64; 3];

pub struct Summary {
    /// By repetition.
    samples: BTreeMap<(Key, String), BTreeMap<u32, f64>>,
}

impl Summary {
    pub fn new(rows: Vec<Row>) -> Self {
        let mut samples = BTreeMap::<_, BTreeMap<_, _>>::new();
        for row in rows {
            let key = Key {
                allocator: row.allocator,
                job: row.job,
                cell: row.cell,
                sessions: row.sessions,
                threads: row.threads,
                quantity: row.quantity,
            };
            let of = samples.entry((key, row.contender)).or_default();
            of.insert(row.repetition, row.value);
        }
        Self { samples }
    }

    fn of(&self, key: &Key, contender: &str) -> Option<&BTreeMap<u32, f64>> {
        self.samples.get(&(key.clone(), contender.into()))
    }

    pub fn spread(&self, key: &Key, contender: &str) -> Option<Spread> {
        spread(self.of(key, contender)?.values().copied().collect())
    }

    pub fn median(&self, key: &Key, contender: &str) -> Option<f64> {
        Some(self.spread(key, contender)?[1])
    }

    /// The quotients of the samples of the same repetitions.
    pub fn quotient(&self, above: (&Key, &str), below: (&Key, &str)) -> Option<Spread> {
        let below = self.of(below.0, below.1)?;
        let above = self.of(above.0, above.1)?.iter();
        let quotients =
            above.filter_map(|(repetition, value)| Some(value / below.get(repetition)?));
        spread(quotients.collect())
    }

    /// The numbers of sessions that a job was done with.
    pub fn sizes(&self, job: &str) -> Vec<u64> {
        self.values(|key| (key.job == job).then_some(key.sessions))
    }

    pub fn threads(&self, job: &str, cell: &str, sessions: u64) -> Vec<u64> {
        self.values(|key| {
            let fits = key.job == job && key.cell == cell && key.sessions == sessions;
            fits.then_some(key.threads)
        })
    }

    /// All keys of quantities in nanoseconds an operation: less is better.
    pub fn keys(&self, job: &str) -> Vec<Key> {
        let mut keys: Vec<_> = self.samples.keys().map(|(key, _)| key.clone()).collect();
        keys.retain(|key| key.job == job);
        keys.dedup();
        keys
    }

    fn values(&self, of: impl Fn(&Key) -> Option<u64>) -> Vec<u64> {
        let mut values: Vec<_> = self.samples.keys().filter_map(|(key, _)| of(key)).collect();
        values.sort_unstable();
        values.dedup();
        values
    }
}

fn spread(mut values: Vec<f64>) -> Option<Spread> {
    values.retain(|value| value.is_finite());
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    Some([0, values.len() / 2, last].map(|rank| values[rank]))
}

pub fn nanoseconds(nanos: f64) -> String {
    let (value, unit) = match nanos {
        ..1e3 => (nanos, "ns"),
        ..1e6 => (nanos / 1e3, "µs"),
        _ => (nanos / 1e6, "ms"),
    };
    let decimals = if value < 100.0 { 1 } else { 0 };
    format!("{value:.decimals$} {unit}")
}
