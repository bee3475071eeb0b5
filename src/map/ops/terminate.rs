//! How a record's life ends, and what the winner of its death owes.

use crate::map::context::Context;
use crate::map::record::Record;
use crate::map::record::status::{Observed, State};
use crate::map::{IdleMap, RemovalCause, nested};
use crate::reclaim::Reclaim;

/// Batches of retired records that a writer frees in passing: more than it fills, so that they run dry.
const REAPED: usize = 2;

/// What a record was found to be.
pub(in crate::map) enum Found<'v, K, V> {
    Live(&'v Record<K, V>, Observed),
    Gone,
}

impl<K, V, S> IdleMap<K, V, S>
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// Why a record that was seen like this has ended by now, if it has.
    #[inline]
    pub(in crate::map) fn expired(
        &self,
        record: &Record<K, V>,
        seen: Observed,
        now: u64,
    ) -> Option<RemovalCause> {
        let idle = seen.tick() + record.idle_timeout();
        let limit = record.absolute_deadline();
        if now < idle.min(limit) {
            None
        } else if limit <= idle {
            Some(RemovalCause::ExpiredLifetime)
        } else {
            Some(RemovalCause::ExpiredIdle)
        }
    }

    /// Judges a record of this operation by what was just seen of it: ends it if it is past its deadline.
    #[inline]
    pub(in crate::map) fn judge<'v>(
        &self,
        record: &'v Record<K, V>,
        seen: Observed,
        context: &'v Context<'_, K, V>,
    ) -> Found<'v, K, V> {
        match self.expired(record, seen, context.now) {
            None => Found::Live(record, seen),
            Some(cause) if self.end(record, seen, cause, context) => Found::Gone,
            Some(_) => self.look(record, context),
        }
    }

    /// Looks at a record of this operation: follows its successors, and ends what is past its deadline.
    #[cold]
    pub(in crate::map) fn look<'v>(
        &self,
        record: &'v Record<K, V>,
        context: &'v Context<'_, K, V>,
    ) -> Found<'v, K, V> {
        let mut record = record;
        loop {
            match record.status.load() {
                State::Live(seen) => match self.expired(record, seen, context.now) {
                    None => return Found::Live(record, seen),
                    Some(cause) => {
                        if self.end(record, seen, cause, context) {
                            return Found::Gone;
                        }
                    }
                },
                State::Forward(successor) => {
                    // SAFETY: followed from a record of this operation.
                    record = unsafe { context.follow(successor) };
                }
                // Pending: not to be seen after a look-up.
                State::Dead | State::Pending => return Found::Gone,
            }
        }
    }

    /// Ends a record, if it is still as it was seen.
    #[cold]
    pub(in crate::map) fn end(
        &self,
        record: &Record<K, V>,
        seen: Observed,
        cause: RemovalCause,
        context: &Context<'_, K, V>,
    ) -> bool {
        if !record.status.kill(seen) {
            return false;
        }
        self.table.unlink(record, context);
        if self.calendar.take_back(record, context) {
            context.retire(record);
        } else {
            context.note_stale();
            context.release(record);
        }
        self.announce(record, cause, context);
        true
    }

    /// Ends a record whose token the caller holds, if it is still as it was seen.
    pub(in crate::map) fn end_with_token(
        &self,
        record: &Record<K, V>,
        seen: Observed,
        cause: RemovalCause,
        context: &Context<'_, K, V>,
    ) -> bool {
        if !record.status.kill(seen) {
            return false;
        }
        self.table.unlink(record, context);
        context.retire(record);
        self.announce(record, cause, context);
        true
    }

    /// Counts an end, and tells the listener.
    fn announce(&self, record: &Record<K, V>, cause: RemovalCause, context: &Context<'_, K, V>) {
        self.counters.ended(context.shard(), cause);
        if self.settings.is_bounded {
            self.counters.vacate(1, record.weight());
        }
        self.tell(record, cause);
    }

    /// Tells the listener.
    pub(in crate::map) fn tell(&self, record: &Record<K, V>, cause: RemovalCause) {
        if let Some(listener) = &self.listener {
            listener.tell(record, cause);
        }
    }

    /// After a replacement: gives the successor its predecessor's places.
    pub(in crate::map) fn succeed(
        &self,
        replaced: &Record<K, V>,
        successor: &Record<K, V>,
        context: &Context<'_, K, V>,
    ) {
        let from_table = self.table.forward(replaced, successor, context);
        let from_calendar = self.calendar.inherit(replaced, successor, context);
        if !from_calendar {
            // Whoever holds the token follows it to the successor.
            context.note_stale();
        }
        match (from_table, from_calendar) {
            (true, true) => context.retire(replaced),
            (false, false) => {}
            _ => context.release(replaced),
        }
        self.counters.ended(context.shard(), RemovalCause::Replaced);
        if self.settings.is_bounded {
            let less = replaced.weight().saturating_sub(successor.weight());
            self.counters.vacate(0, less);
        }
    }

    /// What a writer does at its end: takes a growing table a little further, and frees a little of what is ready to be
    /// freed. That is user code, which may take its time: the context is over before.
    pub(in crate::map) fn tidy(&self, context: Context<'_, K, V>) {
        let lines = self.table.lines(&context.guard);
        if lines.is_taking_over() {
            lines.migrate_some(UNITS, &context);
        }
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
}

/// Units of the table that a writer migrates in passing. One would do: a table that has doubled takes
/// more insertions than it has units before it doubles again.
const UNITS: usize = 4;
