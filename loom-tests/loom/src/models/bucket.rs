//! Buckets: a token has one holder, and a bucket is completed once, after everything in it was
//! dealt with.

use crate::explore::{Size, alone, both, explore, three};
use crate::watched::{Key, Value};
use dwell::internals::map::expiry::bucket::Key as BucketKey;
use dwell::internals::map::expiry::bucket::{Bucket, Class, Drained, Filed, Place, bucket_at};
use dwell::internals::map::record::status::Observed;
use dwell::internals::map::record::{NEVER, Record, Terms, Unlinked};
use dwell::internals::reclaim::{Guard, Reclaim};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

type Token = Record<Key, Value>;

/// Two records, and two buckets of two entries.
struct World {
    records: [Unlinked<Key, Value>; 2],
    first: Owned,
    second: Owned,
    /// How often the first bucket was completed. std's, so that it orders nothing.
    completed: AtomicUsize,
}

/// What a thread did with a token.
#[derive(Debug, PartialEq)]
enum Outcome {
    /// It is in the bucket.
    Filed,
    /// The thread holds it.
    Held,
}

impl World {
    /// With the first `filed` records in the first bucket, whose creator is done with it.
    fn new(filed: usize) -> Self {
        let world = Self::unfinished(filed);
        world.account(1);
        world
    }

    /// The same, with the creator's part still owed.
    fn unfinished(filed: usize) -> Self {
        let world = Self {
            records: [1, 2].map(record),
            first: bucket(1),
            second: bucket(2),
            completed: AtomicUsize::new(0),
        };
        for token in 0..filed {
            assert_eq!(world.file(token), Outcome::Filed);
        }
        world
    }

    fn token(&self, token: usize) -> &Token {
        self.records[token].record()
    }

    fn account(&self, entries: usize) {
        if self.first.account(entries) {
            self.complete();
        }
    }

    fn complete(&self) {
        self.completed.fetch_add(1, Ordering::Relaxed);
        self.first.retire();
    }

    fn file(&self, token: usize) -> Outcome {
        match self.first.file(self.token(token)) {
            Filed::Done(_) => return Outcome::Filed,
            Filed::Full => {}
            Filed::Completed => self.complete(),
        }
        Outcome::Held
    }

    /// Takes a token back by the record's place, as a removal does. True if the thread holds it.
    fn take_back(&self, token: usize) -> bool {
        let guard = Guard::pin();
        let record = self.token(token);
        let Some(place) = Place::take(record) else {
            return false;
        };
        // SAFETY: buckets are freed at the end of the model.
        let bucket = unsafe { bucket_at(place.bucket, &guard) };
        bucket.clear(&place, record)
    }

    /// Claims and drains entries of the first bucket; files the tokens in the second one.
    fn drain(&self, most: usize) -> Vec<usize> {
        let claimed = self.first.claim(most);
        let entries = claimed.len();
        let mut reserved = 0;
        let mut tokens = Vec::new();
        for index in claimed {
            match self.first.drain(index) {
                Drained::Token(record) => {
                    // SAFETY: records are freed at the end of the model.
                    let record = unsafe { &*record };
                    assert!(matches!(self.second.file(record), Filed::Done(_)));
                    tokens.push(record.value().number() as usize - 1);
                }
                Drained::Reserved => reserved += 1,
                Drained::Nothing => {}
            }
        }
        if entries > reserved {
            self.account(entries - reserved);
        }
        tokens
    }

    /// What a later drain finds in the first bucket. Checks that it is completed by then, once.
    fn conclude(self) -> Vec<usize> {
        let mut left = Vec::new();
        while !self.first.is_claimed() {
            left.extend(self.drain(1));
        }
        assert_eq!(self.completed.load(Ordering::Relaxed), 1);
        left
    }
}

fn record(number: u64) -> Unlinked<Key, Value> {
    let terms = Terms {
        birth: 0,
        idle_timeout: 10,
        absolute_deadline: NEVER,
        weight: 0,
        is_protected: false,
    };
    let record = Unlinked::new(0, Key::new(number), Value::new(number), terms);
    record.record().status.start(Observed::new(1, false));
    record
}

/// A bucket that is freed with the model.
struct Owned(*mut Bucket<Key, Value>);

impl Deref for Owned {
    type Target = Bucket<Key, Value>;

    fn deref(&self) -> &Self::Target {
        // SAFETY: freed when it is dropped.
        unsafe { &*self.0 }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: nobody else uses it any more.
        unsafe { Bucket::free(self.0) };
    }
}

// SAFETY: the threads of a model share the bucket.
unsafe impl Send for Owned {}
// SAFETY: all that the bucket's threads change is atomic.
unsafe impl Sync for Owned {}

