//! What loom's search covers: the hole in it is closed by the second and the third pass, and stale
//! values are seen in the first and the third.
//!
//! loom 0.7 remembers one last access per atomic. A thread that loads an atomic before it writes it
//! hides another thread's load from the search. Every loop around an exchange has that shape.

use crate::explore::{Size, both, explore};
use dwell::internals::sync::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::ptr;
use std::sync::{Arc, Mutex};

/// All outcomes that an exhaustive search finds.
fn outcomes<T: Ord + Debug + Send + 'static>(
    name: &str,
    model: impl Fn() -> T + Send + Sync + 'static,
) -> BTreeSet<T> {
    let found = Arc::new(Mutex::new(BTreeSet::new()));
    let seen = Arc::clone(&found);
    explore(name, Size::Small, move || {
        let outcome = model();
        seen.lock().unwrap().insert(outcome);
    });
    let found = std::mem::take(&mut *found.lock().unwrap());
    println!("     outcomes: {found:?}");
    found
}

macro_rules! the_search_sees {
    ($load_then_store:ident, $load_then_exchange:ident, $atomic:ty, $new:expr, $zero:expr, $one:expr) => {
        #[test]
        fn $load_then_store() {
            let found = outcomes(stringify!($load_then_store), || {
                let atomic = Arc::new($new);
                let (read, ()) = both(
                    &atomic,
                    |atomic| atomic.load(Ordering::SeqCst),
                    |atomic| {
                        atomic.load(Ordering::SeqCst);
                        atomic.store($one, Ordering::SeqCst);
                    },
                );
                read != $zero
            });
            // Should the first pass see both one day, loom has closed the hole, and the other
            // passes can go.
            let both = cfg!(any(dwell_rmw, dwell_shadow));
            assert_eq!(
                found,
                if both {
                    BTreeSet::from([false, true])
                } else {
                    BTreeSet::from([false])
                }
            );
        }

        #[test]
        fn $load_then_exchange() {
            let exchange = |atomic: &$atomic| {
                let seen = atomic.load(Ordering::SeqCst);
                let to = if seen == $zero { $one } else { $zero };
                atomic
                    .compare_exchange(seen, to, Ordering::SeqCst, Ordering::SeqCst)
                    .is_ok()
            };
            let found = outcomes(stringify!($load_then_exchange), move || {
                let atomic = Arc::new($new);
                let won = both(&atomic, exchange, exchange);
                (won, atomic.load(Ordering::SeqCst) != $zero)
            });
            let expected = [
                // One after the other, and both loads before both exchanges.
                ((true, true), false),
                ((true, false), true),
                ((false, true), true),
            ];
            assert_eq!(found, BTreeSet::from(expected));
        }
    };
}

the_search_sees!(
    a_load_then_a_store_of_32_bits,
    a_load_then_an_exchange_of_32_bits,
    AtomicU32,
    AtomicU32::new(0),
    0,
    1
);
the_search_sees!(
    a_load_then_a_store_of_64_bits,
    a_load_then_an_exchange_of_64_bits,
    AtomicU64,
    AtomicU64::new(0),
    0,
    1
);
the_search_sees!(
    a_load_then_a_store_of_a_word,
    a_load_then_an_exchange_of_a_word,
    AtomicUsize,
    AtomicUsize::new(0),
    0,
    1
);
the_search_sees!(
    a_load_then_a_store_of_a_pointer,
    a_load_then_an_exchange_of_a_pointer,
    AtomicPtr<u8>,
    AtomicPtr::<u8>::new(ptr::null_mut()),
    ptr::null_mut(),
    ptr::without_provenance_mut(8)
);

/// The outcomes of reading a message's flag, and then the message.
fn message_passing(name: &str, publish: Ordering, look: Ordering) -> BTreeSet<(usize, usize)> {
    outcomes(name, move || {
        let atomics = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
        let (seen, ()) = both(
            &atomics,
            move |(message, flag)| {
                let flag = flag.load(look);
                (flag, message.load(Ordering::Relaxed))
            },
            move |(message, flag)| {
                message.store(1, Ordering::Relaxed);
                flag.store(1, publish);
            },
        );
        seen
    })
}

#[test]
fn a_relaxed_flag_may_be_seen_before_its_message() {
    let found = message_passing(
        "a relaxed flag may be seen before its message",
        Ordering::Relaxed,
        Ordering::Relaxed,
    );
    // The second pass reads the newest values only.
    assert_eq!(found.contains(&(1, 0)), !cfg!(dwell_rmw));
}

#[test]
fn a_released_flag_is_not_seen_before_its_message() {
    let found = message_passing(
        "a released flag is not seen before its message",
        Ordering::Release,
        Ordering::Acquire,
    );
    assert!(found.contains(&(1, 1)) && !found.contains(&(1, 0)));
}
