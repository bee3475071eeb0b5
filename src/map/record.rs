//! A record: one allocation for life word, deadlines, reference counts, key and value.
//!
//! **Ownership.** Two structures refer to a record, the table and the calendar. Together they are one
//! owner; each handle is one more. The structure that lets go last retires the record: its ownership
//! is given up after a grace period, so that who is pinned may read what it found, and may still take
//! a handle. Who gives up the last ownership drops key and value and frees the memory.
//!
//! **Who writes `place`.** Before the commit, its inserter (the chain's stamp). Then whoever holds the
//! record's token (see `calendar`). Once retired, the reclaimer (a link). Everybody else only
//! exchanges a place it read for null, which fails if any of this happened in between.
//!
//! **Progress.** Everything here is wait-free.

use super::life::{Life, Observed};
use super::reclaim::{Guard, Mark, Reclaim};
use crate::sync::{AtomicPtr, AtomicU32, AtomicU64, Ordering, Trace, fence};
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A deadline that is never reached.
pub(crate) const NEVER: u64 = u64::MAX;
/// The longest idle allowance: 2^40 - 1 milliseconds, 34 years.
pub(crate) const LONGEST_IDLE: u64 = (1 << IDLE_BITS) - 1;
/// The greatest weight of one record.
pub(crate) const GREATEST_WEIGHT: u32 = (1 << 24) - 1;

const IDLE_BITS: u32 = 40;
/// Instead of a deadline: key and value were moved to another record.
const MOVED: u64 = NEVER - 1;
/// The count's unit for owners; the bits below count structures.
const OWNER: u32 = 4;
const STRUCTURES: u32 = OWNER - 1;

/// Fields stand in the order in which a look-up reads them; `repr(C)` keeps the first ones in one
/// cache line. The alignment leaves the low bits of a record's address to `life` and `table`.
#[repr(C, align(8))]
pub(crate) struct Record<K, V> {
    pub(crate) life: Life<Self>,
    /// Where the calendar keeps the record's token, or one of the other uses above.
    pub(crate) place: AtomicPtr<()>,
    /// `owners * 4 + structures`.
    count: AtomicU32,
    hash: u32,
    /// The absolute deadline, or `MOVED`.
    limit: AtomicU64,
    /// The idle allowance in the low 40 bits, the weight above.
    allowance: AtomicU64,
    mark: Mark,
    trace: Trace,
    key: ManuallyDrop<K>,
    value: ManuallyDrop<V>,
}

/// What a record is born with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    /// The time of its first access.
    pub(crate) birth: u64,
    /// Idle allowance in milliseconds.
    pub(crate) idle: u64,
    /// Absolute deadline.
    pub(crate) limit: u64,
    pub(crate) weight: u32,
}

impl<K, V> Record<K, V> {
    /// The upper half of the key's hash: it chooses the line of the table.
    #[inline]
    pub(crate) fn hash(&self) -> u32 {
        self.hash
    }

    #[inline]
    pub(crate) fn key(&self) -> &K {
        self.trace.read();
        &self.key
    }

    #[inline]
    pub(crate) fn value(&self) -> &V {
        self.trace.read();
        &self.value
    }

    // Relaxed in the four below: who needs the newest terms reads them after a life word that was
    // advanced once they were written.

    #[inline]
    pub(crate) fn idle(&self) -> u64 {
        self.allowance.load(Ordering::Relaxed) & LONGEST_IDLE
    }

    #[inline]
    pub(crate) fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    pub(crate) fn set_idle(&self, idle: u64) {
        let weight = u64::from(self.weight()) << IDLE_BITS;
        self.allowance
            .store(idle.min(LONGEST_IDLE) | weight, Ordering::Relaxed);
    }

    pub(crate) fn set_limit(&self, limit: u64) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    pub(crate) fn weight(&self) -> u32 {
        (self.allowance.load(Ordering::Relaxed) >> IDLE_BITS) as u32
    }

