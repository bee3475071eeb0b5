//! Look-ups: operations that change nothing but a record's last access.

use super::IdleMap;
use super::end::Found;
use super::handle::Handle;
use super::life::Observed;
use super::record::Record;
use super::visit::Visit;
use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
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
        let visit = self.visit();
        self.touched(self.find(key, &visit)?, &visit)
            .map(Handle::new)
    }

    /// Calls `read` with a record's value and touches the record.
    ///
    /// The fastest way to read: nothing shared is written while the clock stands. The thread counts as
    /// being inside of an operation until `read` returns, which delays the freeing of memory everywhere:
    /// keep it short, and take a handle from [`get`](Self::get) for more. `read` may call the map.
    /// Lock-free; linearizable. If `read` panics, nothing is lost.
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
        let visit = self.visit();
        let record = self.touched(self.find(key, &visit)?, &visit)?;
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
        let visit = self.visit();
        let (record, _) = self.seen(key, &visit)?;
        Some(Handle::new(record))
    }

    /// Touches a record: its idle time starts anew. False if there is none. Lock-free; linearizable.
    ///
    /// ```
    /// use dwell::IdleMap;
    /// use std::time::Duration;
    /// let map = IdleMap::new(Duration::from_secs(60));
    /// map.insert("visitor", 7);
    /// assert!(map.touch("visitor"));
    /// assert!(!map.touch("stranger"));
    /// ```
    pub fn touch<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.with(key, |_| ()).is_some()
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
        self.seen(key, &self.visit()).is_some()
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
        let visit = self.visit();
        let (_, seen) = self.seen(key, &visit)?;
        Some(Duration::from_millis(visit.now.saturating_sub(seen.tick())))
    }

    /// The reading of the map's clock at which a record ends if it is not accessed any more. Does not touch
    /// it. Lock-free; linearizable.
    ///
    /// ```
    /// use dwell::{IdleMap, ManualClock};
    /// use std::time::Duration;
    /// let map = IdleMap::builder()
    ///     .idle_timeout(Duration::from_secs(60))
    ///     .clock(ManualClock::new())
    ///     .build()?;
    /// map.insert("visitor", 7);
    /// assert_eq!(map.expires_at("visitor"), Some(Duration::from_secs(60)));
    /// # Ok::<(), dwell::BuildError>(())
    /// ```
    pub fn expires_at<Q>(&self, key: &Q) -> Option<Duration>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let visit = self.visit();
        let (record, seen) = self.seen(key, &visit)?;
        Some(Duration::from_millis(record.deadline(seen)))
    }

    #[inline]
    pub(super) fn find<'v, Q>(
        &self,
        key: &Q,
        visit: &'v Visit<'_, K, V>,
    ) -> Option<(&'v Record<K, V>, Observed)>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.table
            .find(self.hash(key), |other| other.borrow() == key, visit)
    }

    /// The record of a key, as it was seen, if it is within its deadlines.
    pub(super) fn seen<'v, Q>(
        &self,
        key: &Q,
        visit: &'v Visit<'_, K, V>,
    ) -> Option<(&'v Record<K, V>, Observed)>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let (record, seen) = self.find(key, visit)?;
        match self.judge(record, seen, visit) {
            Found::Live(record, seen) => Some((record, seen)),
            Found::Gone => None,
        }
    }

    /// Touches a record that was found. None if it has ended.
    #[inline]
    pub(super) fn touched<'v>(
        &self,
        (record, seen): (&'v Record<K, V>, Observed),
        visit: &'v Visit<'_, K, V>,
    ) -> Option<&'v Record<K, V>> {
        let mut found = self.judge(record, seen, visit);
        loop {
            let Found::Live(record, seen) = found else {
                return None;
            };
            let moved = visit.now.saturating_sub(seen.tick());
            let is_recorded = seen.touched() && moved < self.settings.resolution;
            if is_recorded || record.life.touch(seen, seen.touched_at(visit.now)) {
                return Some(record);
            }
            found = self.look(record, visit);
        }
    }
}
