//! Models of the map's protocols, searched by loom.
//!
//! The crate compiles `dwell` itself against loom's atomics, and reaches the protocols below its
//! face through `dwell::internals`. It is empty without `--cfg dwell_loom`. `.ci/steps/loom` runs
//! all models in the first two passes; `.ci/deep/loom` runs all passes, at higher bounds:
//!
//! | pass | flags, each with `--cfg` | what it covers |
//! |---|---|---|
//! | 1 | `dwell_loom` | loom as it is: stale values, and the schedules that it finds |
//! | 2 | `dwell_loom dwell_rmw` | all schedules, those around a load that an exchange follows included (see `models::dpor`), with the newest values |
//! | 3 | `dwell_loom dwell_shadow` | stale values on all schedules, at lower bounds (see `src/sync/hook.rs`) |
//! | tier B | `dwell_loom dwell_epoch` | the assembled map on its real epochs |
#![cfg(all(dwell_loom, test))]

mod calendars;
mod explore;
mod models;
mod tables;
mod watched;
