//! Collection and eviction: both drain the calendar from its front, a few entries at a time.
//!
//! Each step pins anew, so that no step keeps anything from being freed for long. A step looks at no more
//! than 32 records. What was touched since it was filed is filed again; what has ended is unlinked and
//! retired; what is due is ended by the exchange of its life word, which fails if it is touched right then.

use super::bucket::{Bucket, Place};
use super::calendar::{Class, Filing, STEP};
use super::life::{Observed, State};
use super::reclaim::{Guard, Reclaim};
use super::record::Record;
use super::visit::Visit;
use super::{IdleMap, RemovalCause};
use std::ptr;
use std::time::Duration;

/// Records that an eviction looks at because they were accessed since they were filed: bounds its work.
const SECOND_CHANCES: usize = 64;
/// Records that an insertion evicts at the most, unless what it added weighs more.
const EVICTIONS: usize = 4;
/// The part of the capacity that records keep which were never accessed: one in eight.
const FRESH_SHARE: usize = 8;

/// Steps of a part of a collection.
const PART: usize = 1_024 / STEP;

/// What became of a token that was drained.
enum Reviewed {
    /// The record, of this weight, was ended.
    Ended(u64),
    /// The record had ended before.
    Shell,
    /// The token was filed again.
    Kept,
}

/// What came of an attempt to evict a record.
enum Eviction {
    /// A record of this weight was ended.
    Done(u64),
    /// All that was looked at had been accessed; it is filed as such now.
    Promoted,
    /// There is no record to evict.
    Nothing,
}

