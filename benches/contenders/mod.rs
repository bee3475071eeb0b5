//! The maps measured, behind one trait, and the load put on them.

/// For a contender with the parameter `T: Time` that all threads share by reference.
macro_rules! shared_by_threads {
    () => {
        type Time = T;
        type Store<'a>
            = &'a Self
        where
            Self: 'a;

        fn stores(&mut self, threads: usize) -> Vec<&Self> {
            vec![self; threads]
        }
    };
}

mod caches;
mod entry;
mod limits;
pub mod load;
mod own;
mod registry;
mod seed;
mod skiplist;
mod tables;
mod time;
mod tower;

use std::ops::Range;
use std::thread;
use std::time::Duration;

pub use registry::{NAMES, Task, run};
pub use time::{Coarse, Skewed, Time};

/// A random session id, as a server would issue it.
pub type Id = [u8; 16];
/// What a session holds. Every value in a map satisfies `fold(value) == FOLD`.
pub type Value = [u64; 8];

/// The idle timeout of every contender that can take any clock.
pub const IDLE: Duration = Duration::from_secs(30 * 60);
/// What [`fold`] gives for every value; only loads can tell, so it makes a data dependency.
pub const FOLD: u64 = u64::MAX;

/// The value session number `session` starts with.
pub fn value(session: u64) -> Value {
    [session, 1, 2, 3, 4, 5, 6, !session]
}

/// Reads a value at both ends.
#[inline]
pub fn fold(value: &Value) -> u64 {
    value[0] ^ value[7]
}

/// The value an update replaces `value` with.
#[inline]
pub fn updated(value: &Value) -> Value {
    let mut next = *value;
    next[0] = next[0].wrapping_add(1);
    next[7] = !next[0];
    next
}

/// The id of session number `session`: computed, so that no table of ids adds cache misses.
#[inline]
pub fn id(session: u64) -> Id {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&mix(session).to_le_bytes());
    bytes[8..].copy_from_slice(&mix(session ^ 0x9e37_79b9_7f4a_7c15).to_le_bytes());
    bytes
}

/// MurmurHash3's 64-bit finalizer.
#[inline]
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    x = (x ^ (x >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ (x >> 33)
}

/// What one thread does with a map.
pub trait Store {
    /// Looks up, touches, and reads the value.
    fn with<R>(&mut self, id: &Id, read: impl FnOnce(&Value) -> R) -> Option<R>;

    /// Looks up, touches, and folds the value.
    #[inline]
    fn get(&mut self, id: &Id) -> Option<u64> {
        self.with(id, fold)
    }

    /// Replaces the value by [`updated`] and touches; whether the id was known.
    fn update(&mut self, id: &Id) -> bool;

    /// Whether the id was new.
    fn create(&mut self, id: Id, value: Value) -> bool;

    /// Whether the id was known.
    fn remove(&mut self, id: &Id) -> bool;

    /// Ends what is due and returns how many sessions that was.
    fn collect(&mut self) -> usize;
}

/// Threads that fill a map; a contender of which each thread has its own has as many maps.
pub const FILLERS: u64 = 2;

/// A map, or for the unshared limit as many maps as there are threads.
pub trait Contender: Send + Sized {
    /// False where each thread has a map of its own.
    const SHARED: bool = true;
    /// True where sessions lapse by a clock that cannot be set.
    const OWN_CLOCK: bool = false;
    /// False where a filled map is only read.
    const CHANGES: bool = true;
    /// False where nothing ends sessions that have lapsed.
    const COLLECTS: bool = true;
    /// False where [`Store::create`] does not learn whether the id was new.
    const TELLS_CREATED: bool = true;
    /// False where [`Store::remove`] does not learn whether the id was known.
    const TELLS_REMOVED: bool = true;
    type Time: Time;
    type Store<'a>: Store + Send
    where
        Self: 'a;

    /// A map without a bound. `idle` is [`IDLE`] but for a contender with [`Self::OWN_CLOCK`];
    /// `sessions` is for those that must know in advance how many there will be.
    fn new(time: Self::Time, idle: Duration, sessions: u64) -> Self;

    /// A map that ends other sessions to have no more than `capacity`; none if it has no bound.
    fn bounded(_time: Self::Time, _idle: Duration, _capacity: u64) -> Option<Self> {
        None
    }

    /// One store for each of `threads` threads.
    fn stores(&mut self, threads: usize) -> Vec<Self::Store<'_>>;

    /// Creates the sessions of these numbers; in each map, if there are several.
    fn fill(&mut self, sessions: Range<u64>) {
        thread::scope(|scope| {
            for (thread, mut store) in (0..).zip(self.stores(FILLERS as usize)) {
                let sessions = sessions.clone();
                let (first, step) = if Self::SHARED {
                    (thread, FILLERS)
                } else {
                    (0, 1)
                };
                scope.spawn(move || {
                    load::create(&mut store, sessions.skip(first).step_by(step as usize));
                });
            }
        });
    }
}
