//! What a value is, wherever its session is kept: what is taken comes back as it is, and what would
//! not is refused when it is set.

use dwell::session::{AttributeError, Attributes, Changes, SessionError, SessionStore, Value};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Debug;
use std::time::Duration;

/// As it is after a restart, or in another process.
fn from_outside(attributes: &Attributes) -> Attributes {
    let mut copy = Attributes::default();
    for (key, value) in attributes.values() {
        copy.set_value(key, Value::from_json(value.to_json().unwrap()));
    }
    copy
}

trait Tried: Serialize + DeserializeOwned + PartialEq + Debug + Clone + Send + Sync + 'static {}
impl<T: Serialize + DeserializeOwned + PartialEq + Debug + Clone + Send + Sync + 'static> Tried
    for T
{
}

#[track_caller]
fn kept<T: Tried>(value: T) {
    let mut attributes = Attributes::default();
    attributes.set("key", value.clone()).unwrap();
    assert_eq!(*attributes.get::<T>("key").unwrap().unwrap(), value);
    let outside = from_outside(&attributes);
    assert_eq!(*outside.get::<T>("key").unwrap().unwrap(), value);
}

/// The caller is told, and nothing is changed.
#[track_caller]
fn refused<T: Tried>(value: T) {
    let refuses = |result: Result<(), AttributeError>| {
        let error = result.expect_err(&format!("{value:?} was taken"));
        assert!(
            matches!(
                error,
                AttributeError::NotKept { .. } | AttributeError::Encode { .. }
            ),
            "{error}"
        );
        assert!(error.to_string().contains("\"key\""), "{error}");
    };
    let mut attributes = Attributes::default();
    refuses(attributes.set("key", value.clone()));
    refuses(
        attributes
            .update("key", |_: Option<&T>| value.clone())
            .map(drop),
    );
    refuses(Changes::default().set("key", value.clone()).map(drop));
    assert!(attributes.is_empty());

    let session = SessionStore::new(Duration::from_secs(60)).create().unwrap();
    let refused = session.set("key", value);
    assert!(matches!(refused, Err(SessionError::Attribute(_))));
    assert_eq!(session.version().unwrap(), 1);
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
#[serde(tag = "kind")]
enum Tagged {
    Big { n: u128 },
    Small { n: u8 },
    Keys { map: BTreeMap<u32, u8> },
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
#[serde(tag = "t", content = "c")]
enum Adjacent {
    One(u64),
    Two(u64, Option<u8>),
    None,
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
#[serde(untagged)]
enum Untagged {
    Wide(u128),
    Float(f64),
    Text(String),
    Nothing,
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
#[serde(untagged)]
enum Ordered {
    Wide(u64),
    Narrow(u8),
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
struct Flat<K: Ord, V> {
    own: u8,
    #[serde(
        flatten,
        bound(deserialize = "K: Deserialize<'de>, V: Deserialize<'de>")
    )]
    rest: BTreeMap<K, V>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
struct NotWritten {
    a: u8,
    #[serde(skip_serializing)]
    b: u8,
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
struct LeftOut {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    a: Option<u8>,
}

fn seven() -> u8 {
    7
}

fn is_zero(value: &u8) -> bool {
    *value == 0
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
struct OtherDefault {
    #[serde(skip_serializing_if = "is_zero", default = "seven")]
    a: u8,
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone, Eq, PartialOrd, Ord)]
struct Pair(u8, u8);

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
enum Plain {
    Unit,
    Wrapper(i64),
    Tuple(i8, u128),
    Fields { float: f32, text: String },
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
struct Chain(Option<Box<Chain>>);

fn nested(levels: usize) -> serde_json::Value {
    (0..levels).fold(serde_json::json!(1), |inner, _| serde_json::json!([inner]))
}

#[test]
fn numbers_come_back_as_they_are() {
    kept(u128::MAX);
    kept(i128::MIN);
    kept(u64::MAX);
    kept(i64::MIN);
    kept((1_u64 << 53) + 1);
    kept(0.1_f32);
    kept(f32::MIN_POSITIVE);
    kept([f64::MIN, f64::MAX, f64::MIN_POSITIVE, f64::EPSILON, 5e-324]);
    let mut attributes = Attributes::default();
    attributes.set("key", -0.0_f64).unwrap();
    let zero = from_outside(&attributes).get::<f64>("key").unwrap();
    assert!(zero.unwrap().is_sign_negative());
}

#[test]
fn of_two_hundred_thousand_floats_none_comes_back_as_another() {
    let random = std::iter::repeat_with(|| f64::from_bits(fastrand::u64(..)));
    let finite = random.filter(|number| number.is_finite());
    let numbers: Vec<f64> = finite.take(200_000).collect();
    let mut attributes = Attributes::default();
    attributes.set("key", numbers.clone()).unwrap();
    let outside = from_outside(&attributes);
    let back = outside.get::<Vec<f64>>("key").unwrap().unwrap();
    let changed = numbers.iter().zip(&*back);
    let changed = changed.filter(|(one, two)| one.to_bits() != two.to_bits());
    assert_eq!(changed.count(), 0);
    kept(
        std::iter::repeat_with(|| f32::from_bits(fastrand::u32(..)))
            .filter(|number| number.is_finite())
            .take(10_000)
            .collect::<Vec<_>>(),
    );
}

#[test]
fn texts_collections_and_maps_come_back_as_they_are() {
    kept(());
    kept(String::from("\0\u{7f}\u{2028}\"\\\u{10ffff}"));
    kept('\u{10FFFF}');
    kept(vec![0_u8, 255]);
    kept((1_u8, String::from("two"), [3_i64; 3]));
    kept(HashSet::<u32>::from_iter(0..1_000));
    kept(HashMap::<String, u8>::from_iter(
        (0..100).map(|n| (n.to_string(), n)),
    ));
    kept(HashMap::<u8, HashSet<String>>::from([(
        1,
        HashSet::from(["a".into(), "b".into()]),
    )]));
    kept(BTreeSet::from(['a', 'b']));
    kept(BTreeMap::from([(1_u32, 2_u8)]));
    kept(BTreeMap::from([(i128::MIN, 2_u8)]));
    kept(BTreeMap::from([(true, 2_u8)]));
    kept(Duration::MAX);
    kept(std::time::SystemTime::UNIX_EPOCH);
    kept(std::path::PathBuf::from("/x"));
    kept(serde_json::json!({"a": 1e300, "b": [null, 1.5], "c": {"d": u64::MAX}}));
}

#[test]
fn types_of_users_come_back_as_they_are() {
    kept(vec![
        Plain::Unit,
        Plain::Wrapper(i64::MIN),
        Plain::Tuple(-1, u128::MAX),
        Plain::Fields {
            float: 0.1,
            text: String::from("text"),
        },
    ]);
    kept([Tagged::Small { n: 1 }]);
    kept(vec![
        Adjacent::One(u64::MAX),
        Adjacent::Two(1, None),
        Adjacent::None,
    ]);
    kept(vec![
        Untagged::Float(1.5),
        Untagged::Text(String::new()),
        Untagged::Nothing,
    ]);
    kept(Flat {
        own: 1,
        rest: BTreeMap::from([(String::from("b"), 7_u64)]),
    });
    kept(LeftOut { a: None });
    kept(LeftOut { a: Some(1) });
    kept(OtherDefault { a: 1 });
    kept(Some(LeftOut { a: None }));
    kept(Chain(None));
}

#[test]
fn what_is_not_a_number_is_refused_wherever_it_is() {
    refused(f64::NAN);
    refused(f32::INFINITY);
    refused(vec![1.0, f64::NEG_INFINITY]);
    refused(Some(f64::NAN));
    refused(vec![Some(f64::INFINITY)]);
    refused(BTreeMap::from([(String::from("a"), (1_u8, f32::NAN))]));
    refused(Untagged::Float(f64::NAN));
}

#[test]
fn an_option_that_would_come_back_empty_is_refused() {
    refused(Some(Option::<u32>::None));
    refused(Some(()));
    refused(vec![Some(Option::<u8>::None)]);
    refused(Some(serde_json::Value::Null));
    refused(Some(Untagged::Nothing));
    kept(Option::<Option<u32>>::None);
    kept(Some(Some(1_u32)));
}

#[test]
fn what_is_nested_deeper_than_is_read_is_refused() {
    kept(nested(127));
    refused(nested(128));
    refused(nested(200));
    refused(nested(600));
}

#[test]
fn a_chain_that_is_longer_than_the_stack_is_deep_is_refused() {
    let mut chain = Chain(None);
    for _ in 0..20_000 {
        chain = Chain(Some(Box::new(chain)));
    }
    // Dropping it goes as deep as it is, writing it would go deeper.
    let set = move || Attributes::default().set("key", chain).unwrap_err();
    let thread = std::thread::Builder::new().stack_size(4 << 20).spawn(set);
    let error = thread.unwrap().join().unwrap();
    assert!(matches!(error, AttributeError::Encode { .. }), "{error}");
}

#[test]
fn what_serde_buffers_and_cannot_is_refused() {
    refused(Tagged::Big { n: u128::MAX });
    refused(Tagged::Keys {
        map: BTreeMap::from([(1, 2)]),
    });
    refused(Untagged::Wide(u128::MAX));
    refused(Flat {
        own: 1,
        rest: BTreeMap::from([(String::from("b"), u128::MAX)]),
    });
    refused(Flat {
        own: 1,
        rest: BTreeMap::from([(1_u32, 2_u8)]),
    });
}

#[test]
fn a_value_that_comes_back_as_another_one_is_refused() {
    // The field of its own hides that of the map.
    refused(Flat {
        own: 1,
        rest: BTreeMap::from([(String::from("own"), 7_u8)]),
    });
    // The number of another variant.
    refused(Ordered::Narrow(5));
    kept(Ordered::Wide(5));
    refused(NotWritten { a: 1, b: 2 });
    refused(OtherDefault { a: 0 });
}

#[test]
fn keys_that_are_no_texts_are_refused() {
    refused(BTreeMap::from([((1_u8, 2_u8), 2_u8)]));
    refused(BTreeMap::from([(Pair(1, 2), 2_u8)]));
    refused(BTreeMap::from([((), 2_u8)]));
    use std::os::unix::ffi::OsStringExt;
    let not_utf8 = std::ffi::OsString::from_vec(vec![0xff]);
    refused(std::path::PathBuf::from(not_utf8));
}

#[derive(Serialize, Deserialize, Debug)]
struct Skipping {
    a: u8,
    #[serde(skip)]
    b: Vec<u8>,
}

#[test]
fn what_a_type_does_not_write_is_not_kept_in_memory_either() {
    let mut attributes = Attributes::default();
    let given = Skipping {
        a: 1,
        b: vec![1, 2],
    };
    attributes.set("key", given).unwrap();
    for attributes in [from_outside(&attributes), attributes] {
        let read = attributes.get::<Skipping>("key").unwrap().unwrap();
        assert!(read.a == 1 && read.b.is_empty());
    }
}

#[test]
fn another_type_reads_the_json_wherever_the_value_is() {
    let mut native = Attributes::default();
    native.set("number", 1_i32).unwrap();
    native.set("minus", -1_i32).unwrap();
    native.set("text", String::from("x")).unwrap();
    native.set("none", Option::<u8>::None).unwrap();
    native.set("pair", Pair(1, 2)).unwrap();
    for mut attributes in [from_outside(&native), native] {
        assert_eq!(*attributes.get::<u64>("number").unwrap().unwrap(), 1);
        assert_eq!(*attributes.get::<f64>("number").unwrap().unwrap(), 1.0);
        assert_eq!(
            *attributes.get::<Option<u8>>("number").unwrap().unwrap(),
            Some(1)
        );
        assert_eq!(*attributes.get::<char>("text").unwrap().unwrap(), 'x');
        assert_eq!(&**attributes.get::<Box<str>>("text").unwrap().unwrap(), "x");
        assert_eq!(
            *attributes.get::<(u64, u64)>("pair").unwrap().unwrap(),
            (1, 2)
        );
        assert_eq!(*attributes.get::<()>("none").unwrap().unwrap(), ());
        let error = attributes.get::<u64>("minus").unwrap_err();
        assert!(matches!(error, AttributeError::Decode { .. }), "{error}");
        let error = attributes.take::<u64>("minus").unwrap_err();
        assert!(matches!(error, AttributeError::Decode { .. }), "{error}");
        let more = |number: Option<&u64>| number.unwrap() + u64::from(u32::MAX);
        let error = attributes.update("minus", more).unwrap_err();
        assert!(matches!(error, AttributeError::Decode { .. }), "{error}");
        attributes.update("number", more).unwrap();
        assert_eq!(*attributes.get::<u64>("number").unwrap().unwrap(), 1 << 32);
        assert!(attributes.get::<i32>("number").is_err());
        assert_eq!(*attributes.take::<i64>("number").unwrap().unwrap(), 1 << 32);
    }
}

#[test]
fn an_update_to_an_equal_value_changes_nothing() {
    let session = SessionStore::new(Duration::from_secs(60)).create().unwrap();
    session.set("number", 1_i32).unwrap();
    session
        .set("set", HashSet::<u32>::from_iter(0..100))
        .unwrap();
    let before = session.snapshot().unwrap().attributes;
    let mut after = before.clone();
    after
        .update("number", |number: Option<&u64>| *number.unwrap())
        .unwrap();
    after
        .update("set", |set: Option<&HashSet<u32>>| set.unwrap().clone())
        .unwrap();
    assert!(Changes::between(&before, &after).is_empty());
    after
        .update("number", |number: Option<&u64>| number.unwrap() + 1)
        .unwrap();
    assert_eq!(Changes::between(&before, &after).iter().count(), 1);
}

#[test]
fn an_update_that_changes_only_the_order_is_written() {
    let session = SessionStore::new(Duration::from_secs(60)).create().unwrap();
    session.set("list", vec![1_u32, 2, 3]).unwrap();
    let backwards = |list: Option<&Vec<u32>>| list.unwrap().iter().rev().copied().collect();
    let now = session.update("list", backwards).unwrap();
    assert_eq!((&now[..], session.version().unwrap()), (&[3, 2, 1][..], 3));
    assert_eq!(
        *session.get::<Vec<u32>>("list").unwrap().unwrap(),
        [3, 2, 1]
    );

    session
        .set("json", serde_json::json!({"a": [1, 2]}))
        .unwrap();
    let swapped = session.update(
        "json",
        |_: Option<&serde_json::Value>| serde_json::json!({"a": [2, 1]}),
    );
    assert_eq!(*swapped.unwrap(), serde_json::json!({"a": [2, 1]}));
    // What is the same stays.
    let version = session.version().unwrap();
    session
        .update("list", |list: Option<&Vec<u32>>| list.unwrap().clone())
        .unwrap();
    assert_eq!(session.version().unwrap(), version);
}
