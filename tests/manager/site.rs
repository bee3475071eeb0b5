//! What the tests of the manager share: a manager over a store with a clock to set, and its
//! clients.

use crate::sessions::IDLE;
use dwell::ManualClock;
use dwell::manager::{Manager, Session};
use dwell::provider::MemoryProvider;
use dwell::session::{SessionStore, Settings};
use http::{HeaderMap, header};
use pollster::block_on;
use std::sync::Arc;
pub const NAME: &str = "__Host-sid";

/// A manager, and what is behind it.
pub struct Site {
    pub manager: Manager,
    pub store: SessionStore,
    pub clock: ManualClock,
}

impl Site {
    pub fn new() -> Self {
        Self::with(Settings::new(IDLE))
    }

    pub fn with(settings: Settings) -> Self {
        let clock = ManualClock::new();
        let store = SessionStore::builder(settings).clock(clock.clone());
        let store = store.build().unwrap();
        let provider = Arc::new(MemoryProvider::new(store.clone()));
        let manager = Manager::builder("sid").provider(provider).build().unwrap();
        Self {
            manager,
            store,
            clock,
        }
    }

    pub fn start(&self, cookies: &[&str]) -> Session {
        block_on(self.manager.start(&request(cookies))).unwrap()
    }

    pub fn start_as(&self, id: &str) -> Session {
        self.start(&[&format!("{NAME}={id}")])
    }

    pub fn finish(&self, session: Session) -> HeaderMap {
        let mut response = HeaderMap::new();
        self.manager.finish(session, &mut response);
        response
    }

    /// A client with a session. Returns its id.
    pub fn visit(&self) -> String {
        let session = self.start(&[]);
        block_on(session.set("visits", 1_u64)).unwrap();
        issued(&self.finish(session)).expect("an id")
    }
}

pub fn request(cookies: &[&str]) -> HeaderMap {
    let mut request = HeaderMap::new();
    for cookie in cookies {
        request.append(header::COOKIE, cookie.parse().unwrap());
    }
    request
}

pub fn set_cookie(response: &HeaderMap) -> Option<String> {
    let mut all = response.get_all(header::SET_COOKIE).iter();
    let cookie = all.next().map(|value| value.to_str().unwrap().to_owned());
    assert!(all.next().is_none(), "one cookie at the most");
    cookie
}

pub fn issued(response: &HeaderMap) -> Option<String> {
    let cookie = set_cookie(response)?;
    let id = cookie.split(['=', ';']).nth(1)?;
    Some(id.to_owned())
}

pub fn attributes(response: &HeaderMap) -> Vec<String> {
    let cookie = set_cookie(response).expect("a cookie");
    let mut attributes: Vec<_> = cookie.split("; ").skip(1).map(str::to_owned).collect();
    attributes.sort();
    attributes
}

pub fn more(count: Option<&u64>) -> u64 {
    count.map_or(1, |count| count + 1)
}
