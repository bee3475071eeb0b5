//! What the map promises about cache lines: no timing tells it, counting does.
#![cfg(dwell_counted)]

use shared_lines::{Operation, count};

#[test]
fn look_ups_and_mixed_work_write_no_line_that_all_threads_write() {
    use Operation::*;
    for operation in [
        With,
        WithAfterTick,
        Get,
        GetAfterTick,
        Peek,
        Touch,
        TouchAfterTick,
        Unknown,
        Insert,
        Mixed,
    ] {
        let shared = count(operation).shared;
        assert!(shared.is_empty(), "{operation:?} writes {shared:?}");
    }
}

/// One line is the thread's own, by which it says that it is inside of an operation.
#[test]
fn a_look_up_writes_its_thread_s_line_and_a_touch_the_record_s() {
    for (operation, written, read_modify_writes) in [
        (Operation::With, 1.0, 0.0),
        (Operation::Touch, 1.0, 0.0),
        (Operation::Unknown, 1.0, 0.0),
        (Operation::WithAfterTick, 2.0, 1.0),
        (Operation::TouchAfterTick, 2.0, 1.0),
        (Operation::Get, 2.0, 2.0),
    ] {
        let count = count(operation);
        assert_eq!(count.written, written, "{operation:?}");
        assert_eq!(
            count.read_modify_writes, read_modify_writes,
            "{operation:?}"
        );
        assert_eq!(count.fences, 0.0, "{operation:?}");
        assert_eq!(count.allocations, 0.0, "{operation:?}");
    }
}

#[test]
fn a_collection_with_nothing_due_looks_at_a_few_lines() {
    let count = count(Operation::CollectNothingDue);
    assert!(count.lines < 32.0, "{} of 40,000 sessions", count.lines);
}
