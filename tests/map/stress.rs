//! Everything at once, from many threads, for `DWELL_STRESS_SECONDS` (two by
//! default) each: no session is lost before its time or seen after it, no
//! value is read after it was dropped, and the books balance.

use crate::common::{Tally, Value, assert_ledger, assert_quiet, millis};
use dwell::{Builder, Clock, Handle, IdleMap, ManualClock, RemovalCause};
use fastrand::Rng;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

const IDLE_TIMEOUT: u64 = 1_000;
const MAX_LIFETIME: u64 = 10_000;
const OWNERS: u64 = 3;
const KEYS_EACH: u64 = 400;
/// The keys from here on are sessions that are kept alive throughout.
const KEEPERS: u64 = 1_000_000;
const KEEPER_COUNT: u64 = 50;

/// What the threads of a run share.
struct World {
    map: Arc<IdleMap<u64, Value>>,
    clock: ManualClock,
    tally: Arc<Tally>,
    /// Removals the listener was told of, replacements not counted.
    ended: Arc<AtomicU64>,
    is_over: AtomicBool,
    seed: u64,
}

impl World {
    fn new(configure: impl FnOnce(Builder<u64, Value>) -> Builder<u64, Value>) -> Self {
        let seed = match std::env::var("DWELL_STRESS_SEED") {
            Ok(seed) => seed.parse().expect("DWELL_STRESS_SEED is a number"),
            Err(_) => fastrand::u64(..),
        };
        println!("DWELL_STRESS_SEED={seed}");
        let (clock, ended) = (ManualClock::new(), Arc::new(AtomicU64::new(0)));
        let told = Arc::clone(&ended);
        let builder = IdleMap::builder()
            .idle_timeout(millis(IDLE_TIMEOUT))
            .clock(clock.clone())
            .on_removal(move |record: &Handle<u64, Value>, cause| {
                record.end();
                assert_eq!(record.number() >> 32, *record.key());
                told.fetch_add(u64::from(cause != RemovalCause::Replaced), SeqCst);
            });
        World {
            map: Arc::new(configure(builder).build().unwrap()),
            clock,
            tally: Tally::new(),
            ended,
            is_over: AtomicBool::new(false),
            seed,
        }
    }

    /// A value's number names its key, and counts its updates.
    fn value(&self, key: u64) -> Value {
        self.tally.value(key << 32)
    }

    /// Runs the threads until the time is up.
    fn run(&self, threads: &[&(dyn Fn(&mut Rng) + Sync)]) {
        /// Also where a thread panics, the others must be told.
        struct Over<'a>(&'a AtomicBool);
        impl Drop for Over<'_> {
            fn drop(&mut self) {
                self.0.store(true, SeqCst);
            }
        }
        let seconds = std::env::var("DWELL_STRESS_SECONDS");
        let seconds = seconds.map_or(2, |s| s.parse().expect("a number of seconds"));
        let end = Instant::now() + Duration::from_secs(seconds);
        thread::scope(|scope| {
            for (index, work) in threads.iter().enumerate() {
                let mut rng = Rng::with_seed(self.seed.wrapping_add(index as u64));
                scope.spawn(move || {
                    let _over = Over(&self.is_over);
                    while !self.is_over.load(SeqCst) && Instant::now() < end {
                        work(&mut rng);
                    }
                });
            }
        });
    }

    /// Collects, then lets time pass by less than any keeper's timeout.
    fn pass_time(&self, rng: &mut Rng) {
        for key in KEEPERS..KEEPERS + KEEPER_COUNT {
            assert!(self.map.touch(&key), "keeper {key} was lost");
        }
        self.clock.advance(millis(rng.u64(0..IDLE_TIMEOUT / 4)));
        thread::yield_now();
    }

    /// Looks at anything, and finds only what belongs there.
    fn read(&self, rng: &mut Rng) {
        let key = rng.u64(0..OWNERS * KEYS_EACH);
        match rng.u8(0..8) {
            0 => {
                let records = self.map.iter().take(500);
                assert!(records.into_iter().all(|r| r.number() >> 32 == *r.key()));
            }
            1 => self.map.retain(|key, value| value.number() >> 32 == *key),
            2..5 => {
                let keeper = KEEPERS + key % KEEPER_COUNT;
                let number = self.map.with(&keeper, Value::number);
                assert_eq!(number.expect("a keeper was lost") >> 32, keeper);
            }
            _ => {
                if let Some(record) = self.map.peek(&key) {
                    assert_eq!((record.number() >> 32, *record.key()), (key, key));
                }
            }
        }
    }

    /// Balances the books of a map that is at rest.
    fn finish(self) {
        assert_ledger(&self.map);
        assert_quiet(&self.map);
        let stats = self.map.stats();
        let ended = stats.expired + stats.evicted + stats.removed;
        assert_eq!(self.ended.load(SeqCst), ended, "{stats:?}");
        assert!(stats.created > 0 && ended > 0, "{stats:?}");
        drop(self.map);
        self.tally.assert_alive(0);
    }
}

