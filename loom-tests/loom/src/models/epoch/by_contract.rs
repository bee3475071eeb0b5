//! On what the barriers promise, and no more.

use crate::asymmetric::barrier::prepare;
use crate::asymmetric::epoch as scheme;
use crate::explore::Size;

const BARRIERS: &str = "contract";
/// Each barrier is two steps here.
const TRIO: Size = Size::LongTrio;

#[path = "models.rs"]
mod models;
