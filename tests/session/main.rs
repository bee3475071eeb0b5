//! The session store: attributes, owners, events, renewals, and their costs.

#[path = "../support/allocator.rs"]
mod allocator;
#[path = "../support/sessions.rs"]
mod sessions;

mod attributes;
mod bound;
mod costs;
mod events;
mod life;
mod outages;
mod owners;
mod refusals;
mod renewal;
mod values;
