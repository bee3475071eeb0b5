//! The status word: one atomic word decides everything that can happen to a record.
//!
//! ```text
//!              commit                    expire, evict, remove
//!   PENDING ------------> LIVE(tick) ------------------------> DEAD
//!                          |  ^   |
//!                    touch +--+   +---- replace ------------> FORWARD(successor)
//! ```
//!
//! **Invariant.** `DEAD` and `FORWARD` are absorbing. An access makes a live word grow or leaves it
//! as it is; a change of the deadlines gives it another generation. So a word that was observed is
//! still the word exactly if nothing happened in between: an exchange from an observed live word to
//! `DEAD` fails if the record was touched, and a touch cannot raise the dead. (A thread that stops
//! between its look and its exchange, while others change the deadlines of this one record a
//! multiple of 16,384 times and that no thread accesses, goes by the deadlines that it saw.)
//!
//! A pending word carries the time of birth already, so that a thread that commits for an inserter
//! starts the same life.
//!
//! **Linearization points.** Touch: the exchange, or the load where nothing needs to be written.
//! Expiry, eviction, removal: the exchange to `DEAD`; replacement: the exchange to `FORWARD`.
//! The thread whose exchange succeeds is the only winner, and owes what follows.
//!
//! **Progress.** [`Status::load`] and each exchange are wait-free. Loops around them are lock-free:
//! an exchange fails only because another one succeeded.
//!
//! The word is a pointer so that a successor keeps its provenance; ticks travel as addresses: `tick
//! << 16 | generation << 2 | touched << 1 | 1`. The generation begins again at zero when it is used
//! up: the tick is that of the last access, whatever else happens. A pending word is `tick << 16 |
//! 4`. Records are aligned to 8, so an address is none of these.

use crate::sync::{AtomicPtr, Ordering};
use core::ptr;

/// The last tick that a map tells apart: 2^47 milliseconds, 4,400 years.
pub const LAST_TICK: u64 = 1 << 47;

const TICK_SHIFT: u32 = 16;
const GENERATION: usize = 0b100;
const GENERATIONS: usize = (1 << TICK_SHIFT) - GENERATION;
const LIVE: usize = 0b01;
const TOUCHED: usize = 0b10;
const PENDING: usize = 0b100;
const DEAD: usize = 0b010;
const KIND: usize = 0b111;

/// A live word as it was observed: the only thing an exchange may start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observed(usize);

impl Observed {
    /// `tick` is one that a map tells apart.
    #[inline]
    pub fn new(tick: u64, touched: bool) -> Self {
        debug_assert!(tick <= LAST_TICK);
        Self((tick as usize) << TICK_SHIFT | if touched { TOUCHED } else { 0 } | LIVE)
    }

    /// When the record was last accessed.
    #[inline]
    pub fn tick(self) -> u64 {
        (self.0 >> TICK_SHIFT) as u64
    }

    /// Whether it was ever accessed after it was created.
    #[inline]
    pub fn touched(self) -> bool {
        self.0 & TOUCHED != 0
    }

    /// The word after an access: not less than this one. `now` is a tick that a map tells apart.
    #[inline]
    pub fn touched_at(self, now: u64) -> Self {
        Self(Self::new(now, true).0.max(self.0 | TOUCHED))
    }

    /// Whether an access at `now` need not be noted: the last one was less than `resolution`
    /// before, and less than half of the idle timeout, so that a record that is accessed regularly
    /// does not lapse between two accesses.
    #[inline(always)]
    pub fn covers(self, now: u64, resolution: u64, idle_timeout: u64) -> bool {
        self.touched() && now < self.tick() + resolution && 2 * now < 2 * self.tick() + idle_timeout
    }

    /// Another word of the same access.
    fn next_generation(self) -> Self {
        Self(self.0 & !GENERATIONS | (self.0 + GENERATION) & GENERATIONS)
    }
}

