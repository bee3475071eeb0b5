//! One contender, in a process of its own, and what is asked of it.

use std::error::Error;
use std::io;

use contenders::{Coarse, Contender, Skewed, Task, run as run_contender};

use crate::plan::{Job, Pace};
use crate::{growth, life, tails, throughput};

/// Follows the samples of a question.
pub const END: &str = ".";

/// One sample, on its way to the driver.
pub struct Line {
    pub quantity: String,
    pub value: f64,
    pub unit: String,
    pub waited: f64,
}

impl Line {
    pub fn new(quantity: impl Into<String>, value: f64, unit: &str) -> Self {
        Self {
            quantity: quantity.into(),
            value,
            unit: unit.into(),
            waited: 0.0,
        }
    }

    fn print(&self) {
        let Self {
            quantity,
            value,
            unit,
            waited,
        } = self;
        println!("{quantity},{value},{unit},{waited:.4}");
    }

    pub fn parse(text: &str) -> Result<Self, Box<dyn Error>> {
        let fields: Vec<_> = text.split(',').collect();
        let [quantity, value, unit, waited] = fields[..] else {
            return Err(format!("not a sample: {text}").into());
        };
        Ok(Self {
            quantity: quantity.into(),
            value: value.parse()?,
            unit: unit.into(),
            waited: waited.parse()?,
        })
    }
}

/// Answers until standard input ends. A question is a number of threads and a cell.
pub fn run(job: Job, contender: &str, sessions: u64, pace: Pace) -> Result<(), Box<dyn Error>> {
    let subject = Subject {
        job,
        sessions,
        pace,
    };
    let done = match job {
        Job::Throughput | Job::Growth | Job::Flood => {
            run_contender::<Coarse, _>(contender, subject)
        }
        Job::Memory | Job::Life | Job::Tails => run_contender::<Skewed, _>(contender, subject),
    };
    done.ok_or("no such contender")?
}

struct Subject {
    job: Job,
    sessions: u64,
    pace: Pace,
}

impl Task<Coarse> for Subject {
    type Output = Result<(), Box<dyn Error>>;
    fn run<C: Contender<Time = Coarse>>(self) -> Self::Output {
        let Self {
            job,
            sessions,
            pace,
        } = self;
        let mut loaded = None;
        answer(|threads, cell| match job {
            Job::Throughput => loaded
                .get_or_insert_with(|| throughput::Loaded::<C>::new(sessions))
                .measure(cell, threads, &pace),
            Job::Growth => growth::growth::<C>(sessions, threads, &pace),
            _ => growth::flood::<C>(sessions, threads, &pace),
        })
    }
}

impl Task<Skewed> for Subject {
    type Output = Result<(), Box<dyn Error>>;
    fn run<C: Contender<Time = Skewed>>(self) -> Self::Output {
        let Self {
            job,
            sessions,
            pace,
        } = self;
        answer(|_, cell| match job {
            Job::Tails => tails::measure::<C>(cell, sessions, &pace),
            _ => life::live::<C>(cell, sessions, &pace),
        })
    }
}

fn answer(mut act: impl FnMut(u64, &str) -> Vec<Line>) -> Result<(), Box<dyn Error>> {
    for question in io::stdin().lines() {
        let question = question?;
        let (threads, cell) = question.split_once(' ').ok_or("not a question")?;
        for line in act(threads.parse()?, cell) {
            line.print();
        }
        println!("{END}");
    }
    Ok(())
}
