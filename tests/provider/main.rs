//! Providers: the one in memory, and the conformance suite for all of them.

#[path = "../support/sessions.rs"]
mod sessions;

mod conformance;
mod parts;
