//! Builds suites of tests of a copy of the sources that has all mutants in it, and runs their tests
//! one by one.

use crate::find::{Kind, Mutant};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// Tests that are built together.
#[derive(Debug, Deserialize)]
pub struct Suite {
    pub name: String,
    /// The kinds of mutants it is tried for; all if there are none.
    #[serde(default)]
    kinds: Vec<Kind>,
    #[serde(default)]
    rustflags: String,
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// For `cargo test`.
    args: Vec<String>,
    /// Tests whose names contain one of these are left out.
    #[serde(default)]
    skip: Vec<String>,
    /// Whether a test that takes much longer than usual has failed. Not where it searches: a mutant
    /// may have more executions, and be right.
    #[serde(default)]
    must_end: bool,
}

impl Suite {
    pub fn is_for(&self, kind: Kind) -> bool {
        self.kinds.is_empty() || self.kinds.contains(&kind)
    }
}

/// A test of a suite.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Test {
    pub suite: String,
    program: PathBuf,
    /// The directory of its package.
    directory: PathBuf,
    pub name: String,
    /// Of processor time, if nothing is broken.
    pub seconds: f64,
    /// The mutants that it comes to.
    pub reached: Vec<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Passed,
    Failed,
    /// Took longer than it may.
    Endless,
}

/// A copy of the workspace, in which all that can be broken is.
pub struct Copy {
    root: PathBuf,
    target: PathBuf,
    pub directory: PathBuf,
}

impl Copy {
    /// Copies what Git knows of, as it is now, and puts the mutants in by `instrument`, which is
    /// given a file's path in the workspace.
    pub fn make(
        workspace: &Path,
        target: &Path,
        instrument: impl Fn(&str, String) -> String,
    ) -> io::Result<Self> {
        let directory = target.join("mutants");
        let root = directory.join("copy");
        let listed = Command::new("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard"])
            .current_dir(workspace)
            .output()?;
        for file in String::from_utf8_lossy(&listed.stdout).lines() {
            let (from, to) = (workspace.join(file), root.join(file));
            let Ok(content) = fs::read(&from) else {
                continue;
            };
            let content = match String::from_utf8(content) {
                Ok(text) => instrument(file, text).into_bytes(),
                Err(other) => other.into_bytes(),
            };
            // Left alone if it is the same: cargo looks at the time of the last change.
            if fs::read(&to).ok().as_ref() != Some(&content) {
                fs::create_dir_all(to.parent().unwrap_or(&root))?;
                fs::write(&to, content)?;
            }
        }
        Ok(Self {
            root,
            target: target.to_owned(),
            directory,
        })
    }

    /// Builds a suite, and names its tests.
    pub fn build(&self, suite: &Suite) -> io::Result<Vec<Test>> {
        let output = Command::new("cargo")
            .args(["test", "--no-run", "--message-format=json"])
            .args(&suite.args)
            .current_dir(&self.root)
            .env("CARGO_TARGET_DIR", &self.target)
            .env("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true")
            .env("RUSTFLAGS", &suite.rustflags)
            .stderr(Stdio::inherit())
            .output()?;
        if !output.status.success() {
            return Err(io::Error::other(format!("{} does not build", suite.name)));
        }
        let mut tests = Vec::new();
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let message: serde_json::Value = serde_json::from_str(line)?;
            let (Some(program), Some(manifest)) = (
                message["executable"].as_str(),
                message["manifest_path"].as_str(),
            ) else {
                continue;
            };
            if message["profile"]["test"] != true {
                continue;
            }
            let directory = Path::new(manifest).parent().unwrap_or(&self.root);
            let listed = Command::new(program)
                .args(["--list", "--format", "terse"])
                .current_dir(directory)
                .output()?;
            for line in String::from_utf8_lossy(&listed.stdout).lines() {
                let Some(name) = line.strip_suffix(": test") else {
                    continue;
                };
                if suite.skip.iter().any(|part| name.contains(part)) {
                    continue;
                }
                tests.push(Test {
                    suite: suite.name.clone(),
                    program: program.into(),
                    directory: directory.to_owned(),
                    name: name.into(),
                    seconds: 0.0,
                    reached: Vec::new(),
                });
            }
        }
        Ok(tests)
    }

    /// Runs a test while nothing is broken, and notes its time and what it comes to. False if it
    /// takes longer than `most`.
    pub fn measure(&self, suite: &Suite, test: &mut Test, most: f64) -> io::Result<bool> {
        let report = self.directory.join("reached");
        fs::write(&report, "")?;
        let report_to = ("DWELL_MUTANTS_REACHED", report.as_os_str());
        let (verdict, seconds) = run(suite, test, report_to, most)?;
        if verdict == Verdict::Failed {
            let name = &test.name;
            return Err(io::Error::other(format!(
                "{}: {name} fails when nothing is broken",
                suite.name
            )));
        }
        test.seconds = seconds;
        let reached = fs::read_to_string(&report)?;
        test.reached = reached.lines().filter_map(|n| n.parse().ok()).collect();
        Ok(verdict == Verdict::Passed)
    }
}

