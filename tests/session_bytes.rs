//! What a session is counted to take is at least what the allocator gives for it, whatever its
//! values are.
//!
//! A binary of its own: its allocator counts what the whole process has taken, so nothing else may
//! run beside it.

use dwell::session::{Attributes, LiveSession, SessionStore, Settings, Value};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, LinkedList, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// Bytes as glibc gives them: a header of eight, in steps of 16.
fn block(layout: Layout) -> usize {
    (layout.size() + 8).next_multiple_of(16).max(32)
}

struct Counting;

// SAFETY: passes everything on to the system's allocator, and counts beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        TAKEN.fetch_add(block(layout), Relaxed);
        // SAFETY: the caller keeps to what `alloc` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        TAKEN.fetch_sub(block(layout), Relaxed);
        // SAFETY: it came from `alloc`, which asked the same allocator, with this layout.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[derive(Serialize, Deserialize, Clone)]
struct Item {
    name: String,
    price: u64,
    note: Option<Box<str>>,
}

#[derive(Serialize, Deserialize)]
struct Skipping {
    n: u8,
    #[serde(skip)]
    #[allow(dead_code)] // nobody reads what is not kept
    blob: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct Wide {
    #[serde(default, skip_serializing_if = "is_zero")]
    numbers: [u64; 32],
}

fn is_zero(numbers: &[u64; 32]) -> bool {
    numbers.iter().all(|number| *number == 0)
}

#[derive(Serialize, Deserialize)]
enum Uneven {
    Small,
    Large([u64; 16], String),
}

#[derive(Serialize, Deserialize)]
struct Tree {
    of: Vec<Tree>,
}

fn tree(depth: usize) -> Tree {
    let of = (0..3).map(|_| tree(depth - 1));
    Tree {
        of: if depth == 0 { vec![] } else { of.collect() },
    }
}

/// As a session that was restored has it.
fn from_outside(session: &LiveSession, json: &str) {
    session
        .update_all(|attributes| {
            attributes.set_value("v", Value::from_json(json.as_bytes().to_vec()));
            Ok(())
        })
        .unwrap();
}

fn texts(n: usize, text: &str) -> Vec<String> {
    vec![text.to_owned(); n]
}

type Shape = (&'static str, fn(&LiveSession));

const SHAPES: &[Shape] = &[
    ("nothing", |_| ()),
    ("a number", |s| s.set("v", 1_u8).unwrap()),
    ("a text of 20 letters", |s| {
        s.set("name", "x".repeat(20)).unwrap()
    }),
    ("a text of 4 KiB", |s| {
        s.set("name", "x".repeat(4_096)).unwrap()
    }),
    ("five texts of 20 letters and a counter", |s| {
        for name in ["name", "mail", "city", "theme", "cart"] {
            s.set(name, "x".repeat(20)).unwrap();
        }
        s.set("visits", 7_u32).unwrap();
    }),
    ("300 attributes", |s| {
        let set = |attributes: &mut Attributes| {
            (0..300_u32).try_for_each(|n| attributes.set(&format!("name {n}"), n))
        };
        s.update_all(set).unwrap();
    }),
    ("a name of 1 KiB", |s| {
        s.set(&"n".repeat(1_024), true).unwrap()
    }),
    ("an owner of 300 letters", |s| {
        s.set_owner(&owner(300)).unwrap()
    }),
    ("an owner of 64 KiB", |s| {
        s.set_owner(&owner(65_536)).unwrap()
    }),
    ("1,000 empty texts", |s| {
        s.set("v", texts(1_000, "")).unwrap()
    }),
    ("1,000 texts of a letter", |s| {
        s.set("v", texts(1_000, "x")).unwrap()
    }),
    ("one empty text", |s| s.set("v", texts(1, "")).unwrap()),
    ("bytes", |s| s.set("v", vec![7_u8; 1_025]).unwrap()),
    ("numbers", |s| s.set("v", vec![7_u64; 1_025]).unwrap()),
    ("boxed numbers", |s| {
        s.set("v", Vec::from_iter((0..500_u64).map(Box::new)))
            .unwrap();
    }),
    ("shared texts", |s| {
        let text: Arc<str> = "x".into();
        s.set("v", vec![text; 500]).unwrap();
    }),
    ("BTreeMap<u32, u32>", |s| {
        s.set("v", BTreeMap::from_iter((0..1_000_u32).map(|n| (n, 0_u32))))
            .unwrap();
    }),
    ("BTreeMap of one", |s| {
        s.set("v", BTreeMap::from([(1_u8, texts(1, ""))])).unwrap()
    }),
    ("BTreeSet<String>", |s| {
        s.set("v", BTreeSet::from_iter((0..1_000).map(|n| n.to_string())))
            .unwrap();
    }),
    ("HashMap<String, u8>", |s| {
        s.set(
            "v",
            HashMap::<_, _>::from_iter((0..1_000).map(|n| (n.to_string(), 0_u8))),
        )
        .unwrap();
    }),
    ("HashMap, just grown", |s| {
        s.set(
            "v",
            HashMap::<_, _>::from_iter((0..897_u16).map(|n| (n, [0_u64; 8]))),
        )
        .unwrap();
    }),
    ("HashSet<u8>", |s| {
        s.set("v", HashSet::<u8>::from_iter(0..=255)).unwrap()
    }),
    ("many small sets", |s| {
        s.set("v", Vec::from_iter((0..200_u8).map(|n| HashSet::from([n]))))
            .unwrap();
    }),
    ("LinkedList<u8>", |s| {
        s.set("v", LinkedList::from_iter((0..1_000).map(|_| 0_u8)))
            .unwrap()
    }),
    ("VecDeque<u16>", |s| {
        s.set("v", VecDeque::from(vec![0_u16; 1_025])).unwrap()
    }),
    ("JSON: an array of numbers", |s| {
        s.set("v", json!(vec![0; 1_025])).unwrap()
    }),
    ("JSON: small objects", |s| {
        s.set("v", json!(vec![json!({"a": 0}); 1_000])).unwrap()
    }),
    ("JSON: empty objects", |s| {
        s.set("v", json!(vec![json!({}); 1_000])).unwrap()
    }),
    ("JSON: a deep array", |s| {
        s.set("v", (0..120).fold(json!(1), |inner, _| json!([inner])))
            .unwrap();
    }),
    ("structs", |s| {
        let item = Item {
            name: String::from("tea"),
            price: 3,
            note: Some("hot".into()),
        };
        s.set("v", vec![item; 300]).unwrap();
    }),
    ("a skipped field of 64 KiB", |s| {
        let blob = vec![1; 65_536];
        s.set("v", Skipping { n: 0, blob }).unwrap();
    }),
    ("spare capacity of 64 KiB", |s| {
        let mut text = String::with_capacity(65_536);
        text.push('x');
        s.set("v", text).unwrap();
    }),
    ("wide structs that write nothing", |s| {
        s.set(
            "v",
            Vec::from_iter((0..100).map(|_| Wide { numbers: [0; 32] })),
        )
        .unwrap();
    }),
    ("the same, boxed", |s| {
        s.set(
            "v",
            Vec::from_iter((0..100).map(|_| Box::new(Wide { numbers: [0; 32] }))),
        )
        .unwrap();
    }),
    ("boxed variants of uneven size", |s| {
        let mut all = Vec::from_iter((0..100).map(|_| Box::new(Uneven::Small)));
        all.push(Box::new(Uneven::Large([1; 16], String::from("x"))));
        s.set("v", all).unwrap();
    }),
    ("a tree", |s| s.set("v", tree(6)).unwrap()),
    ("from outside, decoded", |s| {
        from_outside(s, &format!("[{}\"\"]", "\"\",".repeat(999)));
        s.get::<Vec<String>>("v").unwrap().unwrap();
    }),
    ("a small one from outside, decoded", |s| {
        from_outside(s, "\"a text of twenty-five letters\"");
        s.get::<String>("v").unwrap().unwrap();
    }),
];

/// Owners differ: one name is one allocation.
fn owner(length: usize) -> String {
    let start = fastrand::u64(..).to_string();
    start.clone() + &"o".repeat(length - start.len())
}

#[test]
fn what_is_counted_is_at_least_what_the_allocator_gives() {
    // So many that each bears much of a table and of buckets that are hardly filled.
    const SESSIONS: usize = 100;
    let mut worst = (0.0, "");
    for (what, make) in SHAPES {
        let settings = Settings::new(Duration::from_secs(3_600));
        let store = SessionStore::builder(settings).build().unwrap();
        // What the first one needs once is not its own.
        let first = store.create().unwrap();
        make(&first);
        let (taken, counted) = (TAKEN.load(Relaxed), store.stats().bytes);
        let sessions: Vec<_> = (0..SESSIONS).map(|_| store.create().unwrap()).collect();
        sessions.iter().for_each(make);
        // Frees what was replaced.
        for _ in 0..4 {
            store.collect();
        }
        let handles = sessions.capacity() * size_of::<LiveSession>();
        let taken = TAKEN.load(Relaxed).saturating_sub(taken + handles);
        let counted = (store.stats().bytes - counted) as usize;
        let factor = counted as f64 / taken.max(1) as f64;
        println!(
            "{what}: {} counted, {} taken: {factor:.2}",
            counted / SESSIONS,
            taken / SESSIONS
        );
        assert!(counted >= taken, "{what}: {counted} counted, {taken} taken");
        if taken / SESSIONS > 1_000 && factor > worst.0 {
            worst = (factor, what);
        }
    }
    println!(
        "counted as {:.1} times what it takes, at the worst: {}",
        worst.0, worst.1
    );
}
