//! Models of the map's protocols, searched by loom.
//!
//! The crate compiles the sources of `dwell` itself, by path, against loom's atomics. It is empty
//! without `--cfg dwell_loom`. `.ci/loom` and `.ci/loom-deep` run all models, in three passes each:
//!
//! | pass | flags, each with `--cfg` | what it covers |
//! |---|---|---|
//! | 1 | `dwell_loom` | loom as it is: stale values, and the schedules that it finds |
//! | 2 | `dwell_loom dwell_rmw` | all schedules, those around a load that an exchange follows included (see `models::dpor`), with the newest values |
//! | 3 | `dwell_loom dwell_shadow` | stale values on all schedules, at lower bounds (see `announced`) |
//! | tier B | `dwell_loom dwell_epoch` | the assembled map on its real epochs |
#![cfg(dwell_loom)]

#[allow(dead_code)]
mod asymmetric;
#[allow(dead_code)]
mod batches;
#[allow(dead_code)]
#[path = "../../../src/clock.rs"]
mod clock;
#[allow(dead_code)]
#[path = "../../../src/count.rs"]
mod count;
#[path = "../../../src/cpu/mod.rs"]
mod cpu;
#[allow(dead_code, unused_imports)]
#[path = "../../../src/map/mod.rs"]
mod map;
#[allow(dead_code)]
mod protocols;
#[allow(dead_code, unused_imports)]
mod session;
#[allow(dead_code)]
#[path = "../../../src/survive.rs"]
mod survive;
#[allow(dead_code)]
#[cfg_attr(dwell_shadow, path = "announced.rs")]
#[cfg_attr(not(dwell_shadow), path = "../../../src/sync.rs")]
mod sync;

// As the crate's root names them.
#[allow(unused_imports)]
use {
    clock::{Clock, CoarseClock},
    map::{BuildError, Collector, Handle, IdleMap, RemovalCause},
};

#[cfg(test)]
mod calendars;
#[cfg(test)]
mod explore;
#[cfg(test)]
mod models;
#[cfg(test)]
mod tables;
#[cfg(test)]
mod watched;
