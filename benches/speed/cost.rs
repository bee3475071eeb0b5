//! What an operation costs: what callgrind and the map's atomics counted, beside what was measured.

use std::collections::HashMap;
use std::fs;

use crate::summary::{Key, Summary, nanoseconds};

/// `.ci/steps/instructions` writes it: name, instructions and cache misses of a call.
const INSTRUCTIONS: &str = "benches/instructions/expected";
/// What `cargo run -p shared-lines` prints.
const LINES: &str = "docs/measurements/lines.md";
const SESSIONS: u64 = 1_000_000;

struct Operation {
    name: &'static str,
    /// Its names in the two files.
    in_instructions: &'static str,
    in_lines: &'static str,
    measured: Option<(Key, &'static str)>,
}

fn operations() -> [Operation; 10] {
    let look_up = |cell| Key::throughput(cell, SESSIONS, 1);
    let growth = |quantity| Key::new("growth", "growth", SESSIONS, 1, quantity);
    let born = |quantity| Key::life("born", SESSIONS, quantity);
    let half = "collect half: a session ended";
    let operation = |name, in_instructions, in_lines, measured| Operation {
        name,
        in_instructions,
        in_lines,
        measured,
    };
    [
        operation(
            "with",
            "with_after_tick",
            "with after tick",
            Some((look_up("uniform"), "dwell")),
        ),
        operation(
            "get",
            "get_after_tick",
            "get after tick",
            Some((look_up("uniform"), "dwell-handle")),
        ),
        operation("touch", "touch_after_tick", "touch after tick", None),
        operation("peek", "peek", "peek", None),
        operation(
            "with, unknown id",
            "unknown_id",
            "unknown",
            Some((look_up("unknown"), "dwell")),
        ),
        operation("update", "update", "update", None),
        operation(
            "insert",
            "insert",
            "insert",
            Some((growth("create"), "dwell")),
        ),
        operation(
            "remove",
            "remove",
            "remove",
            Some((growth("remove"), "dwell")),
        ),
        operation(
            "collect, nothing due",
            "collect_nothing_due",
            "collect nothing due",
            Some((born("collect with nothing due"), "dwell")),
        ),
        operation(
            "collect, a session",
            "",
            "collect",
            Some((born(half), "dwell")),
        ),
    ]
}

pub fn print(summary: &Summary) {
    let instructions = rows(INSTRUCTIONS, ' ');
    let lines = rows(LINES, '|');
    println!("\n## What an operation costs\n");
    println!(
        "| | instructions | cache misses | lines written | read-modify-writes | fences | allocations | measured, {SESSIONS} sessions, 1 thread |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|");
    for operation in operations() {
        let counted = instructions.get(operation.in_instructions);
        let noted = lines.get(operation.in_lines);
        let field = |row: Option<&Vec<String>>, place: usize| {
            row.and_then(|row| row.get(place).cloned())
                .unwrap_or_else(|| "-".into())
        };
        let measured = operation
            .measured
            .and_then(|(key, contender)| summary.median(&key, contender));
        println!(
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            operation.name,
            field(counted, 0),
            field(counted, 1),
            field(noted, 1),
            field(noted, 2),
            field(noted, 3),
            field(noted, 4),
            measured.map_or("-".into(), nanoseconds),
        );
    }
}

/// The fields of each line by the first of them; none if there is no such file.
fn rows(file: &str, separator: char) -> HashMap<String, Vec<String>> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let fields = text.lines().map(|line| {
        let line = line.trim_matches(separator);
        line.split(separator)
            .map(|field| field.trim().to_string())
            .collect::<Vec<_>>()
    });
    let rows =
        fields.filter_map(|mut fields| (fields.len() > 1).then(|| (fields.remove(0), fields)));
    rows.collect()
}
