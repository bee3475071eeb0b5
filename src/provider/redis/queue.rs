//! Queues: callers of this process that change one session at the same time come one after the
//! other.
//!
//! They come in the order in which they asked. Each writes if nobody wrote since it read. Without
//! an order most of them would read for nothing, again and again. A caller leaves what the server
//! told it of the session to the next one, which then need not read.
//!
//! Other processes are not waited for: what they write meanwhile costs another attempt. But a
//! process that always knows the newest version is always the first to write at it, and the others
//! would meet a conflict each time. So after a streak of turns the next one begins with a pause of
//! two average turns. In that time a caller of another process, which tries all the time, is told
//! the newest version and writes at it.

use super::names::Name;
use crate::IdleMap;
use crate::provider::Turn;
use crate::session::{By, SessionError, Snapshot};
use arc_swap::ArcSwapOption;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until, timeout_at};

/// So many turns follow each other without a pause.
const STREAK: u32 = 32;
/// The pause after that, in average turns: one to be told the newest version, and one to write at
/// it.
const PAUSE: u32 = 2;
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// By session. One that nobody waits for is not kept.
pub(super) struct Queues(Arc<IdleMap<Name, Arc<Queue>>>);

struct Queue {
    turns: Arc<Semaphore>,
    streak: ArcSwapOption<Streak>,
    left: ArcSwapOption<Left>,
}

/// Turns without a pause between them.
struct Streak {
    began: Instant,
    turns: u32,
}

/// The session as a caller was last told of it, and how that caller named it.
struct Left {
    by: By,
    newest: Snapshot,
}

impl Queues {
    pub(super) fn new() -> Self {
        Self(Arc::new(IdleMap::without_idle_timeout()))
    }

    /// Waits until it is this caller's turn.
    pub(super) async fn turn(&self, by: By, end: Instant) -> Result<Turn, SessionError> {
        let new = || {
            Arc::new(Queue {
                turns: Arc::new(Semaphore::new(1)),
                streak: ArcSwapOption::empty(),
                left: ArcSwapOption::empty(),
            })
        };
        let name = Name::of(&by.key());
        let mut place = Place {
            queues: Arc::clone(&self.0),
            queue: Arc::clone(&self.0.get_or_insert_with(name, new)),
            name,
            permit: None,
        };
        let permit = Arc::clone(&place.queue.turns).acquire_owned();
        let permit = timeout_at(end, permit).await;
        place.permit = permit.map_err(|_| SessionError::Contended)?.ok();
        if let Some(pause) = place.queue.next_turn() {
            sleep_until(end.min(Instant::now() + pause)).await;
        }
        // Under another id it is not this caller's to see: that id may answer where this one does
        // not.
        let left = place.queue.left.load();
        let seen = left.as_ref().filter(|left| left.by == by);
        let seen = seen.map(|left| left.newest.clone());
        drop(left);
        Ok(Turn::new(end.into_std(), seen, place))
    }

    /// Leaves what the server said of a session to the callers that wait for it, if there are any.
    pub(super) fn leave(&self, by: &By, newest: &Snapshot) {
        if let Some(queue) = self.0.peek(&Name::of(&by.key())) {
            let (by, newest) = (*by, newest.clone());
            queue.left.store(Some(Arc::new(Left { by, newest })));
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Queue {
    /// Counts the turn that begins. How long it is to pause, if it is the first one after a streak.
    fn next_turn(&self) -> Option<Duration> {
        let now = Instant::now();
        let streak = self.streak.load();
        let (streak, pause) = match streak.as_deref() {
            Some(&Streak { began, turns }) if turns < STREAK => {
                let turns = turns + 1;
                (Streak { began, turns }, None)
            }
            Some(streak) => {
                let pause = (now.duration_since(streak.began) * PAUSE / STREAK).min(LONGEST_PAUSE);
                let (began, turns) = (now + pause, 1);
                (Streak { began, turns }, Some(pause))
            }
            None => (
                Streak {
                    began: now,
                    turns: 1,
                },
                None,
            ),
        };
        self.streak.store(Some(Arc::new(streak)));
        pause
    }
}

/// A place in a queue.
struct Place {
    queues: Arc<IdleMap<Name, Arc<Queue>>>,
    queue: Arc<Queue>,
    name: Name,
    permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.permit = None;
        // The map's and this one: nobody else waits. A caller that comes just now makes another
        // queue, and at worst another attempt.
        let is_idle =
            |queue: &Arc<Queue>| Arc::ptr_eq(queue, &self.queue) && Arc::strong_count(queue) <= 2;
        self.queues.remove_if(&self.name, is_idle);
    }
}
