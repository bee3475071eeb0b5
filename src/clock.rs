//! Clocks: milliseconds since an origin of the clock's own choosing.
//!
//! | clock | source | cost | suspended machine |
//! |---|---|---|---|
//! | [`CoarseClock`] | `CLOCK_MONOTONIC_COARSE` on Linux and Android, [`Instant`](std::time::Instant) elsewhere | about 5 ns on Linux, moves every 1 to 10 ms | stands still |
//! | [`PreciseClock`] | `CLOCK_BOOTTIME` on Linux and Android, `Instant` elsewhere | about 20 ns | goes on (Linux, Android) |
//! | [`ManualClock`] | set by hand, for tests | a load | |
//!
//! A millisecond in 60 bits lasts for 36 million years: ticks do not wrap.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A source of time for an [`IdleMap`](crate::IdleMap).
///
/// A clock should not go back. If it does, nothing breaks: a record's last access never decreases,
/// and nothing ends because of it. If it jumps ahead, what is due by the new time has ended.
///
/// ```
/// use dwell::{Clock, ManualClock};
/// use std::time::Duration;
///
/// let clock = ManualClock::new();
/// clock.advance(Duration::from_secs(2));
/// assert_eq!(clock.now_millis(), 2_000);
/// ```
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since the clock's origin.
    fn now_millis(&self) -> u64;
}

/// The default: monotonic, cheap, and as coarse as the kernel's timer (4 ms on most Linux systems).
///
/// Time does not pass for it while the machine is suspended; take [`PreciseClock`] where sessions
/// must lapse over a laptop's sleep.
///
/// ```
/// use dwell::{Clock, CoarseClock};
/// let earlier = CoarseClock.now_millis();
/// assert!(CoarseClock.now_millis() >= earlier);
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct CoarseClock;

/// Monotonic to the millisecond; on Linux and Android it counts the time the machine was suspended.
///
/// ```
/// use dwell::{IdleMap, PreciseClock};
/// let map: IdleMap<u64, &str> = IdleMap::builder().clock(PreciseClock).build()?;
/// # Ok::<(), dwell::BuildError>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct PreciseClock;

#[cfg(any(target_os = "linux", target_os = "android"))]
mod source {
    use rustix::time::{ClockId, clock_gettime};

    fn read(id: ClockId) -> u64 {
        let time = clock_gettime(id);
        time.tv_sec as u64 * 1_000 + time.tv_nsec as u64 / 1_000_000
    }

    #[inline]
    pub(super) fn coarse() -> u64 {
        read(ClockId::MonotonicCoarse)
    }

    #[inline]
    pub(super) fn precise() -> u64 {
        read(ClockId::Boottime)
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod source {
    use std::sync::OnceLock;
    use std::time::Instant;

    static ORIGIN: OnceLock<Instant> = OnceLock::new();

    pub(super) fn coarse() -> u64 {
        precise()
    }

    pub(super) fn precise() -> u64 {
        ORIGIN.get_or_init(Instant::now).elapsed().as_millis() as u64
    }
}

impl Clock for CoarseClock {
    #[inline]
    fn now_millis(&self) -> u64 {
        source::coarse()
    }
}

/// A clock that is shared is the same clock.
impl Clock for std::sync::Arc<dyn Clock> {
    fn now_millis(&self) -> u64 {
        (**self).now_millis()
    }
}

impl Clock for PreciseClock {
    #[inline]
    fn now_millis(&self) -> u64 {
        source::precise()
    }
}

/// A clock that moves only when told to. Clones share the time.
///
/// ```
/// use dwell::{IdleMap, ManualClock};
/// use std::time::Duration;
///
/// let clock = ManualClock::new();
/// let map = IdleMap::builder()
///     .idle_timeout(Duration::from_secs(60))
///     .clock(clock.clone())
///     .build()?;
/// map.insert("visitor", 1);
/// clock.advance(Duration::from_secs(59));
/// assert!(map.contains_key("visitor"));
/// clock.advance(Duration::from_secs(1));
/// assert!(!map.contains_key("visitor"));
/// # Ok::<(), dwell::BuildError>(())
/// ```
#[doc(alias("mock clock", "fake clock", "test clock"))]
#[derive(Debug, Clone, Default)]
pub struct ManualClock {
    millis: Arc<AtomicU64>,
}

impl ManualClock {
    /// A clock at zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// Moves the clock ahead, by whole milliseconds; stops at the end of time.
    pub fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        // Relaxed: the time orders nothing but itself.
        let _ = self
            .millis
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
                Some(now.saturating_add(by))
            });
    }

    /// Puts the clock at a time since its origin, also an earlier one.
    pub fn set(&self, since_origin: Duration) {
        let millis = u64::try_from(since_origin.as_millis()).unwrap_or(u64::MAX);
        self.millis.store(millis, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now_millis(&self) -> u64 {
        self.millis.load(Ordering::Relaxed)
    }
}
