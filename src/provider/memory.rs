//! The memory provider: sessions in this process. It answers at once, except where an answer may
//! concern many sessions.

use super::{Access, Answer, Provider};
use crate::Collector;
use crate::session::{
    Attributes, By, Changes, IssuedSession, SessionId, SessionInfo, SessionKey, SessionStore,
    Snapshot,
};
use std::future::poll_fn;
use std::mem;
use std::task::Poll;
use std::time::Duration;

/// A [`SessionStore`] as a [`Provider`]. Values stay native: reading one as the type that was set
/// decodes nothing.
///
/// Each method does its work when it is called, and its [`Answer`] is ready. It costs what the
/// store's operation costs.
///
/// Three methods may have much to do: [`collect`](Provider::collect),
/// [`owned_by`](Provider::owned_by) and [`destroy_owned_by`](Provider::destroy_owned_by). Their
/// answers do a bounded part in each poll (64 sessions, or what [`SessionStore::collect_part`]
/// does) and let other tasks run in between. If such an answer is dropped, what it has done stays
/// done.
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

/// Sessions that are listed or ended between two breaks: well below a millisecond.
const PART: usize = 64;

/// Does a part of the work whenever it is polled, until a part has an answer.
fn in_parts<'a, T: 'a>(mut part: impl FnMut() -> Option<T> + Send + 'a) -> Answer<'a, T> {
    Answer::later(poll_fn(move |context| match part() {
        Some(done) => Poll::Ready(Ok(done)),
        None => {
            // Other tasks first.
            context.waker().wake_by_ref();
            Poll::Pending
        }
    }))
}

impl Provider for MemoryProvider {
    fn init(&self, attributes: Attributes) -> Answer<'_, IssuedSession> {
        Answer::ready(self.store.init(attributes))
    }

    fn read(&self, session: By, access: Access) -> Answer<'_, Option<Snapshot>> {
        Answer::ready(self.store.read(session, access))
    }

    fn apply(&self, session: By, changes: Changes, version: Option<u64>) -> Answer<'_, Snapshot> {
        Answer::ready(self.store.apply(session, &changes, version))
    }

    fn touch(&self, session: By) -> Answer<'_, ()> {
        Answer::ready(self.store.touch(session))
    }

    fn destroy(&self, session: By) -> Answer<'_, bool> {
        Answer::ready(self.store.destroy_by(session))
    }

    fn renew<'a>(
        &'a self,
        id: &'a SessionId,
        grace: Option<Duration>,
    ) -> Answer<'a, IssuedSession> {
        Answer::ready(self.store.renew(id, grace))
    }

    fn log_in<'a>(&'a self, id: &'a SessionId, owner: &'a str) -> Answer<'a, IssuedSession> {
        Answer::ready(self.store.log_in(id, owner))
    }

    fn set_owner<'a>(&'a self, session: By, owner: Option<&'a str>) -> Answer<'a, ()> {
        Answer::ready(self.store.set_owner(session, owner))
    }

    fn owned_by<'a>(&'a self, owner: &'a str) -> Answer<'a, Vec<SessionInfo>> {
        let mut keys = self.store.keys_of(owner);
        let mut listed = Vec::new();
        in_parts(move || {
            for _ in 0..PART {
                let Some(key) = keys.next() else {
                    return Some(mem::take(&mut listed));
                };
                listed.extend(self.store.info_if_owned(&key, owner));
            }
            None
        })
    }

    fn destroy_owned_by<'a>(
        &'a self,
        owner: &'a str,
        except: Option<&'a SessionKey>,
    ) -> Answer<'a, usize> {
        let mut keys = self.store.keys_of(owner);
        let mut ended = 0;
        in_parts(move || {
            for _ in 0..PART {
                let Some(key) = keys.next() else {
                    return Some(ended);
                };
                let is_ended = Some(&key) != except && self.store.destroy_if_owned(&key, owner);
                ended += usize::from(is_ended);
            }
            None
        })
    }

    fn set_idle_timeout(&self, session: By, timeout: Duration) -> Answer<'_, ()> {
        Answer::ready(self.store.set_terms(session, Some(timeout), None))
    }

    fn set_lifetime(&self, session: By, lifetime: Duration) -> Answer<'_, ()> {
        Answer::ready(self.store.set_terms(session, None, Some(lifetime)))
    }

    fn collect(&self) -> Answer<'_, usize> {
        let mut ended = 0;
        in_parts(move || match self.store.collect_part() {
            Some(more) => {
                ended += more;
                None
            }
            None => Some(ended),
        })
    }

    fn spawn_collector(&self) -> Option<Collector> {
        Some(self.store.spawn_collector())
    }
}
