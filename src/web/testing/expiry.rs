//! Records that end by time.

use super::{Bench, Check, HOUR, MINUTE, Outcome, expect, is, named};
use std::time::Duration;

pub(super) const CHECKS: &[Check] = &[
    ("a record past its end is not loaded", past),
    ("a save does not bring back what has ended", no_return),
    ("a record ends when it is due, and not before", due),
    ("a save moves the end", save_moves),
    ("a touch moves the end, and nothing else", touch_moves),
    (
        "a touch does not bring back what was deleted",
        touch_of_deleted,
    ),
    ("deleting what has expired leaves the rest", collection),
];

fn past(bench: &Bench<'_>) -> Outcome {
    let id = bench.wait(bench.store.create(named("Ann"), Duration::ZERO))?;
    bench.is_gone(&id, "no record without a time to live")?;
    let id = bench.create(named("Ann"))?;
    let request = bench.load_live(&id)?;
    bench.wait(bench.store.save(&id, request, Duration::ZERO))?;
    bench.is_gone(&id, "a save to end a record by its time")
}

fn no_return(bench: &Bench<'_>) -> Outcome {
    let id = bench.wait(bench.store.create(named("Ann"), Duration::ZERO))?;
    bench.save_late(&id, named("Ann"));
    bench.is_gone(&id, "the record to stay ended")
}

fn due(bench: &Bench<'_>) -> Outcome {
    let id = bench.create(named("Ann"))?;
    bench.advance(HOUR - MINUTE)?;
    bench.load_live(&id)?;
    bench.advance(MINUTE)?;
    bench.is_gone(&id, "the record to end though it was loaded")
}

fn save_moves(bench: &Bench<'_>) -> Outcome {
    let id = bench.create(named("Ann"))?;
    for _ in 0..3 {
        bench.advance(HOUR - MINUTE)?;
        let request = bench.load_live(&id)?;
        bench.save(&id, request)?;
    }
    bench.advance(HOUR - MINUTE)?;
    let request = bench.load_live(&id)?;
    bench.wait(bench.store.save(&id, request, MINUTE))?;
    bench.advance(MINUTE)?;
    bench.is_gone(&id, "a save to bring the end nearer")
}

fn touch_moves(bench: &Bench<'_>) -> Outcome {
    let id = bench.create(named("Ann"))?;
    bench.advance(HOUR - MINUTE)?;
    let touched = bench.touch(&id, HOUR)?;
    expect(touched.is_ok(), "a touch of a live record")?;
    bench.advance(HOUR - MINUTE)?;
    let loaded = bench.load_live(&id)?;
    expect(is(&loaded, "name", "Ann"), "the record's values to stay")?;
    bench.advance(MINUTE)?;
    bench.is_gone(&id, "the record to end then")
}

fn touch_of_deleted(bench: &Bench<'_>) -> Outcome {
    let id = bench.create(named("Ann"))?;
    bench.wait(bench.store.delete(&id))?;
    let _ = bench.touch(&id, HOUR)?;
    bench.is_gone(&id, "the deletion to stay")
}

fn collection(bench: &Bench<'_>) -> Outcome {
    let mut ids = Vec::new();
    for number in 0..100 {
        let lifetime = if number % 2 == 0 {
            HOUR
        } else {
            Duration::ZERO
        };
        ids.push(bench.wait(bench.store.create(named("Ann"), lifetime))?);
    }
    let answer = bench.store.delete_expired().ok_or(super::Miss::Skipped)?;
    bench.wait(answer)?;
    for (number, id) in ids.iter().enumerate() {
        let is_live = bench.load(id)?.is_some();
        expect(
            is_live == (number % 2 == 0),
            "what is live, and nothing else",
        )?;
    }
    Ok(())
}
