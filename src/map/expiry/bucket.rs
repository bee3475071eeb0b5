//! A bucket: the tokens of records that end, as far as was known, within one quantum of time.
//!
//! A token is a record's one entry in the calendar. A bucket is an array of entries, filled from
//! the front by threads that file records, and drained from the front by collection and eviction.
//!
//! ```text
//!           file             file          clear (remove, update, a shorter deadline)
//!   EMPTY ------> RESERVED ------> record -------------------------------> CLEARED
//!     |              |             |    ^                                    |
//!     |              |             +----+ pass on (to the record's successor)|
//!     +--------------+---------------+------------- drain -------------------+--> DRAINED
//! ```
//!
//! **Invariant.** Each step is one exchange, and no entry comes back to a state that it has left: a
//! record is passed on once. So a token has exactly one holder: the entry, or the thread that took
//! it out of one. The holder files the token again, or gives up the calendar's share in the record.
//!
//! **Invariant.** A record that is not dead or replaced does not name a retired bucket as its
//! place. A thread that files a token reserves the entry before it writes the place. If the
//! reserved entry is drained, that thread accounts for it, after it has taken the place back. A
//! thread that drained a token accounts for it after it has filed it again, and so has written
//! another place. A successor starts with the place `AWAITED`. The thread that passes the token on
//! exchanges `AWAITED` for the entry's place; the exchange fails if the token was filed elsewhere
//! meanwhile. A record is `AWAITED` at most once.
//!
//! **Linearization points.** Each step's exchange.
//!
//! **Status of a bucket.** Entries are claimed for draining by adding to `cursor`, and accounted
//! for in `done` when what was in them has been dealt with. Its creator has one part of `done` too,
//! so that a bucket is not retired before its creator has put it where it belongs. The thread
//! that completes `done` retires the bucket.
//!
//! **Progress.** All operations are wait-free. A thread that stops between claiming and accounting
//! delays the reclamation of the bucket, and the collection of what it claimed.

use crate::cpu::prefetch;
use crate::map::record::{Record, assert_address, place};
use crate::reclaim::{Guard, Mark};
use crate::sync::{AtomicPtr, AtomicUsize, Ordering, Trace};
use crate::tuning::expiry::{SPARSE, STEP};
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ops::Range;
use std::{ptr, slice};

/// A bucket's quantum, and a number that makes the key unique and orders a quantum's buckets by
/// age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The quantum in which the bucket's records end, as far as was known.
    pub quantum: u64,
    /// The number of the bucket, of all buckets of the calendar.
    pub number: usize,
}

/// What a record has shown of itself: eviction takes from the classes by different rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Filed when it was never accessed since its creation.
    Fresh,
    /// Filed when it had been accessed.
    Touched,
    /// Filed when it was protected, whether it had been accessed or not.
    Protected,
}

impl Class {
    pub const ALL: [Self; 3] = [Self::Fresh, Self::Touched, Self::Protected];
}

const EMPTY: usize = 0;
const CLEARED: usize = 1;
const DRAINED: usize = 2;
const RESERVED: usize = 3;

/// What stands in front of a bucket's entries, which follow in the same allocation: so that an
/// entry's address is known before the bucket is read.
#[repr(C)]
pub struct Bucket<K, V> {
    /// This bucket, as it was allocated: with its entries.
    pub pointer: *mut Self,
    pub key: Key,
    pub class: Class,
    /// How many entries there are.
    size: usize,
    /// Which of the calendar's hints may lead here.
    pub hint: usize,
    mark: Mark,
    /// The next entry to fill.
    filled: AtomicUsize,
    /// The next entry to drain.
    cursor: AtomicUsize,
    /// Entries that were drained and dealt with, and the creator's part.
    done: AtomicUsize,
    cleared: AtomicUsize,
    trace: Trace,
}