/// A status word, decoded.
#[derive(Debug)]
pub enum State<R> {
    /// Not inserted yet, or inserted by a commit whose last step is still owed.
    Pending,
    Live(Observed),
    Dead,
    /// Replaced: the successor has the same key and decides from here on.
    Forward(*mut R),
}

#[derive(Debug)]
pub struct Status<R> {
    word: AtomicPtr<R>,
}

impl<R> Status<R> {
    /// The life of a record that will have been born at `birth`.
    pub fn pending(birth: u64) -> Self {
        Self {
            word: AtomicPtr::new(Self::unborn(birth)),
        }
    }

    fn unborn(birth: u64) -> *mut R {
        let tick = birth.min(LAST_TICK) as usize;
        ptr::without_provenance_mut(tick << TICK_SHIFT | PENDING)
    }

    #[inline]
    pub fn load(&self) -> State<R> {
        // Acquire: pairs with the Release of `replace` (the successor's contents), of `advance`
        // (the deadlines that were written before it), and of `commit` (what leads to a successor).
        let word = self.word.load(Ordering::Acquire);
        match word.addr() {
            live if live & LIVE != 0 => State::Live(Observed(live)),
            DEAD => State::Dead,
            pending if pending & KIND == PENDING => State::Pending,
            _ => State::Forward(word),
        }
    }

    fn exchange(&self, from: usize, to: *mut R, success: Ordering) -> bool {
        self.word
            .compare_exchange(
                ptr::without_provenance_mut(from),
                to,
                success,
                Ordering::Relaxed,
            )
            .is_ok()
    }

    /// Ends `PENDING`: what a committed insertion owes, done by the thread that comes first.
    pub fn commit(&self) -> bool {
        // Relaxed: the record's contents were published by the slot that led here, and whether it
        // is committed was decided by the chain's commit word, or by the status word of the record
        // that it replaced.
        let pending = self.word.load(Ordering::Relaxed).addr();
        let live = pending & !KIND | LIVE;
        // Release: pairs with `load`. A thread that finds a withdrawn successor live, through the
        // slot that it once had, sees the slot of its predecessor, and that this one is replaced: a
        // removal hands that slot over.
        pending & KIND == PENDING
            && self.exchange(
                pending,
                ptr::without_provenance_mut(live),
                Ordering::Release,
            )
    }

    /// Starts life without a commit: for a successor that no other thread can reach yet.
    pub fn start(&self, live: Observed) {
        // Relaxed: published by `replace`.
        self.word
            .store(ptr::without_provenance_mut(live.0), Ordering::Relaxed);
    }

    /// Records an access.
    #[inline]
    pub fn touch(&self, from: Observed, to: Observed) -> bool {
        // Relaxed: a touch publishes nothing. It continues the release sequences of `advance`.
        self.exchange(from.0, ptr::without_provenance_mut(to.0), Ordering::Relaxed)
    }

    /// Makes every earlier observation worthless after a change of the record's deadlines.
    pub fn advance(&self, from: Observed) -> bool {
        // Release: pairs with `load`. A thread that sees the new word judges by the new deadlines.
        self.exchange(
            from.0,
            ptr::without_provenance_mut(from.next_generation().0),
            Ordering::Release,
        )
    }

    /// Ends life. True for exactly one caller ever.
    pub fn kill(&self, from: Observed) -> bool {
        // Relaxed: nothing is published by a death.
        self.exchange(from.0, ptr::without_provenance_mut(DEAD), Ordering::Relaxed)
    }

    /// Hands life over to `successor`. True for exactly one caller ever.
    pub fn replace(&self, from: Observed, successor: *mut R) -> bool {
        // Release: pairs with `load`. A thread that follows the word reads a complete successor.
        self.exchange(from.0, successor, Ordering::Release)
    }
}

#[cfg(not(target_pointer_width = "64"))]
compile_error!("dwell keeps ticks and tags in pointers and needs a 64-bit target");
