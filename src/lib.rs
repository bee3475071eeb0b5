//! A lock-free concurrent session store.
//!
//! [`IdleMap`] keeps records that end when they have been idle for too long, when they are too old, when
//! the map is full, or when they are removed. Look-ups, touches, insertions, removals, collection and
//! growth run at the same time without a lock.
//!
//! ```
//! use dwell::IdleMap;
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! let sessions = IdleMap::builder()
//!     .idle_timeout(Duration::from_secs(30 * 60))
//!     .max_lifetime(Duration::from_secs(12 * 60 * 60))
//!     .capacity(1_000_000)
//!     .build()?;
//! let sessions = Arc::new(sessions);
//! // Frees what has ended, until it is dropped.
//! let _collector = sessions.spawn_collector();
//!
//! sessions.insert("an id from the operating system's generator", 1);
//! // A look-up touches the record: its idle time starts anew.
//! sessions.update("an id from the operating system's generator", |visits| visits + 1);
//! let visits = sessions.get("an id from the operating system's generator").unwrap();
//! assert_eq!(*visits, 2);
//! # Ok::<(), dwell::BuildError>(())
//! ```
//!
//! **Somebody must collect.** What has ended is never found again, but it stays in memory until a collection:
//! by a [`Collector`], or by calls of [`collect`](IdleMap::collect). Without either, and without a capacity, a
//! map grows for ever. The same holds for a `SessionStore`; a `Manager` collects by itself.
//!
//! # What it promises
//!
//! - **Expiry is exact on read**, to the resolution of the clock: no operation returns a record past its
//!   deadline, whether or not anybody collects.
//! - **One winner.** Of touch, update, collection, eviction and removal of a record, what comes first
//!   decides: a dead record never returns, and an update never brings one back.
//! - **No lock, no waiting**: no operation waits for another thread, and no reader frees a record.
//! - **Collection looks only at what is due**; a pass with nothing due costs tens of nanoseconds.
//!
//! # Consistency
//!
//! Operations on one key are linearizable, each at the time that it reads from the clock when it begins; a
//! change of a record's terms may be seen by others a little before it returns. [`len`](IdleMap::len), [`stats`](IdleMap::stats),
//! [`iter`](IdleMap::iter), [`retain`](IdleMap::retain) and [`clear`](IdleMap::clear) cover many keys, and
//! see each at its own moment; a record that is in the map all the time is visited exactly once.
//!
//! # The modules
//!
//! - The map, at the root: [`IdleMap`] and its companions; [`Clock`] and its implementations say what time
//!   it is. [`guarantees`] has the promises in full, each with the tests that hold it. How it works is told
//!   in `docs/design.md`, and at the head of each file below `src/map`.
//! - `session`: sessions in this process, with ids, typed attributes, renewal, owners and events.
//! - `provider`: where sessions are kept, behind one trait, and the conformance suite for it.
//! - `manager`: sessions for a web application, with cookies.
//! - `provider::redis` (feature `redis`) and `snapshot` (feature `snapshot`): beyond one process. See
//!   `docs/providers.md`.
//! - `web`: sessions for tower and axum, and stores for other frameworks' session layers. Its features are off
//!   by default. See `docs/web.md`.
//!
//! `session`, `provider` and `manager` are told in `docs/sessions.md`. They are there with the feature `sessions`,
//! which is on by default.

#![cfg_attr(
    any(dwell_loom, dwell_shuttle, dwell_counted),
    allow(missing_docs, missing_debug_implementations)
)]

#[cfg(not(any(dwell_loom, dwell_shuttle)))]
mod alloc;
mod clock;
#[cfg(feature = "sessions")]
mod count;
mod cpu;
#[cfg(any(dwell_loom, dwell_shuttle, dwell_counted))]
#[doc(hidden)]
pub mod internals;
#[cfg(feature = "sessions")]
pub mod manager;
mod map;
#[cfg(feature = "sessions")]
pub mod provider;
mod reclaim;
#[cfg(feature = "sessions")]
pub mod session;
#[cfg(feature = "snapshot")]
pub mod snapshot;
#[cfg(feature = "sessions")]
mod survive;
mod sync;
#[cfg(any(
    feature = "tower",
    feature = "tower-sessions-014",
    feature = "tower-sessions-015",
    feature = "actix-session"
))]
pub mod web;

#[doc = include_str!("../docs/guarantees.md")]
pub mod guarantees {}

/// The README's example runs with the documentation's.
#[cfg(all(doctest, feature = "axum"))]
#[doc = include_str!("../README.md")]
struct Readme;

/// And that of the web's page.
#[cfg(all(doctest, feature = "axum"))]
#[doc = include_str!("../docs/web.md")]
struct Web;

/// And so does what must not compile.
#[cfg(doctest)]
#[doc = include_str!("../docs/types.md")]
struct Types;

pub use clock::{Clock, CoarseClock, ManualClock, PreciseClock};
#[cfg(feature = "snapshot")]
pub(crate) use map::History;
pub use map::{
    BuildError, Builder, Collector, Handle, IdleMap, Iter, OccupiedError, RemovalCause, Stats,
};
