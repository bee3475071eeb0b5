//! Operations that insert, replace, remove or re-date a record; `update` has a file of its own.

use crate::map::context::Context;
use crate::map::expiry::Filing;
use crate::map::expiry::bucket::Place;
use crate::map::handle::Handle;
use crate::map::ops::ends::{Ends, Found, Token};
use crate::map::record::status::Observed;
use crate::map::record::{LONGEST_IDLE, Record, Unlinked};
use crate::map::table::insert::{Inserted, Taken};
use crate::map::table::upper;
use crate::map::{IdleMap, RemovalCause};
use crate::tuning::ops::FIT_INTERVAL;
use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::ptr::NonNull;
use std::time::Duration;

/// [`IdleMap::try_insert`] found a record under the key.
///
/// ```
/// use dwell::IdleMap;
/// use std::time::Duration;
/// let map = IdleMap::new(Duration::from_secs(60));
/// map.insert("visitor", 1);
/// let occupied = map.try_insert("visitor", 2).unwrap_err();
/// assert_eq!((*occupied.existing, occupied.value), (1, 2));
/// ```
#[derive(thiserror::Error)]
#[error("the key has a live record: take that one, or insert under another key")]
pub struct OccupiedError<K, V> {
    /// The record that has the key. It was not touched.
    pub existing: Handle<K, V>,
    /// The value that was not inserted.
    pub value: V,
}

impl<K, V> fmt::Debug for OccupiedError<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OccupiedError { .. }")
    }
}

impl<K, V, S> IdleMap<K, V, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher,
{
    /// Puts a value under a key, in the place of the one that was there. Returns that one.
    ///
    /// The record starts anew: with the map's timeouts, and as never accessed. A full map evicts,
    /// see [`Builder::capacity`](crate::Builder::capacity). Cost: an allocation, two or three cache
    /// misses, about eleven atomic exchanges. Lock-free; linearizable, replacement included: at no
    /// moment does the key have no value.
    ///
    /// ```
    /// use dwell::IdleMap;
    /// use std::time::Duration;
    /// let map = IdleMap::new(Duration::from_secs(60));
    /// assert!(map.insert("visitor", 1).is_none());
    /// assert_eq!(*map.insert("visitor", 2).unwrap(), 1);
    /// ```
    pub fn insert(&self, key: K, value: V) -> Option<Handle<K, V>> {
        let context = self.begin();
        let hash = self.hash(&key);
        let record = self.unlinked(hash, key, value, &context);
        let replaced = self
            .insert_or(hash, record, &context, |old, seen, record| {
                self.replace(hash, (old, seen), record, &context)
            })
            .err();
        self.tidy(context);
        replaced
    }

    /// Puts a value under a key that has no live record.
    ///
    /// Of several threads that insert the same key, exactly one succeeds. The record that is found
    /// is not touched. Cost, progress and consistency as [`insert`](Self::insert).
    ///
    /// # Errors
    /// [`OccupiedError`] if the key has a live record: with that record, and with the value.
    ///
    /// ```
    /// use dwell::IdleMap;
    /// use std::time::Duration;
    /// let map = IdleMap::new(Duration::from_secs(60));
    /// assert!(map.try_insert("visitor", 1).is_ok());
    /// assert!(map.try_insert("visitor", 2).is_err());
    /// ```
    #[doc(alias("insert_if_absent", "put_if_absent"))]
    pub fn try_insert(&self, key: K, value: V) -> Result<Handle<K, V>, OccupiedError<K, V>> {
        let context = self.begin();
        let hash = self.hash(&key);
        let record = self.unlinked(hash, key, value, &context);
        let result = self
            .insert_or(hash, record, &context, |existing, _, rejected| {
                Ok(OccupiedError {
                    existing: Handle::new(existing),
                    value: rejected.into_value(),
                })
            })
            .map(Handle::new);
        self.tidy(context);
        result
    }