// SAFETY: the bucket's own address is only read and compared. What the entries lead to are records,
// which any thread may read, end and free, since keys and values are `Send` and `Sync`.
unsafe impl<K: Send + Sync, V: Send + Sync> Send for Bucket<K, V> {}
// SAFETY: all fields that change are atomic; the records that the entries lead to are shared
// between threads, and keys and values are `Send` and `Sync`.
unsafe impl<K: Send + Sync, V: Send + Sync> Sync for Bucket<K, V> {}

type Entry<K, V> = AtomicPtr<Record<K, V>>;

/// Where a token is: a bucket and an entry of it, in one word.
#[derive(Debug)]
pub struct Place<K, V> {
    pub bucket: *mut Bucket<K, V>,
    index: usize,
}

impl<K, V> Place<K, V> {
    /// Takes the place out of a record, so that it does not name a bucket any more; none if it
    /// named none, or was changed at the same time. The caller knows that the record is not
    /// retired.
    pub fn take(record: &Record<K, V>) -> Option<Self> {
        // Acquire: pairs with `Bucket::file`.
        let word = record.place.load(Ordering::Acquire);
        let place = Self::of(word)?;
        let is_taken = record
            .place
            .compare_exchange(word, place::Place::None, Ordering::Relaxed);
        is_taken.then_some(place)
    }

    /// Asks for what a record's place leads to ahead of its use.
    pub fn prefetch(record: &Record<K, V>) {
        // Relaxed: nothing is read by it. Under loom it would be one more step to interleave.
        if !cfg!(any(dwell_loom, dwell_shuttle))
            && let Some(place) = Self::of(record.place.load(Ordering::Relaxed))
        {
            prefetch(place.bucket);
            prefetch(Bucket::entry_at(place.bucket, place.index));
        }
    }

    /// Notes that a record, which no other thread can reach, will be given the token of one that it
    /// replaces.
    pub fn await_token(record: &Record<K, V>) {
        // Relaxed: published by the replacement.
        record.place.store(place::Place::Awaited, Ordering::Relaxed);
    }

    /// Makes this the place of a record to which its token was passed on, unless it was filed
    /// elsewhere since.
    pub fn settle(&self, record: &Record<K, V>) {
        // Release: pairs with `take`, as in `Bucket::file`.
        record
            .place
            .compare_exchange(place::Place::Awaited, self.word(), Ordering::Release);
    }

    /// Whether this is the record's place.
    pub fn is_of(&self, record: &Record<K, V>) -> bool {
        // Relaxed: nothing is read by it.
        record.place.is(self.word(), Ordering::Relaxed)
    }

    /// Leaves a record without a place. The caller holds its token.
    pub fn erase(record: &Record<K, V>) {
        // Relaxed: no thread draws a conclusion from there being none.
        record.place.store(place::Place::None, Ordering::Relaxed);
    }

    /// Takes this place out of a record, if it is the record's place still.
    pub fn forget(&self, record: &Record<K, V>) {
        // Relaxed: no thread draws a conclusion from there being none.
        record
            .place
            .compare_exchange(self.word(), place::Place::None, Ordering::Relaxed);
    }

    #[inline(always)]
    fn of(word: place::Place) -> Option<Self> {
        match word {
            place::Place::Entry { bucket, index } => Some(Self {
                bucket: bucket.cast(),
                index,
            }),
            _ => None,
        }
    }

    #[inline(always)]
    fn word(&self) -> place::Place {
        place::Place::Entry {
            bucket: self.bucket.cast(),
            index: self.index,
        }
    }
}

/// What became of filing a token.
pub enum Filed<K, V> {
    /// It is in this place.
    Done(Place<K, V>),
    /// The caller still holds the token and needs another bucket.
    Full,
    /// The same, and the caller has completed this bucket and must retire it.
    Completed,
}

/// What was in an entry when it was drained.
pub enum Drained<K, V> {
    Nothing,
    /// A filler is at work; it will find out, and account for the entry.
    Reserved,
    /// The token of this record, which is the caller's now.
    Token(*mut Record<K, V>),
}

