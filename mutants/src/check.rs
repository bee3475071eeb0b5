//! Runs checks on a copy of the sources.

use crate::find::{Kind, Mutant};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A run of `cargo test`.
#[derive(Debug, Deserialize)]
pub struct Check {
    pub name: String,
    /// The files it is tried for; all if there are none.
    #[serde(default)]
    files: Vec<String>,
    /// The kinds of mutants it is tried for; all if there are none.
    #[serde(default)]
    kinds: Vec<Kind>,
    #[serde(default)]
    rustflags: String,
    #[serde(default)]
    env: BTreeMap<String, String>,
    args: Vec<String>,
    /// A run that takes longer has failed: something does not end.
    minutes: u64,
}

impl Check {
    pub fn is_for(&self, mutant: &Mutant) -> bool {
        let file = self.files.is_empty() || self.files.contains(&mutant.file);
        let kind = self.kinds.is_empty() || self.kinds.contains(&mutant.kind);
        file && kind
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Passed,
    Failed,
    /// Does not compile: the compiler has killed it.
    Refused,
}

/// A copy of the workspace, in which things can be broken.
pub struct Copy {
    root: PathBuf,
    /// Its own: what is built of a broken map is of no use to anybody else.
    target: PathBuf,
}

impl Copy {
    /// Copies what Git knows of, as it is now.
    pub fn make(workspace: &Path, directory: &Path) -> io::Result<Self> {
        let (root, target) = (directory.join("copy"), directory.join("target"));
        let listed = Command::new("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard"])
            .current_dir(workspace)
            .output()?;
        for file in String::from_utf8_lossy(&listed.stdout).lines() {
            let (from, to) = (workspace.join(file), root.join(file));
            let Ok(content) = fs::read(&from) else {
                continue;
            };
            // Left alone if it is the same: cargo looks at the time of the last change.
            if fs::read(&to).ok().as_ref() != Some(&content) {
                fs::create_dir_all(to.parent().unwrap_or(&root))?;
                fs::write(&to, content)?;
            }
        }
        Ok(Self { root, target })
    }

    /// Runs `action` while the mutant's file is broken.
    pub fn with<R>(&self, mutant: &Mutant, action: impl FnOnce() -> R) -> io::Result<R> {
        let path = self.root.join("src/map").join(&mutant.file);
        let source = fs::read_to_string(&path)?;
        fs::write(&path, mutant.apply(&source))?;
        let result = action();
        fs::write(&path, source)?;
        Ok(result)
    }

    fn cargo<'a>(&self, check: &Check, args: impl IntoIterator<Item = &'a String>) -> Command {
        let mut command = Command::new("cargo");
        command.arg("test").current_dir(&self.root).process_group(0);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.env("CARGO_TARGET_DIR", &self.target);
        command.env("RUSTFLAGS", &check.rustflags).envs(&check.env);
        command.env("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true");
        command.args(args);
        command
    }

    /// Whether what a check runs compiles.
    pub fn compiles(&self, check: &Check) -> io::Result<bool> {
        let flags = check.args.iter().take_while(|arg| *arg != "--");
        let mut build = self.cargo(check, flags);
        build.arg("--no-run");
        succeeds(build, Duration::from_secs(3_600))
    }

    pub fn run(&self, check: &Check) -> io::Result<Verdict> {
        if !self.compiles(check)? {
            return Ok(Verdict::Refused);
        }
        let limit = Duration::from_secs(check.minutes * 60);
        Ok(match succeeds(self.cargo(check, &check.args), limit)? {
            true => Verdict::Passed,
            false => Verdict::Failed,
        })
    }
}

/// Whether a command ends well, and in time. It is the leader of a process group, which is ended with it.
fn succeeds(mut command: Command, limit: Duration) -> io::Result<bool> {
    let mut child = command.spawn()?;
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.success());
        }
        if started.elapsed() > limit {
            let group = format!("-{}", child.id());
            Command::new("kill")
                .args(["-KILL", "--", &group])
                .status()?;
            child.wait()?;
            return Ok(false);
        }
        thread::sleep(Duration::from_millis(100));
    }
}
