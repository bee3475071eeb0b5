//! The calendar: every record's token, ordered by the quantum in which the record ends. A calendar
//! queue (Brown, 1988) without a ring: an ordered index of buckets, keyed by quantum.
//!
//! A record's quantum is its deadline (last access plus idle timeout) in steps of a power of two
//! milliseconds. A touch does not move the token.
//!
//! **Contract.** [`file`](Calendar::file) files a token, [`take_back`](Calendar::take_back) takes
//! it out, [`refile`](Calendar::refile) moves it after a deadline changed, and
//! [`inherit`](Calendar::inherit) gives it to a successor. [`front`](Calendar::front) and
//! [`after`](Calendar::after) walk the buckets, [`drain`](Calendar::drain) takes tokens out of one,
//! and [`dismantle`](Calendar::dismantle) is the end.
//!
//! **Invariant.** Each record that is neither dead nor replaced has exactly one token. It is in a
//! bucket whose quantum is not later than the record's own, or in the hands of a thread that is
//! about to file it. (A thread that stops there for good delays the collection, not the expiry.)
//!
//! A thread that drains a bucket looks at each record's status: one that was touched since is filed
//! again where it belongs now, at most once in an idle timeout. Filed anew at once is a record
//! whose deadline was made shorter than its bucket's quantum, and one whose protection differs from
//! that of the one that it replaces: no eviction looks for one kind among the other.
//!
//! **Hints.** A thread that files looks for an open bucket in a hint first: one for each shard for
//! new records, a ring by quantum for others; then in the index. Only a bucket's creator sets a
//! hint to it, and the hint is cleared before the bucket is retired.
//!
//! **Progress.** Lock-free: a token is looked for again only because another thread has filed it.

pub mod bucket;
pub mod index;
#[cfg(any(dwell_loom, dwell_shuttle, dwell_tsan))]
mod index_spec;

use crate::cpu::prefetch;
use crate::map::context::Context;
use crate::map::expiry::bucket::{Bucket, Class, Drained, Filed, Key, Place, bucket_at};
use crate::map::expiry::index::Index;
use crate::map::record::Record;
use crate::map::record::status::{Observed, State};
use crate::reclaim::Reclaim;
use crate::sync::{AtomicPtr, AtomicUsize, Ordering, fence};
use crate::tuning::expiry::{FEWEST, LONGEST_QUANTUM, MOST, QUANTA, RING, STEP};
use crossbeam_utils::CachePadded;
use std::ptr::{self, NonNull};

/// Which hint a filer asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filing {
    /// A token of a record that was just made: by this thread's shard.
    New,
    /// A token that was filed before.
    Again,
}

pub struct Calendar<K, V> {
    /// By class.
    orders: [Order<K, V>; Class::ALL.len()],
    /// What a new record lives if no thread accesses it.
    life: u64,
    /// A quantum is 2^shift milliseconds.
    shift: u32,
    next_number: CachePadded<AtomicUsize>,
    /// For each class the shards' hints, then the ring.
    hints: Box<[AtomicPtr<Bucket<K, V>>]>,
    shards: usize,
    /// Whether tokens are counted by class.
    counts: bool,
    /// Whether there may be protected records.
    protects: bool,
}

/// The buckets of one class.
struct Order<K, V> {
    index: Index<Bucket<K, V>>,
    tokens: CachePadded<AtomicUsize>,
}

impl<K: Send + Sync + 'static, V: Send + Sync + 'static> Calendar<K, V> {
    /// `counts`: whether [`tokens`](Self::tokens) is needed, which costs a shared counter.
    /// `life`: what a new record lives if no thread accesses it, in milliseconds.
    pub fn new(life: u64, shards: usize, counts: bool, protects: bool) -> Self {
        let order = |_| Order {
            index: Index::new(),
            tokens: CachePadded::new(AtomicUsize::new(0)),
        };
        Self {
            orders: Class::ALL.map(order),
            life,
            shift: (life / QUANTA).clamp(1, LONGEST_QUANTUM).ilog2(),
            next_number: CachePadded::new(AtomicUsize::new(0)),
            hints: (0..Class::ALL.len() * shards + RING)
                .map(|_| AtomicPtr::new(ptr::null_mut()))
                .collect(),
            shards,
            counts,
            protects,
        }
    }

    /// The length of a quantum in milliseconds.
    pub fn quantum(&self) -> u64 {
        1 << self.shift
    }

    /// The quantum in which a deadline falls.
    pub fn quantum_of(&self, deadline: u64) -> u64 {
        deadline >> self.shift
    }

    pub fn buckets(&self) -> usize {
        self.orders.iter().map(|order| order.index.len()).sum()
    }

