//! A record: one allocation for status word, deadlines, reference counts, key and value.
//!
//! **Ownership.** Two structures refer to a record, the table and the calendar. Together they are
//! one owner; each handle is one more. A thread that takes the record out of a structure has that
//! structure's share in it. The thread that has both shares, or gives up the last one, retires the
//! record. The structures' ownership is given up after a grace period: a pinned thread may read
//! what it found, and may still take a handle. The thread that gives up the last ownership drops
//! key and value, and frees the memory.
//!
//! The word `place` has several meanings, one after the other: see [`place`].
//!
//! **Progress.** Everything here is wait-free but for the memory, which is the allocator's.

pub mod place;
pub mod status;

use crate::map::record::place::{Place, PlaceWord};
use crate::map::record::status::{Observed, Status};
use crate::reclaim::retired::Retire;
use crate::reclaim::{Guard, Mark, Reclaim};
#[cfg(not(dwell_tsan))]
use crate::sync::fence;
use crate::sync::{AtomicU32, AtomicU64, Ordering, Tally, Trace};
use core::cell::UnsafeCell;
use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::ptr::NonNull;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// A deadline that is never reached.
pub const NEVER: u64 = u64::MAX;
/// The longest idle timeout: 2^40 - 1 milliseconds, 34 years.
pub const LONGEST_IDLE: u64 = (1 << IDLE_BITS) - 1;
/// The greatest weight of one record.
pub const GREATEST_WEIGHT: u32 = (1 << 24) - 1;

const IDLE_BITS: u32 = 40;
/// Instead of a deadline: the value was taken out before the record was committed.
const TAKEN: u64 = NEVER - 1;
/// The count's unit for owners. The two lowest bits count the shares of structures, until the
/// record is retired; the third one does not change.
const OWNER: u32 = 8;
const PROTECTED: u32 = 4;
const STRUCTURES: u32 = PROTECTED - 1;

/// A record. All of it is in one cell, what lies between its fields included: it is freed through
/// pointers that were made of shared references, and such a pointer may free only what a shared
/// reference may change.
#[repr(transparent)]
pub struct Record<K, V>(UnsafeCell<Fields<K, V>>);

impl<K, V> Deref for Record<K, V> {
    type Target = Fields<K, V>;

    #[inline(always)]
    fn deref(&self) -> &Fields<K, V> {
        // SAFETY: no thread has a mutable reference to the fields as a whole: each is atomic, or a
        // cell of its own.
        unsafe { &*self.0.get() }
    }
}

// SAFETY: a record moves between threads as a whole, with its key and value: both may.
unsafe impl<K: Send, V: Send> Send for Record<K, V> {}
// SAFETY: threads share references to key and value, and the last owner drops them on any thread:
// both may. All else is atomic.
unsafe impl<K: Send + Sync, V: Send + Sync> Sync for Record<K, V> {}

/// Fields stand in the order in which a look-up reads them; `repr(C)` keeps the first ones in one
/// cache line. The alignment leaves the low bits of a record's address to `status` and `table`.
#[repr(C, align(8))]
pub struct Fields<K, V> {
    pub status: Status<Record<K, V>>,
    /// Where the calendar keeps the record's token, and what else it says.
    pub place: PlaceWord,
    /// `owners * 8 + is_protected * 4 + structures`.
    count: AtomicU32,
    hash: AtomicU32,
    /// The absolute deadline, or `TAKEN`.
    absolute_deadline: AtomicU64,
    /// The idle timeout in the low 40 bits, the weight above.
    idle_and_weight: AtomicU64,
    mark: Mark,
    trace: Trace,
    key: UnsafeCell<ManuallyDrop<K>>,
    value: UnsafeCell<ManuallyDrop<V>>,
}

/// What a record is born with.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// The time of its first access.
    pub birth: u64,
    /// Idle timeout in milliseconds.
    pub idle_timeout: u64,
    /// Absolute deadline.
    pub absolute_deadline: u64,
    pub weight: u32,
    /// A full map ends it after the others.
    pub is_protected: bool,
}

impl<K, V> Record<K, V> {
    /// The upper half of the key's hash: it chooses the line of the table.
    #[inline]
    pub fn hash(&self) -> u32 {
        // Relaxed: does not change once a structure leads to the record.
        self.hash.load(Ordering::Relaxed)
    }

    /// For a successor: a key that claims to equal another one stays on that one's line, even if it
    /// lies.
    pub fn set_hash(&self, hash: u32) {
        self.hash.store(hash, Ordering::Relaxed);
    }

    #[inline]
    pub fn key(&self) -> &K {
        self.trace.read();
        // SAFETY: the key is only written to when it is made, and when no other thread can reach
        // the record.
        unsafe { &*self.key.get() }
    }

