//! Eviction: how a bounded map stays within its bound, and which records it ends for that.
//!
//! **Invariant.** The counts of records and weight are never less than what is in the map: what is
//! to come is counted before any thread can find it ([`Room`]), and an end is counted after it.
//!
//! **A map at rest is within its bound.** A thread that has brought something reads the counts
//! after that. It returns when they are within the bound, or when it has ended as much as it
//! brought: another record, or its own if it finds no other, because their tokens are in the hands
//! of other threads. If another thread has ended its own record, it ends any other. Of the threads
//! that returned because the counts were within the bound, take the one that read them last, in the
//! counts' own order. The counts held all that those threads had brought, and were within the
//! bound. Each other thread has ended as much as it brought.
//!
//! **Debts.** A thread whose record another one has ended, while each record of the map is in the
//! hands of others, has nothing to end. It counts what it owes, and looks once more. A thread that
//! has filed a token looks for debts afterwards, and pays them. By the fences between (see
//! [`Counters::owe`]) either the one finds the token, or the other one the debt. If the map comes
//! within its bound without it, a debt stays until the map is over its bound again: then one record
//! more goes.
//!
//! **Order.** See `search`.
//!
//! **Progress.** Lock-free, and bounded but for records that others touch at the same moment.

use crate::map::context::Context;
use crate::map::ops::ends::{Ends, Found, Token};
use crate::map::ops::search::{Evicts, Spared};
use crate::map::record::Record;
use crate::map::stats::Counters;
use crate::map::{IdleMap, RemovalCause};
use crate::tuning::ops::MOST_PROTECTED;

/// What is counted for a record that no thread can find yet. Given back, unless it is kept.
#[must_use]
pub(in crate::map) struct Room<'m> {
    /// The counters of a bounded map.
    counters: Option<&'m Counters>,
    /// How many records there is room for.
    records: usize,
    /// What they may weigh.
    weight: u32,
}

impl Room<'_> {
    /// The record is in the map: from now on its end gives the room back.
    pub(in crate::map) fn keep(mut self) -> Brought {
        self.counters = None;
        Brought {
            is_new: self.records > 0,
            weight: self.weight,
        }
    }
}

/// What a record has brought into the map.
#[derive(Clone, Copy)]
pub(in crate::map) struct Brought {
    /// Whether the record has no predecessor.
    is_new: bool,
    /// What it weighs more than its predecessor.
    weight: u32,
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        if let Some(counters) = self.counters {
            counters.vacate(self.records, self.weight);
        }
    }
}

impl<K, V, S> IdleMap<K, V, S>
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// Evicts up to `records` records, in the order in which a full map does (see
    /// [`Builder::capacity`](crate::Builder::capacity)). Returns how many it ended: records that it
    /// finds past their deadline count too.
    ///
    /// A map without a capacity does not count which records were accessed: it evicts those first
    /// that were never accessed. Lock-free.
    ///
    /// ```
    /// use dwell::{IdleMap, ManualClock};
    /// use std::time::Duration;
    /// let clock = ManualClock::new();
    /// let map = IdleMap::builder().clock(clock.clone()).build()?;
    /// map.insert("comes back", 1);
    /// map.insert("does not", 2);
    /// map.touch("comes back");
    /// assert_eq!(map.evict(1), 1);
    /// assert!(map.contains_key("comes back"));
    /// # Ok::<(), dwell::BuildError>(())
    /// ```
    pub fn evict(&self, records: usize) -> usize {
        let spared = Spared {
            record: None,
            protected: false,
        };
        let mut evicted = 0;
        while evicted < records {
            let context = self.begin();
            if self.evict_one(&spared, &context).is_none() {
                break;
            }
            evicted += 1;
            self.tidy(context);
        }
        evicted
    }

    /// Counts what is to come into a bounded map.
    pub(in crate::map) fn reserve(&self, records: usize, weight: u32) -> Room<'_> {
        let counters = self.settings.is_bounded.then_some(&self.counters);
        if let Some(counters) = counters {
            counters.occupy(records, weight);
        }
        Room {
            counters,
            records,
            weight,
        }
    }

    /// Counts what a record weighs more than the one that it is to replace.
    pub(in crate::map) fn reserve_more(
        &self,
        replaced: &Record<K, V>,
        new: &Record<K, V>,
    ) -> Room<'_> {
        self.reserve(0, new.weight().saturating_sub(replaced.weight()))
    }

    /// Evicts, if the map holds more than it may, until it does not, or as much has gone as
    /// `newest` brought. `newest` is spared, unless it alone weighs too much, or nothing else is
    /// found that may go for it.
    #[inline]
    pub(in crate::map) fn make_room(
        &self,
        newest: &Record<K, V>,
        brought: Brought,
        context: &Context<'_, K, V>,
    ) {
        if self.settings.is_bounded && (brought.is_new || brought.weight > 0) {
            self.keep_bound(newest, brought, context);
        }
    }

    /// [`make_room`](Self::make_room) in a bounded map. Apart, so that other maps do not even call
    /// it.
    #[inline(never)]
    fn keep_bound(&self, newest: &Record<K, V>, brought: Brought, context: &Context<'_, K, V>) {
        if u64::from(newest.weight()) > self.settings.weight_capacity {
            self.evict_newest(newest, context);
            return;
        }
        let most_lost = if newest.is_protected() {
            usize::MAX
        } else if brought.is_new {
            MOST_PROTECTED
        } else {
            0
        };
        let mut spared = Spared {
            record: Some(newest),
            protected: most_lost == 0,
        };
        let (mut evicted, mut lost) = (0, 0);
        while self.is_over_bound() {
            match self.evict_one(&spared, context) {
                Some(other) => {
                    evicted += other.weight;
                    if evicted >= brought.weight.into() {
                        return;
                    }
                    lost += usize::from(other.is_loss);
                    spared.protected = lost == most_lost;
                }
                None if !self.is_over_bound() => return,
                None if spared.record.is_none() => {
                    self.counters.owe(u64::from(brought.weight) - evicted);
                    return self.pay_debts(context);
                }
                None if self.evict_newest(newest, context) => return,
                // Another thread has ended it to make room for a record of its own: something else
                // has to go.
                None => {
                    spared = Spared {
                        record: None,
                        protected: false,
                    }
                }
            }
        }
    }

    /// Ends what other threads owe, if the map is over its bound. A thread that has filed a token
    /// does this at its end.
    #[inline]
    pub(in crate::map) fn pay_debts(&self, context: &Context<'_, K, V>) {
        if self.settings.is_bounded && self.counters.owed() > 0 {
            self.pay_some(context);
        }
    }

    #[cold]
    fn pay_some(&self, context: &Context<'_, K, V>) {
        let any = Spared {
            record: None,
            protected: false,
        };
        while self.counters.owed() > 0 && self.is_over_bound() {
            let Some(other) = self.evict_one(&any, context) else {
                return;
            };
            self.counters.pay(other.weight);
        }
    }

    /// Whether the counts are above the bound.
    pub(in crate::map) fn is_over_bound(&self) -> bool {
        self.counters.occupied() > self.settings.capacity
            || self.counters.weight() > self.settings.weight_capacity
    }

    /// Ends a record that was just inserted, or what replaced it. False if it had ended before.
    fn evict_newest(&self, newest: &Record<K, V>, context: &Context<'_, K, V>) -> bool {
        while let Found::Live(record, seen) = self.look(newest, context) {
            if self.end(record, seen, RemovalCause::Evicted, Token::Filed, context) {
                return true;
            }
        }
        false
    }
}
