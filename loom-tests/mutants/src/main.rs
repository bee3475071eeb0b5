//! Breaks the map in every way that is thought of, one at a time, and sees whether the checks
//! notice: each atomic ordering one step weaker, each fence dropped, each compare-and-exchange a
//! store, each look at shared memory in a condition taken to have come out one way.
//!
//! ```text
//! cargo run -p mutants -- list                        what there is
//! cargo run -p mutants -- run --file map/table/line.rs   runs the suites on those of a file
//! cargo run -p mutants -- run                         on all; what was run before is not run again
//! ```
//!
//! The sources are copied, with all mutants in them; which one is active is decided by the
//! environment when a test starts. So each suite of `loom-tests/mutants/suites.toml` is built once.
//! A first run without mutants tells how long each test takes, and which mutants it comes to at
//! all. A mutant is then shown to those tests that come to it, the quick ones first, until one
//! fails or the time for it is used up. The copy and what is built of it are below the target
//! directory. Needs Linux: time is processor time, so that a machine with other work gives the same
//! results.
//!
//! Results are kept in `loom-tests/mutants/results.toml` after each mutant, so that a run can be
//! stopped and taken up again, and told in `docs/mutants.md`. A mutant is named by its function and
//! its text: after a change of other lines its result stands, and one with a proof is not run.
//! Those of a file that was changed are forgotten with `--again`. Survivors of a run are shown to
//! more tests by one with more `--seconds`.

mod check;
mod find;
mod schemata;

use check::{Copy, Suite, Test, Verdict};
use clap::{Parser, Subcommand};
use find::{Kind, Mutant};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

type Anything<T> = Result<T, Box<dyn std::error::Error>>;

/// Breaks the map on purpose, and counts what the checks notice.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Names the mutants
    List {
        #[arg(long)]
        file: Option<String>,
    },
    /// Runs the checks on those that have no result yet
    Run {
        /// Only on those of this file below src
        #[arg(long)]
        file: Option<String>,
        /// Also on those that have one
        #[arg(long)]
        again: bool,
        /// Processor time for a mutant, after which it is taken to survive
        #[arg(long, default_value_t = 600)]
        seconds: u64,
        /// Tests that take longer are left out
        #[arg(long, default_value_t = 120)]
        longest: u64,
        /// Only with these suites
        #[arg(long)]
        suite: Vec<String>,
        /// Only with tests whose names contain one of these
        #[arg(long)]
        test: Vec<String>,
    },
    /// Writes docs/mutants.md anew
    Report,
}

#[derive(Deserialize)]
struct Suites {
    suite: Vec<Suite>,
}

/// The tests as they are without mutants.
#[derive(Default, Serialize, Deserialize)]
struct Baseline {
    /// What was measured: a hash of the copy, the longest that a test was given, and the parts of
    /// names.
    of: (u64, u64, Vec<String>),
    suites: Vec<String>,
    test: Vec<Test>,
}

/// What came of a mutant.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Outcome {
    /// The test that failed; none if all passed.
    killed_by: Option<String>,
    /// The tests that it was shown to, and the time for them.
    tests: usize,
    seconds: u64,
}

/// By the names of mutants.
type Results = BTreeMap<String, Outcome>;
/// Why a mutant cannot be killed, by its name.
type Proofs = BTreeMap<String, String>;

fn read<T: for<'d> Deserialize<'d>>(path: &Path) -> Anything<T> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?)
}

struct Workspace {
    root: PathBuf,
    mutants: Vec<Mutant>,
    results: Results,
    proofs: Proofs,
}

