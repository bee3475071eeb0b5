//! A turn: callers that change one session at the same time come one after the other.

use crate::session::Snapshot;
use std::any::Any;
use std::fmt;
use std::time::Instant;

/// A caller's turn to change a session, from [`Provider::turn`](super::Provider::turn). It lasts
/// until it is dropped.
///
/// ```
/// use dwell::provider::Turn;
/// use std::time::Instant;
///
/// let turn = Turn::new(Instant::now(), None, "whatever is given back when the turn is dropped");
/// assert!(turn.is_over() && turn.seen().is_none());
/// ```
pub struct Turn {
    end: Instant,
    seen: Option<Snapshot>,
    _place: Box<dyn Any + Send>,
}

impl Turn {
    /// A turn that ends by itself at a time, with the session as it was last `seen`, if the
    /// provider knows. The place is dropped with the turn, which lets the next caller have its own.
    pub fn new(end: Instant, seen: Option<Snapshot>, place: impl Any + Send) -> Self {
        Self {
            end,
            seen,
            _place: Box::new(place),
        }
    }

    /// What the caller before left: the session as it was read or written under the same id. The
    /// caller's first attempt need not read it again.
    pub fn seen(&self) -> Option<&Snapshot> {
        self.seen.as_ref()
    }

    /// Whether the caller had its time, and should not try again.
    pub fn is_over(&self) -> bool {
        Instant::now() >= self.end
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn")
            .field("is_over", &self.is_over())
            .finish_non_exhaustive()
    }
}
