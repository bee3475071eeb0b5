//! Collection: it drains the calendar from its front, a few entries at a time, as eviction does
//! (see `search`).
//!
//! Each step pins anew, so that no step keeps anything from being freed for long. A step looks at
//! 32 records at most. A record that was touched since it was filed is filed again. A record that
//! has ended is unlinked and retired. A record that is due is ended by the exchange of its status
//! word, which fails if a thread touches it at that moment (see `ends`).

use crate::map::context::Context;
use crate::map::expiry::bucket::{Bucket, Class};
use crate::map::ops::ends::{Ends, Token, expired};
use crate::map::record::status::State;
use crate::map::{IdleMap, RemovalCause};
use crate::tuning::ops::{BATCHES, PART, PART_OF_TABLE};
use std::time::Duration;

impl<K, V, S> IdleMap<K, V, S>
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// Ends every record that is due, and frees what is ready to be freed. Returns how many it
    /// ended.
    ///
    /// A record is due for collection at the latest one quantum after it ended: a 512th of the idle
    /// timeout or of the maximal lifetime, of the shorter one, and 66 seconds at most. Reads do not
    /// wait for that, they see its end at once. May be called by several threads at the same time,
    /// next to a background [`Collector`](crate::Collector) or in its place. Cost: tens of
    /// nanoseconds if nothing is due; otherwise in proportion to what is, and to what was touched
    /// in the idle timeout before. No reader or writer waits for it. Lock-free.
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
    #[doc(alias("sweep", "purge", "gc", "remove_expired"))]
    pub fn collect(&self) -> usize {
        let now = self.now();
        let mut ended = 0;
        while let Some(more) = self.collect_step(now) {
            ended += more;
        }
        self.settle();
        ended
    }

    /// A bounded part of a collection, for a thread that must not be away for long. Returns how
    /// many records it ended, which may be none; or `None` if nothing was left to do.
    ///
    /// A part looks at 1,024 records at most that are due; or it migrates 1,024 lines at most of a
    /// table that grows or shrinks, and frees 1,024 ended records at most. It is not pinned between
    /// its steps, of 32 records or 256 lines. Lock-free, but for the allocator.
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
    /// while map.collect_part().is_some() {}
    /// assert!(map.is_empty());
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
            let has_settled = (0..PART_OF_TABLE)
                .take_while(|_| self.settle_step())
                .count()
                > 0;
            // An array that was replaced waits for its grace period as ended records do.
            let may_free = has_settled || self.remains.garbage() > 0;
            if may_free && self.free_part(BATCHES) || has_settled {
                return Some(0);
            }
        }
        ended
    }

    /// One bounded step of a collection. Returns how many records it ended, or none if nothing is
    /// due.
    pub(in crate::map) fn collect_step(&self, now: u64) -> Option<usize> {
        let context = self.begin_at(now);
        let ended = self.drain_due(&context)?;
        self.tidy(context);
        Some(ended)
    }

    /// Ends every record that has been idle for at least `max_idle`: as if this were the idle
    /// timeout, for this one pass. Returns how many it ended.
    ///
    /// A record with an idle timeout of its own keeps its distance from the map's: if it may idle
    /// ten minutes longer, it may idle for `max_idle` and ten minutes. Absolute deadlines count as
    /// always. Looks at each record that may be concerned, and at none that was filed as more
    /// recent. Lock-free.
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
        // A record that is concerned has a deadline of its last access and its own timeout at the
        // most.
        let horizon = self.calendar.quantum_of(now + (timeout - max_idle));
        let mut ended = 0;
        loop {
            let before = ended;
            for class in Class::ALL {
                let mut key = None;
                loop {
                    let context = self.begin_at(now);
                    let Some(bucket) = self.calendar.after(class, key, &context) else {
                        break;
                    };
                    if bucket.key.quantum > horizon {
                        break;
                    }
                    for index in 0..bucket.size() {
                        ended += usize::from(self.end_if_idle(bucket, index, max_idle, &context));
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
        context: &Context<'_, K, V>,
    ) -> bool {
        let Some(record) = bucket.peek(index) else {
            return false;
        };
        // SAFETY: read from a bucket during the operation: the calendar's reference was not given
        // up before.
        let record = unsafe { context.at(record) };
        loop {
            let State::Live(seen) = record.status.load() else {
                return false;
            };
            let idle =
                (record.idle_timeout() + max_idle).saturating_sub(self.settings.idle_timeout);
            let cause = expired(record, seen, context.now).or_else(|| {
                (seen.tick() + idle <= context.now).then_some(RemovalCause::ExpiredIdle)
            });
            match cause {
                None => return false,
                Some(cause) if self.end(record, seen, cause, Token::Filed, context) => return true,
                Some(_) => {}
            }
        }
    }

    /// When the next bucket is due, in milliseconds from now; none if nothing is filed.
    pub(in crate::map) fn next_due(&self) -> Option<u64> {
        let context = self.begin();
        Class::ALL
            .into_iter()
            .filter_map(|class| self.calendar.front(class, &context))
            .map(|bucket| self.calendar.end_of(bucket).saturating_sub(context.now))
            .min()
    }

    /// A quantum's length in milliseconds.
    pub(in crate::map) fn quantum(&self) -> u64 {
        self.calendar.quantum()
    }
}
