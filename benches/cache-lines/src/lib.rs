//! Which cache lines an operation of the map reads and writes, how many atomic read-modify-writes it makes,
//! and how often it allocates: counted, not timed.
//!
//! The map's sources are compiled by path, as users get them but for the atomics, which note each access with
//! its address and its place in the source. Not seen are plain reads and writes (a record's key and value,
//! thread-locals), what the allocator does, and the skip list of the calendar's index, which insertions touch
//! when they open a bucket.
//!
//! `cargo run --release -p shared-lines` prints the table; the tests hold its promises.

#[path = "../../../src/alloc/mod.rs"]
mod alloc;
#[allow(dead_code)]
#[path = "../../../src/clock.rs"]
mod clock;
#[path = "../../../src/cpu/mod.rs"]
mod cpu;
#[allow(dead_code, unused_imports)]
#[path = "../../../src/map/mod.rs"]
mod map;
mod sync;

mod crowd;
mod recorder;

pub use crowd::{Count, Operation, SharedLine, count};
