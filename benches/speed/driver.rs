//! Has the samples taken, each contender in a process of its own: what one leaves behind in the
//! allocator is no other's. Where a map serves many samples, all contenders' maps are filled first,
//! and then they take turns sample by sample.

use std::collections::HashMap;
use std::env;
use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

use crate::ALLOCATOR_NAME;
use crate::machine;
use crate::plan::{Pace, Round, Sample};
use crate::sheet::{Row, Sheet};
use crate::subject::{END, Line};

/// The quantity of a sample that could not be taken.
const FAILED: &str = "failed";

/// The memory that a session may take up in the most wasteful contender.
const BYTES: u64 = 800;

pub fn measure(
    file: &Path,
    mut rounds: Vec<Round>,
    pace: &Pace,
    is_dry: bool,
) -> Result<(), Box<dyn Error>> {
    if is_dry {
        // What the file has is left out if there is one; nothing is written.
        let rows = if file.exists() {
            crate::sheet::read(file)?
        } else {
            Vec::new()
        };
        omit(&mut rounds, &rows);
        tell(&rounds, pace);
        return Ok(());
    }
    let mut sheet = Sheet::open(file)?;
    omit(&mut rounds, &sheet.rows);
    tell(&rounds, pace);
    let bar = ProgressBar::new(estimate(&rounds, pace).as_millis() as u64);
    bar.set_style(ProgressStyle::with_template(
        "{bar:30} {percent:>3} % {elapsed_precise} gone, {eta_precise} to go  {msg}",
    )?);
    let mut given_up = 0;
    for round in &rounds {
        let at_once = if round.job.keeps_its_map() {
            machine::available_memory() * 3 / 4 / (round.sessions * BYTES + (64 << 20))
        } else {
            1
        };
        given_up += take(round, at_once.max(1) as usize, pace, &mut sheet, &bar)?;
    }
    bar.finish();
    if given_up > 0 {
        eprintln!(
            "{given_up} samples failed; delete their rows, and the same command tries them again"
        );
    }
    Ok(())
}

/// Leaves out what the file has.
fn omit(rounds: &mut Vec<Round>, rows: &[Row]) {
    type Key = (u32, String, &'static str, &'static str, u64, u64);
    let key = |s: &Sample| -> Key {
        (
            s.repetition,
            s.job.name(),
            s.cell,
            s.contender,
            s.sessions,
            s.threads,
        )
    };
    let taken: std::collections::HashSet<_> = rows
        .iter()
        .filter(|row| row.allocator == ALLOCATOR_NAME)
        .map(|r| {
            (
                r.repetition,
                r.job.as_str(),
                r.cell.as_str(),
                r.contender.as_str(),
                r.sessions,
                r.threads,
            )
        })
        .collect();
    for round in rounds.iter_mut() {
        round.samples.retain(|sample| {
            let (repetition, job, cell, contender, sessions, threads) = key(sample);
            !taken.contains(&(repetition, job.as_str(), cell, contender, sessions, threads))
        });
    }
    rounds.retain(|round| !round.samples.is_empty());
}

fn estimate(rounds: &[Round], pace: &Pace) -> Duration {
    let round = |round: &Round| -> Duration {
        let samples: Duration = round.samples.iter().map(|s| pace.estimate(s)).sum();
        samples + pace_of_filling(round)
    };
    rounds.iter().map(round).sum()
}

/// Where the maps of a round are filled apart from its samples.
fn pace_of_filling(round: &Round) -> Duration {
    if round.job.keeps_its_map() {
        Pace::filling(round.sessions) * contenders(round).len() as u32
    } else {
        Duration::ZERO
    }
}

fn tell(rounds: &[Round], pace: &Pace) {
    let samples: usize = rounds.iter().map(|round| round.samples.len()).sum();
    let estimate = HumanDuration(estimate(rounds, pace));
    eprintln!(
        "{samples} samples with the {ALLOCATOR_NAME} allocator, about {estimate} on a calm machine"
    );
}

