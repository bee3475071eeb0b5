//! The memory provider: sessions in this process. Its futures are ready at once, but for that of a collection.

use super::{Access, Answer, Provider};
use crate::Collector;
use crate::session::{
    Attributes, Changes, Issued, Listed, SessionError, SessionId, SessionKey, SessionStore,
    Snapshot,
};
use std::future::{poll_fn, ready};
use std::task::Poll;
use std::time::Duration;

/// A [`SessionStore`] as a [`Provider`]. Values stay native: nothing is encoded.
///
/// Each method does its work when it is called, and returns a future that is ready. Cost: that of the
/// store's operation, and a box. Only [`gc`](Provider::gc) may have much to do: it does a bounded part whenever it is
/// polled, and lets other tasks run in between.
///
/// ```
/// use dwell::manager::Manager;
/// use dwell::provider::MemoryProvider;
/// use dwell::session::SessionStore;
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// let store = SessionStore::new(Duration::from_secs(60));
/// let provider = Arc::new(MemoryProvider::new(store.clone()));
/// let manager = Manager::builder("sid").provider(provider).build()?;
/// // What the store offers beyond the trait is still there.
/// assert_eq!(store.stats().live, 0);
/// # Ok::<(), dwell::manager::ManagerError>(())
/// ```
#[derive(Debug, Clone)]
pub struct MemoryProvider {
    store: SessionStore,
}

impl MemoryProvider {
    /// Provides the sessions of a store.
    pub fn new(store: SessionStore) -> Self {
        Self { store }
    }

    /// The store.
    pub fn store(&self) -> &SessionStore {
        &self.store
    }
}

fn answer<'a, T: Send + 'a>(result: Result<T, SessionError>) -> Answer<'a, T> {
    Box::pin(ready(result))
}

impl Provider for MemoryProvider {
    fn init(&self, attributes: Attributes) -> Answer<'_, Issued> {
        answer(self.store.create_with(attributes).and_then(|session| {
            Ok(Issued {
                id: *session.id(),
                // A full store of tiny capacity may have ended it again.
                snapshot: session.peek().ok_or(SessionError::Ended)?,
            })
        }))
    }

    fn read<'a>(&'a self, id: &'a SessionId) -> Answer<'a, Option<Snapshot>> {
        answer(Ok(self.store.read(id)))
    }

    fn load<'a>(&'a self, key: &'a SessionKey, access: Access) -> Answer<'a, Option<Snapshot>> {
        answer(Ok(match access {
            Access::Touch => self.store.load(key),
            Access::Peek => self.store.peek_key(key),
        }))
    }

    fn apply<'a>(
        &'a self,
        key: &'a SessionKey,
        changes: Changes,
        version: Option<u64>,
    ) -> Answer<'a, Snapshot> {
        answer(self.store.apply(key, &changes, version))
    }

    fn update<'a>(&'a self, key: &'a SessionKey) -> Answer<'a, ()> {
        answer(self.store.load(key).map(drop).ok_or(SessionError::Ended))
    }

    fn destroy<'a>(&'a self, key: &'a SessionKey) -> Answer<'a, bool> {
        answer(Ok(self.store.end(key)))
    }

    fn renew<'a>(&'a self, id: &'a SessionId, grace: Option<Duration>) -> Answer<'a, Issued> {
        answer(self.store.renew(id, grace))
    }

    fn set_owner<'a>(&'a self, key: &'a SessionKey, owner: Option<&'a str>) -> Answer<'a, ()> {
        answer(self.store.set_owner(key, owner))
    }

    fn owned_by<'a>(&'a self, owner: &'a str) -> Answer<'a, Vec<Listed>> {
        answer(Ok(self.store.owned_by(owner)))
    }

    fn destroy_owned_by<'a>(
        &'a self,
        owner: &'a str,
        except: Option<&'a SessionKey>,
    ) -> Answer<'a, usize> {
        answer(Ok(self.store.end_owned_by(owner, except)))
    }

    fn set_idle_timeout<'a>(&'a self, key: &'a SessionKey, timeout: Duration) -> Answer<'a, ()> {
        answer(self.store.set_idle_timeout(key, timeout))
    }

    fn set_lifetime<'a>(&'a self, key: &'a SessionKey, lifetime: Duration) -> Answer<'a, ()> {
        answer(self.store.set_lifetime(key, lifetime))
    }

    fn gc(&self) -> Answer<'_, usize> {
        let mut ended = 0;
        Box::pin(poll_fn(move |context| match self.store.collect_part() {
            Some(more) => {
                ended += more;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            None => Poll::Ready(Ok(ended)),
        }))
    }

    fn spawn_gc(&self) -> Option<Collector> {
        Some(self.store.spawn_collector())
    }
}