    #[inline]
    pub fn value(&self) -> &V {
        self.trace.read();
        // SAFETY: as for the key; and a value that was taken out is that of a record that was never
        // committed, which no thread reads.
        unsafe { &*self.value.get() }
    }

    // Relaxed in the four below: a thread that needs the newest terms reads them after a status
    // word that was advanced once they were written.

    #[inline]
    pub fn idle_timeout(&self) -> u64 {
        self.idle_and_weight.load(Ordering::Relaxed) & LONGEST_IDLE
    }

    #[inline]
    pub fn absolute_deadline(&self) -> u64 {
        self.absolute_deadline.load(Ordering::Relaxed)
    }

    pub fn set_idle_timeout(&self, idle_timeout: u64) {
        let weight = u64::from(self.weight()) << IDLE_BITS;
        self.idle_and_weight
            .store(idle_timeout.min(LONGEST_IDLE) | weight, Ordering::Relaxed);
    }

    pub fn set_absolute_deadline(&self, absolute_deadline: u64) {
        self.absolute_deadline
            .store(absolute_deadline, Ordering::Relaxed);
    }

    pub fn weight(&self) -> u32 {
        (self.idle_and_weight.load(Ordering::Relaxed) >> IDLE_BITS) as u32
    }

    /// Whether a full map ends the record after the others.
    pub fn is_protected(&self) -> bool {
        // Relaxed: this bit does not change.
        self.count.load(Ordering::Relaxed) & PROTECTED != 0
    }

    /// When the record ends if it is not touched any more.
    #[inline]
    pub fn deadline(&self, seen: Observed) -> u64 {
        (seen.tick() + self.idle_timeout()).min(self.absolute_deadline())
    }

    /// One more owner. Only under a guard, or by an owner.
    #[inline]
    pub fn acquire(&self) {
        // Relaxed: the caller already has a way to the record that outlasts this call.
        let before = self.count.fetch_add(OWNER, Ordering::Relaxed);
        if before > u32::MAX / 2 {
            // 250 million handles of one record were leaked; going on would free it under them.
            std::process::abort();
        }
    }

    /// One share is given up by a thread that does not have the other. True for the last one: the
    /// caller must retire the record.
    pub fn release_structural(&self) -> bool {
        // AcqRel: pairs with itself. The last one comes after all that the other did with `place`.
        self.count.fetch_sub(1, Ordering::AcqRel) & STRUCTURES == 1
    }
}

impl<K: 'static, V: 'static> Retire for Record<K, V> {
    fn mark(&self) {
        self.mark.retire();
    }

    fn set_next(&self, next: *mut Self) {
        // Relaxed: published by the push onto the list.
        self.place
            .store(Place::Link(next.cast()), Ordering::Relaxed);
    }

    fn next(&self) -> *mut Self {
        // Relaxed: ordered by taking the list.
        match self.place.load(Ordering::Relaxed) {
            Place::Link(next) => next.cast(),
            place => unreachable!("a retired record is linked, and not at {place:?}"),
        }
    }

    /// The map knows nothing of what key and value lead to, unless it has a weigher: weights are
    /// taken for bytes.
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.weight() as usize
    }

    unsafe fn release(this: NonNull<Self>) -> bool {
        // SAFETY: the last structure has let go, so that its ownership is the list's to give up,
        // once.
        contain(|| unsafe { release(this) })
    }
}

/// A record that no structure leads to.
pub struct Unlinked<K: 'static, V: 'static> {
    record: NonNull<Record<K, V>>,
    /// Set if it was in a slot, and was taken out again before its commit: other threads may still
    /// be comparing its key. The count of such records that wait.
    waits_in: Option<Arc<Tally>>,
}

impl<K: 'static, V: 'static> Unlinked<K, V> {
    #[inline]
    pub fn new(hash: u32, key: K, value: V, terms: Terms) -> Self {
        let record = Box::new(Record(UnsafeCell::new(Fields {
            status: Status::pending(terms.birth),
            place: PlaceWord::new(),
            count: AtomicU32::new(OWNER + 2 + PROTECTED * u32::from(terms.is_protected)),
            hash: AtomicU32::new(hash),
            absolute_deadline: AtomicU64::new(terms.absolute_deadline),
            idle_and_weight: AtomicU64::new(
                terms.idle_timeout.min(LONGEST_IDLE)
                    | u64::from(terms.weight.min(GREATEST_WEIGHT)) << IDLE_BITS,
            ),
            mark: Mark::new(),
            trace: Trace::new(),
            key: UnsafeCell::new(ManuallyDrop::new(key)),
            value: UnsafeCell::new(ManuallyDrop::new(value)),
        })));
        let record = NonNull::from(Box::leak(record));
        assert_address(record.as_ptr());
        let unlinked = Self {
            record,
            waits_in: None,
        };
        unlinked.record().trace.write();
        unlinked
    }

