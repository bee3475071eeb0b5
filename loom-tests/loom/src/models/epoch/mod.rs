//! Epochs, on both kinds of barriers: fences hide what the barriers' contract alone does not give.

// What it adds are stale values, which the second pass does not see.
#[cfg(not(dwell_rmw))]
mod by_contract;
mod by_fences;
