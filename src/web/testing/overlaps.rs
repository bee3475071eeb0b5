//! Overlapping requests: each has loaded the record before any of them saves it.

use super::{Bench, Check, Outcome, Values, expect, is, named, values};
use serde_json::Value;
use std::sync::Barrier;

pub(super) const CHECKS: &[Check] = &[
    (
        "of fifty overlapping requests each keeps its key",
        fifty_keys,
    ),
    ("of fifty threads too", fifty_threads),
    (
        "changes and deletions of overlapping requests are kept",
        both_sides,
    ),
    ("a request may save more than once", twice),
];

const CROWD: usize = 50;

fn all_kept(loaded: &Values) -> Outcome {
    let is_kept = |number: &usize| loaded.get(&format!("key{number}")) == Some(&(*number).into());
    let kept = (0..CROWD).filter(is_kept).count();
    expect(
        kept == CROWD && is(loaded, "name", "Ann"),
        format!("{CROWD} keys, not {kept}"),
    )
}

fn fifty_keys(bench: &Bench<'_>) -> Outcome {
    let id = bench.create(named("Ann"))?;
    let mut requests = Vec::new();
    for _ in 0..CROWD {
        requests.push(bench.load_live(&id)?);
    }
    for (number, mut request) in requests.into_iter().enumerate() {
        request.insert(format!("key{number}"), number.into());
        bench.save(&id, request)?;
    }
    all_kept(&bench.load_live(&id)?)
}

fn fifty_threads(bench: &Bench<'_>) -> Outcome {
    let id = bench.create(named("Ann"))?;
    let all_have_loaded = Barrier::new(CROWD);
    bench.together(CROWD, |number| {
        let request = bench.load_live(&id);
        all_have_loaded.wait();
        let mut request = request?;
        request.insert(format!("key{number}"), number.into());
        bench.save(&id, request)
    })?;
    all_kept(&bench.load_live(&id)?)
}

fn both_sides(bench: &Bench<'_>) -> Outcome {
    let old = ["mine", "theirs", "gone", "gone too", "both", "kept"];
    let id = bench.create(values(old.map(|key| (key, "old".into()))))?;
    let (mut one, mut two) = (bench.load_live(&id)?, bench.load_live(&id)?);
    one.insert("mine".into(), "new".into());
    one.remove("gone");
    one.insert("both".into(), "first".into());
    bench.save(&id, one)?;
    two.insert("theirs".into(), "new".into());
    two.remove("gone too");
    two.insert("both".into(), "last".into());
    bench.save(&id, two)?;
    let loaded = bench.load_live(&id)?;
    let seen = old.map(|key| loaded.get(key).and_then(Value::as_str));
    let due = [
        Some("new"),
        Some("new"),
        None,
        None,
        Some("last"),
        Some("old"),
    ];
    expect(seen == due, format!("{due:?} under {old:?}, not {seen:?}"))
}

fn twice(bench: &Bench<'_>) -> Outcome {
    let id = bench.create(values([("step", 0.into())]))?;
    let (mut slow, mut other) = (bench.load_live(&id)?, bench.load_live(&id)?);
    slow.insert("step".into(), 1.into());
    bench.save(&id, slow.clone())?;
    other.insert("other".into(), true.into());
    bench.save(&id, other)?;
    slow.insert("step".into(), 2.into());
    bench.save(&id, slow)?;
    let loaded = bench.load_live(&id)?;
    expect(is(&loaded, "step", 2), "the request's last save")?;
    expect(loaded.contains_key("other"), "the other request's save")
}
