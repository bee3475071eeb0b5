//! User code inside of user code: what keeps it from nesting without bound.
//!
//! The map drops keys and values, and tells listeners. Both may call a map, the same or another
//! one, which would drop and tell in its turn, as deep as there is something to drop and to tell.
//!
//! **Invariant.** A thread frees ready records in one call at a time, and tells listeners in one
//! call at a time. Freeing inside of freeing is left out: what is ready stays ready, and writers
//! that come later free it. Telling inside of telling queues: the call that tells goes on with what
//! was queued, before it returns.
//!
//! **Progress.** A call that tells ends, if the listeners do: where telling of one end causes the
//! next one, and so on, it stops after [`LINKS`] links and [`MOST`] tellings. What is queued then
//! waits for the thread's next end.

use crate::sync::thread_local;
use std::cell::{Cell, RefCell};
use std::mem::take;

/// Listeners that end a record whenever they are told of an end would keep a thread for ever: a
/// chain of so many ends is followed in any case, however many ends each link has, ...
const LINKS: usize = 64;
/// ... and a longer one until so many ends were told.
const MOST: usize = 1 << 12;

type Telling = Box<dyn FnOnce()>;

thread_local! {
    // loom's thread-locals have no `const` form.
    #[allow(clippy::missing_const_for_thread_local)]
    static IS_FREEING: Cell<bool> = Cell::new(false);
    #[allow(clippy::missing_const_for_thread_local)]
    static IS_TELLING: Cell<bool> = Cell::new(false);
    static QUEUED: RefCell<Vec<Telling>> = RefCell::new(Vec::new());
}

/// Frees, unless this thread is freeing already.
pub(super) fn free(action: impl FnOnce()) {
    if !IS_FREEING.with(|is_freeing| is_freeing.replace(true)) {
        action();
        IS_FREEING.with(|is_freeing| is_freeing.set(false));
    }
}

/// Tells, and then what that caused; or queues what `queued` makes, if this thread is telling
/// already. Neither may panic.
pub(super) fn tell(now: impl FnOnce(), queued: impl FnOnce() -> Telling) {
    if IS_TELLING.with(|is_telling| is_telling.replace(true)) {
        // Where the thread is exiting and its queue is gone, nothing waits for this.
        let mut queued = Some(queued);
        let put = |queue: &RefCell<Vec<_>>| queue.borrow_mut().extend(queued.take().map(|it| it()));
        if QUEUED.try_with(put).is_err() {
            now();
        }
        return;
    }
    now();
    let (mut links, mut told) = (0, 0);
    while links < LINKS || told < MOST {
        let caused = QUEUED.try_with(|queue| take(&mut *queue.borrow_mut()));
        let caused = caused.unwrap_or_default();
        if caused.is_empty() {
            break;
        }
        links += 1;
        told += caused.len();
        caused.into_iter().for_each(|telling| telling());
    }
    IS_TELLING.with(|is_telling| is_telling.set(false));
}
