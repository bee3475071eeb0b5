//! The operations of the map, one file for each kind.

pub(in crate::map) mod evict;
pub(in crate::map) mod expire;
#[allow(dead_code, reason = "only the layers above use it")]
pub(in crate::map) mod export;
pub(in crate::map) mod read;
pub(in crate::map) mod terminate;
pub(in crate::map) mod update;
pub(in crate::map) mod write;
