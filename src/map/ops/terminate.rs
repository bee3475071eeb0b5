//! How a record's life ends, and what the winner of its death owes.

use crate::map::context::Visit;
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
        let idle = seen.tick() + record.idle();
        let limit = record.limit();
        if now < idle.min(limit) {
            None
        } else if limit <= idle {
            Some(RemovalCause::ExpiredLifetime)
        } else {
            Some(RemovalCause::ExpiredIdle)
        }
    }

    /// Judges a record of this visit by what was just seen of it: ends it if it is past its deadline.
    #[inline]
    pub(in crate::map) fn judge<'v>(
        &self,
        record: &'v Record<K, V>,
        seen: Observed,
        visit: &'v Visit<'_, K, V>,
    ) -> Found<'v, K, V> {
        match self.expired(record, seen, visit.now) {
            None => Found::Live(record, seen),
            Some(cause) if self.end(record, seen, cause, visit) => Found::Gone,
            Some(_) => self.look(record, visit),
        }
    }

    /// Looks at a record of this visit: follows its successors, and ends what is past its deadline.
    #[cold]
    pub(in crate::map) fn look<'v>(
        &self,
        record: &'v Record<K, V>,
        visit: &'v Visit<'_, K, V>,
    ) -> Found<'v, K, V> {
        let mut record = record;
        loop {
            match record.life.load() {
                State::Live(seen) => match self.expired(record, seen, visit.now) {
                    None => return Found::Live(record, seen),
                    Some(cause) => {
                        if self.end(record, seen, cause, visit) {
                            return Found::Gone;
                        }
                    }
                },
                State::Forward(successor) => {
                    // SAFETY: followed from a record of this visit.
                    record = unsafe { visit.follow(successor) };
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
        visit: &Visit<'_, K, V>,
    ) -> bool {
        if !record.life.kill(seen) {
            return false;
        }
        self.table.unlink(record, visit);
        if self.calendar.take_back(record, visit) {
            visit.retire(record);
        } else {
            visit.leave_shell();
            visit.left(record);
        }
        self.announce(record, cause, visit);
        true
    }

    /// Ends a record whose token the caller holds, if it is still as it was seen.
    pub(in crate::map) fn end_with_token(
        &self,
        record: &Record<K, V>,
        seen: Observed,
        cause: RemovalCause,
        visit: &Visit<'_, K, V>,
    ) -> bool {
        if !record.life.kill(seen) {
            return false;
        }
        self.table.unlink(record, visit);
        visit.retire(record);
        self.announce(record, cause, visit);
        true
    }

    /// Counts an end, and tells the listener.
    fn announce(&self, record: &Record<K, V>, cause: RemovalCause, visit: &Visit<'_, K, V>) {
        self.counters.ended(visit.lane(), cause);
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
        visit: &Visit<'_, K, V>,
    ) {
        let from_table = self.table.hand_over(replaced, successor, visit);
        let from_calendar = self.calendar.inherit(replaced, successor, visit);
        if !from_calendar {
            // Whoever holds the token follows it to the successor.
            visit.leave_shell();
        }
        match (from_table, from_calendar) {
            (true, true) => visit.retire(replaced),
            (false, false) => {}
            _ => visit.left(replaced),
        }
        self.counters.ended(visit.lane(), RemovalCause::Replaced);
        if self.settings.is_bounded {
            let less = replaced.weight().saturating_sub(successor.weight());
            self.counters.vacate(0, less);
        }
    }

    /// What a writer does at its end: takes a growing table a little further, and frees a little of what is ready to be
    /// freed. That is user code, which may take its time: the visit is over before.
    pub(in crate::map) fn tidy(&self, visit: Visit<'_, K, V>) {
        let lines = self.table.lines(&visit.guard);
        if lines.is_taking_over() {
            lines.take_along(UNITS, &visit);
        }
        visit.guard.count_writes(1);
        let lane = visit.lane();
        self.limbo.sweep(lane, &visit.guard);
        drop(visit);
        if self.limbo.has_ready(lane) {
            nested::free(|| {
                self.limbo.reap(lane, REAPED);
            });
        }
    }
}

/// Units of the table that a writer takes over in passing. One would do: a table that has doubled takes
/// more insertions than it has units before it doubles again.
const UNITS: usize = 4;
