//! A provider that is asked over a network, or as good as.
#![allow(dead_code)] // each binary that mounts this uses its own part

use crate::sessions::IDLE;
use dwell::manager::Manager;
use dwell::provider::{Access, Answer, By, MemoryProvider, Provider};
use dwell::session::{
    Attributes, Changes, IssuedSession, SessionError, SessionId, SessionInfo, SessionKey,
    SessionStore, Snapshot,
};
use std::future::poll_fn;
use std::mem::replace;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::task::Poll;
use std::time::Duration;

/// Sessions in memory that the manager does not know for such, as if they were asked for over a
/// network.
#[derive(Debug)]
pub struct Remote {
    memory: MemoryProvider,
    /// Whether the next steps fail.
    pub is_down: AtomicBool,
    /// Whether the answers of the next steps come when they are asked for twice.
    pub is_slow: AtomicBool,
    /// Steps that were asked for.
    pub steps: AtomicUsize,
}

impl Remote {
    pub fn new(store: &SessionStore) -> Arc<Self> {
        Arc::new(Self {
            memory: MemoryProvider::new(store.clone()),
            is_down: AtomicBool::new(false),
            is_slow: AtomicBool::new(false),
            steps: AtomicUsize::new(0),
        })
    }

    pub fn site() -> (Arc<Self>, Arc<Manager>, SessionStore) {
        let store = SessionStore::new(IDLE);
        let remote = Self::new(&store);
        let manager = Manager::builder("sid").provider(remote.clone()).build();
        (remote, Arc::new(manager.unwrap()), store)
    }

    /// Steps that were asked for since the last time.
    pub fn took(&self) -> usize {
        self.steps.swap(0, SeqCst)
    }

    fn ask<'a, T: Send + 'a>(
        &'a self,
        ask: impl FnOnce(&'a MemoryProvider) -> Answer<'a, T>,
    ) -> Answer<'a, T> {
        self.steps.fetch_add(1, SeqCst);
        if self.is_down.load(SeqCst) {
            return Answer::later(async { Err(SessionError::Backend("a cable is cut".into())) });
        }
        let answer = ask(&self.memory);
        match self.is_slow.load(SeqCst) {
            false => answer,
            true => Answer::later(async {
                let mut is_late = false;
                poll_fn(|_| match replace(&mut is_late, true) {
                    false => Poll::Pending,
                    true => Poll::Ready(()),
                })
                .await;
                answer.await
            }),
        }
    }
}

impl Provider for Remote {
    fn init(&self, attributes: Attributes) -> Answer<'_, IssuedSession> {
        self.ask(|memory| memory.init(attributes))
    }
    fn read(&self, session: By, access: Access) -> Answer<'_, Option<Snapshot>> {
        self.ask(|memory| memory.read(session, access))
    }
    fn apply(&self, session: By, changes: Changes, version: Option<u64>) -> Answer<'_, Snapshot> {
        self.ask(|memory| memory.apply(session, changes, version))
    }
    fn touch(&self, session: By) -> Answer<'_, ()> {
        self.ask(|memory| memory.touch(session))
    }
    fn destroy(&self, session: By) -> Answer<'_, bool> {
        self.ask(|memory| memory.destroy(session))
    }
    fn renew<'a>(
        &'a self,
        id: &'a SessionId,
        grace: Option<Duration>,
    ) -> Answer<'a, IssuedSession> {
        self.ask(|memory| memory.renew(id, grace))
    }
    fn log_in<'a>(&'a self, id: &'a SessionId, owner: &'a str) -> Answer<'a, IssuedSession> {
        self.ask(|memory| memory.log_in(id, owner))
    }
    fn set_owner<'a>(&'a self, session: By, owner: Option<&'a str>) -> Answer<'a, ()> {
        self.ask(|memory| memory.set_owner(session, owner))
    }
    fn owned_by<'a>(&'a self, owner: &'a str) -> Answer<'a, Vec<SessionInfo>> {
        self.ask(|memory| memory.owned_by(owner))
    }
    fn destroy_owned_by<'a>(
        &'a self,
        owner: &'a str,
        except: Option<&'a SessionKey>,
    ) -> Answer<'a, usize> {
        self.ask(|memory| memory.destroy_owned_by(owner, except))
    }
    fn set_idle_timeout(&self, session: By, timeout: Duration) -> Answer<'_, ()> {
        self.ask(|memory| memory.set_idle_timeout(session, timeout))
    }
    fn set_lifetime(&self, session: By, lifetime: Duration) -> Answer<'_, ()> {
        self.ask(|memory| memory.set_lifetime(session, lifetime))
    }
    fn collect(&self) -> Answer<'_, usize> {
        self.ask(|memory| memory.collect())
    }
}
