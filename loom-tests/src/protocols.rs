//! The protocols below the map's face, each reachable by its own name.

#[path = "../../src/map/bucket.rs"]
pub(crate) mod bucket;
#[path = "../../src/map/calendar.rs"]
pub(crate) mod calendar;
#[path = "../../src/map/index.rs"]
pub(crate) mod index;
#[path = "../../src/map/lanes.rs"]
pub(crate) mod lanes;
#[path = "../../src/map/life.rs"]
pub(crate) mod life;
#[path = "../../src/map/limbo.rs"]
pub(crate) mod limbo;
#[path = "../../src/map/line.rs"]
pub(crate) mod line;
#[path = "../../src/map/reclaim.rs"]
pub(crate) mod reclaim;
#[path = "../../src/map/record.rs"]
pub(crate) mod record;
#[path = "../../src/map/resize.rs"]
pub(crate) mod resize;
#[path = "../../src/map/table.rs"]
pub(crate) mod table;
#[path = "../../src/map/visit.rs"]
pub(crate) mod visit;
