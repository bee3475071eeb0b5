//! User code that the map calls may call a map, the same or another one: it neither nests without
//! bound nor is lost.

use crate::common::{MINUTE, millis};
use dwell::{Clock, IdleMap, ManualClock, RemovalCause};
use std::borrow::Borrow;
use std::cell::{Cell, RefCell};
use std::hash::{Hash, Hasher};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock, Weak, mpsc};
use std::thread;

/// What the map calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Called {
    DropOfKey,
    DropOfValue,
    Listener,
    Hash,
    Eq,
    Clock,
    Weigher,
    Closure,
}

use Called::*;

type Act = Rc<dyn Fn()>;

thread_local! {
    /// What is done by one of these, on this thread.
    static ARMED: RefCell<Option<(Called, Act)>> = const { RefCell::new(None) };
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    static DEEPEST: Cell<usize> = const { Cell::new(0) };
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

/// To be called by all that the map calls.
fn called(by: Called) {
    let act = ARMED.with_borrow(|armed| armed.clone());
    let Some((_, act)) = act.filter(|(armed, _)| *armed == by) else {
        return;
    };
    // What each operation calls would call itself for ever, if it did not look for that.
    if !matches!(by, DropOfKey | DropOfValue | Listener) && DEPTH.get() > 0 {
        return;
    }
    DEPTH.set(DEPTH.get() + 1);
    DEEPEST.set(DEEPEST.get().max(DEPTH.get()));
    CALLS.set(CALLS.get() + 1);
    act();
    DEPTH.set(DEPTH.get() - 1);
}

#[derive(Clone)]
struct Key(u64);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        called(Hash);
        self.0.hash(state);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        called(Eq);
        self.0 == other.0
    }
}

impl std::cmp::Eq for Key {}

// So that looking a key up neither makes nor drops one.
impl Borrow<u64> for Key {
    fn borrow(&self) -> &u64 {
        &self.0
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        called(DropOfKey);
    }
}

struct Value(u64);

impl Drop for Value {
    fn drop(&mut self) {
        called(DropOfValue);
    }
}

struct Calling(ManualClock);

impl Clock for Calling {
    fn now_millis(&self) -> u64 {
        called(Clock);
        self.0.now_millis()
    }
}

type Map = IdleMap<Key, Value>;

fn map(clock: &ManualClock) -> Arc<Map> {
    let builder = Map::builder()
        .idle_timeout(MINUTE)
        .clock(Calling(clock.clone()))
        .weight_capacity(100, |_, _| {
            called(Weigher);
            1
        })
        .on_removal(|_, _| called(Listener));
    Arc::new(builder.build().unwrap())
}

