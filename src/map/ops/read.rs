//! Look-ups: operations that change nothing but a record's last access.

use crate::map::IdleMap;
use crate::map::context::Context;
use crate::map::handle::Handle;
use crate::map::ops::ends::{Ends, Found, expired};
use crate::map::record::status::{Observed, State};
use crate::map::record::{Record, at};
use crate::map::table::lookup::FastLookup;
use crate::reclaim::{Guard, Reclaim};
use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::ptr;
use std::time::Duration;

impl<K, V, S> IdleMap<K, V, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher,
{
    /// Finds a record's value and touches the record: its idle time starts anew.
    ///
    /// Cost: two cache misses, and three atomic additions for the handle and the touch.
    /// [`with`](Self::with) needs no handle. Lock-free; linearizable.
    ///
    /// ```
    /// use dwell::IdleMap;
    /// use std::time::Duration;
    /// let map = IdleMap::new(Duration::from_secs(60));
    /// map.insert("visitor", 7);
    /// assert_eq!(*map.get("visitor").unwrap(), 7);
    /// assert!(map.get("stranger").is_none());
    /// ```
    pub fn get<Q>(&self, key: &Q) -> Option<Handle<K, V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.get_if(key, |_| true)
    }

    /// Finds a record's value and touches the record, if `judge` accepts the value.
    ///
    /// The value is judged before the touch, in the same look-up: what is refused is not touched,
    /// and nothing is written. The value that is returned is one that was accepted: if another
    /// thread replaces it meanwhile, the new one is judged in its place, so that `judge` may run
    /// more than once. As in [`with`](Self::with) the thread counts as being inside of an operation
    /// while it runs. Cost, progress and consistency as [`get`](Self::get).
    ///
    /// ```
    /// use dwell::{IdleMap, ManualClock};
    /// use std::time::Duration;
    /// let clock = ManualClock::new();
    /// let map = IdleMap::builder().clock(clock.clone()).build()?;
    /// map.insert("visitor", "secret");
    /// clock.advance(Duration::from_secs(5));
    /// assert!(map.get_if("visitor", |secret| *secret == "guess").is_none());
    /// assert_eq!(map.idle_for("visitor"), Some(Duration::from_secs(5)));
    /// assert!(map.get_if("visitor", |secret| *secret == "secret").is_some());
    /// assert_eq!(map.idle_for("visitor"), Some(Duration::ZERO));
    /// # Ok::<(), dwell::BuildError>(())
    /// ```
    pub fn get_if<Q>(&self, key: &Q, judge: impl FnMut(&V) -> bool) -> Option<Handle<K, V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let guard = Guard::pin();
        self.find_and_touch(key, judge, &guard).map(Handle::new)
    }

    /// Calls `read` with a record's value and touches the record.
    ///
    /// The fastest way to read: nothing shared is written while the clock stands. The thread counts
    /// as being inside of an operation until `read` returns, which delays the freeing of memory
    /// everywhere: keep it short, and take a handle from [`get`](Self::get) for more. `read` may
    /// call the map. Lock-free; linearizable. If `read` panics, nothing is lost.
    ///
    /// ```
    /// use dwell::IdleMap;
    /// use std::time::Duration;
    /// let map = IdleMap::new(Duration::from_secs(60));
    /// map.insert("visitor", String::from("cart"));
    /// assert_eq!(map.with("visitor", |cart| cart.len()), Some(4));
    /// ```
    #[inline]
    pub fn with<Q, R>(&self, key: &Q, read: impl FnOnce(&V) -> R) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let guard = Guard::pin();
        let record = self.find_and_touch(key, |_| true, &guard)?;
        Some(read(record.value()))
    }

    /// Finds a record's value without touching the record. Lock-free; linearizable.
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
    /// clock.advance(Duration::from_secs(40));
    /// assert_eq!(*map.peek("visitor").unwrap(), 7);
    /// clock.advance(Duration::from_secs(20));
    /// assert!(map.peek("visitor").is_none());
    /// # Ok::<(), dwell::BuildError>(())
    /// ```
    pub fn peek<Q>(&self, key: &Q) -> Option<Handle<K, V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let context = self.begin();
        let (record, _) = self.seen(key, &context)?;
        Some(Handle::new(record))
    }

    /// Touches a record: its idle time starts anew. False if there is none. Lock-free;
    /// linearizable.
    ///
    /// ```
    /// use dwell::IdleMap;
    /// use std::time::Duration;
    /// let map = IdleMap::new(Duration::from_secs(60));
    /// map.insert("visitor", 7);
    /// assert!(map.touch("visitor"));
    /// assert!(!map.touch("stranger"));
    /// ```
    #[doc(alias("refresh", "keep alive", "sliding expiration"))]
    pub fn touch<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.touch_if(key, |_| true)
    }

    /// Touches a record, if `judge` accepts its value. False if there is none, or it was refused:
    /// nothing is written then. Consistency as [`get_if`](Self::get_if). Lock-free; linearizable.
    ///
    /// ```
    /// use dwell::IdleMap;
    /// use std::time::Duration;
    /// let map = IdleMap::new(Duration::from_secs(60));
    /// map.insert("visitor", "secret");
    /// assert!(map.touch_if("visitor", |secret| *secret == "secret"));
    /// assert!(!map.touch_if("visitor", |secret| *secret == "guess"));
    /// ```
    pub fn touch_if<Q>(&self, key: &Q, judge: impl FnMut(&V) -> bool) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let guard = Guard::pin();
        self.find_and_touch(key, judge, &guard).is_some()
    }

    /// Whether there is a record of this key. Does not touch it. Lock-free; linearizable.
    ///
    /// ```
    /// use dwell::IdleMap;
    /// use std::time::Duration;
    /// let map = IdleMap::new(Duration::from_secs(60));
    /// map.insert("visitor", 7);
    /// assert!(map.contains_key("visitor"));
    /// ```
    pub fn contains_key<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.seen(key, &self.begin()).is_some()
    }

    /// How long a record has not been accessed. Does not touch it. Lock-free; linearizable.
    ///
    /// ```
    /// use dwell::{IdleMap, ManualClock};
    /// use std::time::Duration;
    /// let clock = ManualClock::new();
    /// let map = IdleMap::builder().clock(clock.clone()).build()?;
    /// map.insert("visitor", 7);
    /// clock.advance(Duration::from_secs(5));
    /// assert_eq!(map.idle_for("visitor"), Some(Duration::from_secs(5)));
    /// # Ok::<(), dwell::BuildError>(())
    /// ```
    pub fn idle_for<Q>(&self, key: &Q) -> Option<Duration>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let context = self.begin();
        let (_, seen) = self.seen(key, &context)?;
        Some(Duration::from_millis(
            context.now.saturating_sub(seen.tick()),
        ))
    }

    /// How long a record still lives if it is not accessed any more. Does not touch it. Lock-free;
    /// linearizable.
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
    /// clock.advance(Duration::from_secs(45));
    /// assert_eq!(map.time_left("visitor"), Some(Duration::from_secs(15)));
    /// # Ok::<(), dwell::BuildError>(())
    /// ```
    #[doc(alias("time_to_live", "TTL", "expires_at"))]
    pub fn time_left<Q>(&self, key: &Q) -> Option<Duration>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let context = self.begin();
        let (record, seen) = self.seen(key, &context)?;
        Some(Duration::from_millis(record.deadline(seen) - context.now))
    }

    /// Touches the record that a handle of this map has, without a look-up. False if it has ended,
    /// was replaced, or is past its deadline: nothing is written then.
    // For sessions.
    #[cfg_attr(not(feature = "sessions"), allow(dead_code))]
    #[inline]
    pub(crate) fn touch_again(&self, handle: &Handle<K, V>) -> bool {
        let record = handle.record();
        let now = self.now();
        while let State::Live(seen) = record.status.load()
            && expired(record, seen, now).is_none()
        {
            if seen.covers(now, self.settings.resolution, record.idle_timeout())
                || record.status.touch(seen, seen.touched_at(now))
            {
                return true;
            }
        }
        false
    }

    /// Whether a record that a handle of this map has is still the live one of its key. Does not
    /// touch it.
    // For sessions.
    #[cfg_attr(not(feature = "sessions"), allow(dead_code))]
    #[inline]
    pub(crate) fn is_still(&self, handle: &Handle<K, V>) -> bool {
        let record = handle.record();
        match record.status.load() {
            State::Live(seen) => expired(record, seen, self.now()).is_none(),
            _ => false,
        }
    }

    /// The live record of a key, touched, if `judge` accepts its value.
    #[inline(always)]
    fn find_and_touch<'g, Q>(
        &self,
        key: &Q,
        mut judge: impl FnMut(&V) -> bool,
        guard: &'g Guard,
    ) -> Option<&'g Record<K, V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash(key);
        match self.table.lookup_fast(hash, guard) {
            FastLookup::Absent => return None,
            FastLookup::Likely(record) => {
                let now = self.now();
                if record.key().borrow() == key
                    && let State::Live(seen) = record.status.load()
                    // Read once: a second load is not optimized away.
                    && let idle = record.idle_timeout()
                    && now < (seen.tick() + idle).min(record.absolute_deadline())
                {
                    if !judge(record.value()) {
                        return None;
                    }
                    if seen.covers(now, self.settings.resolution, idle)
                        || record.status.touch(seen, seen.touched_at(now))
                    {
                        return Some(record);
                    }
                }
            }
            FastLookup::Unclear => {}
        }
        self.find_slow(key, hash, judge, guard)
    }

    #[cold]
    #[inline(never)]
    fn find_slow<'g, Q>(
        &self,
        key: &Q,
        hash: u64,
        judge: impl FnMut(&V) -> bool,
        guard: &'g Guard,
    ) -> Option<&'g Record<K, V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let context = self.begin();
        let found = self
            .table
            .find(hash, |other| other.borrow() == key, &context)?;
        let record = ptr::from_ref(self.touched(found, judge, &context)?).cast_mut();
        // SAFETY: found during the operation, which the guard outlasts.
        Some(unsafe { at(record, guard) })
    }

    #[inline]
    pub(in crate::map) fn find<'v, Q>(
        &self,
        key: &Q,
        context: &'v Context<'_, K, V>,
    ) -> Option<(&'v Record<K, V>, Observed)>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.table
            .find(self.hash(key), |other| other.borrow() == key, context)
    }

    /// The record of a key, as it was seen, if it is within its deadlines.
    pub(in crate::map) fn seen<'v, Q>(
        &self,
        key: &Q,
        context: &'v Context<'_, K, V>,
    ) -> Option<(&'v Record<K, V>, Observed)>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let (record, seen) = self.find(key, context)?;
        match self.judge(record, seen, context) {
            Found::Live(record, seen) => Some((record, seen)),
            Found::Gone => None,
        }
    }

    /// Touches a record that was found, if `judge` accepts its value. None if it has ended.
    #[inline]
    pub(in crate::map) fn touched<'v>(
        &self,
        (record, seen): (&'v Record<K, V>, Observed),
        mut judge: impl FnMut(&V) -> bool,
        context: &'v Context<'_, K, V>,
    ) -> Option<&'v Record<K, V>> {
        let mut found = self.judge(record, seen, context);
        loop {
            let Found::Live(record, seen) = found else {
                return None;
            };
            if !judge(record.value()) {
                return None;
            }
            if seen.covers(context.now, self.settings.resolution, record.idle_timeout())
                || record.status.touch(seen, seen.touched_at(context.now))
            {
                return Some(record);
            }
            found = self.look(record, context);
        }
    }
}