/// Between which two readings of the clock something happened.
#[derive(Clone, Copy, Debug)]
struct Moment {
    earliest: u64,
    latest: u64,
}

impl Moment {
    fn plus(self, millis: u64) -> Self {
        Moment {
            earliest: self.earliest + millis,
            latest: self.latest + millis,
        }
    }
}

/// What an owner knows of a session that nobody else changes or touches.
#[derive(Clone, Copy, Debug)]
struct Session {
    number: u64,
    accessed: Moment,
    idle_timeout: u64,
    deadline: Moment,
}

impl Session {
    fn may_be_alive_at(&self, moment: Moment) -> bool {
        let idle = self.accessed.plus(self.idle_timeout);
        moment.earliest < idle.latest.min(self.deadline.latest)
    }

    fn may_be_gone_at(&self, moment: Moment) -> bool {
        let idle = self.accessed.plus(self.idle_timeout);
        moment.latest >= idle.earliest.min(self.deadline.earliest)
    }
}

/// A thread's own keys, and what must be under them.
struct Owner<'w> {
    world: &'w World,
    id: u64,
    book: HashMap<u64, Session>,
    held: VecDeque<Handle<u64, Value>>,
}

impl Owner<'_> {
    /// Does something with one of its sessions, and compares with its book.
    fn work(&mut self, rng: &mut Rng) {
        let map = &self.world.map;
        let key = rng.u64(0..KEYS_EACH) * OWNERS + self.id;
        match rng.u8(0..20) {
            0..6 => {
                let (found, moment) = self.timed(|| map.get(&key));
                self.check(key, found.as_ref().map(|v| v.number()), moment, true);
                self.held.extend(found);
                if self.held.len() > 16 {
                    let held = self.held.pop_front().unwrap();
                    assert_eq!(held.number() >> 32, *held.key());
                }
            }
            6 => {
                let (found, moment) = self.timed(|| map.peek(&key));
                self.check(key, found.map(|v| v.number()), moment, false);
            }
            7..10 => {
                let value = self.world.value(key);
                let (replaced, moment) = self.timed(|| map.insert(key, value));
                self.check(key, replaced.map(|v| v.number()), moment, false);
                self.enter(key, moment);
            }
            10 => {
                let value = self.world.value(key);
                let (tried, moment) = self.timed(|| map.try_insert(key, value));
                let existing = tried.err().map(|occupied| occupied.existing.number());
                self.check(key, existing, moment, false);
                if existing.is_none() {
                    self.enter(key, moment);
                }
            }
            11 => {
                let value = || self.world.value(key);
                let mut is_new = false;
                let get = || {
                    map.get_or_insert_with(key, || {
                        is_new = true;
                        value()
                    })
                };
                let (found, moment) = self.timed(get);
                let existing = (!is_new).then(|| found.number());
                self.check(key, existing, moment, true);
                if is_new {
                    self.enter(key, moment);
                }
            }
            12..16 => {
                let (new, moment) = self.timed(|| map.update(&key, Value::next));
                let old = new.map(|value| value.number() - 1);
                self.check(key, old, moment, true);
                if let Some(session) = self.book.get_mut(&key) {
                    session.number += 1;
                }
            }
            16 => {
                let (removed, moment) = self.timed(|| map.remove(&key));
                self.check(key, removed.map(|v| v.number()), moment, false);
                self.book.remove(&key);
            }
            17 => {
                let span = rng.u64(1..3 * IDLE_TIMEOUT);
                let (set, moment) = self.timed(|| map.set_idle_timeout(&key, millis(span)));
                self.check_alive(key, set, moment);
                if let Some(session) = self.book.get_mut(&key) {
                    session.idle_timeout = span;
                }
            }
            18 => {
                let span = rng.u64(1..3 * IDLE_TIMEOUT);
                let (set, moment) = self.timed(|| map.set_lifetime(&key, millis(span)));
                self.check_alive(key, set, moment);
                if let Some(session) = self.book.get_mut(&key) {
                    session.deadline = moment.plus(span);
                }
            }
            _ => {
                let keeper = KEEPERS + key % KEEPER_COUNT;
                let number = map.update(&keeper, Value::next).map(|v| v.number());
                assert_eq!(number.expect("a keeper was lost") >> 32, keeper);
            }
        }
    }

    fn timed<R>(&self, f: impl FnOnce() -> R) -> (R, Moment) {
        let earliest = self.world.clock.now_millis();
        let result = f();
        let latest = self.world.clock.now_millis();
        (result, Moment { earliest, latest })
    }

    fn enter(&mut self, key: u64, moment: Moment) {
        let session = Session {
            number: key << 32,
            accessed: moment,
            idle_timeout: IDLE_TIMEOUT,
            deadline: moment.plus(MAX_LIFETIME),
        };
        self.book.insert(key, session);
    }

    fn check(&mut self, key: u64, found: Option<u64>, moment: Moment, touches: bool) {
        let Some(number) = found else {
            return self.check_alive(key, false, moment);
        };
        self.check_alive(key, true, moment);
        let session = self.book.get_mut(&key).unwrap();
        assert_eq!(session.number, number, "the value under {key}");
        if touches {
            session.accessed = moment;
        }
    }

    fn check_alive(&mut self, key: u64, is_alive: bool, moment: Moment) {
        match (is_alive, self.book.get(&key)) {
            (true, Some(session)) => {
                assert!(session.may_be_alive_at(moment), "seen late: {session:?}");
            }
            (true, None) => panic!("{key} is there, and was never entered"),
            (false, Some(session)) => {
                assert!(session.may_be_gone_at(moment), "lost: {session:?}");
                self.book.remove(&key);
            }
            (false, None) => {}
        }
    }
}

