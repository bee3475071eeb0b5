//! Turns: callers that change one session at the same time come one after the other.

use std::any::Any;
use std::fmt;
use std::time::Instant;

/// A caller's turn to change a session, from [`Provider::turn`](super::Provider::turn). It lasts until it is dropped.
///
/// ```
/// use dwell::provider::Turn;
/// use std::time::Instant;
///
/// let turn = Turn::new(Instant::now(), "whatever is given back when the turn is dropped");
/// assert!(turn.is_over());
/// ```
pub struct Turn {
    end: Instant,
    _place: Box<dyn Any + Send>,
}

impl Turn {
    /// A turn that ends by itself at a time. The place is dropped with it, which lets the next caller have its turn.
    pub fn new(end: Instant, place: impl Any + Send) -> Self {
        Self {
            end,
            _place: Box::new(place),
        }
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
