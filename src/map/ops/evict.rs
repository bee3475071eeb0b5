//! Eviction: how a bounded map stays within its bound, and which records it ends for that.
//!
//! **Invariant.** The counts of records and weight are never less than what is in the map: what is to come is
//! counted before anybody can find it ([`Room`]), and an end is counted after it.
//!
//! **A map at rest is within its bound.** A thread that has brought something reads the counts after that. It returns
//! when they are within the bound, or when it has ended as much as it brought: another record, or its own if no other
//! is to be found, because their tokens are in the hands of other threads. If its own has been ended by another thread,
//! it ends any other. Of those that returned by such a look, take the one whose look comes last in the count's own
//! order. The count was within the bound then, and held all that had been brought by those that looked. Each other one
//! has ended as much as it brought.
//! There is one exception: a thread whose record another one has ended, while each record of the map is in the hands of
//! others, has nothing to end, and leaves the map by one record over its bound.
//!
//! **Order.** The calendar is drained from its front, one entry at a time. Protected records are filed apart, and
//! looked at only if nothing else was found: however many of them there are, none is in the way of a search for
//! others. Nor does one go for an unprotected record as long as the counts tell that there are others, though they may be
//! in the hands of other threads: that record goes itself then. Only a thread whose own record has been ended by another
//! thread may have nothing else to end.
//!
//! **Progress.** Lock-free, and bounded but for records that others touch at the same moment.

use crate::map::context::Context;
use crate::map::expiry::Filing;
use crate::map::expiry::bucket::{Class, Place};
use crate::map::ops::expire::Reviewed;
use crate::map::ops::terminate::Found;
use crate::map::record::Record;
use crate::map::record::status::Observed;
use crate::map::stats::Counters;
use crate::map::{IdleMap, RemovalCause};
use std::{mem, ptr};

/// Records of one class that an eviction looks at because they were accessed since they were filed: bounds its work.
const LOOKS: usize = 256;
/// Protected records that go at the most for the insertion of one that is not: one that needs more room goes itself.
/// None goes for an unprotected record that grows, for it might grow in many small steps.
const MOST_PROTECTED: usize = 16;
/// The part of the unprotected records that those keep which were never accessed: one in eight.
const FRESH_SHARE: usize = 8;

/// What is counted for a record that nobody can find yet. Given back, unless it is kept.
#[must_use]
pub(in crate::map) struct Room<'m> {
    /// Of a bounded map.
    counters: Option<&'m Counters>,
    records: usize,
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

/// What an eviction does not end.
struct Spared<'r, K, V> {
    record: Option<&'r Record<K, V>>,
    /// Protected records that have not expired.
    protected: bool,
}

/// A record that was accessed since it was filed, as it was seen.
type Accessed<'v, K, V> = (&'v Record<K, V>, Observed);

/// What was evicted.
struct Evicted {
    weight: u64,
    /// Whether it was a protected record that had not expired.
    is_loss: bool,
}

/// What came of a search through a class.
enum Search<'v, K, V> {
    /// A record was ended.
    Done(Evicted),
    /// All that was looked at had been accessed, and is filed as such now. This is the one that ends first.
    Accessed(Accessed<'v, K, V>),
    /// There is no record of this class.
    Nothing,
}