/// A bucket that was found through the index, a hint or a place.
///
/// # Safety
/// The pointer was read while `guard` was held.
pub unsafe fn bucket_at<K, V>(bucket: *mut Bucket<K, V>, guard: &Guard) -> &Bucket<K, V> {
    // SAFETY: a bucket is retired when no entry's place, no hint and no index leads to it any more.
    let bucket = unsafe { &*bucket };
    bucket.mark.check(guard);
    bucket
}

impl<K, V> Bucket<K, V> {
    pub fn new(key: Key, class: Class, hint: usize, size: usize) -> *mut Self {
        let layout = Self::layout(size);
        // SAFETY: the layout is not empty.
        let pointer = unsafe { alloc(layout) }.cast::<Self>();
        if pointer.is_null() {
            handle_alloc_error(layout);
        }
        assert_address(pointer);
        let bucket = Self {
            pointer,
            key,
            class,
            size,
            hint,
            mark: Mark::new(),
            filled: AtomicUsize::new(0),
            cursor: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            cleared: AtomicUsize::new(0),
            trace: Trace::new(),
        };
        // SAFETY: just allocated, with room for the entries.
        unsafe {
            pointer.write(bucket);
            for index in 0..size {
                let entry = Entry::new(ptr::without_provenance_mut(EMPTY));
                Self::entry_at(pointer, index).write(entry);
            }
        }
        pointer
    }

    /// # Safety
    /// `new` returned the bucket, and no thread uses it any more.
    pub unsafe fn free(bucket: *mut Self) {
        // SAFETY: the bucket was allocated by `new` with this layout, and no thread uses it any
        // more.
        unsafe {
            let layout = Self::layout((*bucket).size);
            ptr::drop_in_place(ptr::from_ref((*bucket).entries()).cast_mut());
            ptr::drop_in_place(bucket);
            dealloc(bucket.cast(), layout);
        }
    }

    fn layout(size: usize) -> Layout {
        let entries = Layout::array::<Entry<K, V>>(size).expect("buckets are small");
        let (layout, offset) = Layout::new::<Self>()
            .extend(entries)
            .expect("buckets are small");
        debug_assert_eq!(offset, size_of::<Self>());
        layout
    }

    /// The address of an entry.
    fn entry_at(bucket: *mut Self, index: usize) -> *mut Entry<K, V> {
        bucket
            .wrapping_add(1)
            .cast::<Entry<K, V>>()
            .wrapping_add(index)
    }

    fn entries(&self) -> &[Entry<K, V>] {
        // SAFETY: they were written by `new`, and live as long as the bucket.
        unsafe { slice::from_raw_parts(Self::entry_at(self.pointer, 0), self.size) }
    }

    pub fn size(&self) -> usize {
        self.size
    }

