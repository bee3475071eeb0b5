//! The work a thread puts on its store, from session numbers alone.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crossbeam_utils::CachePadded;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rand_distr::Zipf;

use super::{FOLD, Store, id, value};

/// The sessions of a map are numbered in this many lanes; a lane's sessions are created and
/// removed first in, first out, by the one thread that owns it.
pub const LANES: u64 = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Look-ups that depend on the value read before.
    Dependent,
    /// Look-ups of uniform random sessions, free to overlap.
    Uniform,
    /// Look-ups of sessions by Zipf's law with exponent 0.99.
    Zipf,
    /// Look-ups of ids nobody issued.
    Unknown,
    /// Look-ups of one session.
    Hot,
    /// 90 % look-ups, 4 % updates, 3 % creations, 3 % removals.
    Mixed,
    /// A creation and a removal in turn.
    Churn,
}

/// Which sessions live: of each lane `width` from its head on.
pub struct Lanes {
    heads: Vec<CachePadded<AtomicU64>>,
    width: u64,
    /// Session numbers for [`Work::Zipf`]: read in order, they add no cache misses to speak of.
    zipf: Vec<u32>,
}

/// Session numbers that are drawn in advance.
const DRAWN: usize = 1 << 20;

impl Lanes {
    /// `sessions` is a multiple of [`LANES`].
    pub fn new(sessions: u64) -> Self {
        let heads = (0..LANES).map(|_| CachePadded::default()).collect();
        let width = sessions / LANES;
        Self {
            heads,
            width,
            zipf: Vec::new(),
        }
    }

    /// The numbers of the sessions that live.
    pub fn living(&self) -> impl Iterator<Item = u64> {
        (0..LANES).flat_map(|lane| {
            let head = self.heads[lane as usize].load(Relaxed);
            (head..head + self.width).map(move |place| place * LANES + lane)
        })
    }

    /// Readies [`Work::Zipf`].
    pub fn draw(&mut self) {
        let sessions = self.width * LANES;
        let law = Zipf::new(sessions as f64, 0.99).expect("a valid law");
        let ranks = SmallRng::seed_from_u64(1).sample_iter(law);
        // The popular sessions are not those that were created first, side by side.
        let session = |rank: f64| (rank as u64 * 0x9e37_79b1 % sessions) as u32;
        self.zipf = ranks.map(session).take(DRAWN).collect();
    }
}

/// Creates the sessions of these numbers.
pub fn create(store: &mut impl Store, sessions: impl Iterator<Item = u64>) {
    for session in sessions {
        assert!(store.create(id(session), value(session)), "met twice");
    }
}

/// What a worker's look-ups and changes met.
#[derive(Clone, Copy, Default)]
pub struct Tally {
    pub hits: u64,
    pub misses: u64,
    /// Creations of a known id and removals of an unknown one.
    pub refused: u64,
    sum: u64,
}

impl Tally {
    #[inline]
    fn look_up(&mut self, found: Option<u64>) -> u64 {
        let folded = found.unwrap_or(0);
        self.hits += u64::from(found.is_some());
        self.misses += u64::from(found.is_none());
        self.sum = self.sum.wrapping_add(folded);
        folded
    }

    /// Panics unless the store answered as `work` must make it.
    pub fn check(&self, work: Work) {
        let Self { hits, misses, .. } = *self;
        assert_eq!(self.sum, hits.wrapping_mul(FOLD), "a value was torn");
        assert_eq!(self.refused, 0, "an own session was lost or met twice");
        match work {
            Work::Unknown => assert_eq!(hits, 0, "an unknown id was found"),
            // Another thread may remove a session between the choice and the look-up.
            Work::Mixed => assert!(misses <= LANES + hits / 100, "{misses} lost of {hits}"),
            _ => assert_eq!(misses, 0, "a session was lost"),
        }
    }
}

/// Knuth's linear congruential generator: one multiplication, and high bits of good quality.
pub struct Random(pub u64);

impl Random {
    #[inline]
    fn next(&mut self) {
        let product = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = product.wrapping_add(1_442_695_040_888_963_407);
    }

