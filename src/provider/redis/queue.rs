//! Callers of this process that change one session at the same time come one after the other, in the order in which
//! they asked: each reads, and writes if nobody wrote since. Without an order most of them would read for nothing,
//! again and again. Other processes are not waited for: what they write meanwhile costs another attempt.

use super::names::Name;
use crate::IdleMap;
use crate::provider::Turn;
use crate::session::SessionError;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

/// By session. One that nobody waits for is not kept.
pub(super) struct Queues(Arc<IdleMap<Name, Arc<Semaphore>>>);

impl Queues {
    pub(super) fn new() -> Self {
        Self(Arc::new(IdleMap::without_idle_timeout()))
    }

    /// Waits until it is this caller's turn.
    pub(super) async fn turn(&self, name: Name, end: Instant) -> Result<Turn, SessionError> {
        let new = || Arc::new(Semaphore::new(1));
        let mut place = Place {
            queues: Arc::clone(&self.0),
            queue: Arc::clone(&self.0.get_or_insert_with(name, new)),
            name,
            permit: None,
        };
        let permit = Arc::clone(&place.queue).acquire_owned();
        let permit = timeout_at(end, permit).await;
        place.permit = permit.map_err(|_| SessionError::Contended)?.ok();
        Ok(Turn::new(end.into_std(), place))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// A place in a queue.
struct Place {
    queues: Arc<IdleMap<Name, Arc<Semaphore>>>,
    queue: Arc<Semaphore>,
    name: Name,
    permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.permit = None;
        // The map's and this one: nobody else waits. Whoever comes just now makes another queue, and at worst
        // another attempt.
        let is_idle = |queue: &Arc<Semaphore>| {
            Arc::ptr_eq(queue, &self.queue) && Arc::strong_count(queue) <= 2
        };
        self.queues.remove_if(&self.name, is_idle);
    }
}