    /// The number of tokens in a class, if they are counted.
    pub fn tokens(&self, class: Class) -> usize {
        self.order(class).tokens.load(Ordering::Relaxed)
    }

    fn order(&self, class: Class) -> &Order<K, V> {
        &self.orders[class as usize]
    }

    /// Where a record belongs that was seen like this.
    pub fn class_of(&self, record: &Record<K, V>, seen: Observed) -> Class {
        if self.protects && record.is_protected() {
            Class::Protected
        } else if seen.touched() {
            Class::Touched
        } else {
            Class::Fresh
        }
    }

    /// Files a token that the caller holds, by what the record is now; or ends it, if the record is
    /// dead.
    pub fn file(&self, record: &Record<K, V>, filing: Filing, context: &Context<'_, K, V>) {
        let mut record = record;
        let mut filing = filing;
        loop {
            match record.status.load() {
                State::Live(seen) => {
                    let quantum = self.quantum_of(record.deadline(seen));
                    let class = self.class_of(record, seen);
                    let place = self.put(record, class, quantum, filing, context);
                    if self.stays(record, &place, context) {
                        return;
                    }
                    filing = Filing::Again;
                }
                State::Forward(successor) => {
                    // SAFETY: the successor's token is the one in hand: it was never given up.
                    let successor = unsafe { context.follow(successor) };
                    context.release_stale(record);
                    record = successor;
                }
                State::Dead => {
                    context.release_stale(record);
                    return;
                }
                State::Pending => unreachable!("a token exists only of a committed record"),
            }
        }
    }

    /// Gives a replaced record's token to its successor: in the entry in which it is, if the
    /// successor was accessed, and so is an updated record. False if another thread holds the
    /// token: that thread follows the record to its successor.
    ///
    /// The caller has made the replacement, and the successor [awaits](Place::await_token) its
    /// token.
    pub fn inherit(
        &self,
        replaced: &Record<K, V>,
        successor: &Record<K, V>,
        context: &Context<'_, K, V>,
    ) -> bool {
        if let State::Live(seen) = successor.status.load()
            && !seen.touched()
        {
            // It starts anew: behind its like, and where this thread files what is new.
            let is_taken = self.take_back(replaced, context);
            if is_taken {
                self.file(successor, Filing::New, context);
            }
            return is_taken;
        }
        let pass_on =
            |bucket: &Bucket<K, V>, place: &Place<K, V>| bucket.pass_on(place, replaced, successor);
        let Some(place) = self.leave_place(replaced, pass_on, context) else {
            return false;
        };
        place.settle(successor);
        if !self.stays(successor, &place, context) {
            self.file(successor, Filing::Again, context);
        }
        true
    }

    /// After a token was put into a place: whether it can stay there, by what the record is now. If
    /// not, the caller holds it again. True also if another thread has taken it meanwhile.
    #[inline]
    fn stays(
        &self,
        record: &Record<K, V>,
        place: &Place<K, V>,
        context: &Context<'_, K, V>,
    ) -> bool {
        // SeqCst: pairs with the one in `leave_place`. Either the thread that changed the record
        // sees this place and its entry, or its change is seen below.
        fence(Ordering::SeqCst);
        // SAFETY: the token was put there during this operation.
        let bucket = unsafe { bucket_at(place.bucket, &context.guard) };
        // Another thread may also have taken the place while the entry was not complete, and then
        // could not clear it.
        if let State::Live(seen) = record.status.load()
            && bucket.key.quantum <= self.quantum_of(record.deadline(seen))
            && (bucket.class == Class::Protected) == (self.protects && record.is_protected())
            && place.is_of(record)
        {
            return true;
        }
        place.forget(record);
        let cleared = self.clear(bucket, place, record);
        if cleared {
            bucket.count_cleared();
        }
        !cleared
    }

