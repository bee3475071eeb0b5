//! Keys whose `Hash`, `Eq` or `Clone` panic or lie, and floods of keys of one
//! hash. Nothing is lost or leaked, and other keys are none the slower.

use crate::common::{MINUTE, Tally, Value, assert_ledger, panic_quietly, panics};
use dwell::IdleMap;
use std::cell::Cell;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

thread_local! {
    static HASH: Fuse = const { Fuse::new() };
    static EQ: Fuse = const { Fuse::new() };
    static CLONE: Fuse = const { Fuse::new() };
}

/// Counts calls, and panics at one of them.
struct Fuse {
    calls: Cell<u64>,
    blows_at: Cell<u64>,
}

impl Fuse {
    const fn new() -> Self {
        Fuse {
            calls: Cell::new(0),
            blows_at: Cell::new(u64::MAX),
        }
    }

    fn burn(&self) {
        let call = self.calls.get();
        self.calls.set(call + 1);
        if call == self.blows_at.get() {
            panic_quietly();
        }
    }

    /// The `n`-th call from here on, counted from zero, panics.
    fn arm(&self, n: u64) {
        self.calls.set(0);
        self.blows_at.set(n);
    }

    fn disarm(&self) {
        self.blows_at.set(u64::MAX);
    }
}

/// A key that collides with all others of its kind.
#[derive(Debug, Eq)]
struct Key(u32);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        HASH.with(Fuse::burn);
        state.write_u32(7);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        EQ.with(Fuse::burn);
        self.0 == other.0
    }
}

impl Clone for Key {
    fn clone(&self) -> Self {
        CLONE.with(Fuse::burn);
        Key(self.0)
    }
}

type Map = IdleMap<Key, Value>;
type Call = fn(&Map, &Arc<Tally>);

const KEYS: u32 = 12;
/// Of the keys `0..KEYS`, these calls are about 5 only, or about 99, which is
/// not there.
const CALLS: [Call; 16] = [
    |map, _| drop(map.get(&Key(5))),
    |map, _| drop(map.get(&Key(99))),
    |map, _| assert!(map.with(&Key(5), Value::number).is_some()),
    |map, _| drop(map.peek(&Key(5))),
    |map, _| assert!(map.contains_key(&Key(5))),
    |map, _| assert!(map.idle_for(&Key(5)).is_some()),
    |map, tally| drop(map.insert(Key(5), tally.value(5))),
    |map, tally| drop(map.insert(Key(99), tally.value(99))),
    |map, tally| drop(map.try_insert(Key(5), tally.value(5))),
    |map, tally| drop(map.try_insert(Key(99), tally.value(99))),
    |map, tally| drop(map.get_or_insert_with(Key(5), || tally.value(5))),
    |map, tally| drop(map.get_or_insert_with(Key(99), || tally.value(99))),
    |map, tally| drop(map.update(&Key(5), |_| tally.value(5))),
    |map, _| drop(map.remove(&Key(5))),
    |map, _| drop(map.remove_if(&Key(5), |_| true)),
    |map, _| assert!(map.set_idle_timeout(&Key(5), MINUTE)),
];

/// Makes every call panic at each of its calls of user code in turn, and looks
/// at the map afterwards. Returns how many panics there were.
fn blow_everywhere(fuse: &'static std::thread::LocalKey<Fuse>, look: impl Fn(&Map)) -> u64 {
    let mut blown = 0;
    for call in CALLS {
        for point in 0.. {
            let (map, tally) = (Map::new(MINUTE), Tally::new());
            for key in 0..KEYS {
                map.insert(Key(key), tally.value(key.into()));
            }
            fuse.with(|fuse| fuse.arm(point));
            let has_blown = panics(|| call(&map, &tally));
            fuse.with(Fuse::disarm);
            if !has_blown {
                break;
            }
            blown += 1;
            for key in (0..KEYS).filter(|key| *key != 5) {
                let found = map.get(&Key(key)).map(|value| value.number());
                assert_eq!(found, Some(key.into()));
            }
            look(&map);
            assert_ledger(&map);
            drop(map);
            tally.assert_alive(0);
        }
    }
    blown
}

/// The map is as it was before the call.
fn assert_untouched(map: &Map) {
    assert_eq!(map.get(&Key(5)).map(|value| value.number()), Some(5));
    assert!(map.get(&Key(99)).is_none());
    assert_eq!(map.len(), KEYS as usize);
}

#[test]
fn a_hash_that_panics_does_so_before_anything_changed() {
    let blown = blow_everywhere(&HASH, assert_untouched);
    assert!(blown >= CALLS.len() as u64, "{blown} points");
}

#[test]
fn an_eq_that_panics_anywhere_harms_no_other_key() {
    let blown = blow_everywhere(&EQ, |_| ());
    assert!(blown > 5 * CALLS.len() as u64, "{blown} points");
}

#[test]
fn a_clone_that_panics_leaves_the_record_as_it_was() {
    assert_eq!(blow_everywhere(&CLONE, assert_untouched), 1);
}

/// What a key says when it is asked.
#[derive(Clone, Copy, Debug)]
enum Says {
    Truth,
    Always,
    Never,
    /// Something else at each call.
    Anything,
}

