//! Which samples there are to take, in which order, and how long that takes.

use std::time::Duration;

use clap::ValueEnum;
use contenders::load::LANES;
use contenders::{Coarse, Contender, IDLE, NAMES, Task, run};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Job {
    /// Look-ups and changes in time-boxed slices
    Throughput,
    /// Creations from empty, then creations and removals in a full map
    Growth,
    /// New sessions without end in a full map with a bound
    Flood,
    /// Resident memory of a full map
    Memory,
    /// Collection, and memory given back; memory after churn
    Life,
    /// Each operation timed: at rest, during collection and growth, beside a stopped thread
    Tails,
}

impl Job {
    pub fn name(self) -> String {
        let value = self.to_possible_value().expect("no job is skipped");
        value.get_name().into()
    }

    fn cells(self) -> &'static [&'static str] {
        match self {
            // Look-ups first: they are of the sessions that the map was filled with.
            Self::Throughput => &[
                "uniform",
                "zipf",
                "dependent",
                "unknown",
                "hot",
                "mixed",
                "churn",
            ],
            Self::Growth => &["growth"],
            Self::Flood => &["flood"],
            Self::Memory => &["memory"],
            Self::Life => &["born", "touched", "churned"],
            Self::Tails => &[
                "rest closed",
                "rest open",
                "collecting closed",
                "collecting open",
                "growing closed",
                "growing open",
                "stopped closed",
                "stopped open",
            ],
        }
    }

    fn sizes(self) -> &'static [u64] {
        match self {
            Self::Throughput => &[1_024, 102_400, 1_000_000],
            Self::Growth | Self::Flood | Self::Tails => &[102_400, 1_000_000],
            Self::Memory => &[10_240, 32_000, 102_400, 320_000, 1_000_000, 3_200_000],
            Self::Life => &[1_000_000],
        }
    }

    fn threads(self) -> &'static [u64] {
        match self {
            Self::Throughput => &[1, 2, 4, 8, LANES],
            Self::Growth => &[1, 2],
            Self::Flood => &[2],
            Self::Memory | Self::Life | Self::Tails => &[1],
        }
    }

    /// One process of a contender may serve all cells.
    pub fn keeps_its_map(self) -> bool {
        self == Self::Throughput
    }
}

/// What limits the plan; an empty list is no limit.
pub struct Filter {
    pub jobs: Vec<Job>,
    pub cells: Vec<String>,
    pub contenders: Vec<String>,
    pub sessions: Vec<u64>,
    pub threads: Vec<u64>,
    pub repetitions: u32,
}

/// A sample, or several that are taken at once, of one contender.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub repetition: u32,
    pub job: Job,
    pub cell: &'static str,
    pub contender: &'static str,
    pub sessions: u64,
    pub threads: u64,
}

/// Samples of one job and size, to be taken together: the contenders take turns.
pub struct Round {
    pub job: Job,
    pub sessions: u64,
    pub samples: Vec<Sample>,
}

pub fn rounds(filter: &Filter) -> Vec<Round> {
    let mut rounds = Vec::new();
    for repetition in 1..=filter.repetitions {
        for job in Job::value_variants().iter().copied() {
            if !allows(&filter.jobs, &job) {
                continue;
            }
            let sizes = if filter.sessions.is_empty() {
                job.sizes()
            } else {
                &filter.sessions
            };
            for &sessions in sizes {
                let sessions = sessions.next_multiple_of(LANES);
                let samples = samples(filter, repetition, job, sessions);
                rounds.push(Round {
                    job,
                    sessions,
                    samples,
                });
            }
        }
    }
    rounds.retain(|round| !round.samples.is_empty());
    rounds
}