/// What is done to a map by what is called; `key` is a new one each time.
type Inner = (&'static str, fn(&Map, u64));

const INNER: [Inner; 9] = [
    ("insert", |map, key| drop(map.insert(Key(key), Value(0)))),
    ("insert and remove", |map, key| {
        map.insert(Key(key), Value(0));
        map.remove(&key);
    }),
    ("remove", |map, key| drop(map.remove(&(key % 50)))),
    ("update", |map, key| {
        map.update(&(key % 50), |value| Value(value.0 + 1));
    }),
    ("get", |map, key| drop(map.get(&(key % 50)))),
    ("collect", |map, _| assert!(map.collect() <= 300)),
    ("evict", |map, _| assert!(map.evict(1) <= 1)),
    ("retain", |map, key| {
        map.retain(|other, _| other.0 % 50 != key % 50)
    }),
    ("clear", |map, _| map.clear()),
];

/// A bit of everything.
fn work(map: &Map, clock: &ManualClock) {
    for n in 0..300 {
        let key = n % 120;
        map.insert(Key(key), Value(n));
        map.with(&key, |_| called(Closure));
        map.get_if(&(n % 7), |_| {
            called(Closure);
            n % 2 == 0
        });
        let _ = map.try_update(&(n % 50), |old| {
            called(Closure);
            if n % 3 == 0 {
                Err(())
            } else {
                Ok(Value(old.0))
            }
        });
        let _ = map.try_insert(Key(n % 11), Value(0));
        map.get_or_insert_with(Key(n % 13), || {
            called(Closure);
            Value(0)
        });
        map.remove_if(&(n % 17), |_| {
            called(Closure);
            true
        });
        if n % 50 == 0 {
            clock.advance(millis(30_000));
            map.retain(|key, _| {
                called(Closure);
                key.0 % 2 == 0
            });
            map.collect();
            map.evict(3);
        }
    }
}

/// Runs a test on a thread of its own, with little stack.
fn on_a_small_stack(test: impl FnOnce() + Send + 'static) {
    let thread = thread::Builder::new().stack_size(512 << 10).spawn(test);
    thread.unwrap().join().unwrap();
}

#[test]
fn what_the_map_calls_may_call_the_same_map_or_another_one() {
    on_a_small_stack(|| {
        let kinds = [
            DropOfKey,
            DropOfValue,
            Listener,
            Hash,
            Eq,
            Clock,
            Weigher,
            Closure,
        ];
        for by in kinds {
            for (name, inner) in INNER {
                for is_same in [true, false] {
                    let clock = crate::common::clock();
                    let (worked, other) = (map(&clock), map(&clock));
                    let called = Arc::downgrade(if is_same { &worked } else { &other });
                    let next = Cell::new(1_u64 << 40);
                    let act = move || {
                        let map: Option<Arc<Map>> = Weak::upgrade(&called);
                        next.set(next.get() + 1);
                        // A listener that inserts into a full map each time would not come to an
                        // end.
                        if by != Listener || next.get().is_multiple_of(2) {
                            map.inspect(|map| inner(map, next.get()));
                        }
                    };
                    CALLS.set(0);
                    DEEPEST.set(0);
                    ARMED.set(Some((by, Rc::new(act))));
                    work(&worked, &clock);
                    let what = format!("{by:?} that calls {name}, same: {is_same}");
                    assert!(CALLS.get() > 10, "{what}");
                    // Freeing inside of a handle's drop, or of telling, is one more.
                    assert!(DEEPEST.get() <= 3, "{what}: {}", DEEPEST.get());
                    ARMED.set(None);
                    worked.collect();
                    crate::common::assert_ledger(&worked);
                    crate::common::assert_quiet(&worked);
                }
            }
        }
    });
}

#[test]
fn a_drop_that_writes_does_not_nest_however_much_is_ready() {
    on_a_small_stack(|| {
        let map: Arc<Map> = Arc::new(IdleMap::new(MINUTE));
        const GARBAGE: u64 = 50_000;
        for key in 0..=GARBAGE {
            map.insert(Key(key), Value(key));
        }
        map.with(&GARBAGE, |_| {
            for key in 0..GARBAGE {
                map.remove(&key);
            }
        });
        let weak = Arc::downgrade(&map);
        let act = move || {
            if let Some(map) = weak.upgrade() {
                map.insert(Key(1 << 40), Value(0));
                map.remove(&(1 << 41));
            }
        };
        ARMED.set(Some((DropOfValue, Rc::new(act))));
        // A reader of another test that stands still holds back what is freed here. One round is
        // enough without one.
        let mut keys = (0..100).flat_map(|_| 0..GARBAGE);
        while CALLS.get() <= GARBAGE as usize / 2 {
            let key = keys.next().expect("nothing is freed");
            map.insert(Key(key), Value(key));
            map.remove(&key);
        }
        assert_eq!(DEEPEST.get(), 1);
        ARMED.set(None);
        map.collect();
    });
}

#[test]
fn ends_that_a_listener_causes_are_told_once_and_before_the_call_returns() {
    on_a_small_stack(|| {
        const RECORDS: u64 = 3_000;
        let inner: [fn(&IdleMap<u64, u64>); 3] = [
            |map| map.clear(),
            |map| map.retain(|_, _| false),
            |map| assert!(map.evict(1) <= 1),
        ];
        for inner in inner {
            let cell = Arc::new(OnceLock::<Weak<IdleMap<u64, u64>>>::new());
            let told = Arc::new(AtomicUsize::new(0));
            let listener = {
                let (cell, told) = (Arc::clone(&cell), Arc::clone(&told));
                move |_: &_, _| {
                    assert_eq!(DEPTH.replace(1), 0);
                    told.fetch_add(1, SeqCst);
                    cell.get().and_then(Weak::upgrade).inspect(|map| inner(map));
                    DEPTH.set(0);
                }
            };
            let builder = IdleMap::builder().idle_timeout(MINUTE);
            let map = Arc::new(builder.on_removal(listener).build().unwrap());
            cell.set(Arc::downgrade(&map)).unwrap();
            for key in 0..RECORDS {
                map.insert(key, key);
            }
            while let Some(first) = map.iter().next() {
                map.remove(first.key());
                let gone = RECORDS as usize - map.len();
                assert_eq!((told.load(SeqCst), gone), (gone, told.load(SeqCst)));
                if map.is_empty() {
                    break;
                }
            }
            assert_eq!(map.stats().listener_panics, 0);
        }
    });
}

#[test]
fn a_listener_that_ends_a_record_whenever_it_is_told_does_not_keep_the_call() {
    on_a_small_stack(|| {
        let cell = Arc::new(OnceLock::<Weak<IdleMap<u64, u64>>>::new());
        let told = Arc::new(AtomicUsize::new(0));
        let listener = {
            let (cell, told) = (Arc::clone(&cell), Arc::clone(&told));
            move |_: &_, _| {
                let n = told.fetch_add(1, SeqCst) as u64;
                cell.get()
                    .and_then(Weak::upgrade)
                    .inspect(|map| drop(map.insert(1_000 + n, n)));
            }
        };
        let builder = IdleMap::builder().idle_timeout(MINUTE).capacity(100);
        let map = Arc::new(builder.on_removal(listener).build().unwrap());
        cell.set(Arc::downgrade(&map)).unwrap();
        for key in 0..=100 {
            map.insert(key, key);
        }
        assert_eq!(map.len(), 100);
        let evicted = map.stats().evicted as usize;
        assert!((1_000..100_000).contains(&told.load(SeqCst)));
        assert_eq!(evicted, told.load(SeqCst) + 1, "all but the last were told");
        map.remove(map.iter().next().unwrap().key());
        assert!(
            told.load(SeqCst) > evicted,
            "and that one with the next end"
        );
    });
}

#[test]
fn what_a_nested_call_ends_is_told_although_its_map_is_gone() {
    let told = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&told);
    let outer = IdleMap::builder()
        .on_removal(move |_, cause| {
            let told = Arc::clone(&count);
            let inner = IdleMap::<u8, String>::builder().on_removal(move |value, cause| {
                assert_eq!((value.as_str(), cause), ("gone", RemovalCause::Removed));
                told.fetch_add(1, SeqCst);
            });
            let inner = inner.build().unwrap();
            inner.insert(1, String::from("gone"));
            inner.remove(&1);
            assert_eq!(cause, RemovalCause::Removed);
        })
        .build()
        .unwrap();
    outer.insert(1, 1);
    outer.remove(&1);
    assert_eq!(told.load(SeqCst), 1);
}