#[test]
fn no_session_is_lost_before_its_time_or_seen_after_it() {
    let world = World::new(|builder| builder.max_lifetime(millis(MAX_LIFETIME)));
    for key in KEEPERS..KEEPERS + KEEPER_COUNT {
        world.map.insert(key, world.value(key));
        world.map.set_lifetime(&key, Duration::MAX);
    }
    let owners: Vec<_> = (0..OWNERS)
        .map(|id| {
            std::sync::Mutex::new(Owner {
                world: &world,
                id,
                book: HashMap::new(),
                held: VecDeque::new(),
            })
        })
        .collect();
    let work = |owner: usize, rng: &mut Rng| {
        let mut owner = owners[owner].try_lock().expect("one thread an owner");
        (0..64).for_each(|_| owner.work(rng));
    };
    let background = world.map.spawn_collector();
    let collect = |_: &mut Rng| {
        world.map.collect();
    };
    world.run(&[
        &|rng| work(0, rng),
        &|rng| work(1, rng),
        &|rng| work(2, rng),
        &|rng| world.pass_time(rng),
        &|rng| world.read(rng),
        &collect,
        &collect,
    ]);
    drop(background);
    // At rest, the map holds what the books say, and nothing else.
    let now = world.clock.now_millis();
    let now = Moment {
        earliest: now,
        latest: now,
    };
    let mut alive = 0;
    for owner in owners {
        let mut owner = owner.into_inner().unwrap();
        let id = owner.id;
        for key in (0..KEYS_EACH).map(|key| key * OWNERS + id) {
            let found = world.map.peek(&key).map(|value| value.number());
            alive += usize::from(found.is_some());
            owner.check(key, found, now, false);
        }
    }
    assert_eq!(world.map.len(), alive + KEEPER_COUNT as usize);
    world.finish();
}

#[test]
fn a_full_map_balances_its_books() {
    const CAPACITY: u64 = 300;
    let world = World::new(|builder| builder.capacity(CAPACITY as usize));
    let work = |rng: &mut Rng| {
        for _ in 0..64 {
            let (map, key) = (&world.map, rng.u64(0..4 * CAPACITY));
            let found = match rng.u8(0..16) {
                0..4 => map.get(&key),
                4..8 => map.insert(key, world.value(key)),
                8 => map.try_insert(key, world.value(key)).ok(),
                9 => Some(map.get_or_insert_with(key, || world.value(key))),
                10..12 => map.update(&key, Value::next),
                12 => map.remove(&key),
                13 => map.remove_if(&key, |value| value.number() % 2 == 0),
                _ => map
                    .set_idle_timeout(&key, millis(key))
                    .then(|| map.peek(&key))
                    .flatten(),
            };
            assert!(found.is_none_or(|v| (v.number() >> 32, *v.key()) == (key, key)));
        }
    };
    let sweep = |rng: &mut Rng| {
        match rng.u8(0..40) {
            0 => world.map.clear(),
            1 => world.map.retain(|key, _| key % 3 == 0),
            2..10 => _ = world.map.collect_idle(millis(IDLE_TIMEOUT / 2)),
            10..20 => assert!(world.map.evict(10) <= 10),
            20..30 => assert!(world.map.iter().all(|v| v.number() >> 32 == *v.key())),
            _ => _ = world.map.collect(),
        }
        world.clock.advance(millis(rng.u64(0..IDLE_TIMEOUT / 8)));
    };
    world.run(&[&work, &work, &work, &work, &sweep, &sweep]);
    assert!(world.map.len() <= CAPACITY as usize);
    let alive = world.map.iter().count();
    assert_eq!(world.map.len(), alive, "iter ends what is due");
    world.finish();
}
