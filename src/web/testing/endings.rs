//! Records, their ids, and the end, which is final.

use super::{Bench, Check, Outcome, Values, expect, is, named, values};
use serde_json::{Value, json};

pub(super) const CHECKS: &[Check] = &[
    ("what was created is loaded as it is", created),
    ("a save changes, adds and removes", saved),
    ("a deleted record is not loaded", deleted),
    (
        "a slow request's save does not bring back what was deleted",
        slow_request,
    ),
    ("saves that race a deletion do not bring it back", races),
    ("an id that was not issued is not adopted", unknown_ids),
    ("a new record under a taken id spoils nothing", taken_id),
    ("nor do two new records under one id at once", taken_at_once),
];

fn created(bench: &Bench<'_>) -> Outcome {
    let mut deep = json!("the end");
    for _ in 0..100 {
        deep = json!([deep]);
    }
    let due = values([
        ("null", Value::Null),
        ("number", json!(u64::MAX)),
        ("fraction", json!(-0.5)),
        ("text", json!("\u{0}\r\nSet-Cookie: evil=1 \"\\ \u{1f36a}")),
        ("", json!({ "": [] })),
        ("k\u{e9}y \u{0};=", json!([1, true, "x".repeat(100_000)])),
        ("deep", deep),
    ]);
    let id = bench.create(due.clone())?;
    let other = bench.create(named("other"))?;
    expect(id != other, "another id for each record")?;
    let loaded = bench.load_live(&id)?;
    for (key, value) in due {
        expect(
            loaded.get(&key) == Some(&value),
            format!("the value under {key:?} as it was"),
        )?;
    }
    Ok(())
}

fn saved(bench: &Bench<'_>) -> Outcome {
    let id = bench.create(values([
        ("kept", 1.into()),
        ("gone", 1.into()),
        ("new", 1.into()),
    ]))?;
    let mut request = bench.load_live(&id)?;
    request.remove("gone");
    request.insert("new".into(), 2.into());
    request.insert("more".into(), 3.into());
    bench.save(&id, request)?;
    let loaded = bench.load_live(&id)?;
    let seen = ["kept", "gone", "new", "more"].map(|key| loaded.get(key).and_then(Value::as_u64));
    expect(
        seen == [Some(1), None, Some(2), Some(3)],
        format!("the record as it was saved, not {seen:?}"),
    )
}

fn deleted(bench: &Bench<'_>) -> Outcome {
    let (id, other) = (bench.create(named("Ann"))?, bench.create(named("Bob"))?);
    bench.wait(bench.store.delete(&id))?;
    bench.is_gone(&id, "nothing after the deletion")?;
    // A layer may take it for an error: it must change nothing.
    let _ = bench.attempt(bench.store.delete(&id));
    bench.is_gone(&id, "nothing after a second deletion")?;
    bench.load_live(&other).map(drop)
}

fn slow_request(bench: &Bench<'_>) -> Outcome {
    let id = bench.create(named("Ann"))?;
    let unchanged = bench.load_live(&id)?;
    let mut changed = unchanged.clone();
    changed.insert("late".into(), true.into());
    bench.wait(bench.store.delete(&id))?;
    bench.save_late(&id, changed);
    bench.save_late(&id, unchanged);
    bench.save_late(&id, Values::new());
    bench.is_gone(&id, "the deletion to stay")
}

fn races(bench: &Bench<'_>) -> Outcome {
    for _ in 0..50 {
        let id = bench.create(named("Ann"))?;
        let request = bench.load_live(&id)?;
        bench.together(3, |number| {
            if number == 0 {
                return bench.wait(bench.store.delete(&id));
            }
            for count in 0..5 {
                let mut request = request.clone();
                request.insert("late".into(), count.into());
                bench.save_late(&id, request);
            }
            Ok(())
        })?;
        bench.is_gone(&id, "the deletion to stay")?;
    }
    Ok(())
}

fn unknown_ids(bench: &Bench<'_>) -> Outcome {
    let issued = bench.create(named("Ann"))?;
    let last = issued.chars().last().unwrap_or('A');
    let others = [
        String::new(),
        " ".into(),
        "chosen by somebody".into(),
        "../../../../etc/passwd".into(),
        "*".into(),
        "' OR 1=1 --".into(),
        "\u{0}\r\n\u{202e}\u{1f36a}".into(),
        "A".repeat(4_000),
        // Well-formed in some layers: bytes of zeros and of ones.
        "A".repeat(22),
        "_____________________w".into(),
        "00000000-0000-0000-0000-000000000000".into(),
        "ffffffff-ffff-ffff-ffff-ffffffffffff".into(),
        // Close to an id that was issued.
        issued.chars().skip(1).collect(),
        format!("{issued}{last}"),
        format!(" {issued}"),
    ];
    for id in others {
        match bench.attempt(bench.store.load(&id)) {
            Ok(loaded) => expect(loaded.is_none(), format!("no record under {id:?}"))?,
            // What cannot be an id, a layer may refuse.
            Err(_) => continue,
        }
        bench.save_late(&id, named("Eve"));
        bench.is_gone(&id, &format!("no save to create a record under {id:?}"))?;
        if let Some(answer) = bench.store.touch(&id, super::HOUR) {
            let _ = bench.attempt(answer);
            bench.is_gone(&id, &format!("no touch to create a record under {id:?}"))?;
        }
        let _ = bench.attempt(bench.store.delete(&id));
    }
    let loaded = bench.load_live(&issued)?;
    expect(
        is(&loaded, "name", "Ann"),
        "the record that was issued, untouched",
    )
}

fn taken_id(bench: &Bench<'_>) -> Outcome {
    let first = bench.create(named("Ann"))?;
    let second = bench.create_as(&first, named("Bob"))?;
    let loaded = bench.load_live(&first)?;
    expect(
        is(&loaded, "name", "Ann"),
        "the first record to stay as it was",
    )?;
    if let Ok(second) = second {
        expect(second != first, "another id for the second one")?;
        let loaded = bench.load_live(&second)?;
        expect(
            is(&loaded, "name", "Bob"),
            "the second record under its own id",
        )?;
    }
    Ok(())
}

fn taken_at_once(bench: &Bench<'_>) -> Outcome {
    for _ in 0..200 {
        // An id that is well-formed, and free again.
        let id = bench.create(named("nobody"))?;
        bench.wait(bench.store.delete(&id))?;
        let ids = bench.together(2, |number| {
            bench.create_as(&id, values([("number", number.into())]))
        })?;
        for (number, id) in ids.into_iter().enumerate() {
            if let Ok(id) = id {
                let loaded = bench.load_live(&id)?;
                expect(
                    is(&loaded, "number", number),
                    "each record under the id of its own",
                )?;
            }
        }
    }
    Ok(())
}
