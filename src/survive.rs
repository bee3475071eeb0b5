//! Calls of the application's code that must not end the thread that makes them.

use std::mem::forget;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls `action`. False if it panicked. What it panicked with is dropped, and if that panics as
/// well, what that panicked with is leaked.
pub(crate) fn survives(action: impl FnOnce()) -> bool {
    attempt(action).is_some()
}

/// The same for an action that returns something; none if it panicked.
pub(crate) fn attempt<R>(action: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(action)) {
        Ok(result) => Some(result),
        Err(payload) => {
            if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
                forget(again);
            }
            None
        }
    }
}
