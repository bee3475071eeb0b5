//! The maps measured, behind one trait, and the load put on them.

pub mod load;
pub mod own;
pub mod peers;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use dwell::{Builder, Clock, IdleMap};

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
    /// Looks up, touches, and folds the value.
    fn get(&mut self, id: &Id) -> Option<u64>;
    /// Replaces the value by [`updated`], atomically, and touches; whether the id was known.
    fn update(&mut self, id: &Id) -> bool;
    /// Whether the id was new.
    fn create(&mut self, id: Id, value: Value) -> bool;
    /// Whether the id was known.
    fn remove(&mut self, id: &Id) -> bool;
    /// Ends what is due and returns how many sessions that was.
    fn collect(&mut self) -> usize;
}

/// A map, or for the unshared limit as many maps as there are threads.
pub trait Contender: Send {
    /// False where each thread has a map of its own.
    const SHARED: bool = true;
    /// True where sessions lapse by a clock that cannot be set.
    const OWN_CLOCK: bool = false;
    type Time: Time;
    type Store<'a>: Store + Send
    where
        Self: 'a;

    /// `idle` is [`IDLE`] but for a contender with [`Self::OWN_CLOCK`].
    fn new(time: Self::Time, idle: Duration) -> Self;

    /// One store for each of `threads` threads.
    fn stores(&mut self, threads: usize) -> Vec<Self::Store<'_>>;
}

/// A clock for the peers, with the builder of a [`dwell::IdleMap`] that reads the same.
pub trait Time: Clock + Clone + Default {
    fn builder(self) -> Builder<Id, Value>;
}

/// The clock [`dwell::CoarseClock`] reads, read independently of it.
#[derive(Clone, Copy, Default)]
pub struct Coarse;

impl Clock for Coarse {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[inline]
    fn now_millis(&self) -> u64 {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
        now.tv_sec as u64 * 1_000 + now.tv_nsec as u64 / 1_000_000
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    #[inline]
    fn now_millis(&self) -> u64 {
        dwell::CoarseClock.now_millis()
    }
}

impl Time for Coarse {
    fn builder(self) -> Builder<Id, Value> {
        IdleMap::builder()
    }
}

/// [`Coarse`], ticking on, but it can be moved ahead so that sessions lapse.
#[derive(Clone, Default)]
pub struct Skewed(Arc<AtomicU64>);

impl Skewed {
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_millis() as u64, Relaxed);
    }
}

impl Clock for Skewed {
    #[inline]
    fn now_millis(&self) -> u64 {
        Coarse.now_millis() + self.0.load(Relaxed)
    }
}

impl Time for Skewed {
    fn builder(self) -> Builder<Id, Value> {
        IdleMap::builder().clock(self)
    }
}