fn samples(filter: &Filter, repetition: u32, job: Job, sessions: u64) -> Vec<Sample> {
    let mut contenders = NAMES.to_vec();
    contenders.rotate_left(repetition as usize * 5 % NAMES.len());
    contenders
        .retain(|name| filter.contenders.is_empty() || filter.contenders.iter().any(|n| n == name));
    let mut samples = Vec::new();
    for &cell in job.cells() {
        if !filter.cells.is_empty() && !filter.cells.iter().any(|c| c == cell) {
            continue;
        }
        // One session is hot whatever there is besides.
        if cell == "hot" && filter.sessions.is_empty() && sessions != 102_400 {
            continue;
        }
        for &threads in job.threads() {
            if !allows(&filter.threads, &threads) {
                continue;
            }
            let able = contenders
                .iter()
                .filter(|name| can(name, job, cell, threads));
            samples.extend(able.map(|&contender| Sample {
                repetition,
                job,
                cell,
                contender,
                sessions,
                threads,
            }));
        }
    }
    samples
}

fn allows<T: PartialEq>(list: &[T], item: &T) -> bool {
    list.is_empty() || list.contains(item)
}

/// Whether a contender has such a cell.
fn can(contender: &str, job: Job, cell: &str, threads: u64) -> bool {
    let kind = run::<Coarse, _>(contender, Ask).expect("a listed contender");
    let is_variant = ["-tick", "-handle", "-1s"]
        .iter()
        .any(|end| contender.ends_with(end));
    match job {
        Job::Throughput => {
            (kind.changes || !["mixed", "churn"].contains(&cell))
                && (kind.is_shared || threads <= contenders::FILLERS)
        }
        Job::Growth | Job::Memory => kind.changes && !is_variant,
        Job::Flood => kind.is_bounded && !is_variant,
        Job::Life => kind.changes && !is_variant && (kind.collects || cell == "churned"),
        Job::Tails => {
            let collects = kind.collects || !cell.starts_with("collecting");
            kind.changes && kind.is_shared && !is_variant && collects
        }
    }
}

struct Kind {
    is_shared: bool,
    changes: bool,
    collects: bool,
    is_bounded: bool,
}

struct Ask;

impl Task<Coarse> for Ask {
    type Output = Kind;
    fn run<C: Contender<Time = Coarse>>(self) -> Kind {
        Kind {
            is_shared: C::SHARED,
            changes: C::CHANGES,
            collects: C::COLLECTS,
            is_bounded: C::bounded(Coarse, IDLE, LANES).is_some(),
        }
    }
}

/// How long samples take.
#[derive(Clone, Copy)]
pub struct Pace {
    /// Before a slice.
    pub warm_up: Duration,
    /// A slice of throughput.
    pub slice: Duration,
    /// A phase of tails.
    pub phase: Duration,
    /// How long a sample waits for the machine to become calm.
    pub patience: Duration,
}

impl Pace {
    /// Filling a map.
    pub fn filling(sessions: u64) -> Duration {
        Duration::from_millis(20) + Duration::from_nanos(800) * sessions as u32
    }

    /// A rough estimate for one sample.
    pub fn estimate(&self, sample: &Sample) -> Duration {
        let filling = Self::filling(sample.sessions);
        let has_own_clock = ["moka", "mini-moka"].contains(&sample.contender);
        let idle = match has_own_clock {
            true => own_idle(sample.sessions),
            false => Duration::ZERO,
        };
        match (sample.job, sample.cell) {
            (Job::Throughput, _) => self.warm_up + self.slice + Duration::from_millis(10),
            (Job::Growth, _) => filling * 2,
            (Job::Flood, _) => filling * 4,
            (Job::Memory, _) => filling,
            (Job::Life, "born") => filling * 2 + idle.mul_f64(2.05),
            (Job::Life, "touched") => filling * 2 + idle.mul_f64(1.05),
            (Job::Life, _) => filling * 6,
            (Job::Tails, "collecting closed" | "collecting open") => {
                filling * 2 + idle.mul_f64(1.05) + self.phase / 4
            }
            (Job::Tails, "growing closed" | "growing open") => filling * 2,
            (Job::Tails, _) => filling + self.phase,
        }
    }
}

/// The idle timeout where time has to pass for real: long enough that creating all sessions
/// takes a small part of it.
pub fn own_idle(sessions: u64) -> Duration {
    Duration::from_micros(15 * sessions).max(Duration::from_secs(1))
}
