//! The models, one file a protocol.

mod assembled;
mod bucket;
mod chunk;
mod dpor;
mod epoch;
mod life;
mod resize;
mod table;
