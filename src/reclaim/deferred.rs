//! What the threads of a slot deferred: a stack of actions, each with the epoch of its time.
//!
//! **Invariant.** An action is on the stack, or in the hands of the one thread that took it off. It
//! runs once: when its grace period is over, or when the domain is dropped.
//!
//! **Progress.** Lock-free. The stack is taken whole by swap, so that no foreign head is ever read.

use crate::reclaim::epoch::Domain;
use crate::sync::{AtomicPtr, AtomicUsize, Ordering, Trace};
use std::ptr;

/// A stack of actions.
#[derive(Debug)]
pub struct Deferred {
    /// The newest one.
    actions: AtomicPtr<Action>,
    /// The epoch at which the actions were last gone through.
    swept: AtomicUsize,
}

struct Action {
    /// The epoch at which it was deferred.
    stamp: usize,
    run: Box<dyn FnOnce()>,
    /// The one below it.
    next: *mut Action,
    /// Stands for the three above.
    trace: Trace,
}

impl Deferred {
    pub fn new() -> Self {
        Self {
            actions: AtomicPtr::new(ptr::null_mut()),
            swept: AtomicUsize::new(0),
        }
    }

    /// Adds an action. It may run on any thread.
    pub fn add(&self, stamp: usize, run: Box<dyn FnOnce()>) {
        let action = Box::into_raw(Box::new(Action {
            stamp,
            run,
            next: ptr::null_mut(),
            trace: Trace::new(),
        }));
        self.push(action, action);
    }

    /// Pushes a chain of actions.
    fn push(&self, first: *mut Action, last: *mut Action) {
        let mut head = self.actions.load(Ordering::Relaxed);
        loop {
            // SAFETY: the chain is the caller's until it is pushed.
            unsafe {
                (*last).trace.write();
                (*last).next = head;
            }
            // Release: pairs with the swap in `run_due`.
            match self
                .actions
                .compare_exchange(head, first, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(newer) => head = newer,
            }
        }
    }

    /// Runs the actions whose grace period is over at this epoch.
    ///
    /// An action is gone through once an epoch, however often this is called: what comes meanwhile
    /// is not due yet.
    pub fn run_due(&self, epoch: usize) {
        // Relaxed, both: it saves work, and decides nothing.
        if self.swept.load(Ordering::Relaxed) == epoch {
            return;
        }
        self.swept.store(epoch, Ordering::Relaxed);
        // Acquire: pairs with `push`.
        let mut next = self.actions.swap(ptr::null_mut(), Ordering::Acquire);
        let mut early: Option<(*mut Action, *mut Action)> = None;
        while !next.is_null() {
            let action = next;
            // SAFETY: taken by the swap, so that the chain is this thread's.
            let stamp = unsafe {
                (*action).trace.read();
                next = (*action).next;
                (*action).stamp
            };
            if Domain::is_over(stamp, epoch) {
                // SAFETY: actions come from boxes, and this one is this thread's since the swap.
                let action = unsafe { Box::from_raw(action) };
                (action.run)();
            } else {
                let first = early.map_or(ptr::null_mut(), |(first, _)| first);
                // SAFETY: the action is this thread's since the swap, and on no list.
                unsafe { (*action).next = first };
                early = Some((action, early.map_or(action, |(_, last)| last)));
            }
        }
        if let Some((first, last)) = early {
            self.push(first, last);
        }
    }
}

impl Drop for Deferred {
    fn drop(&mut self) {
        // Relaxed: no other thread has the stack any more.
        let mut next = self.actions.load(Ordering::Relaxed);
        while !next.is_null() {
            // SAFETY: no other thread has the stack any more, and actions come from boxes.
            let action = unsafe { Box::from_raw(next) };
            next = action.next;
            (action.run)();
        }
    }
}
