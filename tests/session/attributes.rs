//! Attributes: typed, atomic, and refused once the session has ended.

use crate::sessions::{Rig, together};
use dwell::session::{AttributeError, Attributes, Changes, SessionError, Value};
use serde::{Deserialize, Serialize};
use std::ptr;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Cart {
    items: Vec<String>,
}

fn more(count: Option<&u64>) -> u64 {
    count.map_or(1, |count| count + 1)
}

#[test]
fn what_is_set_is_read_until_it_is_deleted() {
    let session = Rig::new().create();
    let cart = Cart {
        items: vec!["tea".into()],
    };
    session.set("cart", cart.clone()).unwrap();
    session.set("visits", 1_u64).unwrap();
    assert_eq!(*session.get::<Cart>("cart").unwrap().unwrap(), cart);
    assert_eq!(session.keys().unwrap(), ["cart", "visits"]);
    assert!(session.contains("cart").unwrap());
    assert!(session.delete("cart").unwrap());
    assert!(!session.delete("cart").unwrap());
    assert!(!session.contains("cart").unwrap());
    assert!(session.get::<Cart>("cart").unwrap().is_none());
    session.clear().unwrap();
    assert!(session.keys().unwrap().is_empty());
}

#[test]
fn a_native_value_is_handed_out_and_not_copied() {
    let session = Rig::new().create();
    session.set("cart", Cart { items: vec![] }).unwrap();
    let one = session.get::<Cart>("cart").unwrap().unwrap();
    session.set("other", 1_u64).unwrap();
    let two = session.get::<Cart>("cart").unwrap().unwrap();
    assert!(ptr::eq(&*one, &*two));
}

#[test]
fn a_reader_keeps_what_it_read_while_others_write() {
    let session = Rig::new().create();
    session.set("name", String::from("Ann")).unwrap();
    let before = session.snapshot().unwrap();
    session.set("name", String::from("Bob")).unwrap();
    assert_eq!(
        *before.attributes.get::<String>("name").unwrap().unwrap(),
        "Ann"
    );
    assert_eq!(*session.get::<String>("name").unwrap().unwrap(), "Bob");
}

#[test]
fn a_wrong_type_is_an_error_that_names_key_and_types_and_not_the_value() {
    let session = Rig::new().create();
    session.set("name", String::from("confidential")).unwrap();
    let error = session.get::<u64>("name").unwrap_err().to_string();
    for part in ["name", "u64", "a text"] {
        assert!(error.contains(part), "{error}");
    }
    assert!(!error.contains("confidential"), "{error}");
    let shown = format!("{:?}", session.snapshot().unwrap().attributes);
    assert!(shown.contains("a text") && !shown.contains("confidential"));
    // The same for every operation that reads; the value stays.
    assert!(session.update("name", more).is_err());
    assert!(session.take::<u64>("name").is_err());
    assert_eq!(
        *session.get::<String>("name").unwrap().unwrap(),
        "confidential"
    );
}

