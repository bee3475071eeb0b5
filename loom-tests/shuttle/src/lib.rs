//! Histories of the assembled map, and schedules in which a thread stops for ever.
//!
//! The same tests run in two ways:
//!
//! | flags | what runs | what is checked |
//! |---|---|---|
//! | none | `dwell` as users get it, on threads of the operating system | histories are linearizable |
//! | `--cfg dwell_shuttle` | the same, compiled against shuttle's atomics | the same, under random and PCT schedulers; progress beside a thread that stopped |
//!
//! `.ci/steps/shuttle` runs both. `DWELL_HISTORIES` multiplies the number of histories.

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
