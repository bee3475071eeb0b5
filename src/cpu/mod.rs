//! What this processor offers beside atomics.

mod prefetch;

pub(crate) use prefetch::prefetch;
