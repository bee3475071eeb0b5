//! The models, one file a protocol.

mod assembled;
mod bucket;
mod calendar;
mod chunk;
mod dpor;
mod epoch;
mod life;
mod resize;
mod table;
