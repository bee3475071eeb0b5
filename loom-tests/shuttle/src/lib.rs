//! Histories of the assembled map, and schedules in which a thread stops for ever.
//!
//! The same tests run in two ways:
//!
//! | flags | what runs | what is checked |
//! |---|---|---|
//! | none | `dwell` as users get it, on threads of the operating system | histories are linearizable |
//! | `--cfg dwell_shuttle` | its sources, compiled by path against shuttle's atomics | the same, under random and PCT schedulers; progress beside a thread that stopped |
//!
//! `.ci/shuttle` runs both. `DWELL_HISTORIES` multiplies the number of histories.

#[cfg(dwell_shuttle)]
#[allow(dead_code)]
#[path = "../../../src/clock.rs"]
mod clock;
#[cfg(dwell_shuttle)]
#[path = "../../../src/cpu/mod.rs"]
mod cpu;
#[cfg(dwell_shuttle)]
#[allow(dead_code, unused_imports)]
#[path = "../../../src/map/mod.rs"]
mod map;
#[cfg(dwell_shuttle)]
#[allow(dead_code)]
#[path = "../../../src/sync.rs"]
mod sync;

/// The map under test, whichever it is.
#[cfg(test)]
mod subject {
    #[cfg(dwell_shuttle)]
    pub(crate) use crate::{
        clock::Clock,
        map::{Builder, Handle, IdleMap, RemovalCause},
    };
    #[cfg(not(dwell_shuttle))]
    pub(crate) use dwell::{Builder, Clock, Handle, IdleMap, RemovalCause};
}

#[cfg(test)]
mod checker;
#[cfg(all(test, not(dwell_shuttle)))]
mod heats;
#[cfg(test)]
mod recorder;
#[cfg(test)]
mod spec;
#[cfg(all(test, not(dwell_shuttle)))]
mod threads;
#[cfg(test)]
mod workload;

#[cfg(all(test, dwell_shuttle))]
mod freezer;
#[cfg(all(test, dwell_shuttle))]
mod progress;
#[cfg(all(test, dwell_shuttle))]
mod regressions;
#[cfg(all(test, dwell_shuttle))]
mod schedules;