impl Workspace {
    fn open() -> Anything<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../..")
            .canonicalize()?;
        let mutants = find::all(&root.join("src"))?;
        let results = root.join("loom-tests/mutants/results.toml");
        Ok(Self {
            mutants,
            results: if results.exists() {
                read(&results)?
            } else {
                Results::new()
            },
            proofs: read(&root.join("loom-tests/mutants/equivalent.toml"))?,
            root,
        })
    }

    /// Those of a file, or all.
    fn of<'a>(&'a self, file: &'a Option<String>) -> impl Iterator<Item = &'a Mutant> {
        let is_of = move |mutant: &&Mutant| file.as_ref().is_none_or(|file| *file == mutant.file);
        self.mutants.iter().filter(is_of)
    }

    fn save(&self) -> Anything<()> {
        fs::write(
            self.root.join("loom-tests/mutants/results.toml"),
            toml::to_string(&self.results)?,
        )?;
        fs::write(self.root.join("docs/mutants.md"), self.report())?;
        Ok(())
    }

    fn verdict(&self, mutant: &Mutant) -> String {
        let name = &mutant.name;
        match (self.results.get(name), self.proofs.get(name)) {
            (
                Some(Outcome {
                    killed_by: Some(test),
                    ..
                }),
                _,
            ) => test.clone(),
            (_, Some(proof)) => format!("equivalent: {proof}"),
            (Some(outcome), None) => format!("{SURVIVES} {} tests", outcome.tests),
            (None, None) => "not run yet".into(),
        }
    }

    fn report(&self) -> String {
        let mut page = String::from(REPORT);
        let mut counts = [0; 4];
        for mutant in &self.mutants {
            let verdict = self.verdict(mutant);
            let starts = ["equivalent", SURVIVES, "not run yet"];
            let index = starts.iter().position(|start| verdict.starts_with(start));
            let index = index.map_or(0, |index| index + 1);
            counts[index] += 1;
            let name = mutant.name.replace('|', "\\|");
            let _ = writeln!(page, "| {name} | {verdict} |");
        }
        let [killed, equivalent, survivors, left] = counts;
        let _ = writeln!(
            page,
            "\n{} mutants, {killed} killed, {equivalent} equivalent with proof, {survivors} survivors",
            self.mutants.len() - left,
        );
        if left > 0 {
            let _ = writeln!(page, "\n{left} more were not run yet.");
        }
        page
    }
}

const SURVIVES: &str = "**survives**";

const REPORT: &str = "\
# What the checks notice

The code below the sessions, broken in one place at a time by
`cargo run --release -p mutants -- run`. Each atomic ordering is made one step weaker, each fence is
dropped, each compare-and-exchange is turned into a store, and each look at shared memory in a
condition is taken as true or as false.

The right column names the first of the tests in `loom-tests/mutants/suites.toml` that failed, or
says why the mutant changes nothing (`loom-tests/mutants/equivalent.toml`).

Above the map it is another tool, with another page: [mutants-rest.md](mutants-rest.md).

| mutant | killed by |
|---|---|
";

/// Builds those suites that were not measured since something has changed, and measures their
/// tests.
fn baseline(
    workspace: &Workspace,
    suites: &[Suite],
    longest: u64,
    only: &[String],
) -> Anything<Baseline> {
    let target = std::env::var_os("CARGO_TARGET_DIR");
    let target = target.map_or(workspace.root.join("target"), PathBuf::from);
    let hash = RefCell::new(DefaultHasher::new());
    let copy = Copy::make(&workspace.root, &target, |path, text| {
        let mut text = text;
        if path == "src/sync/mod.rs" {
            text.push_str(schemata::SWITCH);
        } else {
            let mutants = check::of_file(&workspace.mutants, path);
            text = schemata::instrument(&text, &mutants);
        }
        if path.ends_with(".rs") && !path.starts_with("loom-tests/mutants/") {
            text.hash(&mut *hash.borrow_mut());
        }
        text
    })?;
    let of = hash.into_inner().finish();
    let path = copy.directory.join("baseline.toml");
    let of = (of, longest, only.to_vec());
    let mut baseline: Baseline = read(&path).unwrap_or_default();
    if baseline.of != of {
        baseline = Baseline {
            of,
            ..Baseline::default()
        };
    }
    for suite in suites {
        if baseline.suites.contains(&suite.name) {
            continue;
        }
        for mut found in copy.build(suite)? {
            let is_meant = only.is_empty() || only.iter().any(|part| found.name.contains(part));
            if !is_meant {
                continue;
            }
            let is_short = copy.measure(suite, &mut found, longest as f64)?;
            let (name, seconds, reached) = (&found.name, found.seconds, found.reached.len());
            println!("{}: {name}, {seconds:.2} s, {reached} mutants", suite.name);
            if is_short {
                baseline.test.push(found);
            }
        }
        baseline.suites.push(suite.name.clone());
        fs::write(&path, toml::to_string(&baseline)?)?;
    }
    Ok(baseline)
}

