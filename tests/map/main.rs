//! The map: what it promises of each operation, and what it makes of races, faults and hostile
//! users.

#[path = "../support/allocator.rs"]
mod allocator;
mod common;

mod capacity;
mod clocks;
mod collection_in_parts;
mod collector;
mod declined;
mod faults;
mod hostile_keys;
mod lifetimes;
mod model;
mod nesting;
mod operations;
mod outages;
mod protection;
mod races;
mod regressions;
mod skiplist;
mod small_bounds;
mod stress;
