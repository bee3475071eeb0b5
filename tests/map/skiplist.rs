//! crossbeam-skiplist 0.1.3 has four known bugs. The calendar's index stays clear of them by the
//! calls it makes: `get_or_insert` with keys that are never used twice, whose entry it releases,
//! `front`, `lower_bound` and `upper_bound`, and `get` followed by `Entry::remove`, whose result
//! nobody looks at. One test for each bug.

use crossbeam_epoch::{default_collector, pin};
use crossbeam_skiplist::SkipList;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

type Key = (u64, usize);

fn list<V>() -> SkipList<Key, V> {
    SkipList::new(default_collector().clone())
}

fn add<V: Send + 'static>(list: &SkipList<Key, V>, key: Key, value: V) {
    let guard = &pin();
    list.get_or_insert(key, value, guard).release(guard);
}

/// None if there is no such key; or whether it is this call that removed it.
fn remove<V: Send + 'static>(list: &SkipList<Key, V>, key: Key) -> Option<bool> {
    let guard = &pin();
    Some(list.get(&key, guard)?.remove())
}

/// Counts the values that exist.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Lets crossbeam's deferred actions run until nothing is left, or nothing more can be expected:
/// the tests beside this one may be pinned for a while.
fn quiesce(left: &AtomicUsize) {
    for _ in 0..1_000_000 {
        if left.load(Ordering::SeqCst) == 0 {
            break;
        }
        pin().flush();
        thread::yield_now();
    }
}

/// Bug 1 (#1023): an insertion that replaces lets the key vanish for a moment. Keys are never
/// replaced here, so a key that is there stays there while its neighbours come and go.
#[test]
fn a_key_that_stays_is_never_missed() {
    const KEY: Key = (5, 0);
    let list = list();
    add(&list, KEY, 7);
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1..200_000 {
                for quantum in [4, 5, 6] {
                    add(&list, (quantum, number), 0);
                    assert_eq!(remove(&list, (quantum, number)), Some(true));
                }
            }
            is_done.store(true, Ordering::Release);
        });
        while !is_done.load(Ordering::Acquire) {
            let guard = &pin();
            let found = list.get(&KEY, guard);
            assert_eq!(found.map(|entry| *entry.value()), Some(7));
            let above = list.lower_bound(Bound::Excluded(&(4, usize::MAX)), guard);
            assert_eq!(above.map(|entry| *entry.key()), Some(KEY));
        }
    });
}

/// Bug 2 (#1143): `remove(&key)` may return the entry to two callers. `Entry::remove` says true to
/// one; and after any of the calls has returned, nobody finds the key.
#[test]
fn a_key_that_several_remove_is_gone_once_and_for_all() {
    let list = list();
    let rounds = 20_000;
    let wins = AtomicUsize::new(0);
    let barrier = std::sync::Barrier::new(2);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for round in 0..rounds {
                    add(&list, (1, round), 0);
                    barrier.wait();
                    if remove(&list, (1, round)) == Some(true) {
                        wins.fetch_add(1, Ordering::SeqCst);
                    }
                    assert!(list.get(&(1, round), &pin()).is_none());
                    barrier.wait();
                }
            });
        }
    });
    assert_eq!(wins.load(Ordering::SeqCst), rounds);
    assert!(list.front(&pin()).is_none());
}

/// Bug 3 (#1178): `range` leaks the entry at its end. `lower_bound` and `upper_bound` do not.
#[test]
fn looking_for_neighbours_leaks_nothing() {
    let count = Arc::new(AtomicUsize::new(0));
    let list = list();
    for quantum in 0..100 {
        add(&list, (quantum, 0), Counted::new(&count));
    }
    for quantum in 0..100 {
        let guard = &pin();
        let key = (quantum, 0);
        assert!(list.front(guard).is_some());
        assert_eq!(
            list.lower_bound(Bound::Excluded(&key), guard).is_some(),
            quantum < 99
        );
        assert_eq!(
            list.upper_bound(Bound::Excluded(&key), guard).is_some(),
            quantum > 0
        );
    }
    for quantum in 0..100 {
        assert_eq!(remove(&list, (quantum, 0)), Some(true));
    }
    quiesce(&count);
    assert_eq!(count.load(Ordering::SeqCst), 0);
    drop(list);
}

/// Bug 4: `RefRange` is `Send` and `Sync` whatever it refers to. No range is made, and what an
/// entry leads to is shared between threads anyhow: the calendar asks for `Send` and `Sync` itself.
#[test]
fn a_map_of_what_is_not_shareable_is_refused() {
    fn is_shareable<T: Send + Sync>(_: &T) {}
    let map = dwell::IdleMap::<u64, String>::new(std::time::Duration::from_secs(1));
    is_shareable(&map);
}
