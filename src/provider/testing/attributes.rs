//! Attributes: what is set is read, in one step, whatever it is.

use super::{Bench, Case, case, get, set};
use crate::provider::By;
use crate::session::{Changes, SessionError, Value};
use std::collections::BTreeMap;

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("what is set is read until it is deleted", set_and_delete),
        case("changes are applied together and in order", in_order),
        case("each write makes a version", versions),
        case("a write to an outdated version is refused", conflicts),
        case("overlapping requests lose nothing", overlap),
        case("of writers to one version one succeeds", one_winner),
        case("any key and any value is kept as it is", odd_values),
    ]
}

fn set_and_delete(bench: &Bench<'_>) {
    let id = bench.init().id;
    let key = id.key();
    bench.set(&key, "name", String::from("Ann"));
    bench.set(&key, "visits", 7_u64);
    let session = bench.read(&id).expect("the session is live");
    bench.check(
        get(&session, "name") == Some(String::from("Ann"))
            && get(&session, "visits") == Some(7_u64),
        "both values",
    );
    let deleted = Changes::default().delete("name").delete("never set");
    bench.wait(bench.provider.apply(By::Key(key), deleted, None));
    let keys = bench.peek(&key).map(|session| {
        let keys = session.attributes.keys().map(str::to_owned);
        keys.collect::<Vec<_>>()
    });
    bench.check(
        keys == Some(vec!["visits".to_owned()]),
        "one key to be left",
    );
}

fn in_order(bench: &Bench<'_>) {
    let key = bench.init().id.key();
    bench.set(&key, "twice", 0_u64);
    let changes = set("twice", 1_u64)
        .delete("twice")
        .set("once", 1_u64)
        .and_then(|changes| changes.set("once", 2_u64))
        .expect("the suite's values are JSON");
    let session = bench.wait(bench.provider.apply(By::Key(key), changes, None));
    bench.check(
        get::<u64>(&session, "twice").is_none() && get(&session, "once") == Some(2_u64),
        "the last change of each key to count",
    );
    let changes = Changes::default().delete("once").set("once", 3_u64);
    let changes = changes.expect("the suite's values are JSON");
    let session = bench.wait(bench.provider.apply(By::Key(key), changes, None));
    bench.check(
        get(&session, "once") == Some(3_u64),
        "so the other way round",
    );
}

fn versions(bench: &Bench<'_>) {
    let issued = bench.init();
    let first = issued.snapshot.version;
    let second = bench.set(&issued.id.key(), "key", 1_u64).version;
    let third = bench.set(&issued.id.key(), "key", 1_u64).version;
    bench.check(
        (first, second, third) == (1, 2, 3),
        "the creation to make the first version, and each write one more",
    );
    let key = issued.id.key();
    let version = || bench.peek(&key).map(|session| session.version);
    bench.check(bench.read(&issued.id).is_some(), "a live session");
    bench.wait(bench.provider.touch(By::Key(key)));
    bench.check(version() == Some(3), "no access to make a version");
    bench.set_owner(&key, Some("ann"));
    bench.check(version() == Some(4), "an owner to make one");
    let renewed = bench.renew(&issued.id);
    bench.check(renewed.snapshot.version == 5, "a renewal to make one");
    let logged_in = bench.wait(bench.provider.log_in(&renewed.id, "bob"));
    bench.check(logged_in.snapshot.version == 6, "a login to make one");
    bench.check(version() == Some(6), "the newest version to be read");
}

fn conflicts(bench: &Bench<'_>) {
    let issued = bench.init();
    let key = issued.id.key();
    let seen = issued.snapshot.version;
    let apply = |changes, version| {
        bench.try_wait(bench.provider.apply(By::Key(key), changes, Some(version)))
    };
    let current = match apply(set("key", 1_u64), seen) {
        Ok(session) => session.version,
        Err(error) => panic!("{}: the version was right, but: {error}", bench.name),
    };
    let refused = apply(set("key", 2_u64), seen);
    bench.check(
        matches!(refused, Err(SessionError::Conflict { expected, current: now })
            if expected == seen && now == current),
        "a conflict that names both versions",
    );
    let refused = bench.wait(
        bench
            .provider
            .apply_or_read(By::Key(key), set("key", 3_u64), seen),
    );
    bench.check(
        refused
            .is_err_and(|newest| newest.version == current && get(&newest, "key") == Some(1_u64)),
        "a conflict that brings the session as it is",
    );
    let value = bench.peek(&key).and_then(|session| get(&session, "key"));
    bench.check(value == Some(1_u64), "nothing to be changed by it");
    let written = bench.wait(bench.provider.apply_or_read(
        By::Key(key),
        set("key", 4_u64),
        current,
    ));
    bench.check(
        written.is_ok_and(|session| session.version == current + 1),
        "a change at the right version",
    );
}

fn overlap(bench: &Bench<'_>) {
    const REQUESTS: usize = 50;
    let issued = bench.init();
    let key = issued.id.key();
    bench.together(REQUESTS, |number| {
        bench.set(&key, &format!("key {number}"), number as u64);
    });
    let session = bench.read(&issued.id).expect("the session is live");
    bench.check(
        session.attributes.len() == REQUESTS,
        "50 keys from 50 requests",
    );
}

fn one_winner(bench: &Bench<'_>) {
    for _ in 0..20 {
        let issued = bench.init();
        let seen = Some(issued.snapshot.version);
        let key = issued.id.key();
        let winners = bench.together(4, |number| {
            let changes = set("winner", number as u64);
            bench
                .try_wait(bench.provider.apply(By::Key(key), changes, seen))
                .is_ok()
        });
        let winners: Vec<_> = (0_u64..).zip(winners).filter(|(_, won)| *won).collect();
        bench.check(winners.len() == 1, "one winner");
        let value = bench.peek(&key).and_then(|session| get(&session, "winner"));
        bench.check(value == Some(winners[0].0), "the winner's value");
    }
}

fn odd_values(bench: &Bench<'_>) {
    let id = bench.init().id;
    let odd = [
        "",
        " ",
        "\0",
        "a\nb",
        "ключ",
        "🔑",
        "a.b:c*{}[]'\"\\",
        &"k".repeat(1_000),
    ];
    for (name, number) in odd.iter().zip(0_u64..) {
        bench.set(&id.key(), name, number);
    }
    let large = "x".repeat(1 << 20);
    bench.set(&id.key(), "large", large.clone());
    let nested = BTreeMap::from([(String::from("a"), vec![Some(1_i64), None])]);
    bench.set(&id.key(), "nested", nested.clone());
    let mut outside = crate::session::Attributes::default();
    outside.set_value("outside", Value::from_json(b"[1,2]".to_vec()));
    let changes = Changes::between(&crate::session::Attributes::default(), &outside);
    bench.wait(bench.provider.apply(By::Key(id.key()), changes, None));

    let session = bench.read(&id).expect("the session is live");
    for (name, number) in odd.iter().zip(0_u64..) {
        bench.check(get(&session, name) == Some(number), "every key to be kept");
    }
    bench.check(get(&session, "large") == Some(large), "a large value");
    bench.check(get(&session, "nested") == Some(nested), "a nested value");
    let outside = get::<Vec<u64>>(&session, "outside");
    bench.check(outside == Some(vec![1, 2]), "an encoded value");
}
