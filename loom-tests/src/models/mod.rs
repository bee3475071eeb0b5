//! The models, one file a protocol.

mod arena;
mod bucket;
mod calendar;
mod chunk;
mod dpor;
mod epoch;
mod glance;
mod life;
mod limbo;
mod line;
mod magazine;
mod map;
mod record;
mod resize;
mod session;
mod table;
