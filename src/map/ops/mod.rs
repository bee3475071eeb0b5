//! The operations of the map, one file for each kind.
//!
//! `ends` and `search` hold the loops over the calendar, which the models run too; the rest are
//! methods of the map.

pub mod ends;
pub(in crate::map) mod evict;
pub(in crate::map) mod expire;
#[allow(dead_code, reason = "only the layers above use it")]
pub(in crate::map) mod export;
pub(in crate::map) mod read;
pub mod search;
pub(in crate::map) mod terminate;
pub(in crate::map) mod update;
pub(in crate::map) mod upkeep;
pub(in crate::map) mod write;
