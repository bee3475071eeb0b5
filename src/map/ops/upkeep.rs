//! What keeps the map in shape beside the operations: the migration of the table, and the freeing
//! of what has ended.
//!
//! **Progress.** Each step is bounded, and lock-free but for the allocator. Values are dropped
//! while this thread is not pinned.

use crate::map::context::Context;
use crate::map::{IdleMap, nested};
use crate::reclaim::{Guard, Reclaim};
use crate::tuning::ops::{REAPED, UNITS, UNITS_IN_PASSING};

impl<K, V, S> IdleMap<K, V, S>
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// What a writer does at its end: migrates a little of a growing table, and frees a little of
    /// what is ready to be freed. Freeing runs user code, so the operation is over before.
    pub(in crate::map) fn tidy(&self, context: Context<'_, K, V>) {
        self.pay_debts(&context);
        self.table.migrate_some(UNITS_IN_PASSING, &context);
        context.guard.count_writes(1);
        let shard = context.shard();
        self.remains.retired.sweep(shard, &context.guard);
        drop(context);
        if self.remains.retired.has_ready(shard) {
            nested::free(|| {
                self.remains.retired.reap(shard, REAPED);
            });
        }
    }

    /// After a collection: lets the table shrink, and frees what can be freed now.
    pub(in crate::map) fn settle(&self) {
        self.pay_debts(&self.begin());
        let mut has_garbage = self.remains.garbage() > 0;
        while self.settle_step() {
            has_garbage = true;
        }
        if has_garbage {
            self.free_garbage();
        }
    }

    /// Takes a growing or shrinking table a bounded step further, or lets it begin to shrink. False
    /// if there is nothing to do.
    pub(in crate::map) fn settle_step(&self) -> bool {
        // At no time: nothing is judged by it.
        let context = self.begin_at(0);
        self.table.migrate_rest(UNITS, &context) || self.fit(&context)
    }

    /// Frees up to so many batches of what has ended, unless a thread is pinned and may be reading
    /// it. False if there were none to free.
    pub(in crate::map) fn free_part(&self, batches: usize) -> bool {
        self.remains.retired.send_all(&Guard::pin());
        let mut freed = 0;
        // A grace period is over when the epoch has moved on three times.
        for _ in 0..4 {
            let context = self.begin_at(0);
            context.guard.flush();
            self.remains.retired.sweep(context.shard(), &context.guard);
            // Values are dropped while this thread holds up no other.
            drop(context);
            nested::free(|| freed += self.remains.retired.reap_any(batches - freed));
        }
        freed > 0
    }

    /// Frees all that has ended, unless a thread is pinned and may be reading it.
    pub(in crate::map) fn free_garbage(&self) {
        self.free_part(usize::MAX);
    }
}
