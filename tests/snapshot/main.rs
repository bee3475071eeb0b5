//! Snapshots: sessions over a restart, in a file.

mod machine;
#[path = "../support/sessions.rs"]
mod sessions;

mod periodic;
mod places;
mod restart;
mod restored;
