//! Updates: a value that is made of the old one takes its place.
//!
//! **Linearization points.** The exchange of the old record's status word for the successor's
//! address; if the change declines, the load that found the old value live; if there is no record,
//! as for a look-up.
//!
//! **Progress.** Lock-free: a value is made again only because another thread has replaced the one
//! that it was made of.

use crate::map::IdleMap;
use crate::map::expiry::bucket::Place;
use crate::map::handle::Handle;
use crate::map::ops::ends::{Ends, Found, Token, expired};
use crate::map::record::{Terms, Unlinked};
use std::borrow::Borrow;
use std::convert::Infallible;
use std::hash::{BuildHasher, Hash};
use std::ptr;

impl<K, V, S> IdleMap<K, V, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher,
{
    /// Puts the value that `change` makes of the old one in its place, and touches the record.
    ///
    /// Atomic: of concurrent updates none is lost. `change` runs again if another thread replaced
    /// the value meanwhile, and as in [`with`](Self::with) the thread counts as being inside of an
    /// operation: it should do nothing but compute. (If it replaces the same record each time, it
    /// runs for ever.) The record keeps its own timeouts. Returns the new value, or none if there
    /// is no record: an update never brings one back. Cost: an allocation, two or three cache
    /// misses, about ten atomic exchanges. Lock-free; linearizable.
    ///
    /// ```
    /// use dwell::IdleMap;
    /// use std::time::Duration;
    /// let map = IdleMap::new(Duration::from_secs(60));
    /// map.insert("visitor", 1);
    /// assert_eq!(*map.update("visitor", |operations| operations + 1).unwrap(), 2);
    /// assert!(map.update("stranger", |operations| operations + 1).is_none());
    /// ```
    #[doc(alias("read-modify-write", "compute_if_present"))]
    pub fn update<Q>(&self, key: &Q, mut change: impl FnMut(&V) -> V) -> Option<Handle<K, V>>
    where
        K: Borrow<Q> + Clone,
        Q: Hash + Eq + ?Sized,
    {
        let Ok(updated) = self.try_update(key, |old| Ok::<_, Infallible>(change(old)));
        updated
    }

    /// Puts the value that `change` makes of the old one in its place, unless it declines.
    ///
    /// What is declined changes nothing: the map writes nothing, touches nothing and allocates
    /// nothing, and the record's idle time goes on. The refusal was judged against a value that was
    /// live and within its deadlines. Otherwise as [`update`](Self::update): `Ok(None)` if there is
    /// no record.
    ///
    /// # Errors
    /// What `change` returned.
    ///
    /// ```
    /// use dwell::{IdleMap, ManualClock};
    /// use std::time::Duration;
    /// let clock = ManualClock::new();
    /// let map = IdleMap::builder().clock(clock.clone()).build()?;
    /// map.insert("seats", 1_u32);
    /// let take = |seats: &u32| seats.checked_sub(1).ok_or("sold out");
    /// assert_eq!(*map.try_update("seats", take).unwrap().unwrap(), 0);
    ///
    /// clock.advance(Duration::from_secs(5));
    /// assert_eq!(map.try_update("seats", take).unwrap_err(), "sold out");
    /// assert_eq!(map.idle_for("seats"), Some(Duration::from_secs(5)));
    /// assert!(map.try_update("stalls", take).unwrap().is_none());
    /// # Ok::<(), dwell::BuildError>(())
    /// ```
    #[doc(alias("compute", "compare_and_swap"))]
    pub fn try_update<Q, E>(
        &self,
        key: &Q,
        mut change: impl FnMut(&V) -> Result<V, E>,
    ) -> Result<Option<Handle<K, V>>, E>
    where
        K: Borrow<Q> + Clone,
        Q: Hash + Eq + ?Sized,
    {
        let updated = self.try_update_and_return(key, |old| Ok((change(old)?, ())))?;
        Ok(updated.map(|(handle, ())| handle))
    }

    /// [`try_update`](Self::try_update) for a change that has something to return beside the value:
    /// what it returned together with the value that was put in place.
    ///
    /// # Errors
    /// What `change` returned.
    ///
    /// ```
    /// use dwell::IdleMap;
    /// use std::convert::Infallible;
    /// use std::time::Duration;
    /// let map = IdleMap::new(Duration::from_secs(60));
    /// map.insert("visitor", vec!["a", "b"]);
    /// let pop = |old: &Vec<_>| {
    ///     let mut new = old.clone();
    ///     let last = new.pop();
    ///     Ok::<_, Infallible>((new, last))
    /// };
    /// let (new, last) = map.try_update_and_return("visitor", pop)?.unwrap();
    /// assert_eq!((new.len(), last), (1, Some("b")));
    /// # Ok::<(), Infallible>(())
    /// ```
    #[allow(clippy::type_complexity)] // each part of it is what its name says
    pub fn try_update_and_return<Q, R, E>(
        &self,
        key: &Q,
        mut change: impl FnMut(&V) -> Result<(V, R), E>,
    ) -> Result<Option<(Handle<K, V>, R)>, E>
    where
        K: Borrow<Q> + Clone,
        Q: Hash + Eq + ?Sized,
    {
        // Each value is made during an operation of its own: making the one before may have taken
        // its time.
        'replaced: loop {
            let context = self.begin();
            let Some((old, mut seen)) = self.seen(key, &context) else {
                return Ok(None);
            };
            Place::prefetch(old);
            let (value, beside) = change(old.value())?;
            let now = self.now().max(context.now);
            let terms = Terms {
                birth: now,
                idle_timeout: old.idle_timeout(),
                absolute_deadline: old.absolute_deadline(),
                weight: self.weigh(old.key(), &value),
                is_protected: self.protects(old.key(), &value),
            };
            let new = Unlinked::new(old.hash(), old.key().clone(), value, terms);
            Place::await_token(new.record());
            loop {
                new.record().status.start(seen.touched_at(now));
                if let Some(cause) = expired(old, seen, now) {
                    // It ended while the value was made.
                    if self.end(old, seen, cause, Token::Filed, &context) {
                        return Ok(None);
                    }
                } else {
                    let room = self.reserve_more(old, new.record());
                    if old.status.replace(seen, new.pointer().as_ptr()) {
                        let brought = room.keep();
                        let new = self.linked(new, &context);
                        let handle = Handle::new(new);
                        self.succeed(old, new, &context);
                        self.make_room(new, brought, &context);
                        self.tidy(context);
                        return Ok(Some((handle, beside)));
                    }
                }
                let Found::Live(live, again) = self.look(old, &context) else {
                    return Ok(None);
                };
                if !ptr::eq(live, old) {
                    // What was made is out of date.
                    continue 'replaced;
                }
                // Touched, or its deadlines were changed.
                seen = again;
                new.record().set_idle_timeout(old.idle_timeout());
                new.record().set_absolute_deadline(old.absolute_deadline());
            }
        }
    }
}
