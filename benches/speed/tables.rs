//! The samples as tables in Markdown: medians, with their ranges.

use std::error::Error;
use std::path::Path;

use contenders::NAMES;

use crate::cost;
use crate::sheet;
use crate::summary::{Key, Spread, Summary, nanoseconds};
use crate::tails::QUANTILES;
use crate::targets;

/// How a quantity is shown.
#[derive(Clone, Copy)]
enum Show {
    /// Nanoseconds and, first, how many times F's they are.
    TimesF,
    Nanoseconds,
    /// Millions of operations a second on as many cores.
    Millions(u64),
    Bytes,
    Ratio,
}

struct Column {
    title: String,
    key: Key,
    show: Show,
}

pub fn print(file: &Path) -> Result<(), Box<dyn Error>> {
    let head = sheet::head(file)?;
    let summary = Summary::new(sheet::read(file)?);
    println!("Taken on:\n");
    head.iter().for_each(|line| println!("- {line}"));
    throughput(&summary);
    growth(&summary);
    tails(&summary);
    memory(&summary);
    cost::print(&summary);
    targets::print(&summary);
    losses(&summary);
    Ok(())
}

fn throughput(summary: &Summary) {
    let sizes = summary.sizes("throughput");
    for &sessions in sizes.iter().rev() {
        let column = |cell: &str| Column {
            title: cell.into(),
            key: Key::throughput(cell, sessions, 2),
            show: Show::TimesF,
        };
        let cells = ["dependent", "uniform", "zipf", "unknown"].map(column);
        section(
            summary,
            &format!("Get with touch, {sessions} sessions, 2 threads"),
            &cells,
        );
        let cells = ["mixed", "churn"].map(column);
        section(
            summary,
            &format!("Changes, {sessions} sessions, 2 threads"),
            &cells,
        );
    }
    for cell in ["hot", "uniform", "mixed", "churn"] {
        for &sessions in sizes.iter().rev() {
            let threads = summary.threads("throughput", cell, sessions);
            let columns = threads.into_iter().map(|threads| Column {
                title: if threads == 1 {
                    "1 thread".into()
                } else {
                    format!("{threads} threads")
                },
                key: Key::throughput(cell, sessions, threads),
                show: Show::Millions(threads),
            });
            let columns: Vec<_> = columns.collect();
            let title =
                format!("Millions of operations a second by threads: {cell}, {sessions} sessions");
            section(summary, &title, &columns);
        }
    }
    for &sessions in sizes.iter().rev() {
        let cells = ["uniform", "mixed", "churn"].map(|cell| Column {
            title: cell.into(),
            key: Key::throughput(cell, sessions, 2).with("mimalloc"),
            show: Show::TimesF,
        });
        section(
            summary,
            &format!("With mimalloc, {sessions} sessions, 2 threads"),
            &cells,
        );
    }
}

fn growth(summary: &Summary) {
    for sessions in summary.sizes("growth").into_iter().rev() {
        let columns = [1, 2].map(|threads| {
            ["growth", "create", "remove"].map(|quantity| Column {
                title: format!("{quantity}, {threads} threads"),
                key: Key::new("growth", "growth", sessions, threads, quantity),
                show: Show::TimesF,
            })
        });
        let title =
            format!("Creations from empty to {sessions} sessions; creations and removals then");
        section(summary, &title, columns.as_flattened());
    }
    for sessions in summary.sizes("flood").into_iter().rev() {
        let column = |quantity, show| Column {
            title: String::from(quantity),
            key: Key::new("flood", "flood", sessions, 2, quantity),
            show,
        };
        let columns = [
            column("flood", Show::Nanoseconds),
            column("regulars kept", Show::Ratio),
            column("held / capacity", Show::Ratio),
        ];
        let title = format!("Twice as many strangers as a map of {sessions} may hold, 2 threads");
        section(summary, &title, &columns);
    }
}

fn tails(summary: &Summary) {
    for sessions in summary.sizes("tails").into_iter().rev() {
        for situation in ["rest", "collecting", "growing", "stopped"] {
            for load in ["closed", "open"] {
                let cell = format!("{situation} {load}");
                let of_get = QUANTILES.iter().map(|(name, _)| format!("get {name}"));
                let others = ["update", "create", "remove"].map(|name| format!("{name} max"));
                let columns = of_get.chain(others).map(|quantity| Column {
                    key: Key::tails(&cell, sessions, &quantity),
                    title: quantity,
                    show: Show::Nanoseconds,
                });
                let columns: Vec<_> = columns.collect();
                let title =
                    format!("Single operations: {situation}, {load} loop, {sessions} sessions");
                section(summary, &title, &columns);
            }
        }
    }
}

