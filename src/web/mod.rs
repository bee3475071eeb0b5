//! Layer 4: the web. Sessions for the servers that people already have.
//!
//! | feature | what it brings |
//! |---|---|
//! | `tower` | `SessionLayer`: sessions for any tower service, over any provider |
//! | `axum` | the same, and [`Session`](crate::manager::Session) as an extractor for handlers |
//! | `tower-sessions-014`, `tower-sessions-015` | stores for tower-sessions, and so for axum-login |
//! | `actix-session` | a store for actix-session |
//! | `testing` beside one of the last three | the conformance suite for such stores |
//!
//! [The web layer](crate::book::web) tells how to use each, and what it can promise.

#[cfg(feature = "actix-session")]
pub mod actix_session;
#[cfg(feature = "axum")]
mod extract;
#[cfg(feature = "tower")]
mod layer;
#[cfg(feature = "tower")]
mod on_error;
#[cfg(any(
    feature = "tower-sessions-014",
    feature = "tower-sessions-015",
    feature = "actix-session"
))]
mod records;
#[cfg(all(
    feature = "testing",
    any(
        feature = "tower-sessions-014",
        feature = "tower-sessions-015",
        feature = "actix-session"
    )
))]
pub mod testing;
#[cfg(any(feature = "tower-sessions-014", feature = "tower-sessions-015"))]
mod tower_sessions;

#[cfg(feature = "axum")]
pub use extract::NoSessionLayer;
#[cfg(feature = "tower")]
pub use layer::{SessionFuture, SessionLayer, SessionService};
#[cfg(feature = "tower")]
pub use on_error::{ErrorHook, OnError, Unavailable};
#[cfg(feature = "tower-sessions-014")]
pub use tower_sessions::tower_sessions_014;
#[cfg(feature = "tower-sessions-015")]
pub use tower_sessions::tower_sessions_015;
