//! The clocks that the contenders read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use dwell::{Builder, Clock, IdleMap};

use super::{Id, Value};

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