    pub fn pointer(&self) -> NonNull<Record<K, V>> {
        self.record
    }

    pub fn record(&self) -> &Record<K, V> {
        // SAFETY: `self` keeps the record alive and only shared references to it exist.
        unsafe { self.record.as_ref() }
    }

    /// Notes that the record was in a slot. While it waits to be freed, it is counted in `refused`.
    pub fn set_placed(&mut self, refused: &Arc<Tally>) {
        if self.waits_in.is_none() {
            self.waits_in = Some(Arc::clone(refused));
        }
    }

    /// Gives the record to the structures: from here on they own it.
    pub fn into_linked(mut self) -> NonNull<Record<K, V>> {
        self.waits_in = None;
        ManuallyDrop::new(self).record
    }

    /// Gives back the value, and drops the key.
    pub fn into_value(self) -> V {
        // SAFETY: no thread reads the value of a record that was not committed. It is moved out
        // once: the mark keeps `free` from dropping it.
        unsafe {
            let value = ManuallyDrop::take(&mut *self.record().value.get());
            self.record().set_absolute_deadline(TAKEN);
            value
        }
    }
}

impl<K: 'static, V: 'static> Drop for Unlinked<K, V> {
    fn drop(&mut self) {
        let record = self.record;
        // SAFETY: no structure leads to the record any more, and it is freed once. A record that
        // was in a slot waits for the threads that may be comparing its key; the map's bounds on K
        // and V let it be freed on any thread.
        unsafe {
            match self.waits_in.take() {
                Some(refused) => {
                    refused.up();
                    Guard::pin().defer(move || {
                        contain(|| free(record));
                        refused.down();
                    });
                }
                None => free(record),
            }
        }
    }
}

/// Runs user code whose panics must not go any further. False if it panicked.
pub fn contain(action: impl FnOnce()) -> bool {
    match catch_unwind(AssertUnwindSafe(action)) {
        Ok(()) => true,
        Err(payload) => {
            // Dropping it might panic again, and so might what that throws.
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
                core::mem::forget(payload);
            }
            false
        }
    }
}

/// Tags and indices travel in the upper 16 bits of addresses.
pub fn assert_address<T>(pointer: *const T) {
    assert!(
        pointer.addr() >> 48 == 0,
        "dwell needs addresses of 48 bits: this allocator tags its pointers"
    );
}

/// What a pinned thread found in the table or the calendar.
///
/// # Safety
/// The pointer was read from a structure, or followed from such a record, while `guard` was held,
/// or the structures' ownership of the record is held up by the caller.
#[inline]
pub unsafe fn at<K, V>(record: *mut Record<K, V>, guard: &Guard) -> &Record<K, V> {
    // SAFETY: a record is freed only when the grace period after its retirement is over, and it is
    // retired only when no structure refers to it any more.
    let record = unsafe { &*record };
    record.mark.check(guard);
    record
}

/// Gives up one ownership. If it was the last, frees the record.
///
/// # Safety
/// The caller owns one, and does not use the record afterwards.
pub unsafe fn release<K, V>(record: NonNull<Record<K, V>>) {
    // SAFETY: the caller's ownership keeps the record alive until the count is lowered.
    let count = unsafe { &(*record.cast::<Fields<K, V>>().as_ptr()).count };
    // Release: what this owner did comes before the record is freed.
    if count.fetch_sub(OWNER, Ordering::Release) / OWNER == 1 {
        // Acquire: pairs with that Release of every other owner.
        #[cfg(not(dwell_tsan))]
        fence(Ordering::Acquire);
        // ThreadSanitizer knows no fences.
        #[cfg(dwell_tsan)]
        count.load(Ordering::Acquire);
        // SAFETY: the record has no owner any more, so no thread can reach it.
        unsafe { free(record) }
    }
}

/// Drops key and value, and frees the memory, even if one of the two panics.
///
/// # Safety
/// No other thread can reach the record.
unsafe fn free<K, V>(record: NonNull<Record<K, V>>) {
    // SAFETY: the record came from a box, and the caller is the last one that knows it. The box
    // does not drop key and value: they are dropped here, once, unless the value was taken.
    unsafe {
        let _memory = Finally(|| drop(Box::from_raw(record.as_ptr())));
        let record = record.as_ref();
        record.trace.write();
        let _key = Finally(|| ManuallyDrop::drop(&mut *record.key.get()));
        if record.absolute_deadline() != TAKEN {
            ManuallyDrop::drop(&mut *record.value.get());
        }
    }
}

/// Does something however a scope ends.
struct Finally<F: FnMut()>(F);

impl<F: FnMut()> Drop for Finally<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
