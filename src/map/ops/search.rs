//! The search of an eviction: which record goes, for the map and for the models.
//!
//! **Order.** The calendar is drained from its front, one entry at a time. A record that was
//! accessed since it was filed is filed again as such: it has a second chance, and a class of its
//! own, as in a segmented LRU (Karedla, Love and Wherry, 1994). Protected records are filed apart,
//! and looked at only if nothing else was found: however many of them there are, none is in the way
//! of a search for others. Nor does one go for an unprotected record as long as the counts tell
//! that there are others, though they may be in the hands of other threads: that record goes itself
//! then. Only a thread whose own record has been ended by another thread may have nothing else to
//! end.
//!
//! **Progress.** Lock-free, and bounded but for records that others touch at the same moment: a
//! search looks at [`LOOKS`] accessed records of a class at most, and then takes the one of them
//! that ends first.

use crate::map::RemovalCause;
use crate::map::context::Context;
use crate::map::expiry::Filing;
use crate::map::expiry::bucket::{Class, Place};
use crate::map::ops::ends::{Ends, Reviewed, Token, expired};
use crate::map::record::Record;
use crate::map::record::status::Observed;
use crate::tuning::ops::{FRESH_SHARE, LOOKS};
use std::{mem, ptr};

/// What an eviction does not end.
pub struct Spared<'r, K, V> {
    /// The record that was just inserted.
    pub record: Option<&'r Record<K, V>>,
    /// Protected records that have not expired.
    pub protected: bool,
}

/// A record that was accessed since it was filed, as it was seen.
pub type Accessed<'v, K, V> = (&'v Record<K, V>, Observed);

/// What was evicted.
pub struct Evicted {
    /// What it weighed.
    pub weight: u64,
    /// Whether it was a protected record that had not expired.
    pub is_loss: bool,
}

/// What came of a search through a class.
pub enum Search<'v, K, V> {
    /// A record was ended.
    Done(Evicted),
    /// All that was looked at had been accessed, and is filed as such now. This is the one that
    /// ends first.
    Accessed(Accessed<'v, K, V>),
    /// There is no record of this class.
    Nothing,
}

/// What evicts records: the map, or a model in its place.
pub trait Evicts<K: Send + Sync + 'static, V: Send + Sync + 'static>: Ends<K, V> {
    /// Whether there is a bound, so that the calendar counts tokens by class.
    fn is_bounded(&self) -> bool;

    /// Whether no protected record has to go: there are unprotected ones beside the newest, in the
    /// hands of other threads, or the map is within its bound by now.
    fn can_spare_protected(&self) -> bool;

    /// Ends one record by the eviction policy, but none that is spared. None if there is no other,
    /// or all others are in the hands of other threads.
    fn evict_one(&self, spared: &Spared<'_, K, V>, context: &Context<'_, K, V>) -> Option<Evicted> {
        let mut is_held = false;
        let evicted = loop {
            match self.search_all(spared, &mut is_held, context) {
                Search::Done(evicted) => break Some(evicted),
                Search::Nothing => break None,
                Search::Accessed((record, seen)) => {
                    self.file_spared(spared, &mut is_held, context);
                    if self.end(record, seen, RemovalCause::Evicted, Token::Filed, context) {
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

    /// Files the token of the spared record, if this thread holds it. It does so before it ends
    /// another record. Otherwise the thread that brought that other one might find neither, and
    /// have nothing to end for what it brought.
    fn file_spared(
        &self,
        spared: &Spared<'_, K, V>,
        is_held: &mut bool,
        context: &Context<'_, K, V>,
    ) {
        if mem::take(is_held)
            && let Some(record) = spared.record
        {
            self.calendar().file(record, Filing::Again, context);
        }
    }

    fn search_all<'v>(
        &self,
        spared: &Spared<'_, K, V>,
        is_held: &mut bool,
        context: &'v Context<'_, K, V>,
    ) -> Search<'v, K, V> {
        let fresh = self.calendar().tokens(Class::Fresh);
        let share = (fresh + self.calendar().tokens(Class::Touched)) / FRESH_SHARE;
        let few_fresh = self.is_bounded() && fresh <= share.max(1);
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

    /// Whether no protected record goes, although no other was found. For an unprotected record
    /// none goes if the map can spare it.
    fn spares_protected(&self, spared: &Spared<'_, K, V>) -> bool {
        spared.protected
            || spared
                .record
                .is_some_and(|newest| !newest.is_protected() && self.can_spare_protected())
    }

    /// Looks for a record of a class that was not accessed since it was filed, and ends it. If
    /// `is_spared`, it ends only what has expired.
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
        while let Some(bucket) = self.calendar().front(class, context) {
            if looks >= LOOKS || is_spared && self.calendar().end_of(bucket) > context.now {
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
                    let cause = expired(record, seen, context.now);
                    has_expired = cause.is_some();
                    if has_expired {
                        return cause;
                    }
                    let is = self.calendar().class_of(record, seen);
                    let quantum = self.calendar().quantum_of(record.deadline(seen));
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
            self.calendar().drain(bucket, 1, context, |_| {}, review);
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