fn memory(summary: &Summary) {
    let columns = summary.sizes("memory").into_iter().map(|sessions| Column {
        title: format!("{sessions} sessions"),
        key: Key::new("memory", "memory", sessions, 1, "resident a session"),
        show: Show::Bytes,
    });
    let columns: Vec<_> = columns.collect();
    section(summary, "Resident memory a session", &columns);
    for sessions in summary.sizes("life").into_iter().rev() {
        let column = |cell: &str, quantity: &str, show| Column {
            title: quantity.into(),
            key: Key::life(cell, sessions, quantity),
            show,
        };
        let columns = [
            column("born", "collect with nothing due", Show::Nanoseconds),
            column("born", "collect half: a session ended", Show::Nanoseconds),
            column(
                "touched",
                "collect half beside touched ones: a session ended",
                Show::Nanoseconds,
            ),
            column("born", "returned of that half", Show::Ratio),
            column("born", "returned of all", Show::Ratio),
            column("born", "returned of all after malloc_trim", Show::Ratio),
            column("churned", "resident after churn / before", Show::Ratio),
        ];
        section(
            summary,
            &format!("Collection and memory, {sessions} sessions"),
            &columns,
        );
    }
}

/// A table with a row for each contender that has anything to show.
fn section(summary: &Summary, title: &str, columns: &[Column]) {
    let rows = NAMES.iter().filter_map(|contender| {
        let cells: Vec<_> = columns
            .iter()
            .map(|column| cell(summary, column, contender))
            .collect();
        cells
            .iter()
            .any(Option::is_some)
            .then_some((contender, cells))
    });
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return;
    }
    println!("\n## {title}\n");
    let titles: Vec<_> = columns.iter().map(|column| column.title.as_str()).collect();
    println!("| | {} |", titles.join(" | "));
    println!("|---|{}", "---:|".repeat(columns.len()));
    for (contender, cells) in rows {
        let cells: Vec<_> = cells
            .iter()
            .map(|cell| cell.as_deref().unwrap_or("-"))
            .collect();
        println!("| {contender} | {} |", cells.join(" | "));
    }
}

fn cell(summary: &Summary, column: &Column, contender: &str) -> Option<String> {
    let Column { key, show, .. } = column;
    let spread = summary.spread(key, contender)?;
    if matches!(show, Show::TimesF)
        && contender != "F"
        && let Some([low, ratio, high]) = summary.quotient((key, contender), (key, "F"))
    {
        let nanos = nanoseconds(spread[1]);
        return Some(format!("**{ratio:.2}** ({low:.2}–{high:.2}), {nanos}"));
    }
    let cores = crate::calm::cores();
    let [low, middle, high] = ordered(spread.map(|value| match show {
        Show::Millions(threads) => (*threads).min(cores) as f64 * 1e3 / value,
        _ => value,
    }))
    .map(|value| match show {
        Show::TimesF | Show::Nanoseconds => nanoseconds(value),
        Show::Millions(_) => format!("{value:.1}"),
        Show::Bytes => format!("{value:.0} B"),
        Show::Ratio => format!("{value:.2}"),
    });
    Some(format!("{middle} ({low}–{high})"))
}

/// The quotient of a spread is upside down.
fn ordered([a, middle, b]: Spread) -> Spread {
    [a.min(b), middle, a.max(b)]
}

/// Every quantity in which a peer's median is better than dwell's by more than 5 %.
fn losses(summary: &Summary) {
    println!("\n## Where dwell loses\n");
    println!("| job | sessions | threads | quantity | best peer | dwell | times |");
    println!("|---|---:|---:|---|---|---:|---:|");
    for job in ["throughput", "growth", "flood", "tails", "memory", "life"] {
        for key in summary.keys(job) {
            // The other way round: more is better. Counts are no merit.
            let more = ["returned", "regulars", "operations a second"];
            let is_more = more.iter().any(|begin| key.quantity.starts_with(begin));
            if key.quantity.ends_with("count") || key.quantity.starts_with("held") {
                continue;
            }
            let Some(dwell) = summary.median(&key, "dwell") else {
                continue;
            };
            let Some((peer, best)) = targets::best_peer(summary, &key, is_more) else {
                continue;
            };
            let times = if is_more { best / dwell } else { dwell / best };
            if times > 1.05 {
                let Key { cell, quantity, .. } = &key;
                let what = if cell == quantity {
                    cell.clone()
                } else {
                    format!("{cell}: {quantity}")
                };
                let shown = |value: f64| {
                    format!("{value:.3}")
                        .trim_end_matches('0')
                        .trim_end_matches('.')
                        .to_string()
                };
                println!(
                    "| {job}, {} | {} | {} | {what} | {peer} {} | {} | {times:.2} |",
                    key.allocator,
                    key.sessions,
                    key.threads,
                    shown(best),
                    shown(dwell),
                );
            }
        }
    }
}