fn bucket(quantum: u64) -> Owned {
    let key = BucketKey { quantum, number: 0 };
    Owned(Bucket::new(key, Class::Fresh, 0, 2))
}

#[test]
fn a_token_that_is_filed_while_its_bucket_is_drained_has_one_holder() {
    explore("bucket: file and drain", Size::Small, || {
        let world = Arc::new(World::new(0));
        let (filed, drained) = both(&world, |world| world.file(0), |world| world.drain(2));
        // Claimed whole, so nothing is left for later.
        assert_eq!(filed == Outcome::Held, drained.is_empty());
        assert!(alone(world).conclude().is_empty());
    });
}

#[test]
fn a_token_that_is_filed_while_half_of_its_bucket_is_drained_has_one_holder() {
    explore("bucket: file twice and drain a half", Size::Small, || {
        let world = Arc::new(World::new(0));
        let (filed, mut found) = both(
            &world,
            |world| [world.file(0), world.file(1)],
            |world| world.drain(1),
        );
        found.extend(alone(world).conclude());
        for (token, outcome) in filed.into_iter().enumerate() {
            let found = found.iter().filter(|&&found| found == token).count();
            assert_eq!(found, usize::from(outcome == Outcome::Filed));
        }
    });
}

#[test]
fn two_tokens_that_are_filed_while_their_bucket_is_drained_have_one_holder_each() {
    explore("bucket: two files and a drain", Size::Small, || {
        let world = Arc::new(World::new(0));
        let (one, two, mut found) = three(
            &world,
            |world| world.file(0),
            |world| world.file(1),
            |world| world.drain(2),
        );
        found.extend(alone(world).conclude());
        for (token, outcome) in [one, two].into_iter().enumerate() {
            let found = found.iter().filter(|&&found| found == token).count();
            assert_eq!(found, usize::from(outcome == Outcome::Filed));
        }
    });
}

#[test]
fn a_token_that_is_taken_back_while_it_is_filed_has_one_holder() {
    explore("bucket: file and clear", Size::Small, || {
        let world = Arc::new(World::new(0));
        let (filed, taken) = both(&world, |world| world.file(0), |world| world.take_back(0));
        assert_eq!(filed, Outcome::Filed, "nobody drains");
        assert_eq!(taken, alone(world).conclude().is_empty());
    });
}

#[test]
fn a_token_that_two_take_back_has_one_holder() {
    explore("bucket: two clears and a drain", Size::Small, || {
        let world = Arc::new(World::new(1));
        let (one, two, drained) = three(
            &world,
            |world| world.take_back(0),
            |world| world.take_back(0),
            |world| world.drain(2),
        );
        let holders = usize::from(one) + usize::from(two) + drained.len();
        // The thread that drained it filed it again, where one of the others may have found it.
        assert!(holders == 1 || holders == 2 && drained == [0]);
        assert!(alone(world).conclude().is_empty());
    });
}

#[test]
fn a_place_never_leads_to_a_completed_bucket() {
    explore("bucket: file, drain and clear", Size::Small, || {
        let world = Arc::new(World::new(0));
        let (filed, drained, taken) = three(
            &world,
            |world| world.file(0),
            |world| world.drain(2),
            |world| world.take_back(0),
        );
        if filed == Outcome::Held {
            assert!(drained.is_empty() && !taken);
        } else {
            assert!(taken || !drained.is_empty() || !alone(world).conclude().is_empty());
        }
    });
}

#[test]
fn a_bucket_is_completed_by_one_of_its_creator_its_drainers_and_its_fillers() {
    explore("bucket: create, drain and file", Size::Small, || {
        let world = Arc::new(World::unfinished(1));
        three(
            &world,
            |world| world.account(1),
            |world| world.drain(2),
            |world| world.file(1),
        );
        alone(world).conclude();
    });
}

#[test]
fn two_drainers_of_a_bucket_share_its_tokens() {
    explore("bucket: two drains and a file", Size::Small, || {
        let world = Arc::new(World::new(1));
        let (one, two, filed) = three(
            &world,
            |world| world.drain(1),
            |world| world.drain(1),
            |world| world.file(1),
        );
        let mut found = [one, two].concat();
        found.extend(alone(world).conclude());
        assert_eq!(found.iter().filter(|&&token| token == 0).count(), 1);
        let second = found.iter().filter(|&&token| token == 1).count();
        assert_eq!(second, usize::from(filed == Outcome::Filed));
    });
}

#[test]
fn who_finds_a_token_reads_a_complete_record() {
    explore("bucket: file and peek", Size::Small, || {
        let world = Arc::new(World::new(0));
        let (_, seen) = both(
            &world,
            |world| world.file(0),
            |world| world.first.peek(0).is_some(),
        );
        let left = alone(world).conclude();
        assert!(!seen || left == [0]);
    });
}
