//! What a processor offers beside atomics: prefetching, its own number, asymmetric barriers.

#[cfg(not(dwell_shuttle))]
pub mod membarrier;
mod prefetch;
pub mod shard;

pub use prefetch::prefetch;

#[cfg(all(test, target_os = "linux", not(any(dwell_loom, dwell_shuttle))))]
mod tests;
