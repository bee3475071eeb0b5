//! The models, one file a protocol.

mod bucket;
mod calendar;
mod dpor;
mod epoch;
mod glance;
mod life;
#[cfg(not(dwell_epoch))]
mod limbo;
mod line;
mod map;
mod record;
mod resize;
mod session;
mod table;
