//! Sessions in a Redis server, which each test starts for itself.

#[path = "../support/redis_server/mod.rs"]
mod redis_server;

mod answers;
mod cluster;
mod conformance;
mod contention;
mod costs;
mod failover;
mod faults;
mod near;
mod near_bounds;
mod refusals;