impl<K, V, S> IdleMap<K, V, S>
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// Evicts up to `records` records, in the order in which a full map does (see
    /// [`Builder::capacity`](crate::Builder::capacity)). Returns how many it ended: records that it finds
    /// past their deadline count too.
    ///
    /// A map without a capacity does not count which records were accessed: it evicts those first that were
    /// never accessed. Lock-free.
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

    /// Evicts, if the map holds more than it may, until it does not, or as much has gone as `newest` brought.
    /// `newest` is spared, unless it alone weighs too much, or nothing else is found that may go for it.
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

    /// [`make_room`](Self::make_room) in a bounded map. Apart, so that other maps do not even call it.
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
                None if !self.is_over_bound() || spared.record.is_none() => return,
                None if self.evict_newest(newest, context) => return,
                // Another thread has ended it to make room for a record of its own: something else has to go.
                None => {
                    spared = Spared {
                        record: None,
                        protected: false,
                    }
                }
            }
        }
    }

    fn is_over_bound(&self) -> bool {
        self.counters.occupied() > self.settings.capacity
            || self.counters.weight() > self.settings.weight_capacity
    }

    /// Ends a record that was just inserted, or what replaced it. False if it had ended before.
    fn evict_newest(&self, newest: &Record<K, V>, context: &Context<'_, K, V>) -> bool {
        while let Found::Live(record, seen) = self.look(newest, context) {
            if self.end(record, seen, RemovalCause::Evicted, context) {
                return true;
            }
        }
        false
    }

    /// Ends one record by the eviction policy, but none that is spared. None if there is no other, or
    /// all others are in the hands of other threads.
    fn evict_one(&self, spared: &Spared<'_, K, V>, context: &Context<'_, K, V>) -> Option<Evicted> {
        let mut is_held = false;
        let evicted = loop {
            match self.search_all(spared, &mut is_held, context) {
                Search::Done(evicted) => break Some(evicted),
                Search::Nothing => break None,
                Search::Accessed((record, seen)) => {
                    self.file_spared(spared, &mut is_held, context);
                    if self.end(record, seen, RemovalCause::Evicted, context) {
                        break Some(Evicted {
                            weight: record.weight().into(),
                            is_loss: record.is_protected(),
                        });
                    }
                    // It was accessed once more.
                }
            }
        };
        self.file_spared(spared, &mut is_held, context);
        evicted
    }

    /// Files the token of the spared record, if this thread holds it. It does so before it ends another record. Otherwise
    /// the thread that brought that other one might find neither, and have nothing to end for what it brought.
    fn file_spared(
        &self,
        spared: &Spared<'_, K, V>,
        is_held: &mut bool,
        context: &Context<'_, K, V>,
    ) {
        if mem::take(is_held)
            && let Some(record) = spared.record
        {
            self.calendar.file(record, Filing::Again, context);
        }
    }

    fn search_all<'v>(
        &self,
        spared: &Spared<'_, K, V>,
        is_held: &mut bool,
        context: &'v Context<'_, K, V>,
    ) -> Search<'v, K, V> {
        let fresh = self.calendar.tokens(Class::Fresh);
        let share = (fresh + self.calendar.tokens(Class::Touched)) / FRESH_SHARE;
        let few_fresh = self.settings.is_bounded && fresh <= share.max(1);
        let order = if few_fresh {
            [Class::Touched, Class::Fresh, Class::Protected]
        } else {
            Class::ALL
        };
        let mut accessed = None;
        for class in order {
            let mut is_spared = false;
            if class == Class::Protected {
                if let Some(accessed) = accessed {
                    return Search::Accessed(accessed);
                }
                is_spared = self.spares_protected(spared);
            }
            match self.search(class, spared, is_spared, is_held, context) {
                Search::Nothing => {}
                // They are touched ones now: the next to go may be among those that were before.
                Search::Accessed(found) if class == Class::Fresh => accessed = Some(found),
                found => return found,
            }
        }
        Search::Nothing
    }

    /// Whether no protected record goes, although no other was found. For an unprotected record none goes if the map
    /// holds others, in the hands of other threads, or is within its bound by now.
    fn spares_protected(&self, spared: &Spared<'_, K, V>) -> bool {
        spared.protected
            || spared.record.is_some_and(|newest| {
                !newest.is_protected()
                    && (self.counters.occupied() > self.calendar.tokens(Class::Protected) + 1
                        || !self.is_over_bound())
            })
    }

    /// Looks for a record of a class that was not accessed since it was filed, and ends it. If `is_spared`, it ends only
    /// what has expired.
    fn search<'v>(
        &self,
        class: Class,
        spared: &Spared<'_, K, V>,
        is_spared: bool,
        is_held: &mut bool,
        context: &'v Context<'_, K, V>,
    ) -> Search<'v, K, V> {
        let mut first: Option<Accessed<'v, K, V>> = None;
        let mut looks = 0;
        while let Some(bucket) = self.calendar.front(class, context) {
            if looks >= LOOKS || is_spared && self.calendar.end_of(bucket) > context.now {
                break;
            }
            let mut evicted = None;
            let mut has_expired = false;
            let review = |record: &'v Record<K, V>| {
                if spared.record.is_some_and(|spared| ptr::eq(spared, record)) {
                    // The bucket may be retired before this token is filed again.
                    Place::erase(record);
                    *is_held = true;
                    return;
                }
                self.file_spared(spared, is_held, context);
                let is_done = evicted.is_some();
                let judge = |record: &'v Record<K, V>, seen| {
                    if is_done {
                        return None;
                    }
                    let cause = self.expired(record, seen, context.now);
                    has_expired = cause.is_some();
                    if has_expired {
                        return cause;
                    }
                    let is = self.calendar.class_of(record, seen);
                    let quantum = self.calendar.quantum_of(record.deadline(seen));
                    let is_due = class == Class::Fresh || quantum <= bucket.key.quantum;
                    if is == class && is_due && !is_spared {
                        return Some(RemovalCause::Evicted);
                    }
                    let is_first = |(other, then): Accessed<'v, K, V>| {
                        record.deadline(seen) < other.deadline(then)
                    };
                    if is != Class::Protected || class == Class::Protected {
                        looks += 1;
                        if !is_spared && first.is_none_or(is_first) {
                            first = Some((record, seen));
                        }
                    }
                    None
                };
                if let Reviewed::Ended(weight) = self.review(record, judge, context) {
                    evicted = Some(weight);
                }
            };
            self.calendar.drain(bucket, 1, context, |_| {}, review);
            if let Some(weight) = evicted {
                return Search::Done(Evicted {
                    weight,
                    is_loss: class == Class::Protected && !has_expired,
                });
            }
        }
        first.map_or(Search::Nothing, Search::Accessed)
    }
}
