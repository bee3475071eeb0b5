//! The operations of sessions, for callgrind to count as those of the map (see `main.rs`): most
//! over sessions of five texts and a counter.

use dwell::ManualClock;
use dwell::session::{AttributeError, Attributes, LiveSession, SessionStore, Settings};
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Calls in each measured function.
const CALLS: usize = 1_000;
/// What each session holds beside its counter.
const TEXTS: [&str; 5] = ["name", "mail", "language", "theme", "token"];

/// Only what is called from these functions is counted. What they call is defined elsewhere:
/// entering another function below this module would end the count.
mod measured {
    use crate::{Rows, count, fill, more};
    use dwell::session::{Attributes, LiveSession, SessionStore};
    use std::hint::black_box;

    macro_rules! measured {
        ($($name:ident: $operation:expr;)*) => {
            $(
                #[inline(never)]
                pub fn $name(rows: &Rows) {
                    // Functions that are alike would be merged.
                    black_box(stringify!($name));
                    let operation = $operation;
                    for (session, owner) in &rows.sessions {
                        black_box(operation(&rows.store, black_box(session), owner));
                    }
                }
            )*
        };
    }

    type Store = SessionStore;
    type Session = LiveSession;

    measured! {
        session_find: |store: &Store, session: &Session, _: &str| {
            store.find(session.id()).is_some()
        };
        session_get_number: |_: &Store, session: &Session, _: &str| {
            session.get::<u64>("count").ok().flatten().map(|count| *count)
        };
        session_get_text: |_: &Store, session: &Session, _: &str| {
            session.get::<String>("name").ok().flatten().map(|name| name.len())
        };
        session_get_list: |_: &Store, session: &Session, _: &str| {
            session.get::<Vec<String>>("list").ok().flatten().map(|list| list.len())
        };
        session_get_none: |_: &Store, session: &Session, _: &str| {
            session.get::<u64>("none").ok().flatten().is_none()
        };
        session_snapshot: |_: &Store, session: &Session, _: &str| {
            session.snapshot().is_ok()
        };
        session_update: |_: &Store, session: &Session, _: &str| count(session);
        session_update_beside_list: |_: &Store, session: &Session, _: &str| count(session);
        session_update_of_sixty: |_: &Store, session: &Session, _: &str| count(session);
        session_update_of_many: |_: &Store, session: &Session, _: &str| count(session);
        session_update_all: |_: &Store, session: &Session, _: &str| {
            let changed = session.update_all(|attributes| {
                attributes.update("count", more)?;
                attributes.set("theme", String::from("some twenty letters!"))
            });
            changed.is_ok()
        };
        session_set_text: |_: &Store, session: &Session, _: &str| {
            session.set("token", String::from("other twenty letters")).is_ok()
        };
        session_renew: |_: &Store, session: &Session, _: &str| session.clone().renew().is_ok();
        session_log_in: |_: &Store, session: &Session, owner: &str| {
            session.clone().log_in(owner).is_ok()
        };
        session_create: |store: &Store, _: &Session, _: &str| store.create().is_ok();
        session_create_of_six: |store: &Store, _: &Session, _: &str| {
            let mut attributes = Attributes::default();
            fill(&mut attributes).is_ok() && store.create_with(attributes).is_ok()
        };
        session_destroy: |store: &Store, session: &Session, _: &str| store.destroy(&session.key());
    }
}

fn more(count: Option<&u64>) -> u64 {
    count.map_or(1, |count| count + 1)
}

fn count(session: &LiveSession) -> bool {
    session.update("count", more).is_ok()
}

fn text() -> String {
    String::from("some twenty letters.")
}

/// Five texts of twenty letters and a counter.
fn fill(attributes: &mut Attributes) -> Result<(), AttributeError> {
    for name in TEXTS {
        attributes.set(name, text())?;
    }
    attributes.set("count", 100_u64)
}

/// A store, and sessions that a row works on, each with the owner that it gets.
struct Rows {
    store: SessionStore,
    sessions: Vec<(LiveSession, String)>,
}

impl Rows {
    fn new() -> Self {
        Self::of(6)
    }

    /// Sessions of so many values.
    fn of(values: usize) -> Self {
        let settings = Settings::new(Duration::from_secs(1_800));
        let built = SessionStore::builder(settings).clock(ManualClock::new());
        let store = built.build().expect("a valid configuration");
        let session = |n| {
            let mut attributes = Attributes::default();
            let mut filled = fill(&mut attributes);
            for n in 6..values {
                filled = filled.and_then(|()| attributes.set(&format!("attribute {n}"), text()));
            }
            filled.expect("texts and numbers are JSON");
            let session = store.create_with(attributes);
            let owner = format!("user {n}");
            (session.expect("the system gives random bytes"), owner)
        };
        let sessions = (0..CALLS).map(session).collect();
        Self { store, sessions }
    }

    /// Sessions that hold a value of several parts, too.
    fn with_lists() -> Self {
        let rows = Self::new();
        for (session, _) in &rows.sessions {
            session
                .set("list", vec![text(); 3])
                .expect("texts are JSON");
        }
        rows
    }
}

fn main() {
    let rows = Rows::new();
    measured::session_find(&rows);
    measured::session_get_number(&rows);
    measured::session_get_text(&rows);
    measured::session_get_none(&rows);
    measured::session_snapshot(&rows);
    measured::session_update(&rows);
    measured::session_set_text(&rows);
    measured::session_update_all(&rows);
    measured::session_create(&rows);
    measured::session_create_of_six(&rows);
    assert_eq!(rows.store.len(), 3 * CALLS);
    measured::session_destroy(&rows);
    assert_eq!(rows.store.len(), 2 * CALLS);
    measured::session_renew(&Rows::new());
    measured::session_log_in(&Rows::new());
    let lists = Rows::with_lists();
    measured::session_get_list(&lists);
    measured::session_update_beside_list(&lists);
    measured::session_update_of_sixty(&Rows::of(60));
    measured::session_update_of_many(&Rows::of(600));
}
