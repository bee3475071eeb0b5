//! Models of the map's protocols, searched by loom.
//!
//! The crate compiles the sources of `dwell` itself, by path, against loom's atomics. It is empty
//! without `--cfg dwell_loom`. `.ci/loom` and `.ci/loom-deep` run all models, in two passes each:
//!
//! | pass | flags | what it covers |
//! |---|---|---|
//! | 1 | `--cfg dwell_loom` | weak memory: a load may return an older value |
//! | 2 | `--cfg dwell_loom --cfg dwell_rmw` | all schedules, those around a load that an exchange follows included, with the newest values only; see `models::dpor` |
//! | tier B | `--cfg dwell_loom --cfg dwell_epoch --cfg crossbeam_loom` | the assembled map on the real crossbeam-epoch |
#![cfg(dwell_loom)]

#[allow(dead_code)]
#[path = "../../src/clock.rs"]
mod clock;
#[allow(dead_code, unused_imports)]
#[path = "../../src/map/mod.rs"]
mod map;
#[allow(dead_code)]
mod protocols;
#[allow(dead_code)]
#[path = "../../src/sync.rs"]
mod sync;

#[cfg(test)]
mod explore;
#[cfg(test)]
mod models;
#[cfg(test)]
mod tables;
#[cfg(test)]
mod watched;