impl<K, V, S> IdleMap<K, V, S>
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// Ends every record that is due, and frees what is ready to be freed. Returns how many it ended.
    ///
    /// A record is due for collection at the latest one quantum after it ended: a 512th of the idle timeout or
    /// of the maximal lifetime, of the shorter one, and 66 seconds at most.
    /// Reads do not wait for that, they see its end at once. May be called by several threads at the same
    /// time, next to a background [`Collector`](crate::Collector) or in its place. Cost: tens of
    /// nanoseconds if nothing is due; otherwise in proportion to what is, and to what was touched in the
    /// idle timeout before. No reader or writer waits for it. Lock-free.
    ///
    /// ```
    /// use dwell::{IdleMap, ManualClock};
    /// use std::time::Duration;
    /// let clock = ManualClock::new();
    /// let map = IdleMap::builder()
    ///     .idle_timeout(Duration::from_secs(60))
    ///     .clock(clock.clone())
    ///     .build()?;
    /// map.insert("visitor", 7);
    /// clock.advance(Duration::from_secs(61));
    /// assert_eq!(map.collect(), 1);
    /// assert!(map.is_empty());
    /// # Ok::<(), dwell::BuildError>(())
    /// ```
    pub fn collect(&self) -> usize {
        let now = self.now();
        let mut ended = 0;
        while let Some(more) = self.collect_step(now) {
            ended += more;
        }
        self.settle();
        ended
    }

    /// A bounded part of a collection, for who must not be away for long: looks at 1,024 records at most. Returns how many it
    /// ended; or none if nothing was due, and then it has freed what is ready to be freed, as [`collect`](Self::collect)
    /// does at its end. Lock-free.
    ///
    /// ```
    /// use dwell::{IdleMap, ManualClock};
    /// use std::time::Duration;
    /// let clock = ManualClock::new();
    /// let map = IdleMap::builder()
    ///     .idle_timeout(Duration::from_secs(60))
    ///     .clock(clock.clone())
    ///     .build()?;
    /// map.insert("visitor", 7);
    /// clock.advance(Duration::from_secs(61));
    /// assert_eq!(map.collect_part(), Some(1));
    /// assert_eq!(map.collect_part(), None);
    /// # Ok::<(), dwell::BuildError>(())
    /// ```
    pub fn collect_part(&self) -> Option<usize> {
        let now = self.now();
        let mut ended = None;
        for _ in 0..PART {
            let Some(more) = self.collect_step(now) else {
                break;
            };
            *ended.get_or_insert(0) += more;
        }
        if ended.is_none() {
            self.settle();
        }
        ended
    }

    /// One bounded step of collection. Returns how many records it ended, or none if nothing is due.
    pub(super) fn collect_step(&self, now: u64) -> Option<usize> {
        let visit = self.visit_at(now);
        let due = [Class::Fresh, Class::Touched]
            .into_iter()
            .filter_map(|class| self.calendar.front(class, &visit))
            .find(|bucket| self.calendar.end_of(bucket) <= now)?;
        let mut ended = 0;
        let ahead = |record: &Record<K, V>| self.table.prefetch(record.hash(), &visit);
        self.calendar.drain(due, STEP, &visit, ahead, |record| {
            let judge = |record: &Record<K, V>, seen| self.expired(record, seen, now);
            if let Reviewed::Ended(_) = self.review(record, judge, &visit) {
                ended += 1;
            }
        });
        self.tidy(&visit);
        Some(ended)
    }

    /// After a collection: lets the table shrink, and frees what can be freed now.
    pub(super) fn settle(&self) {
        /// A table shrinks in steps; others may make it grow again.
        const STEPS: usize = 8;
        let mut has_garbage = self.limbo.garbage() > 0;
        for _ in 0..STEPS {
            // At no time: nothing is judged by it.
            let visit = self.visit_at(0);
            has_garbage |= self.table.lines(&visit.guard).go_on(&visit);
            if !self.fit(&visit) {
                break;
            }
        }
        if has_garbage {
            self.free_garbage();
        }
        if self.limbo.cells().is_worth_clearing() {
            self.limbo.cells().clear();
        }
    }

    /// Frees what has ended, unless somebody is pinned and may be reading it.
    pub(super) fn free_garbage(&self) {
        self.limbo.send_all(&Guard::pin());
        // A grace period is over when the epoch has moved on three times.
        for _ in 0..4 {
            let visit = self.visit_at(0);
            visit.guard.flush();
            self.limbo.sweep(visit.lane(), &visit.guard);
            self.limbo.reap_all();
        }
    }

    /// Ends every record that has been idle for at least `max_idle`: as if this were the idle timeout, for
    /// this one pass. Returns how many it ended.
    ///
    /// A record with an idle timeout of its own keeps its distance from the map's: if it may idle ten minutes
    /// longer, it may idle for `max_idle` and ten minutes. Absolute deadlines count as always. Looks at each
    /// record that may be concerned, and at none that was filed as more recent. Lock-free.
    ///
    /// ```
    /// use dwell::{IdleMap, ManualClock};
    /// use std::time::Duration;
    /// let clock = ManualClock::new();
    /// let map = IdleMap::builder().clock(clock.clone()).build()?;
    /// map.insert("early", 1);
    /// clock.advance(Duration::from_secs(60));
    /// map.insert("late", 2);
    /// assert_eq!(map.collect_idle(Duration::from_secs(60)), 1);
    /// assert!(map.contains_key("late"));
    /// # Ok::<(), dwell::BuildError>(())
    /// ```
    pub fn collect_idle(&self, max_idle: Duration) -> usize {
        let max_idle = u64::try_from(max_idle.as_millis()).unwrap_or(u64::MAX);
        let timeout = self.settings.idle_timeout;
        if max_idle >= timeout {
            return self.collect();
        }
        let now = self.now();
        // A record that is concerned has a deadline of its last access and its own timeout at the most.
        let horizon = self.calendar.quantum_of(now + (timeout - max_idle));
        let mut ended = 0;
        loop {
            let before = ended;
            for class in [Class::Fresh, Class::Touched] {
                let mut key = None;
                loop {
                    let visit = self.visit_at(now);
                    let Some(bucket) = self.calendar.after(class, key, &visit) else {
                        break;
                    };
                    if bucket.key.quantum > horizon {
                        break;
                    }
                    for index in 0..bucket.size() {
                        ended += usize::from(self.end_if_idle(bucket, index, max_idle, &visit));
                    }
                    key = Some(bucket.key);
                }
            }
            if ended == before {
                break;
            }
            // Ending records may have moved others to buckets that were passed already: look again.
        }
        self.settle();
        ended
    }

    fn end_if_idle(
        &self,
        bucket: &Bucket<K, V>,
        index: usize,
        max_idle: u64,
        visit: &Visit<'_, K, V>,
    ) -> bool {
        let Some(record) = bucket.peek(index) else {
            return false;
        };
        // SAFETY: read from a bucket during the visit: the calendar's share was not given up before.
        let record = unsafe { visit.at(record) };
        loop {
            let State::Live(seen) = record.life.load() else {
                return false;
            };
            let idle = (record.idle() + max_idle).saturating_sub(self.settings.idle_timeout);
            let cause = self
                .expired(record, seen, visit.now)
                .or_else(|| (seen.tick() + idle <= visit.now).then_some(RemovalCause::ExpiredIdle));
            match cause {
                None => return false,
                Some(cause) if self.end(record, seen, cause, visit) => return true,
                Some(_) => {}
            }
        }
    }

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
        let mut evicted = 0;
        while evicted < records {
            let visit = self.visit();
            match self.evict_one(&visit, None) {
                Eviction::Done(_) => evicted += 1,
                Eviction::Promoted => {}
                Eviction::Nothing => break,
            }
            self.tidy(&visit);
        }
        evicted
    }

    /// Evicts, if the map holds more than it may. `newest`, which was just inserted, is spared, unless it
    /// alone weighs too much.
    pub(super) fn make_room(&self, visit: &Visit<'_, K, V>, newest: &Record<K, V>) {
        if !self.settings.is_bounded {
            return;
        }
        let weight = u64::from(newest.weight());
        if weight > self.settings.weight_capacity
            && let State::Live(seen) = newest.life.load()
        {
            self.end(newest, seen, RemovalCause::Evicted, visit);
        }
        let mut records = 0;
        let mut weights = 0;
        // Twice what was added, so that a bound that was exceeded is met again soon.
        while records < EVICTIONS || weights < 2 * weight {
            let is_full = self.counters.occupied() > self.settings.capacity;
            let is_heavy = self.counters.weight() > self.settings.weight_capacity;
            if !is_full && !is_heavy {
                return;
            }
            match self.evict_one(visit, Some(newest)) {
                Eviction::Done(weight) => {
                    records += 1;
                    weights += weight;
                }
                Eviction::Promoted | Eviction::Nothing => return,
            }
        }
    }

    /// Ends one record by the eviction policy.
    fn evict_one(&self, visit: &Visit<'_, K, V>, spared: Option<&Record<K, V>>) -> Eviction {
        let share = (self.counters.occupied() / FRESH_SHARE).max(1);
        let few_fresh = self.settings.is_bounded && self.calendar.tokens(Class::Fresh) <= share;
        // Fresh ones that were accessed are promoted, so that there may be touched ones after that.
        let order: &[Class] = if few_fresh {
            &[Class::Touched, Class::Fresh, Class::Touched]
        } else {
            &[Class::Fresh, Class::Touched]
        };
        let mut held = None;
        let mut result = Eviction::Nothing;
        let mut looks = 0;
        'search: for &class in order {
            while let Some(bucket) = self.calendar.front(class, visit) {
                let is_last = looks >= SECOND_CHANCES;
                if is_last && class == Class::Fresh {
                    // Each record is promoted once: the next insertions go on from here.
                    result = Eviction::Promoted;
                    break 'search;
                }
                let mut evicted = None;
                self.calendar.drain(
                    bucket,
                    1,
                    visit,
                    |_| {},
                    |record| {
                        if spared.is_some_and(|spared| ptr::eq(spared, record)) {
                            // The bucket may be retired before this token is filed again.
                            Place::erase(record);
                            held = spared;
                            return;
                        }
                        looks += 1;
                        let judge = |record: &Record<K, V>, seen: Observed| {
                            let was_accessed = match class {
                                Class::Fresh => seen.touched(),
                                Class::Touched => {
                                    let quantum = self.calendar.quantum_of(record.deadline(seen));
                                    quantum > bucket.key.quantum && !is_last
                                }
                            };
                            self.expired(record, seen, visit.now)
                                .or((!was_accessed).then_some(RemovalCause::Evicted))
                        };
                        if let Reviewed::Ended(weight) = self.review(record, judge, visit) {
                            evicted = Some(weight);
                        }
                    },
                );
                if let Some(weight) = evicted {
                    result = Eviction::Done(weight);
                    break 'search;
                }
            }
        }
        if let Some(spared) = held {
            self.calendar.file(spared, Filing::Again, visit);
        }
        result
    }

    /// Decides about a record whose token was drained: ends it if `judge` names a cause, files it again if
    /// not.
    fn review(
        &self,
        record: &Record<K, V>,
        judge: impl Fn(&Record<K, V>, Observed) -> Option<RemovalCause>,
        visit: &Visit<'_, K, V>,
    ) -> Reviewed {
        let mut record = record;
        loop {
            match record.life.load() {
                State::Live(seen) => match judge(record, seen) {
                    Some(cause) => {
                        if self.end_with_token(record, seen, cause, visit) {
                            return Reviewed::Ended(record.weight().into());
                        }
                    }
                    None => {
                        self.calendar.file(record, Filing::Again, visit);
                        return Reviewed::Kept;
                    }
                },
                State::Forward(successor) => {
                    // SAFETY: the successor's token is the one in hand: it was never given up.
                    let successor = unsafe { visit.follow(successor) };
                    visit.left_shell(record);
                    record = successor;
                }
                State::Dead | State::Pending => {
                    visit.left_shell(record);
                    return Reviewed::Shell;
                }
            }
        }
    }

    /// When the next bucket is due, in milliseconds from now; none if nothing is filed.
    pub(super) fn next_due(&self) -> Option<u64> {
        let visit = self.visit();
        [Class::Fresh, Class::Touched]
            .into_iter()
            .filter_map(|class| self.calendar.front(class, &visit))
            .map(|bucket| self.calendar.end_of(bucket).saturating_sub(visit.now))
            .min()
    }

    /// A quantum's length in milliseconds.
    pub(super) fn quantum(&self) -> u64 {
        self.calendar.quantum()
    }
}
