//! What the map does when a record of it ends or is replaced: the rest of an end is in `ends`.

use crate::map::context::Context;
use crate::map::expiry::Calendar;
use crate::map::expiry::bucket::Class;
use crate::map::ops::ends::Ends;
use crate::map::ops::search::Evicts;
use crate::map::record::Record;
use crate::map::{IdleMap, RemovalCause};

impl<K, V, S> Ends<K, V> for IdleMap<K, V, S>
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    #[inline]
    fn calendar(&self) -> &Calendar<K, V> {
        &self.calendar
    }

    fn unlink(&self, dead: &Record<K, V>, context: &Context<'_, K, V>) {
        self.table.unlink(dead, context);
    }

    fn announce(&self, record: &Record<K, V>, cause: RemovalCause, context: &Context<'_, K, V>) {
        self.counters.ended(context.shard(), cause);
        if self.settings.is_bounded {
            self.counters.vacate(1, record.weight());
        }
        self.tell(record, cause);
    }

    fn prefetch(&self, record: &Record<K, V>, context: &Context<'_, K, V>) {
        self.table.prefetch(record.hash(), context);
    }
}

impl<K, V, S> Evicts<K, V> for IdleMap<K, V, S>
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    #[inline]
    fn is_bounded(&self) -> bool {
        self.settings.is_bounded
    }

    fn can_spare_protected(&self) -> bool {
        self.counters.occupied() > self.calendar.tokens(Class::Protected) + 1
            || !self.is_over_bound()
    }
}

impl<K, V, S> IdleMap<K, V, S>
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// Tells the listener.
    pub(in crate::map) fn tell(&self, record: &Record<K, V>, cause: RemovalCause) {
        if let Some(listener) = &self.listener {
            listener.tell(record, cause);
        }
    }

    /// After a replacement: gives the successor its predecessor's places in the table and in the
    /// calendar.
    pub(in crate::map) fn succeed(
        &self,
        replaced: &Record<K, V>,
        successor: &Record<K, V>,
        context: &Context<'_, K, V>,
    ) {
        let from_table = self.table.forward(replaced, successor, context);
        let from_calendar = self.calendar.inherit(replaced, successor, context);
        if !from_calendar {
            // The thread that holds the token follows it to the successor.
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
}
