//! Layer 2: sessions in this process.
//!
//! [`SessionStore`] keeps them, [`LiveSession`] is one as a request holds it. Both are sync,
//! lock-free and need no runtime. What a web application wants around them, cookies and a choice of
//! providers, is the [manager](crate::manager)'s.
//!
//! ```
//! use dwell::session::{SessionStore, Settings};
//! use std::time::Duration;
//!
//! let store = SessionStore::builder(
//!     Settings::new(Duration::from_secs(30 * 60)).max_lifetime(Duration::from_secs(12 * 60 * 60)),
//! )
//! .build()?;
//! let _collector = store.spawn_collector(); // frees what has ended, until it is dropped
//! let session = store.create()?;
//! session.set("visits", 1_u32)?;
//! assert_eq!(*session.get::<u32>("visits")?.unwrap(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Consistency
//!
//! Operations on one session are linearizable: each is one operation on one record of an
//! [`IdleMap`](crate::IdleMap), except where its documentation says otherwise. What covers many
//! sessions (lists, counts, [`destroy_owned_by`](SessionStore::destroy_owned_by)) sees each at its
//! own moment.
//!
//! [Sessions](crate::book::sessions) has the design, and the answer to each point of the OWASP
//! checklist.

mod attributes;
mod builder;
mod by;
mod error;
mod event;
mod id;
mod list;
mod live;
mod owned;
mod owner;
#[cfg(feature = "metrics")]
mod publish;
#[cfg(feature = "snapshot")]
mod saved;
mod settings;
mod snapshot;
mod state;
mod store;
mod terms;
#[cfg(test)]
mod tests;
mod text;
mod value;

pub use attributes::{Attributes, Change, Changes};
pub use builder::Builder;
pub(crate) use by::Found;
pub use by::{Access, By};
pub use error::{AttributeError, SessionError};
pub use event::{Event, EventKind};
#[cfg(any(feature = "redis", feature = "snapshot"))]
pub(crate) use id::digest;
pub use id::{SessionId, SessionKey, Tag};
pub use list::SessionStats;
pub use live::LiveSession;
#[cfg(feature = "snapshot")]
pub use saved::SavedSession;
#[cfg(feature = "snapshot")]
pub(crate) use saved::{Encoded, Fate, Saved};
pub use settings::Settings;
pub use snapshot::{IssuedSession, SessionInfo, Snapshot};
pub use store::SessionStore;
pub use value::{Attribute, HeapSize, Measured, Typed, Value};
