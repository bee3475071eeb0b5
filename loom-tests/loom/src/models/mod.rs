//! The models, one file a protocol.

mod bucket;
mod calendar;
mod dpor;
mod epoch;
mod line;
mod lookup;
mod map;
mod migrate;
mod record;
#[cfg(not(dwell_epoch))]
mod retired;
mod session;
mod status;
mod table;