    fn put(
        &self,
        record: &Record<K, V>,
        class: Class,
        quantum: u64,
        filing: Filing,
        context: &Context<'_, K, V>,
    ) -> Place<K, V> {
        if self.counts {
            self.order(class).tokens.fetch_add(1, Ordering::Relaxed);
        }
        let shard = context.shard() % self.shards + self.shards * class as usize;
        let ring = Class::ALL.len() * self.shards + quantum as usize % RING;
        // The shards' hints follow the records that were accessed just now; one with a deadline of
        // its own goes by the ring.
        let is_usual = filing == Filing::New && quantum == self.quantum_of(context.now + self.life);
        let hint = if is_usual { shard } else { ring };
        let seen = self.hint(hint, context);
        let mut size = FEWEST;
        let hinted = seen.filter(|open| open.key.quantum == quantum && open.class == class);
        if let Some(open) = hinted.or_else(|| self.newest(class, quantum, context)) {
            match open.file(record) {
                Filed::Done(place) => return place,
                Filed::Full => {}
                Filed::Completed => self.retire(open, context),
            }
            // One that is being drained from may be nearly empty.
            if open.is_filled() {
                size = (open.size() * 4).min(MOST);
            }
        }
        let key = Key {
            quantum,
            // Relaxed: only uniqueness matters; the order within a quantum is a matter of fairness.
            number: self.next_number.fetch_add(1, Ordering::Relaxed),
        };
        let bucket = Bucket::new(key, class, hint, size);
        // SAFETY: just made, and not retired before its creator's part is accounted for.
        let created = unsafe { bucket_at(bucket, &context.guard) };
        let Filed::Done(place) = created.file(record) else {
            unreachable!("nobody else knows the bucket yet");
        };
        self.order(class).index.add(key, NonNull::from(created));
        // Release: publishes the bucket. If another thread changed the hint, it stays as it is.
        let _ = self.hints[hint].compare_exchange(
            seen.map_or(ptr::null_mut(), |seen| seen.pointer),
            bucket,
            Ordering::Release,
            Ordering::Relaxed,
        );
        if created.account(1) {
            self.retire(created, context);
        }
        place
    }

    fn hint<'v>(&self, hint: usize, context: &'v Context<'_, K, V>) -> Option<&'v Bucket<K, V>> {
        // Acquire: pairs with the Release of `put`.
        let bucket = self.hints[hint].load(Ordering::Acquire);
        // SAFETY: read from a hint during the operation.
        (!bucket.is_null()).then(|| unsafe { bucket_at(bucket, &context.guard) })
    }