    /// Files a token that the caller holds.
    pub fn file(&self, record: &Record<K, V>) -> Filed<K, V> {
        // Relaxed, both: hints that keep fillers apart and off a bucket that is being drained. What
        // counts is the entry's exchange.
        if self.cursor.load(Ordering::Relaxed) != 0 {
            return Filed::Full;
        }
        let index = self.filled.fetch_add(1, Ordering::Relaxed);
        let Some(entry) = self.entries().get(index) else {
            return Filed::Full;
        };
        // Relaxed: a reservation publishes nothing.
        let reserved = entry.compare_exchange(
            ptr::without_provenance_mut(EMPTY),
            ptr::without_provenance_mut(RESERVED),
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        if reserved.is_err() {
            return Filed::Full;
        }
        let this = self.pointer;
        // Release: pairs with the Acquire of `Place::take`, so that a thread that takes the
        // token back by its place finds a complete bucket.
        let place = Place {
            bucket: this,
            index,
        };
        record.place.store(place.word(), Ordering::Release);
        // Release: pairs with `drain` and `peek`.
        let filed = entry.compare_exchange(
            ptr::without_provenance_mut(RESERVED),
            ptr::from_ref(record).cast_mut(),
            Ordering::Release,
            Ordering::Relaxed,
        );
        if filed.is_ok() {
            return Filed::Done(place);
        }
        // Relaxed: a thread that read the place before may go on using it, since this entry is not
        // accounted for yet.
        Place::erase(record);
        if self.account(1) {
            Filed::Completed
        } else {
            Filed::Full
        }
    }

    /// Takes the token of `record` out of an entry. True for one caller at most; it holds the
    /// token.
    pub fn clear(&self, place: &Place<K, V>, record: &Record<K, V>) -> bool {
        // Relaxed: what came before the token was put here was seen with the place, see
        // `Place::take`.
        self.entries()[place.index]
            .compare_exchange(
                ptr::from_ref(record).cast_mut(),
                ptr::without_provenance_mut(CLEARED),
                Ordering::Relaxed,
                Ordering::Relaxed,
            )
            .is_ok()
    }

    /// Makes the token of a replaced record that of its successor, in the same entry. True for one
    /// caller at most.
    pub fn pass_on(
        &self,
        place: &Place<K, V>,
        replaced: &Record<K, V>,
        successor: &Record<K, V>,
    ) -> bool {
        // Release: pairs with `drain` and `peek`, as in `file`.
        self.entries()[place.index]
            .compare_exchange(
                ptr::from_ref(replaced).cast_mut(),
                ptr::from_ref(successor).cast_mut(),
                Ordering::Release,
                Ordering::Relaxed,
            )
            .is_ok()
    }

    /// Counts a cleared entry. True if so many are cleared that the bucket should be drained early.
    pub fn count_cleared(&self) -> bool {
        let cleared = self.cleared.fetch_add(1, Ordering::Relaxed) + 1;
        cleared * SPARSE.1 >= self.size() * SPARSE.0
    }

    /// Claims up to `most` entries for draining, or up to [`STEP`] if none of them was filled;
    /// empty if all are claimed.
    pub fn claim(&self, most: usize) -> Range<usize> {
        // Relaxed, all: which thread gets which entries orders nothing.
        let cursor = self.cursor.load(Ordering::Relaxed);
        if cursor >= self.size() {
            return 0..0;
        }
        let most = if cursor < self.filled.load(Ordering::Relaxed) {
            most
        } else {
            STEP
        };
        let first = self.cursor.fetch_add(most, Ordering::Relaxed);
        first.min(self.size())..(first + most).min(self.size())
    }

    /// Whether all entries were filled, or are about to be.
    pub fn is_filled(&self) -> bool {
        // Relaxed: a hint.
        self.filled.load(Ordering::Relaxed) >= self.size()
    }

    /// Whether all entries are claimed.
    pub fn is_claimed(&self) -> bool {
        self.cursor.load(Ordering::Relaxed) >= self.size()
    }

    /// Drains a claimed entry.
    pub fn drain(&self, index: usize) -> Drained<K, V> {
        // Acquire: pairs with `file`.
        let entry =
            self.entries()[index].swap(ptr::without_provenance_mut(DRAINED), Ordering::Acquire);
        match entry.addr() {
            EMPTY | CLEARED | DRAINED => Drained::Nothing,
            RESERVED => Drained::Reserved,
            _ => Drained::Token(entry),
        }
    }

    /// What is in an entry, without taking it.
    pub fn peek(&self, index: usize) -> Option<*mut Record<K, V>> {
        // Acquire: pairs with `file`.
        let entry = self.entries()[index].load(Ordering::Acquire);
        (entry.addr() > RESERVED).then_some(entry)
    }

    /// Notes that the bucket is retired.
    pub fn retire(&self) {
        self.trace.write();
        self.mark.retire();
    }

    /// Accounts for drained entries, or with 1 for the creator's part. True for the one caller that
    /// completes the bucket and must retire it.
    pub fn account(&self, entries: usize) -> bool {
        self.trace.read();
        // AcqRel: pairs with itself. The last one comes after all that the others did with the
        // bucket.
        self.done.fetch_add(entries, Ordering::AcqRel) + entries == self.size() + 1
    }
}
