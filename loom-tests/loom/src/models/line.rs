//! Commit words of lines: who has frozen one has ended all insertions through it.

use crate::explore::{Size, both, explore};
use dwell::internals::map::table::line::{CommitState, CommitValue, Line};
use std::sync::Arc;

#[test]
fn a_door_that_was_frozen_stays_as_it_was_returned() {
    explore("line: freeze a commit word, and put", Size::Small, || {
        let line: Arc<Line<u64, u64>> = Arc::new(Line::unset());
        line.commit_word.open();
        let (frozen, is_put) = both(
            &line,
            |line| line.commit_word.freeze(),
            |line| {
                line.commit_word
                    .put(CommitValue::stamp(1), CommitValue::stamp(2))
            },
        );
        let expected = if is_put { 2 } else { 1 };
        for word in [frozen, line.commit_word.load()] {
            assert!(word.is_frozen());
            assert!(matches!(word.decode(), CommitState::Stamp(stamp) if stamp == expected));
        }
    });
}
