//! How a record's life ends, for the map and for the models: how it is judged, and what the thread
//! that ends it owes.
//!
//! [`Ends`] names the little that an end needs of the map around it, and has the rest as provided
//! methods: so the models of the calendar run these very loops over a table of their own.
//!
//! **Invariant.** A record's life ends once, by the exchange of its status word from what was seen
//! of it. The thread that made the exchange unlinks the record from the table, and takes its token
//! out of the calendar or leaves it as a stale entry. A record is judged by a status word that was
//! read after its token was taken: a touch before that is seen, and a touch after that makes the
//! exchange fail.
//!
//! **Linearization points.** The exchange of the status word.
//!
//! **Progress.** Lock-free: each repetition means that another thread has touched, replaced or
//! ended the record.

use crate::map::RemovalCause;
use crate::map::context::Context;
use crate::map::expiry::bucket::Class;
use crate::map::expiry::{Calendar, Filing};
use crate::map::record::Record;
use crate::map::record::status::{Observed, State};
use crate::tuning::expiry::STEP;

/// What a record was found to be.
pub enum Found<'v, K, V> {
    /// Live and within its deadlines.
    Live(&'v Record<K, V>, Observed),
    /// Ended, by this thread or another one.
    Gone,
}

/// Where the token of a record is that is to be ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    /// In the calendar, or in the hands of another thread.
    Filed,
    /// In the hands of this thread.
    Held,
}

/// What became of a token that was drained.
pub enum Reviewed {
    /// The record, of this weight, was ended.
    Ended(u64),
    /// The record had ended before.
    Stale,
    /// The token was filed again.
    Kept,
}

/// Why a record that was seen like this has ended by `now`, if it has.
#[inline]
pub fn expired<K, V>(record: &Record<K, V>, seen: Observed, now: u64) -> Option<RemovalCause> {
    let idle = seen.tick() + record.idle_timeout();
    let limit = record.absolute_deadline();
    if now < idle.min(limit) {
        None
    } else if limit <= idle {
        Some(RemovalCause::ExpiredLifetime)
    } else {
        Some(RemovalCause::ExpiredIdle)
    }
}

/// What ends records: the map, or a model in its place.
pub trait Ends<K: Send + Sync + 'static, V: Send + Sync + 'static> {
    /// The calendar of the records.
    fn calendar(&self) -> &Calendar<K, V>;

    /// Takes a dead record out of the table. Called by the thread that ended it, once.
    fn unlink(&self, dead: &Record<K, V>, context: &Context<'_, K, V>);

    /// Counts an end, and tells of it.
    fn announce(&self, record: &Record<K, V>, cause: RemovalCause, context: &Context<'_, K, V>);

    /// Asks ahead for what the end of a record will need.
    fn prefetch(&self, record: &Record<K, V>, context: &Context<'_, K, V>);

    /// Ends a record, if its status is still as it was seen. True if it did.
    #[cold]
    fn end(
        &self,
        record: &Record<K, V>,
        seen: Observed,
        cause: RemovalCause,
        token: Token,
        context: &Context<'_, K, V>,
    ) -> bool {
        if !record.status.kill(seen) {
            return false;
        }
        self.unlink(record, context);
        if token == Token::Held || self.calendar().take_back(record, context) {
            context.retire(record);
        } else {
            context.note_stale();
            context.release(record);
        }
        self.announce(record, cause, context);
        true
    }

    /// Judges a record of this operation by what was just seen of it: ends it if it is past its
    /// deadline.
    #[inline]
    fn judge<'v>(
        &self,
        record: &'v Record<K, V>,
        seen: Observed,
        context: &'v Context<'_, K, V>,
    ) -> Found<'v, K, V> {
        match expired(record, seen, context.now) {
            None => Found::Live(record, seen),
            Some(_) => self.look(record, context),
        }
    }

    /// Judges a record of this operation, or what has replaced it, by what it is now: ends it if it
    /// is past its deadline.
    #[cold]
    fn look<'v>(
        &self,
        record: &'v Record<K, V>,
        context: &'v Context<'_, K, V>,
    ) -> Found<'v, K, V> {
        let mut record = record;
        loop {
            match record.status.load() {
                State::Live(seen) => match expired(record, seen, context.now) {
                    None => return Found::Live(record, seen),
                    Some(cause) => {
                        if self.end(record, seen, cause, Token::Filed, context) {
                            return Found::Gone;
                        }
                    }
                },
                State::Forward(successor) => {
                    // SAFETY: followed from a record of this operation.
                    record = unsafe { context.follow(successor) };
                }
                // Pending: not to be seen after a look-up.
                State::Dead | State::Pending => return Found::Gone,
            }
        }
    }

    /// Decides about a record whose token was drained: ends it if `judge` names a cause, and files
    /// it again if not.
    fn review<'v>(
        &self,
        record: &'v Record<K, V>,
        mut judge: impl FnMut(&'v Record<K, V>, Observed) -> Option<RemovalCause>,
        context: &'v Context<'_, K, V>,
    ) -> Reviewed {
        let mut record = record;
        loop {
            match record.status.load() {
                State::Live(seen) => match judge(record, seen) {
                    Some(cause) => {
                        if self.end(record, seen, cause, Token::Held, context) {
                            return Reviewed::Ended(record.weight().into());
                        }
                    }
                    None => {
                        self.calendar().file(record, Filing::Again, context);
                        return Reviewed::Kept;
                    }
                },
                State::Forward(successor) => {
                    // SAFETY: the successor's token is the one in hand, which was never given up.
                    let successor = unsafe { context.follow(successor) };
                    context.release_stale(record);
                    record = successor;
                }
                State::Dead | State::Pending => {
                    context.release_stale(record);
                    return Reviewed::Stale;
                }
            }
        }
    }

    /// One bounded step of a collection: drains some entries of a bucket that is due at the
    /// operation's time. Returns how many records it ended, or none if no bucket is due.
    fn drain_due(&self, context: &Context<'_, K, V>) -> Option<usize> {
        let calendar = self.calendar();
        let due = Class::ALL
            .into_iter()
            .filter_map(|class| calendar.front(class, context))
            .find(|bucket| calendar.end_of(bucket) <= context.now)?;
        let mut ended = 0;
        let ahead = |record: &Record<K, V>| self.prefetch(record, context);
        calendar.drain(due, STEP, context, ahead, |record| {
            let judge = |record: &Record<K, V>, seen| expired(record, seen, context.now);
            if let Reviewed::Ended(_) = self.review(record, judge, context) {
                ended += 1;
            }
        });
        Some(ended)
    }
}
