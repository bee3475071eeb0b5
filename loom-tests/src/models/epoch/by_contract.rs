//! On what the barriers promise, and no more.

use crate::asymmetric::barrier::prepare;
use crate::asymmetric::epoch as scheme;

const BARRIERS: &str = "contract";

#[path = "models.rs"]
mod models;
