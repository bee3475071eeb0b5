//! Which cache lines an operation of the map reads and writes, how many atomic read-modify-writes
//! it makes, and how often it allocates: counted, not timed.
//!
//! `dwell` is compiled with `--cfg dwell_counted`: its atomics tell of each access with its address
//! and its place in the source. Not seen are plain reads and writes (a record's key and value,
//! thread-locals), what the allocator does, and the skip list of the calendar's index, which
//! insertions touch when they open a bucket. Without the cfg the crate is empty.
//!
//! `RUSTFLAGS="--cfg dwell_counted" cargo run --release -p shared-lines` prints the table; the
//! tests hold its promises.
#![cfg(dwell_counted)]

mod crowd;
mod recorder;

pub use crowd::{Count, Operation, SharedLine, count};
