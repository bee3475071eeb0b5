//! The speed and memory of [`dwell::IdleMap`] beside its peers, measured in one run as ratios to
//! F, an unshared hashbrown table for each thread with one relaxed store a look-up.
//!
//! `cargo bench -p dwell-benches --bench table -- [--quick] [--sessions N] [--rows ROW,ROW] [--csv FILE]`

mod calm;
mod latency;
mod life;
mod report;
mod slices;

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use calm::Patience;
use contenders::load::{LANES, Work};
use life::Life;
use report::{Column, Report, Samples, Unit};
use slices::Cell;

#[derive(Parser)]
struct Options {
    /// Short slices: a look, not a measurement
    #[arg(long)]
    quick: bool,
    /// Sessions in the large maps
    #[arg(long, default_value_t = 1_000_000)]
    sessions: u64,
    /// What to measure; all if not given
    #[arg(long, value_delimiter = ',')]
    rows: Vec<Row>,
    /// Which contenders to measure beside F; all if not given
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Write every sample to this file
    #[arg(long)]
    csv: Option<PathBuf>,
    /// The life to measure in this process, and whose
    #[arg(long, hide = true, requires = "contender")]
    life: Option<Life>,
    #[arg(long, hide = true)]
    contender: Option<String>,
    /// What cargo bench passes; without it, one tiny pass shows that everything runs
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Row {
    /// Look-ups: dependent, uniform, unknown ids
    Get,
    /// Uniform look-ups in smaller maps
    Sizes,
    /// One hot session
    Hot,
    /// 90 % look-ups, 4 % updates, 3 % creations, 3 % removals
    Mixed,
    /// Creations and removals
    Churn,
    /// 64 threads beside 2
    Threads,
    /// Look-ups while half of the sessions are collected
    Latency,
    /// Memory and collection, each contender in a process of its own
    Life,
}

/// How much to measure.
struct Plan {
    sessions: u64,
    /// Samples of each throughput.
    slices: usize,
    /// Samples of everything else.
    lives: usize,
    warm_up: Duration,
    slice: Duration,
    patience: Patience,
    only: Vec<String>,
}

impl Plan {
    fn new(options: &Options) -> Self {
        let (sessions, slices, lives, warm_up, slice, patience) = match options {
            Options { bench: false, .. } => (LANES * 64, 1, 1, 1, 5, 0),
            Options { quick: true, .. } => (options.sessions, 3, 1, 15, 50, 0),
            _ => (options.sessions, 11, 5, 30, 100, 60),
        };
        Self {
            sessions: sessions.next_multiple_of(LANES),
            slices,
            lives,
            warm_up: Duration::from_millis(warm_up),
            slice: Duration::from_millis(slice),
            patience: Patience::new(Duration::from_secs(patience * 60)),
            only: options.only.clone(),
        }
    }

    /// Whether `contender` is to be measured.
    fn includes(&self, contender: &str) -> bool {
        self.only.is_empty() || contender == "F" || self.only.iter().any(|name| name == contender)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    if let (Some(life), Some(contender)) = (options.life, &options.contender) {
        return life::run_here(contender, life, options.sessions);
    }
    let plan = Plan::new(&options);
    let mut report = Report::default();
    for row in Row::value_variants() {
        if options.rows.is_empty() || options.rows.contains(row) {
            measure(*row, &plan, &mut report)?;
        }
    }
    if let Some(path) = &options.csv {
        report.write_csv(path)?;
    }
    Ok(())
}

fn measure(row: Row, plan: &Plan, report: &mut Report) -> Result<(), Box<dyn Error>> {
    let n = plan.sessions;
    let one = |work| Cell { work, threads: 1 };
    let two = |work| Cell { work, threads: 2 };
    let many = |work| Cell {
        work,
        threads: LANES,
    };
    let nanos = |title: &str, samples| Column::new(title, Unit::TimesF, samples);
    let ratio = |title: &str, samples| Column::new(title, Unit::Ratio, samples);
    let quotient = |a: &Samples, b: &Samples| a.with(b, |a, b| a / b);
    match row {
        Row::Get => {
            let cells = [two(Work::Dependent), two(Work::Uniform), two(Work::Unknown)];
            let [dependent, uniform, unknown] = slices::run(plan, n, cells);
            let miss = quotient(&unknown, &uniform);
            let columns = vec![
                nanos("dependent", dependent),
                nanos("uniform", uniform),
                nanos("unknown id", unknown),
                ratio("unknown / uniform", miss),
            ];
            report.section(&format!("Get with touch, {n} sessions, 2 threads"), columns);
        }
        Row::Sizes => {
            let sizes = [n / 10, n / 1_000].map(|size| size.next_multiple_of(LANES));
            let columns = sizes.map(|size| {
                let [uniform] = slices::run(plan, size, [two(Work::Uniform)]);
                nanos(&format!("uniform {size}"), uniform)
            });
            report.section("Get with touch in smaller maps, 2 threads", columns.into());
        }
        Row::Hot => {
            let [alone, both] = slices::run(plan, n, [one(Work::Hot), two(Work::Hot)]);
            let scaling = alone.with(&both, |alone, both| 2.0 * alone / both);
            let columns = vec![
                nanos("hot 1 thread", alone),
                nanos("hot 2 threads", both),
                ratio("scaling", scaling),
            ];
            report.section("One hot session", columns);
        }
        Row::Mixed => {
            let [mixed] = slices::run(plan, n, [two(Work::Mixed)]);
            report.section(
                &format!("Mixed, {n} sessions, 2 threads"),
                vec![nanos("mixed", mixed)],
            );
        }
        Row::Churn => {
            let [churn] = slices::run(plan, n, [two(Work::Churn)]);
            report.section(
                &format!("Create and remove in turn, {n} sessions, 2 threads, an operation"),
                vec![nanos("churn", churn)],
            );
        }
        Row::Threads => {
            let reads = [
                two(Work::Uniform),
                many(Work::Uniform),
                two(Work::Hot),
                many(Work::Hot),
            ];
            let writes = [
                two(Work::Mixed),
                many(Work::Mixed),
                two(Work::Churn),
                many(Work::Churn),
            ];
            let [uniform_2, uniform, hot_2, hot] = slices::run(plan, n, reads);
            let [mixed_2, mixed, churn_2, churn] = slices::run(plan, n, writes);
            let columns = vec![
                ratio("uniform at 64 threads", quotient(&uniform_2, &uniform)),
                ratio("hot at 64 threads", quotient(&hot_2, &hot)),
                ratio("mixed at 64 threads", quotient(&mixed_2, &mixed)),
                ratio("churn at 64 threads", quotient(&churn_2, &churn)),
            ];
            report.section("Throughput of 64 threads / of 2 threads", columns);
        }
        Row::Latency => {
            report.section(
                &format!("Single get while half of {n} sessions is collected"),
                latency::run(plan),
            );
        }
        Row::Life => {
            let mut columns = Vec::new();
            for life in Life::value_variants() {
                columns.extend(life::run(plan, *life)?);
            }
            report.section(&format!("Memory and collection, {n} sessions"), columns);
        }
    }
    Ok(())
}
