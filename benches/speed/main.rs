//! The speed and memory of [`dwell::IdleMap`] beside its peers and its limits.
//!
//! `benches/measure` takes all samples, and makes the tables and the pictures of them. By hand:
//! `cargo bench -p dwell-benches --bench speed -- measure|tables|pictures [OPTION]...`

mod calm;
mod cost;
mod driver;
mod growth;
mod life;
mod machine;
mod pictures;
mod plan;
mod sheet;
mod subject;
mod summary;
mod tables;
mod tails;
mod targets;
mod throughput;

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use plan::{Filter, Job, Pace};

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The name of the allocator this is built with.
const ALLOCATOR_NAME: &str = if cfg!(feature = "mimalloc") {
    "mimalloc"
} else {
    "system"
};

#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    command: Option<Command>,
    /// What cargo bench passes
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Takes the samples that the file does not have yet
    Measure(Measure),
    /// Prints the tables in Markdown
    Tables {
        #[arg(long, default_value = DEFAULT_FILE)]
        file: PathBuf,
    },
    /// Draws the pictures
    Pictures {
        #[arg(long, default_value = DEFAULT_FILE)]
        file: PathBuf,
        #[arg(long, default_value = "docs/pictures")]
        folder: PathBuf,
    },
    /// Takes samples of one contender as standard input asks for them
    #[command(hide = true)]
    Subject(Subject),
}

const DEFAULT_FILE: &str = "docs/measurements/speed.csv";

#[derive(Args)]
struct Measure {
    /// Where the samples go; relative to the workspace
    #[arg(long, default_value = DEFAULT_FILE)]
    file: PathBuf,
    /// Which jobs; all if not given
    #[arg(long, value_delimiter = ',')]
    jobs: Vec<Job>,
    /// Which cells of them, such as uniform or "rest open"; all if not given
    #[arg(long, value_delimiter = ',')]
    cells: Vec<String>,
    /// Which contenders; all if not given
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// How many sessions; each job has its own sizes
    #[arg(long, value_delimiter = ',')]
    sessions: Vec<u64>,
    /// How many threads; each job has its own
    #[arg(long, value_delimiter = ',')]
    threads: Vec<u64>,
    /// Interleaved repetitions
    #[arg(long, default_value_t = 5)]
    repetitions: u32,
    /// Ten million sessions besides: throughput, growth and lives
    #[arg(long)]
    deep: bool,
    /// Short samples: a look, not a measurement
    #[arg(long)]
    quick: bool,
    /// Tells what would be measured and how long it would take
    #[arg(long)]
    dry_run: bool,
}

#[derive(Args)]
struct Subject {
    #[arg(long)]
    job: Job,
    #[arg(long)]
    contender: String,
    #[arg(long)]
    sessions: u64,
    /// In milliseconds, as are all that follow
    #[arg(long)]
    warm_up: u64,
    #[arg(long)]
    slice: u64,
    #[arg(long)]
    phase: u64,
    #[arg(long)]
    patience: u64,
}

fn pace(times: [u64; 4]) -> Pace {
    let [warm_up, slice, phase, patience] = times.map(Duration::from_millis);
    Pace {
        warm_up,
        slice,
        phase,
        patience,
    }
}

const FULL: [u64; 4] = [30, 100, 1_000, 2_000];
const QUICK: [u64; 4] = [15, 40, 300, 0];
const TINY: [u64; 4] = [1, 4, 10, 0];

fn main() -> Result<(), Box<dyn Error>> {
    // Paths are those of the workspace, wherever cargo started this.
    std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))?;
    match Options::parse().command {
        Some(Command::Measure(options)) => measure(options),
        Some(Command::Tables { file }) => tables::print(&file),
        Some(Command::Pictures { file, folder }) => pictures::draw(&file, &folder),
        Some(Command::Subject(options)) => {
            let times = [
                options.warm_up,
                options.slice,
                options.phase,
                options.patience,
            ];
            subject::run(
                options.job,
                &options.contender,
                options.sessions,
                pace(times),
            )
        }
        None => try_all(),
    }
}

fn measure(options: Measure) -> Result<(), Box<dyn Error>> {
    let pace = pace(if options.quick { QUICK } else { FULL });
    let mut filter = Filter {
        jobs: options.jobs,
        cells: options.cells,
        contenders: options.only,
        sessions: options.sessions,
        threads: options.threads,
        repetitions: options.repetitions,
    };
    let mut rounds = plan::rounds(&filter);
    if options.deep {
        filter.jobs = vec![Job::Throughput, Job::Growth, Job::Life];
        filter.sessions = vec![10_000_000];
        rounds.extend(plan::rounds(&filter));
    }
    driver::measure(&options.file, rounds, &pace, options.dry_run)
}

/// A tiny pass over everything shows that it runs.
fn try_all() -> Result<(), Box<dyn Error>> {
    let folder = std::env::temp_dir().join(format!("dwell-speed-{}", std::process::id()));
    let file = folder.join("speed.csv");
    let filter = Filter {
        jobs: Vec::new(),
        cells: Vec::new(),
        contenders: Vec::new(),
        sessions: vec![4_096],
        threads: Vec::new(),
        repetitions: 1,
    };
    driver::measure(&file, plan::rounds(&filter), &pace(TINY), false)?;
    tables::print(&file)?;
    pictures::draw(&file, &folder)?;
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