    #[inline]
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next();
        ((u128::from(self.0) * u128::from(bound)) >> 64) as u64
    }
}

/// One thread's state.
pub struct Worker<'a> {
    lanes: &'a Lanes,
    random: Random,
    threads: u64,
    /// The place in the session numbers that were drawn.
    drawn: usize,
    /// The owned lane that is created in and removed from next.
    lane: u64,
    /// A session has been created in it and the oldest is to be removed.
    full: bool,
    pub tally: Tally,
}

impl<'a> Worker<'a> {
    /// `threads` divides [`LANES`]; each worker owns every `threads`th lane.
    pub fn new(lanes: &'a Lanes, thread: u64, threads: u64) -> Self {
        assert!(LANES.is_multiple_of(threads) && thread < threads);
        Self {
            lanes,
            random: Random(thread + 1),
            threads,
            drawn: DRAWN / threads as usize * thread as usize,
            lane: thread,
            full: false,
            tally: Tally::default(),
        }
    }

    /// Runs `operations` operations.
    #[inline]
    pub fn run(&mut self, work: Work, store: &mut impl Store, operations: u64) {
        match work {
            Work::Dependent => (0..operations).for_each(|_| {
                let session = self.any();
                self.random.0 ^= self.tally.look_up(store.get(&id(session)));
            }),
            Work::Uniform => (0..operations).for_each(|_| {
                let session = self.any();
                self.tally.look_up(store.get(&id(session)));
            }),
            Work::Zipf => (0..operations).for_each(|_| {
                let session = self.lanes.zipf[self.drawn];
                self.drawn = (self.drawn + 1) % DRAWN;
                self.tally.look_up(store.get(&id(u64::from(session))));
            }),
            Work::Unknown => (0..operations).for_each(|_| {
                let session = self.any() | 1 << 63;
                self.tally.look_up(store.get(&id(session)));
            }),
            Work::Hot => {
                let hot = id(0);
                (0..operations).for_each(|_| {
                    self.tally.look_up(store.get(black_box(&hot)));
                });
            }
            Work::Mixed => (0..operations).for_each(|_| self.mixed(store)),
            Work::Churn => (0..operations).for_each(|_| self.turn(store)),
        }
    }

    /// Removes the session created beyond the lane's width, if there is one.
    pub fn finish(&mut self, store: &mut impl Store) {
        if self.full {
            self.turn(store);
        }
    }

    #[inline]
    fn mixed(&mut self, store: &mut impl Store) {
        // Bits that do not choose the session.
        match (u64::from((self.random.0 >> 8) as u32) * 100) >> 32 {
            0..90 => {
                let session = self.living();
                self.tally.look_up(store.get(&id(session)));
            }
            90..94 => {
                let session = self.living();
                let known = store.update(&id(session));
                self.tally.misses += u64::from(!known);
            }
            _ => {
                self.random.next();
                self.turn(store);
            }
        }
    }

    /// Creates a session, or removes the oldest of the lane in which one was created last.
    #[inline]
    fn turn(&mut self, store: &mut impl Store) {
        let head = &self.lanes.heads[self.lane as usize];
        let oldest = head.load(Relaxed);
        let done = if self.full {
            head.store(oldest + 1, Relaxed);
            let session = oldest * LANES + self.lane;
            self.lane = (self.lane + self.threads) % LANES;
            store.remove(&id(session))
        } else {
            let session = (oldest + self.lanes.width) * LANES + self.lane;
            store.create(id(session), value(session))
        };
        self.full = !self.full;
        self.tally.refused += u64::from(!done);
    }

    /// A number of one of the first sessions: all live until something is created or removed.
    #[inline]
    fn any(&mut self) -> u64 {
        self.random.below(self.lanes.width * LANES)
    }

    /// A session of any lane, whoever owns it.
    #[inline]
    fn living(&mut self) -> u64 {
        let any = self.any();
        let head = self.lanes.heads[(any % LANES) as usize].load(Relaxed);
        head * LANES + any
    }
}