    /// Finds a record and touches it, or inserts the value that `make` returns.
    ///
    /// `make` runs at most once, and only if no record was found at first. If another thread
    /// inserts the key meanwhile, its record is returned and the made value dropped. Cost, progress
    /// and consistency as [`get`](Self::get) and [`insert`](Self::insert). Keys that never come
    /// back, those of a rate limiter for instance, stay in memory until a thread
    /// [collects](Self::spawn_collector).
    ///
    /// ```
    /// use dwell::IdleMap;
    /// use std::time::Duration;
    /// let map = IdleMap::new(Duration::from_secs(60));
    /// assert_eq!(*map.get_or_insert_with("visitor", || 1), 1);
    /// assert_eq!(*map.get_or_insert_with("visitor", || 2), 1);
    /// ```
    #[doc(alias("get_with", "entry", "compute_if_absent"))]
    pub fn get_or_insert_with(&self, key: K, make: impl FnOnce() -> V) -> Handle<K, V> {
        if let Some(found) = self.get(&key) {
            return found;
        }
        let value = make();
        // A new context: making the value may have taken its time.
        let context = self.begin();
        let hash = self.hash(&key);
        let record = self.unlinked(hash, key, value, &context);
        let handle = self
            .insert_or(hash, record, &context, |existing, seen, rejected| {
                let found = self.touched((existing, seen), |_| true, &context);
                found.map(Handle::new).ok_or(rejected)
            })
            .map_or_else(|existing| existing, Handle::new);
        self.tidy(context);
        handle
    }

