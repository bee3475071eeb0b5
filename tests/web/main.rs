//! The web layer: tower services and extractors, most of it over real HTTP.

#[path = "../support/http.rs"]
mod http;
#[path = "../support/remote.rs"]
mod remote;
#[path = "../support/sessions.rs"]
mod sessions;
mod site;

mod failures;
mod hostile;
mod layer;
mod nested;