/// Waits when it is dropped.
struct Slow(Option<mpsc::Sender<mpsc::Sender<()>>>);

impl Drop for Slow {
    fn drop(&mut self) {
        if let Some(started) = self.0.take() {
            let (go, goes_on) = mpsc::channel();
            started.send(go).unwrap();
            goes_on.recv().unwrap();
        }
    }
}

#[test]
fn a_slow_drop_does_not_hold_back_the_garbage_of_other_maps() {
    let frees: [fn(&IdleMap<u64, Slow>); 2] = [
        |map| assert_eq!(map.collect(), 0),
        |map| {
            map.insert(2, Slow(None));
            map.remove(&2);
        },
    ];
    for free in frees {
        let map = IdleMap::<u64, Slow>::new(MINUTE);
        let (started, starts) = mpsc::channel();
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                map.insert(1, Slow(Some(started)));
                map.remove(&1);
                while !is_over.load(SeqCst) {
                    free(&map);
                }
            });
            let go: mpsc::Sender<()> = starts.recv().unwrap();
            let other = IdleMap::<u64, u64>::new(MINUTE);
            let is_freed = (0..100).any(|_| {
                for key in 0..20_000 {
                    other.insert(key, key);
                    other.remove(&key);
                }
                other.stats().garbage < 20_000
            });
            is_over.store(true, SeqCst);
            go.send(()).unwrap();
            assert!(is_freed, "garbage {}", other.stats().garbage);
        });
    }
}
