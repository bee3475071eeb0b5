//! Doors of lines: who has frozen one has ended all insertions through it.

use crate::explore::{Size, both, explore};
use dwell::internals::map::table::line::{DoorState, DoorWord, Line};
use std::sync::Arc;

#[test]
fn a_door_that_was_frozen_stays_as_it_was_returned() {
    explore("line: freeze a door, and put", Size::Small, || {
        let line: Arc<Line<u64, u64>> = Arc::new(Line::unset());
        line.door.open();
        let (frozen, is_put) = both(
            &line,
            |line| line.door.freeze(),
            |line| line.door.put(DoorWord::stamp(1), DoorWord::stamp(2)),
        );
        let expected = if is_put { 2 } else { 1 };
        for word in [frozen, line.door.load()] {
            assert!(word.is_frozen());
            assert!(matches!(word.decode(), DoorState::Stamp(stamp) if stamp == expected));
        }
    });
}
