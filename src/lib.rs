#![cfg_attr(docsrs, feature(doc_cfg))]
// The links below, where the feature of an item is on. Otherwise the definitions at the end of the
// text count.
#![cfg_attr(feature = "sessions", doc = "[`manager`]: manager")]
#![cfg_attr(feature = "sessions", doc = "[`provider`]: provider")]
#![cfg_attr(feature = "sessions", doc = "[`session`]: session")]
#![cfg_attr(feature = "redis", doc = "[`provider::redis`]: provider::redis")]
#![cfg_attr(feature = "snapshot", doc = "[`snapshot`]: snapshot")]
#![cfg_attr(
    any(
        feature = "tower",
        feature = "tower-sessions-014",
        feature = "tower-sessions-015",
        feature = "actix-session"
    ),
    doc = "[`web`]: web"
)]
//! A lock-free concurrent session store.
//!
//! [`IdleMap`] keeps records that end when they have been idle for too long, when they are too old,
//! when the map is full, or when they are removed. Look-ups, touches, insertions, removals,
//! collection and growth run at the same time without a lock.
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
//! **Start a collector.** A record that has ended is never found again, but it stays in memory
//! until a collection: by a [`Collector`], or by calls of [`collect`](IdleMap::collect). A map
//! without either, and without a capacity, grows for ever. The same holds for a `SessionStore`. A
//! `Manager` collects by itself.
//!
//! # What it promises
//!
//! - **Expiry is exact on read**, to the resolution of the clock. No operation returns a record
//!   past its deadline, whether or not a collector runs.
//! - **One winner.** Of touch, update, collection, eviction and removal of a record, the first one
//!   decides. A dead record never returns, and an update never brings one back.
//! - **No lock, no waiting.** No operation waits for another thread, and no reader frees a record.
//! - **Collection looks only at what is due.** A pass with nothing due costs tens of nanoseconds.
//!
//! [The guarantees](book::guarantees) state this in full, each with the tests that hold it.
//!
//! # Consistency
//!
//! Operations on one key are linearizable, each at the time that it reads from the clock when it
//! begins. Other threads may see a change of a record's deadline a little before the call returns.
//! [`len`](IdleMap::len), [`stats`](IdleMap::stats), [`iter`](IdleMap::iter),
//! [`retain`](IdleMap::retain) and [`clear`](IdleMap::clear) cover many keys, and see each at its
//! own moment. They visit a record that is in the map all the time exactly once.
//!
//! # The modules
//!
//! | module | feature | what it has |
//! |---|---|---|
//! | the root | | the map: [`IdleMap`] and its companions, and the [`Clock`]s |
//! | [`session`] | `sessions`, a default | sessions in this process: ids, typed attributes, renewal, owners, events |
//! | [`provider`] | `sessions` | where sessions are kept, behind one trait, and its conformance suite |
//! | [`manager`] | `sessions` | sessions for a web application, with cookies |
//! | [`provider::redis`] | `redis`, `redis-tls` | sessions in Redis or Valkey, for several machines |
//! | [`snapshot`] | `snapshot` | all sessions in a file, over a restart |
//! | [`web`] | `tower`, `axum`, and others | sessions for tower and axum, and stores for other session layers |
//!
//! The features `tracing` and `metrics` tell operators what happens. `testing` has the conformance
//! suites for providers and stores of your own.
//!
//! # The book
//!
//! [`book`] tells how all this works, what it costs, what becomes of each fault, and what the words
//! mean. Begin with [the sessions](book::sessions) or, for the map, with [the
//! design](book::design).
//!
//! [`manager`]: https://docs.rs/dwell/latest/dwell/manager/
//! [`provider`]: https://docs.rs/dwell/latest/dwell/provider/
//! [`provider::redis`]: https://docs.rs/dwell/latest/dwell/provider/redis/
//! [`session`]: https://docs.rs/dwell/latest/dwell/session/
//! [`snapshot`]: https://docs.rs/dwell/latest/dwell/snapshot/
//! [`web`]: https://docs.rs/dwell/latest/dwell/web/

#![cfg_attr(
    any(dwell_loom, dwell_shuttle, dwell_counted),
    allow(missing_docs, missing_debug_implementations)
)]

#[cfg(not(any(dwell_loom, dwell_shuttle)))]
mod alloc;
#[cfg(doc)]
pub mod book;
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
mod tuning;
#[cfg(any(
    feature = "tower",
    feature = "tower-sessions-014",
    feature = "tower-sessions-015",
    feature = "actix-session"
))]
pub mod web;

/// The README's examples run with the documentation's.
#[cfg(all(doctest, feature = "axum"))]
#[doc = include_str!("../README.md")]
struct Readme;

pub use clock::{Clock, CoarseClock, ManualClock, PreciseClock};
#[cfg(feature = "snapshot")]
pub(crate) use map::History;
pub use map::{
    BuildError, Builder, Collector, Handle, IdleMap, Iter, OccupiedError, RemovalCause, Stats,
};