/// Whether a test fails while a mutant is active.
pub fn kills(suite: &Suite, test: &Test, number: usize) -> io::Result<(Verdict, f64)> {
    let most = 10.0 * test.seconds + 10.0;
    let number = number.to_string();
    let (verdict, seconds) = run(suite, test, ("DWELL_MUTANT", number.as_ref()), most)?;
    let is_killed = verdict == Verdict::Failed || verdict == Verdict::Endless && suite.must_end;
    let verdict = if is_killed { Verdict::Failed } else { verdict };
    Ok((verdict, seconds))
}

/// Runs a test for `most` seconds of processor time. It is the leader of a process group, which is
/// ended with it.
fn run(
    suite: &Suite,
    test: &Test,
    (variable, value): (&str, &OsStr),
    most: f64,
) -> io::Result<(Verdict, f64)> {
    const PAUSE: Duration = Duration::from_millis(5);
    /// Pauses in which it was not stopped and did nothing, before it is taken to wait for ever.
    const MOST_IDLE: u32 = 60 * 200;
    let mut child = Command::new(&test.program)
        .args(["--exact", &test.name, "--test-threads=1"])
        .current_dir(&test.directory)
        .envs(&suite.env)
        .env(variable, value)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?;
    let (mut seconds, mut idle) = (0.0, 0);
    loop {
        if let Some(status) = child.try_wait()? {
            let passed = status.success() && status.signal().is_none();
            let verdict = if passed {
                Verdict::Passed
            } else {
                Verdict::Failed
            };
            return Ok((verdict, seconds));
        }
        if let Some((is_stopped, used)) = look_at(child.id()) {
            idle = if is_stopped || used > seconds {
                0
            } else {
                idle + 1
            };
            seconds = used;
        }
        if seconds > most || idle > MOST_IDLE {
            let group = format!("-{}", child.id());
            Command::new("kill")
                .args(["-KILL", "--", &group])
                .status()?;
            child.wait()?;
            return Ok((Verdict::Endless, seconds));
        }
        thread::sleep(PAUSE);
    }
}

/// Whether a process is stopped, and the seconds of processor time that it and its children used:
/// what Linux tells in `/proc/<id>/stat`, in hundredths.
fn look_at(id: u32) -> Option<(bool, f64)> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    let used: f64 = fields
        .get(11..15)?
        .iter()
        .flat_map(|n| n.parse::<f64>())
        .sum();
    Some((fields[0] == "T", used / 100.0))
}

/// The mutants of a file, with their numbers.
pub fn of_file<'m>(mutants: &'m [Mutant], path: &str) -> Vec<(usize, &'m Mutant)> {
    let numbered = mutants.iter().enumerate();
    numbered
        .filter(|(_, mutant)| path.strip_prefix("src/") == Some(mutant.file.as_str()))
        .collect()
}
