//! The epochs once more, on a specification of the barriers.

#[path = "../../../src/map/epoch.rs"]
pub(crate) mod epoch;

/// The contract of `src/map/barrier.rs`. A fence would do more: it makes of the loads before it what an Acquire would, and
/// of the stores after it what a Release would.
pub(crate) mod barrier {
    use loom::sync::atomic::{AtomicUsize, Ordering};

    struct Line {
        light: AtomicUsize,
        heavy: AtomicUsize,
    }

    loom::lazy_static! {
        static ref LINE: Line = Line {
            light: AtomicUsize::new(0),
            heavy: AtomicUsize::new(0),
        };
    }

    /// Whoever makes the line comes before all that use it: let that be the model's first thread.
    pub(crate) fn prepare() -> bool {
        let _: &Line = &LINE;
        true
    }

    pub(crate) fn light() {
        LINE.light.fetch_add(1, Ordering::Release);
        // After a `heavy` that does not see the line above.
        LINE.heavy.fetch_add(0, Ordering::Acquire);
    }

    pub(crate) fn medium() {
        light();
    }

    pub(crate) fn heavy() -> bool {
        LINE.heavy.fetch_add(1, Ordering::Release);
        LINE.light.fetch_add(0, Ordering::Acquire);
        true
    }
}
