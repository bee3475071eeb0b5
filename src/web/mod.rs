//! Layer 4: the web. Sessions for the servers that people already have.
//!
//! | feature | what it brings |
//! |---|---|
//! | `tower` | [`SessionLayer`]: sessions for any tower service over any provider |
//! | `axum` | the same, and `Session` as an extractor for handlers |
//!
//! It is told in `docs/web.md`.

#[cfg(feature = "axum")]
mod extract;
mod layer;

#[cfg(feature = "axum")]
pub use extract::NoSessionLayer;
pub use layer::{SessionFuture, SessionLayer, SessionService};
