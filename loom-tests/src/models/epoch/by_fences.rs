//! On two fences, as where the system offers nothing better.

use crate::protocols::barrier::prepare;
use crate::protocols::epoch as scheme;

const BARRIERS: &str = "fences";

#[path = "models.rs"]
mod models;
