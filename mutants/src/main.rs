//! Breaks the map in every way that is thought of, one at a time, and sees whether the checks notice: each
//! atomic ordering one step weaker, each fence dropped, each compare-and-exchange a store, each look at
//! shared memory in a condition taken to have come out one way.
//!
//! ```text
//! cargo run -p mutants -- list                        what there is
//! cargo run -p mutants -- run --file life.rs          runs the checks of checks.toml on those of a file
//! cargo run -p mutants -- run                         on all; what was run before is not run again
//! ```
//!
//! The sources are copied, and broken there. Results are kept in `mutants/results.toml` after each mutant, so
//! that a run can be stopped and taken up again, and told in `docs/mutants.md`. A mutant is named by its
//! function and its text: after a change of other lines its result stands. Those of a file that was changed
//! are forgotten with `--again`.

mod check;
mod find;

use check::{Check, Copy, Verdict};
use clap::{Parser, Subcommand};
use find::{Kind, Mutant};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
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
        /// Only on those of this file below src/map
        #[arg(long)]
        file: Option<String>,
        /// Also on those that have one
        #[arg(long)]
        again: bool,
        /// Before that, see that the checks pass when nothing is broken
        #[arg(long)]
        baseline: bool,
    },
    /// Writes docs/mutants.md anew
    Report,
}

#[derive(Deserialize)]
struct Checks {
    check: Vec<Check>,
}

/// What came of a mutant.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Outcome {
    /// The check that failed; none if all passed.
    killed_by: Option<String>,
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
            .join("..")
            .canonicalize()?;
        let mutants = find::all(&root.join("src/map"))?;
        let results = root.join("mutants/results.toml");
        Ok(Self {
            mutants,
            results: if results.exists() {
                read(&results)?
            } else {
                Results::new()
            },
            proofs: read(&root.join("mutants/equivalent.toml"))?,
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
            self.root.join("mutants/results.toml"),
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
                    killed_by: Some(check),
                }),
                _,
            ) => check.clone(),
            (_, Some(proof)) => format!("equivalent: {proof}"),
            (Some(_), None) => "**survives**".into(),
            (None, None) => "not run yet".into(),
        }
    }

    fn report(&self) -> String {
        let mut page = String::from(REPORT);
        let mut counts = [0; 4];
        for mutant in &self.mutants {
            let verdict = self.verdict(mutant);
            let index = match verdict.as_str() {
                "**survives**" => 2,
                "not run yet" => 3,
                other => usize::from(other.starts_with("equivalent")),
            };
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

const REPORT: &str = "\
# What the checks notice

Each atomic ordering of `src/map` one step weaker, each fence dropped, each compare-and-exchange turned into a
store, and each look at shared memory in a condition taken as true or as false: one at a time, by
`cargo run --release -p mutants -- run`. The right column names the first of the checks in
`mutants/checks.toml` that failed. \"the compiler\" has refused a mutant that does not compile.

| mutant | killed by |
|---|---|
";

fn run(
    workspace: &mut Workspace,
    file: &Option<String>,
    again: bool,
    baseline: bool,
) -> Anything<()> {
    let checks: Checks = read(&workspace.root.join("mutants/checks.toml"))?;
    let target = std::env::var_os("CARGO_TARGET_DIR");
    let target = target.map_or(workspace.root.join("target"), PathBuf::from);
    let copy = Copy::make(&workspace.root, &target.join("mutants"))?;
    let due: Vec<usize> = (0..workspace.mutants.len())
        .filter(|&index| {
            let mutant = &workspace.mutants[index];
            let is_due = again || !workspace.results.contains_key(&mutant.name);
            is_due && file.as_ref().is_none_or(|file| *file == mutant.file)
        })
        .collect();
    if baseline {
        for check in &checks.check {
            let started = Instant::now();
            let verdict = copy.run(check)?;
            println!(
                "BASELINE {:?} {} {:.0?}",
                verdict,
                check.name,
                started.elapsed()
            );
            if verdict != Verdict::Passed {
                return Err(format!("{} fails when nothing is broken", check.name).into());
            }
        }
    }
    // A mutant that does not compile was refused by the compiler only if everything else compiles.
    for check in &checks.check {
        let mut due = due.iter().map(|&index| &workspace.mutants[index]);
        if due.any(|mutant| check.is_for(mutant)) && !copy.compiles(check)? {
            return Err(format!("{} does not compile when nothing is broken", check.name).into());
        }
    }
    for (number, &index) in due.iter().enumerate() {
        let mutant = &workspace.mutants[index];
        let started = Instant::now();
        let killed_by = copy.with(mutant, || -> Anything<Option<String>> {
            for check in checks.check.iter().filter(|check| check.is_for(mutant)) {
                match copy.run(check)? {
                    Verdict::Passed => {}
                    Verdict::Failed => return Ok(Some(check.name.clone())),
                    Verdict::Refused => return Ok(Some("the compiler".into())),
                }
            }
            Ok(None)
        })??;
        println!(
            "{:3} of {} {} | {} | {:.0?}",
            number + 1,
            due.len(),
            mutant.name,
            killed_by.as_deref().unwrap_or("SURVIVES"),
            started.elapsed(),
        );
        workspace
            .results
            .insert(mutant.name.clone(), Outcome { killed_by });
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
            baseline,
        } => run(&mut workspace, &file, again, baseline)?,
        Task::Report => workspace.save()?,
    }
    let survivors = workspace.mutants.iter();
    let survivors = survivors.filter(|mutant| workspace.verdict(mutant) == "**survives**");
    Ok(ExitCode::from(u8::from(survivors.count() > 0)))
}
