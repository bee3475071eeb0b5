//! Puts all mutants of a file into its text. Which of them is active is decided when a program
//! starts, so that everything is compiled once.

use crate::find::{Change, Mutant};

/// A file with its mutants, each guarded by its number.
pub fn instrument(source: &str, mutants: &[(usize, &Mutant)]) -> String {
    render(source, 0, source.len(), mutants)
}

/// The text from `start` to `end`, with the mutants that lie in it.
fn render(source: &str, start: usize, end: usize, mutants: &[(usize, &Mutant)]) -> String {
    let mut text = String::new();
    let mut position = start;
    let mut left = mutants.to_vec();
    // Spans of syntax are apart, or one in the other: the first of the longest is the outermost.
    left.sort_by_key(|(_, mutant)| (mutant.range.start, usize::MAX - mutant.range.end));
    while let Some((_, outermost)) = left.first() {
        let range = outermost.range.clone();
        let within: Vec<_>;
        (within, left) = left
            .into_iter()
            .partition(|(_, mutant)| mutant.range.start < range.end);
        let (own, inner): (Vec<_>, Vec<_>) = within
            .into_iter()
            .partition(|(_, mutant)| mutant.range == range);
        text.push_str(&source[position..range.start]);
        let mut changed = render(source, range.start, range.end, &inner);
        for (number, mutant) in own {
            changed = guard(number, &mutant.change, &changed);
        }
        text.push_str(&changed);
        position = range.end;
    }
    text.push_str(&source[position..end]);
    text
}

/// An expression that is `original`, or what mutant `number` makes of it.
fn guard(number: usize, change: &Change, original: &str) -> String {
    let is_active = format!("crate::sync::mutant::is_active({number})");
    match change {
        Change::Replace(replacement) => {
            format!("(if {is_active} {{ {replacement} }} else {{ {original} }})")
        }
        // What it does is done; what came of it is not looked at.
        Change::Outcome(outcome) => {
            format!("crate::sync::mutant::outcome({number}, {original}, {outcome})")
        }
    }
}

/// Is appended to `src/sync/mod.rs`.
pub const SWITCH: &str = r#"
/// Which mutant is active, and which of them a run has come to.
#[allow(dead_code)]
pub mod mutant {
    use std::io::Write;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// Set to the number of the active mutant.
    static ACTIVE: LazyLock<usize> = LazyLock::new(|| {
        let number = std::env::var("DWELL_MUTANT");
        number.map_or(usize::MAX, |number| number.parse().expect("a number"))
    });
    /// Set to a file: the numbers of those that a run comes to are appended to it.
    static REPORT: LazyLock<Option<std::ffi::OsString>> =
        LazyLock::new(|| std::env::var_os("DWELL_MUTANTS_REACHED"));
    static REACHED: [AtomicBool; 1024] = [const { AtomicBool::new(false) }; 1024];

    #[inline]
    pub(crate) fn is_active(number: usize) -> bool {
        if REPORT.is_some() {
            report(number);
        }
        *ACTIVE == number
    }

    pub(crate) fn outcome(number: usize, value: bool, forced: bool) -> bool {
        if is_active(number) { forced } else { value }
    }

    /// What a compare-and-exchange returns that stores whatever it finds.
    pub(crate) fn stored<T>(old: T) -> Result<T, T> {
        Ok(old)
    }

    #[cold]
    fn report(number: usize) {
        if REACHED[number].swap(true, Ordering::Relaxed) {
            return;
        }
        let path = REPORT.as_ref().expect("a file");
        let file = std::fs::OpenOptions::new().append(true).open(path);
        writeln!(file.expect("the file is there"), "{number}").expect("it can be written to");
    }
}
"#;