/// In the order in which they come first.
fn contenders(round: &Round) -> Vec<&'static str> {
    let mut names = Vec::new();
    for sample in &round.samples {
        if !names.contains(&sample.contender) {
            names.push(sample.contender);
        }
    }
    names
}

/// Returns how many samples could not be taken.
fn take(
    round: &Round,
    at_once: usize,
    pace: &Pace,
    sheet: &mut Sheet,
    bar: &ProgressBar,
) -> Result<usize, Box<dyn Error>> {
    let mut failed = 0;
    for names in contenders(round).chunks(at_once) {
        let mut subjects = HashMap::new();
        for sample in round
            .samples
            .iter()
            .filter(|s| names.contains(&s.contender))
        {
            bar.set_message(format!(
                "{} {}, {} sessions, {} threads: {}",
                sample.repetition, sample.cell, sample.sessions, sample.threads, sample.contender
            ));
            if !subjects.contains_key(sample.contender) {
                subjects.insert(sample.contender, Subject::start(sample, pace)?);
            }
            let subject = subjects.get_mut(sample.contender).expect("just started");
            match subject.ask(sample, pace) {
                Ok(rows) => sheet.add(rows)?,
                Err(error) => {
                    failed += 1;
                    bar.println(format!("{sample:?}: {error}"));
                    sheet.add(vec![row(sample, Line::new(FAILED, f64::NAN, "count"))])?;
                    subjects.remove(sample.contender);
                }
            }
            if !round.job.keeps_its_map() {
                subjects.remove(sample.contender);
            }
            bar.inc(pace.estimate(sample).as_millis() as u64);
        }
        bar.inc(
            pace_of_filling(round).as_millis() as u64 * names.len() as u64
                / contenders(round).len() as u64,
        );
    }
    Ok(failed)
}

fn row(sample: &Sample, line: Line) -> Row {
    Row {
        repetition: sample.repetition,
        allocator: ALLOCATOR_NAME.into(),
        job: sample.job.name(),
        cell: sample.cell.into(),
        contender: sample.contender.into(),
        sessions: sample.sessions,
        threads: sample.threads,
        quantity: line.quantity,
        value: line.value,
        unit: line.unit,
        waited: line.waited,
    }
}

/// A process with one contender.
struct Subject {
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
}

impl Subject {
    fn start(sample: &Sample, pace: &Pace) -> Result<Self, Box<dyn Error>> {
        let millis = |time: Duration| time.as_millis().to_string();
        let mut child = Command::new(env::current_exe()?)
            .args(["subject", "--job", &sample.job.name()])
            .args(["--contender", sample.contender])
            .args(["--sessions", &sample.sessions.to_string()])
            .args(["--warm-up", &millis(pace.warm_up)])
            .args(["--slice", &millis(pace.slice)])
            .args(["--phase", &millis(pace.phase)])
            .args(["--patience", &millis(pace.patience)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().expect("piped");
        let output = child.stdout.take().expect("piped");
        let (sender, lines) = channel();
        thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            for line in lines {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self {
            child,
            input,
            lines,
        })
    }

    fn ask(&mut self, sample: &Sample, pace: &Pace) -> Result<Vec<Row>, Box<dyn Error>> {
        writeln!(self.input, "{} {}", sample.threads, sample.cell)?;
        // A slow machine is no failure; one that stands still is.
        let limit = Duration::from_secs(60) + Pace::filling(sample.sessions) * 20;
        let limit = limit + (pace.estimate(sample) + pace.patience) * 20;
        let mut rows = Vec::new();
        loop {
            let line = self.lines.recv_timeout(limit)?;
            if line == END {
                return Ok(rows);
            }
            rows.push(row(sample, Line::parse(&line)?));
        }
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        // Gone already, or not answering: either way nothing is lost.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
