//! The manager: a request's session, and the cookie that carries its id.

#[path = "../support/remote.rs"]
mod remote;
#[path = "../support/sessions.rs"]
mod sessions;
mod site;
mod strict_cookies;

mod cookies;
mod ends;
mod errors;
mod logins;
mod overlaps;
mod reads;
mod requests;
mod seed;
