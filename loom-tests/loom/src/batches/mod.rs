//! Limbo once more, with grace periods that end: batches are made, wait, and are freed.

#[path = "../../../../src/map/life.rs"]
pub(crate) mod life;
#[path = "../../../../src/map/limbo.rs"]
pub(crate) mod limbo;
pub(crate) mod reclaim;
#[path = "../../../../src/map/record.rs"]
pub(crate) mod record;