    /// The terms of a successor that is born at `birth`.
    pub(crate) fn terms(&self, birth: u64) -> Terms {
        Terms {
            birth,
            idle: self.idle(),
            limit: self.limit(),
            weight: self.weight(),
        }
    }

    /// When the record ends if it is not touched any more.
    #[inline]
    pub(crate) fn deadline(&self, seen: Observed) -> u64 {
        (seen.tick() + self.idle()).min(self.limit())
    }

    /// One more owner. Only under a guard, or by an owner.
    #[inline]
    pub(crate) fn own(&self) {
        // Relaxed: whoever is here already has a way to the record that outlasts this call.
        let before = self.count.fetch_add(OWNER, Ordering::Relaxed);
        if before > u32::MAX / 2 {
            // 500 million handles of one record were leaked; going on would free it under them.
            std::process::abort();
        }
    }

    /// A structure lets go. True for the last one, which must retire the record.
    pub(crate) fn leave(&self) -> bool {
        // AcqRel: pairs with itself. The last one comes after all that the other did with `place`.
        self.count.fetch_sub(1, Ordering::AcqRel) & STRUCTURES == 1
    }

    /// Notes that the record is retired; under a specification of reclamation, later reads of it by
    /// guards that were pinned after this are reported.
    pub(crate) fn retire(&self) {
        self.mark.retire();
    }
}

/// A record that only its holder can reach.
pub(crate) struct Unlinked<K: 'static, V: 'static> {
    record: NonNull<Record<K, V>>,
    /// Its key came from a record that others may still be comparing: it must not be dropped before they
    /// are gone. Once the record is linked that follows from its retirement.
    is_rehoused: bool,
}

impl<K: 'static, V: 'static> Unlinked<K, V> {
    pub(crate) fn new(hash: u32, key: K, value: V, terms: Terms) -> Self {
        let record = Box::new(Record {
            life: Life::pending(terms.birth),
            place: AtomicPtr::new(core::ptr::null_mut()),
            count: AtomicU32::new(OWNER + 2),
            hash,
            limit: AtomicU64::new(terms.limit),
            allowance: AtomicU64::new(
                terms.idle.min(LONGEST_IDLE)
                    | u64::from(terms.weight.min(GREATEST_WEIGHT)) << IDLE_BITS,
            ),
            mark: Mark::new(),
            trace: Trace::new(),
            key: ManuallyDrop::new(key),
            value: ManuallyDrop::new(value),
        });
        record.trace.write();
        Self {
            record: NonNull::from(Box::leak(record)),
            is_rehoused: false,
        }
    }

    pub(crate) fn pointer(&self) -> NonNull<Record<K, V>> {
        self.record
    }

    pub(crate) fn record(&self) -> &Record<K, V> {
        // SAFETY: `self` keeps the record alive and only shared references to it exist.
        unsafe { self.record.as_ref() }
    }

    /// Gives the record to the structures: from here on they own it.
    pub(crate) fn into_linked(self) -> NonNull<Record<K, V>> {
        ManuallyDrop::new(self).record
    }

    /// Gives back the value and drops the key.
    pub(crate) fn into_value(self) -> V {
        let unlinked = ManuallyDrop::new(self);
        let mut record = unlinked.record;
        // SAFETY: nobody else can reach the record, and nobody reads the value of one that was not
        // committed. The box is freed without dropping either; key and value each go one way.
        unsafe {
            let value = ManuallyDrop::take(&mut record.as_mut().value);
            let key = ManuallyDrop::take(&mut record.as_mut().key);
            drop(Box::from_raw(record.as_ptr()));
            if unlinked.is_rehoused {
                drop_later(key);
            }
            value
        }
    }
}

impl<K: 'static, V: 'static> Drop for Unlinked<K, V> {
    fn drop(&mut self) {
        let mut record = self.record;
        // SAFETY: nobody else can reach the record, and `into_linked` and `into_value` do not come here.
        // If the key must wait, the record is freed as one that was moved, after value and key went.
        unsafe {
            if self.is_rehoused {
                let value = ManuallyDrop::take(&mut record.as_mut().value);
                drop_later(ManuallyDrop::take(&mut record.as_mut().key));
                record.as_ref().set_limit(MOVED);
                free(record);
                drop(value);
            } else {
                free(record);
            }
        }
    }
}