    /// The last bucket of a quantum, which is the one that may have room.
    fn newest<'v>(
        &self,
        class: Class,
        quantum: u64,
        context: &'v Context<'_, K, V>,
    ) -> Option<&'v Bucket<K, V>> {
        let end = Key {
            quantum: quantum + 1,
            number: 0,
        };
        let bucket = self.order(class).index.before(end)?;
        // SAFETY: read from the index during the operation.
        let bucket = unsafe { bucket_at(bucket.as_ptr(), &context.guard) };
        (bucket.key.quantum == quantum).then_some(bucket)
    }

    fn clear(&self, bucket: &Bucket<K, V>, place: &Place<K, V>, record: &Record<K, V>) -> bool {
        let cleared = bucket.clear(place, record);
        if cleared && self.counts {
            self.order(bucket.class)
                .tokens
                .fetch_sub(1, Ordering::Relaxed);
        }
        cleared
    }

    /// Takes a record's token out of its bucket. True if the caller holds it now. If not, the
    /// thread that does looks at the record's status before and after it files the token.
    ///
    /// The record was found live during the operation, and the caller keeps the calendar from
    /// giving up its share: it has ended the record's life, or has just advanced it.
    pub fn take_back(&self, record: &Record<K, V>, context: &Context<'_, K, V>) -> bool {
        let clear = |bucket: &Bucket<K, V>, place: &Place<K, V>| self.clear(bucket, place, record);
        let Some(place) = self.leave_place(record, clear, context) else {
            return false;
        };
        // SAFETY: the place was read during the operation, see `leave_place`.
        let bucket = unsafe { bucket_at(place.bucket, &context.guard) };
        if bucket.count_cleared() {
            // Most of the bucket is gone: file the rest elsewhere, so that it can go too.
            let again = |record: &Record<K, V>| self.file(record, Filing::Again, context);
            while self.drain(bucket, STEP, context, |_| {}, again) > 0 {}
        }
        true
    }

    /// Takes a record's place, and does to its entry what `step` does. Returns the place if that
    /// succeeded. None if another thread holds the token: it rechecks the record's status after
    /// filing.
    fn leave_place(
        &self,
        record: &Record<K, V>,
        step: impl Fn(&Bucket<K, V>, &Place<K, V>) -> bool,
        context: &Context<'_, K, V>,
    ) -> Option<Place<K, V>> {
        let mut taken = Place::take(record);
        let step = |place: &Place<K, V>| {
            // SAFETY: the place was read during the operation from a record that is not retired.
            step(unsafe { bucket_at(place.bucket, &context.guard) }, place)
        };
        loop {
            if taken.as_ref().is_some_and(step) {
                return taken;
            }
            // SeqCst: pairs with the one in `stays`. If the token is being filed, either its entry
            // or its new place is found from here on, or its filer sees that the place was taken,
            // and what the caller did to the record.
            fence(Ordering::SeqCst);
            if taken.as_ref().is_some_and(step) {
                return taken;
            }
            taken = Some(Place::take(record)?);
        }
    }

    /// After a record's deadline was changed, and its life advanced: moves its token if it may be
    /// in a bucket that is too late now.
    pub fn refile(&self, record: &Record<K, V>, context: &Context<'_, K, V>) {
        if self.take_back(record, context) {
            self.file(record, Filing::Again, context);
        }
    }

    /// The first bucket of a class.
    pub fn front<'v>(
        &self,
        class: Class,
        context: &'v Context<'_, K, V>,
    ) -> Option<&'v Bucket<K, V>> {
        if class == Class::Protected && !self.protects {
            return None;
        }
        let index = &self.order(class).index;
        loop {
            let front = index.front()?;
            // SAFETY: read from the index during the operation.
            let bucket = unsafe { bucket_at(front.as_ptr(), &context.guard) };
            if !bucket.is_claimed() {
                return Some(bucket);
            }
            index.remove(bucket.key);
        }
    }

    /// The bucket that follows on a key in its class; without a key, the first one.
    pub fn after<'v>(
        &self,
        class: Class,
        key: Option<Key>,
        context: &'v Context<'_, K, V>,
    ) -> Option<&'v Bucket<K, V>> {
        let Some(key) = key else {
            return self.front(class, context);
        };
        let next = self.order(class).index.after(key)?;
        // SAFETY: read from the index during the operation.
        Some(unsafe { bucket_at(next.as_ptr(), &context.guard) })
    }

    /// The time at which a bucket's last record ends, if nothing was touched.
    pub fn end_of(&self, bucket: &Bucket<K, V>) -> u64 {
        bucket.key.quantum.saturating_add(1) << self.shift
    }

    /// Drains up to `most` entries, at most [`STEP`], of a bucket. `each` gets the tokens: it files
    /// them again, or gives up the calendar's share. `ahead` sees each record some time before
    /// that, to prefetch what `each` will need. Returns how many entries were claimed.
    pub fn drain<'v>(
        &self,
        bucket: &Bucket<K, V>,
        most: usize,
        context: &'v Context<'_, K, V>,
        ahead: impl Fn(&Record<K, V>),
        mut each: impl FnMut(&'v Record<K, V>),
    ) -> usize {
        let claimed = bucket.claim(most.min(STEP));
        let entries = claimed.len();
        let mut reserved = 0;
        let mut tokens = [ptr::null_mut(); STEP];
        let mut taken = 0;
        for index in claimed {
            match bucket.drain(index) {
                Drained::Token(record) => {
                    prefetch(record);
                    tokens[taken] = record;
                    taken += 1;
                }
                Drained::Reserved => reserved += 1,
                Drained::Nothing => {}
            }
        }
        if self.counts {
            let order = self.order(bucket.class);
            order.tokens.fetch_sub(taken, Ordering::Relaxed);
        }
        for &record in &tokens[..taken] {
            // SAFETY: drained during the operation, and the calendar's share in it was not given
            // up.
            ahead(unsafe { context.at(record) });
        }
        for &record in &tokens[..taken] {
            // SAFETY: drained during the operation; `each` has not given up this record's reference
            // yet.
            each(unsafe { context.at(record) });
        }
        if entries > reserved && bucket.account(entries - reserved) {
            self.retire(bucket, context);
        }
        entries
    }

    /// Retires a bucket that is complete. Called once for each bucket.
    fn retire(&self, bucket: &Bucket<K, V>, context: &Context<'_, K, V>) {
        self.order(bucket.class).index.remove(bucket.key);
        let pointer = bucket.pointer;
        let _ = self.hints[bucket.hint].compare_exchange(
            pointer,
            ptr::null_mut(),
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        bucket.retire();
        // SAFETY: nothing leads to the bucket any more.
        unsafe { context.guard.defer(move || Bucket::free(pointer)) };
    }

    /// Calls `left` for each record that still has a token, and frees the buckets, for a map that
    /// is being dropped.
    pub fn dismantle(&mut self, context: &Context<'_, K, V>, left: impl Fn(&Record<K, V>)) {
        let leave = |record| {
            let mut record: &Record<K, V> = record;
            while let State::Forward(successor) = record.status.load() {
                // SAFETY: as in `file`.
                let successor = unsafe { context.follow(successor) };
                left(record);
                record = successor;
            }
            left(record);
        };
        for class in Class::ALL {
            while let Some(bucket) = self.front(class, context) {
                self.drain(bucket, STEP, context, |_| {}, leave);
            }
        }
    }
}