    /// Removes a record. Returns it, if it was there.
    ///
    /// Final: a handle of the value still reads it, but does not bring the record back. Of
    /// several threads that remove the same record, exactly one gets it. Cost: three cache misses,
    /// about twelve atomic exchanges. Lock-free; linearizable.
    ///
    /// ```
    /// use dwell::IdleMap;
    /// use std::time::Duration;
    /// let map = IdleMap::new(Duration::from_secs(60));
    /// map.insert("visitor", 1);
    /// assert_eq!(*map.remove("visitor").unwrap(), 1);
    /// assert!(map.remove("visitor").is_none());
    /// ```
    #[doc(alias("delete", "invalidate"))]
    pub fn remove<Q>(&self, key: &Q) -> Option<Handle<K, V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.remove_if(key, |_| true)
    }

    /// Removes a record if `condition` holds for its value.
    ///
    /// The value that was judged is the one that is removed: if it is replaced meanwhile, the new
    /// one is judged. Cost, progress and consistency as [`remove`](Self::remove).
    ///
    /// ```
    /// use dwell::IdleMap;
    /// use std::time::Duration;
    /// let map = IdleMap::new(Duration::from_secs(60));
    /// map.insert("visitor", 1);
    /// assert!(map.remove_if("visitor", |&operations| operations > 5).is_none());
    /// assert!(map.contains_key("visitor"));
    /// ```
    pub fn remove_if<Q>(
        &self,
        key: &Q,
        mut condition: impl FnMut(&V) -> bool,
    ) -> Option<Handle<K, V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let context = self.begin();
        let (record, seen) = self.seen(key, &context)?;
        Place::prefetch(record);
        let removed = self.remove_record(record, seen, &mut condition, &context);
        self.tidy(context);
        removed
    }

    /// Gives a record its own idle timeout, longer or shorter than the map's, in place of it.
    ///
    /// Takes effect at once, counted from the record's last access; this call does not count as
    /// one. Timeouts are clamped to between 1 millisecond and 34 years. False if there is no
    /// record. Lock-free; linearizable, but for operations that run at the same time: they may
    /// judge the record by either timeout, and if one of them ends it, the result of this call may
    /// be either.
    ///
    /// ```
    /// use dwell::IdleMap;
    /// use std::time::Duration;
    /// let map = IdleMap::new(Duration::from_secs(60));
    /// map.insert("remember me", 7);
    /// assert!(map.set_idle_timeout("remember me", Duration::from_secs(30 * 24 * 60 * 60)));
    /// ```
    #[doc(alias("time_to_idle", "TTI"))]
    pub fn set_idle_timeout<Q>(&self, key: &Q, timeout: Duration) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.set_terms_if(key, Some(timeout), None, |_| true)
    }

    /// Gives a record its own absolute deadline: `lifetime` from now, later or earlier than the one
    /// it has.
    ///
    /// Takes effect at once. Does not touch the record, and does not change its idle timeout.
    /// Lifetimes above 34 years count as 34 years; with zero the record ends here. False if there
    /// is no record. Lock-free; linearizable, but for operations that run at the same time: they
    /// may judge the record by either deadline, and if one of them ends it, the result of this call
    /// may be either.
    ///
    /// ```
    /// use dwell::IdleMap;
    /// use std::time::Duration;
    /// let map = IdleMap::new(Duration::from_secs(60));
    /// map.insert("visitor", 7);
    /// assert!(map.set_lifetime("visitor", Duration::from_secs(5)));
    /// ```
    #[doc(alias("time_to_live", "TTL", "expire"))]
    pub fn set_lifetime<Q>(&self, key: &Q, lifetime: Duration) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.set_terms_if(key, None, Some(lifetime), |_| true)
    }

    /// Sets either or both, if `condition` holds for the value: a record whose value is replaced
    /// meanwhile is judged anew, so that the terms are those of a record for which it held.
    pub(crate) fn set_terms_if<Q>(
        &self,
        key: &Q,
        idle_timeout: Option<Duration>,
        lifetime: Option<Duration>,
        mut condition: impl FnMut(&V) -> bool,
    ) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let idle = idle_timeout.map(|timeout| clamp(timeout).max(1));
        let limit = lifetime.map(|lifetime| self.now() + clamp(lifetime));
        let context = self.begin();
        let Some((mut record, mut seen)) = self.seen(key, &context) else {
            return false;
        };
        let mut is_shortened = false;
        loop {
            if !condition(record.value()) {
                return false;
            }
            let idle_end = seen.tick() + idle.unwrap_or(record.idle_timeout());
            let limit_end = limit.unwrap_or(record.absolute_deadline());
            if context.now >= idle_end.min(limit_end) {
                // By the new terms it is over. They are not written, so that no thread ends the
                // record by them before this call does.
                let cause = if limit_end <= idle_end {
                    RemovalCause::ExpiredLifetime
                } else {
                    RemovalCause::ExpiredIdle
                };
                if self.end(record, seen, cause, Token::Filed, &context) {
                    return true;
                }
            } else {
                is_shortened |= idle_end.min(limit_end) < record.deadline(seen);
                if let Some(idle) = idle {
                    record.set_idle_timeout(idle);
                }
                if let Some(limit) = limit {
                    record.set_absolute_deadline(limit);
                }
                // A thread that judged the record by its old terms fails from here on.
                if record.status.advance(seen) {
                    self.calendar.refile(record, &context);
                    self.pay_debts(&context);
                    return true;
                }
            }
            match self.look(record, &context) {
                Found::Live(live, again) => (record, seen) = (live, again),
                // Others may have ended it by shorter terms as soon as these were written: then
                // they were set before that. If they did so for another reason, they may have been
                // set as well.
                Found::Gone => return is_shortened,
            }
        }
    }

    /// A record that is not in the map yet.
    fn unlinked(&self, hash: u64, key: K, value: V, context: &Context<'_, K, V>) -> Unlinked<K, V> {
        self.table.prefetch(upper(hash), context);
        let terms = self.terms(&key, &value, context.now);
        Unlinked::new(upper(hash), key, value, terms)
    }

    /// What an unlinked record becomes when a structure leads to it.
    pub(in crate::map) fn linked<'v>(
        &self,
        record: Unlinked<K, V>,
        context: &'v Context<'_, K, V>,
    ) -> &'v Record<K, V> {
        let pointer: NonNull<Record<K, V>> = record.into_linked();
        // SAFETY: linked during the operation, so it is not freed before the operation ends.
        unsafe { context.at(pointer.as_ptr()) }
    }

    /// Inserts a record, or lets `occupied` deal with the live one of its key. `occupied` gets
    /// both, and gives the new one back if the other has ended meanwhile: then the insertion begins
    /// again. Returns the record that is in the map now, or else what `occupied` returned.
    ///
    /// `hash` is the one that the record was made with: a key is hashed once, for it might lie.
    pub(in crate::map) fn insert_or<'v, R>(
        &self,
        hash: u64,
        record: Unlinked<K, V>,
        context: &'v Context<'_, K, V>,
        mut occupied: impl FnMut(
            &'v Record<K, V>,
            Observed,
            Unlinked<K, V>,
        ) -> Result<R, Unlinked<K, V>>,
    ) -> Result<&'v Record<K, V>, R> {
        let mut record = record;
        loop {
            let Taken { existing, rejected } = match self.insert_unlinked(hash, record, context) {
                Ok(inserted) => return Ok(inserted),
                Err(taken) => taken,
            };
            // It may have been replaced since, or be past its deadline.
            record = match self.look(existing, context) {
                Found::Gone => rejected,
                Found::Live(existing, seen) => match occupied(existing, seen, rejected) {
                    Ok(result) => return Err(result),
                    Err(again) => again,
                },
            };
        }
    }

    /// One attempt of [`insert_or`](Self::insert_or), and what follows on its success.
    fn insert_unlinked<'v>(
        &self,
        hash: u64,
        record: Unlinked<K, V>,
        context: &'v Context<'_, K, V>,
    ) -> Result<&'v Record<K, V>, Taken<'v, K, V>> {
        let room = self.reserve(1, record.record().weight());
        let Inserted { record, crowded } = self.table.insert(
            hash,
            record,
            |one, other| one == other,
            |existing| matches!(self.look(existing, context), Found::Gone),
            context,
        )?;
        let brought = room.keep();
        self.calendar.file(record, Filing::New, context);
        let created = self.counters.created(context.shard());
        self.make_room(record, brought, context);
        if crowded || created.is_multiple_of(FIT_INTERVAL) {
            self.fit(context);
        }
        if crowded {
            self.table.renew(context);
        }
        Ok(record)
    }

    /// Puts `record`, which was made with this hash, in the place of a live one that was just seen.
    /// Gives it back if that one has ended.
    fn replace(
        &self,
        hash: u64,
        (mut old, mut seen): (&Record<K, V>, Observed),
        record: Unlinked<K, V>,
        context: &Context<'_, K, V>,
    ) -> Result<Handle<K, V>, Unlinked<K, V>> {
        Place::await_token(record.record());
        loop {
            record.record().set_hash(old.hash());
            let room = self.reserve_more(old, record.record());
            if old.status.replace(seen, record.pointer().as_ptr()) {
                let brought = room.keep();
                let new = self.linked(record, context);
                new.status.commit();
                self.succeed(old, new, context);
                self.make_room(new, brought, context);
                self.tell(old, RemovalCause::Replaced);
                return Ok(Handle::new(old));
            }
            let Found::Live(live, again) = self.look(old, context) else {
                // Its key may have lied, and the record may be put elsewhere now.
                record.record().set_hash(upper(hash));
                return Err(record);
            };
            (old, seen) = (live, again);
        }
    }
}

impl<K, V, S> IdleMap<K, V, S>
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// Removes a record that was seen live, if `condition` holds for the value that is removed.
    pub(in crate::map) fn remove_record(
        &self,
        record: &Record<K, V>,
        seen: Observed,
        condition: &mut impl FnMut(&V) -> bool,
        context: &Context<'_, K, V>,
    ) -> Option<Handle<K, V>> {
        let (mut record, mut seen) = (record, seen);
        while condition(record.value()) {
            if self.end(record, seen, RemovalCause::Removed, Token::Filed, context) {
                return Some(Handle::new(record));
            }
            match self.look(record, context) {
                Found::Live(live, again) => (record, seen) = (live, again),
                Found::Gone => return None,
            }
        }
        None
    }

    /// Lets the table grow or shrink to the number of records. True if it begins to.
    pub(in crate::map) fn fit(&self, context: &Context<'_, K, V>) -> bool {
        self.table
            .fit(self.counters.live(), self.settings.least_bits, context)
    }
}

fn clamp(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis())
        .unwrap_or(u64::MAX)
        .min(LONGEST_IDLE)
}