/// Drops a key when everybody who is pinned now is gone.
///
/// # Safety
/// As for [`Reclaim::defer`]: the key may be dropped on any thread, at any later time.
unsafe fn drop_later<K: 'static>(key: K) {
    // SAFETY: the caller's promise.
    unsafe {
        Guard::pin().defer(move || {
            // A panic in the key's drop must not unwind through the reclaimer.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(key)));
        });
    }
}

/// Moves key and value of a record that others may still be reading to a new, unlinked one.
///
/// # Safety
/// `shell` was withdrawn before its commit: nobody reads its value, and those who still compare its
/// key are pinned since before this call. The caller retires it.
pub(crate) unsafe fn rehouse<K: 'static, V: 'static>(
    shell: NonNull<Record<K, V>>,
    birth: u64,
) -> Unlinked<K, V> {
    // SAFETY: the caller keeps the shell alive. Key and value are copied bit by bit; `MOVED` makes the
    // copies the only ones that are dropped.
    unsafe {
        let old = shell.as_ref();
        let key = core::ptr::read(&raw const *old.key);
        let value = core::ptr::read(&raw const *old.value);
        let mut new = Unlinked::new(old.hash, key, value, old.terms(birth));
        new.is_rehoused = true;
        old.set_limit(MOVED);
        new
    }
}

/// What a pinned thread found in the table or the calendar.
///
/// # Safety
/// The pointer was read from a structure, or followed from such a record, while `guard` was held, or
/// the structures' ownership of the record is held up by the caller.
#[inline]
pub(crate) unsafe fn at<K, V>(record: *mut Record<K, V>, guard: &Guard) -> &Record<K, V> {
    // SAFETY: a record is freed only when the grace period after its retirement is over, and it is
    // retired only when no structure refers to it any more.
    let record = unsafe { &*record };
    record.mark.check(guard);
    record
}

/// Gives up one ownership, and frees the record if it was the last.
///
/// # Safety
/// The caller owns one, and does not use the record afterwards.
pub(crate) unsafe fn disown<K, V>(record: NonNull<Record<K, V>>) {
    // SAFETY: the caller's ownership keeps the record alive until the count is lowered.
    let count = unsafe { &(*record.as_ptr()).count };
    // Release: what this owner did comes before the record is freed.
    if count.fetch_sub(OWNER, Ordering::Release) / OWNER == 1 {
        // Acquire: pairs with that Release of every other owner.
        fence(Ordering::Acquire);
        // SAFETY: nobody owns the record any more, so nobody can reach it.
        unsafe { free(record) }
    }
}

/// Drops key and value, even if one of the two panics, and frees the memory.
///
/// # Safety
/// Nobody else can reach the record.
unsafe fn free<K, V>(record: NonNull<Record<K, V>>) {
    /// Frees the memory however the drops end.
    struct Memory<K, V>(NonNull<Record<K, V>>);
    impl<K, V> Drop for Memory<K, V> {
        fn drop(&mut self) {
            // SAFETY: the record came from a box and is freed once; key and value do not drop with it.
            drop(unsafe { Box::from_raw(self.0.as_ptr()) });
        }
    }
    /// Drops the key however the value's drop ends.
    struct Key<K>(*mut ManuallyDrop<K>);
    impl<K> Drop for Key<K> {
        fn drop(&mut self) {
            // SAFETY: the key is dropped once, and its memory is freed after this.
            unsafe { ManuallyDrop::drop(&mut *self.0) }
        }
    }
    let _memory = Memory(record);
    // SAFETY: nobody else can reach the record; key and value are dropped once, unless they were moved.
    unsafe {
        let record = record.as_ptr();
        (*record).trace.write();
        if (*record).limit() != MOVED {
            let _key = Key(&raw mut (*record).key);
            ManuallyDrop::drop(&mut (*record).value);
        }
    }
}
