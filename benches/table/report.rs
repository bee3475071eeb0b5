//! Medians with their spread: as Markdown to read, every sample as CSV.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// The samples of one measured quantity, by contender, one for each repetition.
#[derive(Clone, Default)]
pub struct Samples(Vec<(&'static str, Vec<f64>)>);

impl Samples {
    pub fn add(&mut self, contender: &'static str, sample: f64) {
        match self.0.iter_mut().find(|(name, _)| *name == contender) {
            Some((_, samples)) => samples.push(sample),
            None => self.0.push((contender, vec![sample])),
        }
    }

    fn of(&self, contender: &str) -> Option<&[f64]> {
        let (_, samples) = self.0.iter().find(|(name, _)| *name == contender)?;
        Some(samples)
    }

    /// `combine(a, b)` of the samples of the same repetition.
    pub fn with(&self, other: &Self, combine: impl Fn(f64, f64) -> f64) -> Self {
        let pairs = self.0.iter().filter_map(|(name, samples)| {
            let others = other.of(name)?.iter();
            let combined = samples.iter().zip(others).map(|(a, b)| combine(*a, *b));
            Some((*name, combined.collect()))
        });
        Self(pairs.collect())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Nanoseconds, compared with F.
    TimesF,
    Nanoseconds,
    Bytes,
    Ratio,
}

pub struct Column {
    title: String,
    unit: Unit,
    samples: Samples,
}

impl Column {
    pub fn new(title: impl Into<String>, unit: Unit, samples: Samples) -> Self {
        let title = title.into();
        Self {
            title,
            unit,
            samples,
        }
    }

    fn cell(&self, contender: &str) -> String {
        let Some(samples) = self.samples.of(contender) else {
            return "-".into();
        };
        let limit = self
            .samples
            .of("F")
            .filter(|_| self.unit == Unit::TimesF && contender != "F");
        if let Some(limit) = limit {
            let ratios: Vec<_> = samples
                .iter()
                .zip(limit)
                .map(|(nanos, f)| nanos / f)
                .collect();
            let [low, ratio, high] = spread(&ratios);
            let [_, nanos, _] = spread(samples);
            let nanos = nanoseconds(nanos);
            return format!("**{ratio:.2}** ({low:.2}–{high:.2}), {nanos}");
        }
        let [low, middle, high] = spread(samples).map(|value| match self.unit {
            Unit::TimesF | Unit::Nanoseconds => nanoseconds(value),
            Unit::Bytes => format!("{value:.0} B"),
            Unit::Ratio => format!("{value:.2}"),
        });
        format!("{middle} ({low}–{high})")
    }
}

/// The least, the median and the greatest.
fn spread(samples: &[f64]) -> [f64; 3] {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    [0, sorted.len() / 2, sorted.len() - 1].map(|rank| sorted[rank])
}

fn nanoseconds(nanos: f64) -> String {
    let (value, unit) = match nanos {
        ..1e3 => (nanos, "ns"),
        ..1e6 => (nanos / 1e3, "µs"),
        _ => (nanos / 1e6, "ms"),
    };
    let decimals = if value < 100.0 { 1 } else { 0 };
    format!("{value:.decimals$} {unit}")
}

/// All that has been measured.
#[derive(Default)]
pub struct Report(Vec<Column>);

impl Report {
    /// Prints a table with a row for each contender.
    pub fn section(&mut self, title: &str, columns: Vec<Column>) {
        println!("\n### {title}\n");
        let titles: Vec<_> = columns.iter().map(|column| column.title.as_str()).collect();
        println!("| | {} |", titles.join(" | "));
        println!("|---|{}", "---:|".repeat(columns.len()));
        let longest = columns.iter().max_by_key(|column| column.samples.0.len());
        for (contender, _) in longest.iter().flat_map(|column| &column.samples.0) {
            let cells: Vec<_> = columns
                .iter()
                .map(|column| column.cell(contender))
                .collect();
            println!("| {contender} | {} |", cells.join(" | "));
        }
        self.0.extend(columns);
    }

    pub fn write_csv(&self, path: &Path) -> io::Result<()> {
        let mut file = File::create(path)?;
        writeln!(file, "quantity,contender,repetition,value")?;
        for Column { title, samples, .. } in &self.0 {
            for (contender, samples) in &samples.0 {
                for (repetition, sample) in samples.iter().enumerate() {
                    writeln!(file, "{title},{contender},{repetition},{sample}")?;
                }
            }
        }
        Ok(())
    }
}
