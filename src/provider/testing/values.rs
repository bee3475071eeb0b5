//! Values: each comes back as what it is, and as what its JSON says to whoever asks for another
//! type.

use super::{Bench, Case, case, get, set};
use crate::provider::By;
use crate::session::{AttributeError, Attributes, Changes, Snapshot};
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("numbers come back as they are", numbers),
        case("null is a value", nulls),
        case("another type reads the value's JSON", other_types),
        case("values are kept from the first on", from_the_first_on),
    ]
}

fn numbers(bench: &Bench<'_>) {
    let id = bench.init().id;
    let key = id.key();
    let above = (1_u64 << 53) + 1;
    bench.set(&key, "u64", vec![u64::MAX]);
    bench.set(&key, "above", above);
    bench.set(&key, "i64", i64::MIN);
    bench.set(&key, "u128", u128::MAX);
    let floats = [0.1, 0.091_443_385_121_928_87, 5e-324, f64::MAX, 1e16];
    bench.set(&key, "f64", floats);
    bench.set(&key, "f32", 0.1_f32);
    let mixed = json!({"integer": u64::MAX, "float": 1.0, "deep": [[[-1]]]});
    bench.set(&key, "mixed", mixed.clone());

    let session = bench.read(&id).expect("the session is live");
    let integers = get(&session, "u64") == Some(vec![u64::MAX])
        && get(&session, "above") == Some(above)
        && get(&session, "i64") == Some(i64::MIN)
        && get(&session, "u128") == Some(u128::MAX);
    bench.check(integers, "integers above 2^53 to be kept");
    let floats = get(&session, "f64") == Some(floats) && get(&session, "f32") == Some(0.1_f32);
    bench.check(floats, "floats to be kept to the last bit");
    bench.check(get(&session, "mixed") == Some(mixed), "both in one value");
}

fn nulls(bench: &Bench<'_>) {
    let id = bench.init().id;
    bench.set(&id.key(), "unit", ());
    bench.set(&id.key(), "none", None::<String>);
    bench.set(&id.key(), "inside", json!({"a": null, "b": [null]}));
    let session = bench.read(&id).expect("the session is live");
    bench.check(
        get(&session, "unit") == Some(()) && get(&session, "none") == Some(None::<String>),
        "a value that is null, and not no value",
    );
    let inside = get(&session, "inside") == Some(json!({"a": null, "b": [null]}));
    bench.check(inside, "null inside of a value");
    bench.check(session.attributes.len() == 3, "three keys");
    let deleted = Changes::default().delete("unit");
    let session = bench.wait(bench.provider.apply(By::Key(id.key()), deleted, None));
    bench.check(!session.attributes.contains("unit"), "null to be deleted");
}

fn other_types(bench: &Bench<'_>) {
    let id = bench.init().id;
    bench.set(&id.key(), "number", 1_i32);
    bench.set(&id.key(), "minus", -1_i64);
    bench.set(&id.key(), "pair", (1_u8, String::from("x")));
    let read = |session: &Snapshot| {
        bench.check(
            get(session, "number") == Some(1_u64)
                && get(session, "number") == Some(1.0_f64)
                && get(session, "number") == Some(Some(1_i8))
                && get(session, "pair") == Some(json!([1, "x"])),
            "what the asked type reads from the JSON",
        );
        let refused = session.attributes.get::<u64>("minus");
        bench.check(
            matches!(refused, Err(AttributeError::Decode { .. })),
            "what it does not read to be refused",
        );
    };
    read(&bench.read(&id).expect("the session is live"));
    // What a request has read before it writes.
    let mut attributes = bench.peek(&id.key()).expect("it is live").attributes;
    let before = attributes.clone();
    let updated = attributes.update("number", |number: Option<&u64>| number.map_or(0, |n| n + 1));
    bench.check(updated.is_ok(), "an update as another type");
    let taken = attributes.take::<Value>("pair");
    bench.check(matches!(taken, Ok(Some(_))), "to take as another type");
    let changes = Changes::between(&before, &attributes);
    let session = bench.wait(bench.provider.apply(By::Key(id.key()), changes, None));
    bench.check(
        get(&session, "number") == Some(2_i32) && !session.attributes.contains("pair"),
        "both to be done",
    );
}

fn from_the_first_on(bench: &Bench<'_>) {
    let values = BTreeMap::from([
        ("", json!("")),
        (" = - \0 a:", json!(u64::MAX)),
        ("null", Value::Null),
        ("\u{2028}\"'", json!([{}, [], ""])),
    ]);
    let mut attributes = Attributes::default();
    for (name, value) in &values {
        let kept = attributes.set(name, value.clone());
        kept.expect("the suite's values come back");
    }
    let issued = bench.wait(bench.provider.init(attributes));
    let check = |session: &Snapshot| {
        let are_kept = values
            .iter()
            .all(|(name, value)| get(session, name).as_ref() == Some(value));
        bench.check(
            are_kept && session.attributes.len() == values.len(),
            "what the session was created with",
        );
    };
    check(&issued.snapshot);
    check(&bench.read(&issued.id).expect("the session is live"));
    check(&bench.renew(&issued.id).snapshot);
    check(
        &bench.wait(
            bench
                .provider
                .apply(By::Key(issued.id.key()), set("null", Value::Null), None),
        ),
    );
}
