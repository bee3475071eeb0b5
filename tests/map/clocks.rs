//! The clocks: those of the system, against what else tells the time, and the one that is set by
//! hand.

use dwell::{Clock, CoarseClock, ManualClock, PreciseClock};
use std::time::{Duration, Instant};

/// What a clock moved while the standard library's moved by a little, and the least and the most
/// that this was: the time between two readings of the clock and around them.
fn moved(clock: impl Clock) -> (Duration, Duration, Duration) {
    let before = Instant::now();
    let first = clock.now_millis();
    let after = Instant::now();
    while after.elapsed() < Duration::from_millis(50) {
        std::hint::spin_loop();
    }
    let least = after.elapsed();
    let moved = clock.now_millis() - first;
    (Duration::from_millis(moved), least, before.elapsed())
}

#[test]
fn the_clocks_of_the_system_go_with_the_standard_librarys() {
    let tick = Duration::from_millis(10);
    let (coarse, least, most) = moved(CoarseClock);
    assert!(
        coarse + tick >= least && coarse <= most + tick,
        "{coarse:?}"
    );
    let (precise, least, most) = moved(PreciseClock);
    let millisecond = Duration::from_millis(1);
    assert!(precise + millisecond >= least, "{precise:?}");
    assert!(precise <= most + millisecond, "{precise:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn the_precise_clock_tells_how_long_the_machine_is_up() {
    let up = || {
        let text = std::fs::read_to_string("/proc/uptime").unwrap();
        let seconds = text.split(' ').next().unwrap();
        Duration::from_secs_f64(seconds.parse().unwrap())
    };
    // The kernel tells hundredths of seconds, rounded down.
    let (before, now, after) = (up(), PreciseClock.now_millis(), up());
    let now = Duration::from_millis(now);
    let millisecond = Duration::from_millis(1);
    assert!(before <= now + millisecond, "{before:?} {now:?}");
    assert!(
        now <= after + Duration::from_millis(11),
        "{now:?} {after:?}"
    );
}

#[test]
fn a_manual_clock_is_shared_by_its_clones() {
    let clock = ManualClock::new();
    let other = clock.clone();
    other.set(Duration::from_secs(60));
    other.advance(Duration::from_millis(1));
    assert_eq!(clock.now_millis(), 60_001);
}