/// Shows a mutant to the tests that come to it.
fn try_all(
    suites: &[Suite],
    tests: &[Test],
    number: usize,
    mutant: &Mutant,
    seconds: u64,
) -> Anything<Outcome> {
    let mut outcome = Outcome {
        killed_by: None,
        tests: 0,
        seconds,
    };
    let mut used = 0.0;
    for test in tests.iter().filter(|test| test.reached.contains(&number)) {
        let suite = suites.iter().find(|suite| suite.name == test.suite);
        let Some(suite) = suite.filter(|suite| suite.is_for(mutant.kind)) else {
            continue;
        };
        if used + test.seconds > seconds as f64 {
            break;
        }
        let (verdict, took) = check::kills(suite, test, number)?;
        used += took;
        match verdict {
            Verdict::Failed => {
                outcome.killed_by = Some(format!("{}, {}", suite.name, test.name));
                break;
            }
            Verdict::Passed => outcome.tests += 1,
            Verdict::Endless => {}
        }
    }
    Ok(outcome)
}

fn run(
    workspace: &mut Workspace,
    suites: &[Suite],
    baseline: Baseline,
    file: &Option<String>,
    again: bool,
    seconds: u64,
) -> Anything<()> {
    let mut tests = baseline.test;
    tests.sort_by(|one, other| one.seconds.total_cmp(&other.seconds));
    let due: Vec<usize> = (0..workspace.mutants.len())
        .filter(|&index| {
            let mutant = &workspace.mutants[index];
            let is_open = match workspace.results.get(&mutant.name) {
                Some(known) => known.killed_by.is_none() && known.seconds < seconds,
                None => true,
            };
            let is_proven = workspace.proofs.contains_key(&mutant.name);
            (again || is_open && !is_proven)
                && file.as_ref().is_none_or(|file| *file == mutant.file)
        })
        .collect();
    for (count, &number) in due.iter().enumerate() {
        let mutant = &workspace.mutants[number];
        let started = Instant::now();
        let mut outcome = try_all(suites, &tests, number, mutant, seconds)?;
        if let Some(known) = workspace.results.get(&mutant.name) {
            // Others may have been shown to it before, of other suites.
            outcome.tests = outcome.tests.max(known.tests);
        }
        println!(
            "{:3} of {} {} | {} | {:.0?}",
            count + 1,
            due.len(),
            mutant.name,
            outcome.killed_by.as_deref().unwrap_or("SURVIVES"),
            started.elapsed(),
        );
        workspace.results.insert(mutant.name.clone(), outcome);
        workspace.save()?;
    }
    Ok(())
}

fn main() -> Anything<ExitCode> {
    let mut workspace = Workspace::open()?;
    match Args::parse().command {
        Task::List { file } => {
            for mutant in workspace.of(&file) {
                println!("{}:{} {}", mutant.file, mutant.line, mutant.name);
            }
            let of = |kind| {
                workspace
                    .of(&file)
                    .filter(|mutant| mutant.kind == kind)
                    .count()
            };
            println!(
                "{} orderings to weaken, {} fences to drop, {} exchanges to make stores, {} checks to skip",
                of(Kind::Weaker),
                of(Kind::Fence),
                of(Kind::Store),
                of(Kind::Check),
            );
        }
        Task::Run {
            file,
            again,
            seconds,
            longest,
            suite,
            test,
        } => {
            let mut suites: Suites = read(&workspace.root.join("loom-tests/mutants/suites.toml"))?;
            suites
                .suite
                .retain(|of| suite.is_empty() || suite.contains(&of.name));
            let baseline = baseline(&workspace, &suites.suite, longest, &test)?;
            run(
                &mut workspace,
                &suites.suite,
                baseline,
                &file,
                again,
                seconds,
            )?;
        }
        Task::Report => workspace.save()?,
    }
    let survivors = workspace.mutants.iter();
    let survivors = survivors.filter(|mutant| workspace.verdict(mutant).starts_with(SURVIVES));
    Ok(ExitCode::from(u8::from(survivors.count() > 0)))
}
