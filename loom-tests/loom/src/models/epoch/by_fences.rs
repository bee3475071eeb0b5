//! On two fences, as where the system offers nothing better.

use crate::explore::Size;
use crate::protocols::barrier::prepare;
use crate::protocols::epoch as scheme;

const BARRIERS: &str = "fences";
const TRIO: Size = Size::Trio;

#[path = "models.rs"]
mod models;
