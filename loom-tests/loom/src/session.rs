//! The session layer's own sources, file by file: its unit tests, which run without a model, are left out.
//! `shuttle-tests` compiles this file too.

#[path = "../../../src/session/attributes.rs"]
mod attributes;
#[path = "../../../src/session/builder.rs"]
mod builder;
#[path = "../../../src/session/by.rs"]
mod by;
#[path = "../../../src/session/error.rs"]
mod error;
#[path = "../../../src/session/event.rs"]
mod event;
#[path = "../../../src/session/fingerprint.rs"]
mod fingerprint;
#[path = "../../../src/session/footprint.rs"]
mod footprint;
#[path = "../../../src/session/id.rs"]
mod id;
#[path = "../../../src/session/list.rs"]
mod list;
#[path = "../../../src/session/live.rs"]
mod live;
#[path = "../../../src/session/owned.rs"]
mod owned;
#[path = "../../../src/session/owner.rs"]
mod owner;
#[path = "../../../src/session/settings.rs"]
mod settings;
#[path = "../../../src/session/snapshot.rs"]
mod snapshot;
#[path = "../../../src/session/state.rs"]
mod state;
#[path = "../../../src/session/store.rs"]
mod store;
#[path = "../../../src/session/terms.rs"]
mod terms;
#[path = "../../../src/session/value.rs"]
mod value;

pub(crate) use attributes::{Attributes, Changes};
pub(crate) use builder::Builder;
pub(crate) use by::{Access, By};
pub(crate) use error::{AttributeError, SessionError};
pub(crate) use id::{SessionId, SessionKey};
pub(crate) use live::LiveSession;
pub(crate) use settings::Settings;
pub(crate) use snapshot::{IssuedSession, SessionInfo, Snapshot};
pub(crate) use store::SessionStore;
pub(crate) use value::Attribute;

use std::cell::Cell;
use std::io;
use std::sync::{Arc, Once};

thread_local! {
    /// How many times bytes were asked for.
    static ASKED: Cell<u8> = const { Cell::new(0) };
}

/// All threads of a model run on the thread of its test.
fn numbered(bytes: &mut [u8]) -> io::Result<()> {
    ASKED.set(ASKED.get() + 1);
    bytes.fill(ASKED.get());
    Ok(())
}

struct Same;

impl ahash::random_state::RandomSource for Same {
    fn gen_hasher_seed(&self) -> usize {
        0
    }
}

/// Hashes are the same in each execution, and in each process: ahash is compiled without a generator. To be called
/// before the first map is made.
pub(crate) fn hash_repeatably() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        ahash::random_state::set_random_source(Same).expect("no map was made before");
    });
}

/// A store whose ids are numbered, from 1 in each execution.
pub(crate) fn repeatable(settings: Settings, clock: impl crate::Clock) -> SessionStore {
    ASKED.set(0);
    let mut store = Builder::new(settings).clock(clock).build().unwrap();
    Arc::get_mut(&mut store.store).expect("one owner").random = numbered;
    store
}