#[derive(Clone, Debug)]
struct Liar {
    key: u32,
    hash: Says,
    eq: Says,
}

fn anything() -> u32 {
    thread_local!(static STATE: Cell<u32> = const { Cell::new(1) });
    STATE.with(|state| {
        state.set(
            state
                .get()
                .wrapping_mul(747_796_405)
                .wrapping_add(2_891_336_453),
        );
        state.get() >> 16
    })
}

impl Hash for Liar {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u32(match self.hash {
            Says::Truth => self.key,
            Says::Always | Says::Never => 7,
            Says::Anything => anything(),
        });
    }
}

impl PartialEq for Liar {
    fn eq(&self, other: &Self) -> bool {
        match self.eq {
            Says::Truth => self.key == other.key,
            Says::Always => true,
            Says::Never => false,
            Says::Anything => anything().is_multiple_of(2),
        }
    }
}

impl Eq for Liar {}

#[test]
fn keys_that_lie_break_nothing_but_their_own_look_ups() {
    let says = [Says::Truth, Says::Always, Says::Never, Says::Anything];
    for (hash, eq) in says.into_iter().flat_map(|h| says.map(|e| (h, e))) {
        let (tally, clock) = (Tally::new(), crate::common::clock());
        let map = IdleMap::builder().clock(clock.clone()).build().unwrap();
        for round in 0..3 {
            for key in 0..300 {
                let key = Liar { key, hash, eq };
                map.insert(key.clone(), tally.value(round));
                map.get(&key);
                map.update(&key, Value::next);
                let _ = map.try_insert(key.clone(), tally.value(round));
                map.get_or_insert_with(key.clone(), || tally.value(round));
                map.set_lifetime(&key, MINUTE);
                if round > 0 {
                    map.remove(&key);
                }
            }
            assert_ledger(&map);
            assert!(map.iter().count() <= map.len(), "{hash:?} {eq:?}");
            map.retain(|key, _| key.key % 2 == 0);
        }
        clock.advance(60 * MINUTE);
        map.collect();
        assert_eq!((map.len(), map.iter().count()), (0, 0), "{hash:?} {eq:?}");
        drop(map);
        tally.assert_alive(0);
    }
}

#[test]
fn keys_that_are_equal_but_hash_apart_can_still_be_removed() {
    let (hash, eq) = (Says::Truth, Says::Always);
    let map = IdleMap::new(MINUTE);
    (0..40).for_each(|key| drop(map.insert(Liar { key, hash, eq }, ())));
    // Where the tags agree by chance, one replaces the other in its place.
    let mut replaced = 0;
    for key in 100..10_000_000 {
        match map.insert(Liar { key, hash, eq }, ()) {
            Some(_) => replaced += 1,
            None => drop(map.remove(&Liar { key, hash, eq })),
        }
        if replaced == 5 {
            break;
        }
    }
    assert_eq!(replaced, 5);
    // The table grows, and their ways part.
    for key in 0..5_000 {
        map.insert(Liar { key, hash, eq }, ());
    }
    map.clear();
    assert_eq!((map.len(), map.iter().count()), (0, 0));
    assert_ledger(&map);
}

/// Hashes a number to itself.
#[derive(Clone, Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("keys here are numbers");
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

impl BuildHasher for Identity {
    type Hasher = Identity;

    fn build_hasher(&self) -> Identity {
        Identity::default()
    }
}

/// A key that chooses its own hash.
#[derive(Clone, Eq)]
struct Crafted {
    key: u32,
    hash: u64,
}

impl Hash for Crafted {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl PartialEq for Crafted {
    fn eq(&self, other: &Self) -> bool {
        EQ.with(Fuse::burn);
        self.key == other.key
    }
}

#[test]
fn a_flood_of_keys_of_one_hash_slows_only_itself() {
    const FLOOD: u32 = 20_000;
    const OTHERS: u32 = 1_000;
    let crafted = |key| Crafted { key, hash: 42 };
    // Spread like the output of a real hasher.
    let other = |key: u32| Crafted {
        key: FLOOD + key,
        hash: u64::from(key + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15),
    };
    let map = IdleMap::builder()
        .hasher(Identity::default())
        .build()
        .unwrap();
    for key in 0..FLOOD {
        assert!(map.insert(crafted(key), key).is_none());
    }
    assert_eq!(map.len(), FLOOD as usize);
    EQ.with(|eq| eq.arm(u64::MAX));
    for key in 0..OTHERS {
        map.insert(other(key), key);
        assert_eq!(map.get(&other(key)).as_deref(), Some(&key));
        assert!(map.get(&other(key + OTHERS)).is_none());
        map.update(&other(key), |value| value + 1);
        assert_eq!(map.remove(&other(key)).as_deref(), Some(&(key + 1)));
    }
    let compared = EQ.with(|eq| eq.calls.get());
    assert!(compared < 5 * u64::from(OTHERS), "{compared} comparisons");
    for key in (0..FLOOD).step_by(97) {
        assert_eq!(map.remove(&crafted(key)).as_deref(), Some(&key));
        assert!(map.get(&crafted(key)).is_none());
    }
    map.clear();
    assert!(map.is_empty());
    assert_ledger(&map);
}
