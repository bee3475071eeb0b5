//! All tests above the map in one binary, which `.ci/mutants-rest` builds for each mutant. Without that script they are
//! run file by file, and this one is left out.
#![allow(clippy::duplicate_mod)] // each file has what it shares with others

mod http;
mod sessions;

#[path = "manager.rs"]
mod manager;
#[path = "manager_cookies.rs"]
mod manager_cookies;
#[path = "manager_ends.rs"]
mod manager_ends;
#[path = "manager_logins.rs"]
mod manager_logins;
#[path = "manager_overlaps.rs"]
mod manager_overlaps;
#[path = "provider.rs"]
mod provider;
#[path = "provider_parts.rs"]
mod provider_parts;
#[path = "session_attributes.rs"]
mod session_attributes;
#[path = "session_events.rs"]
mod session_events;
#[path = "session_life.rs"]
mod session_life;
#[path = "session_owner.rs"]
mod session_owner;
#[path = "session_renew.rs"]
mod session_renew;
#[path = "session_seed.rs"]
mod session_seed;
#[path = "web_failures.rs"]
mod web_failures;
#[path = "web_hostile.rs"]
mod web_hostile;
#[path = "web_layer.rs"]
mod web_layer;
#[path = "web_nested.rs"]
mod web_nested;