#[test]
fn a_value_from_outside_is_decoded_when_it_is_asked_for() {
    let mut attributes = Attributes::default();
    attributes.set_value("cart", Value::from_json(br#"{"items":["tea"]}"#.to_vec()));
    attributes.set_value("broken", Value::from_json(b"{".to_vec()));
    let session = Rig::new().store.create_with(attributes).unwrap();
    let cart = session.get::<Cart>("cart").unwrap().unwrap();
    assert_eq!(cart.items, ["tea"]);
    let again = session.get::<Cart>("cart").unwrap().unwrap();
    assert!(ptr::eq(&*cart, &*again), "it is decoded once");
    assert!(session.get::<Cart>("broken").is_err());
    session.delete("broken").unwrap();
}

#[test]
fn a_value_from_outside_of_another_type_is_an_error_that_does_not_quote_it() {
    let mut attributes = Attributes::default();
    attributes.set_value("name", Value::from_json(b"\"confidential\"".to_vec()));
    let error = attributes.get::<u64>("name").unwrap_err();
    assert!(matches!(error, AttributeError::Decode { .. }));
    let error = error.to_string();
    assert!(error.contains("name") && error.contains("u64"), "{error}");
    assert!(
        error.contains("(it is a text; Data error at line 1, column 14)"),
        "{error}"
    );
    assert!(!error.contains("confidential"), "{error}");
    // Asking for the wrong type first spoils nothing.
    assert_eq!(
        *attributes.get::<String>("name").unwrap().unwrap(),
        "confidential"
    );
    assert!(attributes.get::<u64>("name").is_err());
}

#[test]
fn a_value_that_could_never_leave_the_process_is_refused_at_once() {
    let session = Rig::new().create();
    let keyed_by_structs = vec![(Cart { items: vec![] }, 1)]
        .into_iter()
        .map(|(cart, count)| (cart.items, count))
        .collect::<std::collections::BTreeMap<Vec<String>, u32>>();
    let refused = session.set("map", keyed_by_structs);
    assert!(matches!(
        refused,
        Err(SessionError::Attribute(AttributeError::Encode { .. }))
    ));
    assert_eq!(session.version().unwrap(), 1);
}

#[test]
fn values_leave_the_process_as_json_and_come_back() {
    let mut attributes = Attributes::default();
    attributes.set("cart", Cart { items: vec![] }).unwrap();
    let mut copy = Attributes::default();
    for (key, value) in attributes.values() {
        copy.set_value(key, Value::from_json(value.to_json().unwrap()));
    }
    assert_eq!(
        copy.get::<Cart>("cart").unwrap(),
        attributes.get("cart").unwrap()
    );
}

#[test]
fn the_size_of_attributes_grows_with_their_keys_and_values() {
    let mut attributes = Attributes::default();
    let none = attributes.size();
    assert!(attributes.is_empty());
    attributes.set("key", 1_u64).unwrap();
    let one = attributes.size();
    assert!(one > none);
    attributes.set("other", "x".repeat(10)).unwrap();
    let two = attributes.size();
    attributes.set("other", "x".repeat(1_010)).unwrap();
    // A long text is kept by itself.
    assert!((two + 980..two + 1_220).contains(&attributes.size()));
    attributes.set("other", "x".repeat(10)).unwrap();
    assert_eq!(attributes.size(), two);
    assert_eq!(attributes.len(), 2);
    assert!(!attributes.is_empty() && !attributes.delete("none"));
    attributes.delete("other");
    assert_eq!(attributes.size(), one);
    attributes.clear();
    assert_eq!((attributes.len(), attributes.size()), (0, none));
}

#[test]
fn changes_between_two_states_lead_from_one_to_the_other() {
    let mut old = Attributes::default();
    old.set("same", 1_u64).unwrap();
    old.set("gone", 2_u64).unwrap();
    old.set("other", 3_u64).unwrap();
    old.set_value("outside", Value::from_json(b"6".to_vec()));
    let mut new = old.clone();
    new.delete("gone");
    new.set("other", 4_u64).unwrap();
    new.set("more", 5_u64).unwrap();
    let changes = Changes::between(&old, &new);
    assert_eq!(changes.iter().count(), 3);
    changes.apply_to(&mut old);
    let pairs: Vec<_> = ["gone", "more", "other", "same"]
        .map(|key| old.get::<u64>(key).unwrap().map(|value| *value))
        .into();
    assert_eq!(pairs, [None, Some(5), Some(4), Some(1)]);
}

#[test]
fn fifty_overlapping_requests_that_each_set_their_own_key_keep_fifty() {
    for _ in 0..20 {
        let session = Rig::new().create();
        together(50, |number| {
            session.set(&format!("key {number}"), number).unwrap();
        });
        assert_eq!(session.keys().unwrap().len(), 50);
        assert_eq!(session.version().unwrap(), 51);
    }
}

#[test]
fn concurrent_updates_of_one_key_lose_nothing() {
    let session = Rig::new().create();
    together(4, |_| {
        for _ in 0..500 {
            session.update("visits", more).unwrap();
        }
    });
    assert_eq!(*session.get::<u64>("visits").unwrap().unwrap(), 2_000);
}

#[test]
fn an_update_of_the_whole_session_is_one_step() {
    let session = Rig::new().create();
    session.set("from", 1_000_i64).unwrap();
    session.set("to", 0_i64).unwrap();
    let total = |attributes: &Attributes| {
        let value = |key| *attributes.get::<i64>(key).unwrap().unwrap();
        value("from") + value("to")
    };
    together(4, |number| {
        for _ in 0..250 {
            if number == 0 {
                assert_eq!(total(&session.snapshot().unwrap().attributes), 1_000);
                continue;
            }
            session
                .update_all(|attributes| {
                    attributes.update("from", |value: Option<&i64>| value.unwrap() - 1)?;
                    attributes.update("to", |value: Option<&i64>| value.unwrap() + 1)
                })
                .unwrap();
        }
    });
    assert_eq!(*session.get::<i64>("to").unwrap().unwrap(), 750);
}

#[test]
fn an_update_that_fails_half_way_changes_nothing() {
    let session = Rig::new().create();
    session.set("name", String::from("Ann")).unwrap();
    let failed = session.update_all(|attributes| {
        attributes.set("half", 1_u64)?;
        attributes.update("name", more)
    });
    assert!(failed.is_err());
    assert_eq!(session.keys().unwrap(), ["name"]);
    assert_eq!(session.version().unwrap(), 2);
}

#[test]
fn a_flash_message_is_taken_by_one_request_only() {
    let session = Rig::new().create();
    for round in 0..100_u64 {
        session.set("flash", round).unwrap();
        let taken = together(4, |_| session.take::<u64>("flash").unwrap());
        let taken: Vec<_> = taken.into_iter().flatten().collect();
        assert_eq!(taken.len(), 1);
        assert_eq!(*taken[0], round);
    }
}

#[test]
fn of_writers_who_expect_the_same_version_one_succeeds() {
    let session = Rig::new().create();
    let version = session.version().unwrap();
    let results = together(4, |number| {
        let changes = Changes::default().set("winner", number).unwrap();
        session.apply_at(version, &changes)
    });
    let winners = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(winners, 1);
    for refused in results.iter().filter_map(|result| result.as_ref().err()) {
        assert!(matches!(
            refused,
            SessionError::Conflict {
                expected: 1,
                current: 2
            }
        ));
    }
}
