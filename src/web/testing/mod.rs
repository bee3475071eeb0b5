//! The conformance suite for stores: what a store of a session layer must do, ours and others'.
//!
//! Tell the suite how to make your store, and run it in a test. One of [`stores`] makes of a
//! layer's trait what the suite asks for. Needs the feature `testing`, and that of the layer.
//!
//! ```
//! # #[cfg(feature = "tower-sessions-014")]
//! # fn main() {
//! use dwell::ManualClock;
//! use dwell::web::testing::{Store, Subject, conformance, stores};
//! use dwell::web::tower_sessions_014::RecordStore;
//! use std::time::Duration;
//!
//! struct Ours(ManualClock);
//!
//! impl Subject for Ours {
//!     fn store(&self) -> Box<dyn Store> {
//!         let store = RecordStore::with_clock(None, self.0.clone());
//!         Box::new(stores::TowerSessions014::new(store))
//!     }
//!
//!     fn advance(&self, by: Duration) -> bool {
//!         self.0.advance(by);
//!         true
//!     }
//! }
//!
//! let report = conformance(&Ours(ManualClock::new()));
//! assert!(report.failed.is_empty(), "{:#?}", report.failed);
//! # }
//! # #[cfg(not(feature = "tower-sessions-014"))]
//! # fn main() {}
//! ```

mod endings;
mod expiry;
mod overlaps;
pub mod stores;

use serde_json::Value;
use std::collections::HashMap;
use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

/// Values under keys, as they are loaded and saved.
pub type Values = HashMap<String, Value>;

/// What a [`Store`] answers, in its own time.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Box<dyn Error>>> + 'a>>;

/// A store as the suite asks for it: records that are loaded and saved as a whole. [`stores`] has
/// one for each session layer.
///
/// Of what is loaded the suite looks at its own keys only: a store may add entries, if it finds
/// them again in what is saved.
///
/// ```
/// use dwell::web::testing::{Answer, Store, Values};
/// use std::time::Duration;
///
/// /// Takes everything, and keeps nothing.
/// struct Forgetful;
///
/// impl Store for Forgetful {
///     fn create(&self, _: Values, _: Duration) -> Answer<'_, String> {
///         Box::pin(async { Ok("id".to_owned()) })
///     }
///     fn load<'a>(&'a self, _: &'a str) -> Answer<'a, Option<Values>> {
///         Box::pin(async { Ok(None) })
///     }
///     fn save<'a>(&'a self, _: &'a str, _: Values, _: Duration) -> Answer<'a, ()> {
///         Box::pin(async { Ok(()) })
///     }
///     fn delete<'a>(&'a self, _: &'a str) -> Answer<'a, ()> {
///         Box::pin(async { Ok(()) })
///     }
/// }
/// ```
pub trait Store: Sync {
    /// A new record that lives for so long. Returns its id.
    fn create(&self, values: Values, lifetime: Duration) -> Answer<'_, String>;

    /// The same with an id of the caller's: the store may answer with another one, or refuse. None
    /// if the layer leaves ids to the store.
    fn create_as<'a>(&'a self, _: &'a str, _: Values, _: Duration) -> Option<Answer<'a, String>> {
        None
    }

    /// A record that has not ended.
    fn load<'a>(&'a self, id: &'a str) -> Answer<'a, Option<Values>>;

    /// What a request made of a record that it loaded, which lives for so long from now on. Of one
    /// that has ended, the store may take it in silence, or refuse.
    fn save<'a>(&'a self, id: &'a str, values: Values, lifetime: Duration) -> Answer<'a, ()>;

    /// Lets a record live for so long from now on. None if the layer has only [`save`](Self::save)
    /// for it.
    fn touch<'a>(&'a self, _: &'a str, _: Duration) -> Option<Answer<'a, ()>> {
        None
    }

    /// Ends a record. Of one that is not there, the store may refuse.
    fn delete<'a>(&'a self, id: &'a str) -> Answer<'a, ()>;

    /// Frees what has ended by time. None if the store cannot be asked to.
    fn delete_expired(&self) -> Option<Answer<'_, ()>> {
        None
    }
}

/// Whose stores are under test, with their clock.
pub trait Subject: Sync {
    /// A new store without records.
    fn store(&self) -> Box<dyn Store>;

    /// Moves the clock that the stores see. False if it cannot be moved: the checks that need it
    /// are skipped then. The suite never sleeps.
    fn advance(&self, _: Duration) -> bool {
        false
    }

    /// Runs a task to its end. Called from several threads at the same time. Override it where the
    /// store needs a runtime.
    fn block_on(&self, task: Pin<Box<dyn Future<Output = ()> + '_>>) {
        pollster::block_on(task);
    }
}

/// What the suite found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "the suite does not panic: see what failed"]
pub struct Report {
    /// The checks that the store passed.
    pub passed: Vec<&'static str>,
    /// Those that it failed, each with what was expected.
    pub failed: Vec<(&'static str, String)>,
    /// Those that its layer has no method for, or whose clock cannot be moved.
    pub skipped: Vec<&'static str>,
}

/// Runs all checks, each with a new store.
pub fn conformance(subject: &dyn Subject) -> Report {
    let mut report = Report::default();
    let checks = [endings::CHECKS, overlaps::CHECKS, expiry::CHECKS];
    for (name, check) in checks.into_iter().flatten() {
        let store = subject.store();
        match check(&Bench { subject, store }) {
            Ok(()) => report.passed.push(name),
            Err(Miss::Failed(expected)) => report.failed.push((name, expected)),
            Err(Miss::Skipped) => report.skipped.push(name),
        }
    }
    report
}

/// A check, under its name.
type Check = (&'static str, fn(&Bench<'_>) -> Outcome);

type Outcome<T = ()> = Result<T, Miss>;

/// Why a check was not passed.
#[derive(Debug)]
enum Miss {
    Failed(String),
    Skipped,
}

/// The suite's records live for so long if a check does not say otherwise. Layers go by dates, so
/// that time that passes in truth counts too: nothing here is close to an end.
const HOUR: Duration = Duration::from_secs(60 * 60);
const MINUTE: Duration = Duration::from_secs(60);

fn expect(holds: bool, expected: impl Into<String>) -> Outcome {
    if holds {
        Ok(())
    } else {
        Err(Miss::Failed(format!("expected {}", expected.into())))
    }
}

/// A store on the bench: its methods, sync, and without errors where none is expected.
struct Bench<'a> {
    subject: &'a dyn Subject,
    store: Box<dyn Store>,
}

impl Bench<'_> {
    /// An answer that may be an error.
    fn attempt<T>(&self, answer: Answer<'_, T>) -> Result<T, String> {
        let mut result = None;
        self.subject
            .block_on(Box::pin(async { result = Some(answer.await) }));
        let result = result.expect("block_on runs the task to its end");
        result.map_err(|error| error.to_string())
    }

    fn wait<T>(&self, answer: Answer<'_, T>) -> Outcome<T> {
        let result = self.attempt(answer);
        result.map_err(|error| Miss::Failed(format!("expected no error: {error}")))
    }

    fn create(&self, values: Values) -> Outcome<String> {
        self.wait(self.store.create(values, HOUR))
    }

    fn load(&self, id: &str) -> Outcome<Option<Values>> {
        self.wait(self.store.load(id))
    }

    fn load_live(&self, id: &str) -> Outcome<Values> {
        let loaded = self.load(id)?;
        loaded.ok_or_else(|| Miss::Failed("expected a live record".into()))
    }

    fn save(&self, id: &str, values: Values) -> Outcome {
        self.wait(self.store.save(id, values, HOUR))
    }

    /// A save of a record that may have ended.
    fn save_late(&self, id: &str, values: Values) {
        let _ = self.attempt(self.store.save(id, values, HOUR));
    }

    fn create_as(&self, id: &str, values: Values) -> Outcome<Result<String, String>> {
        let answer = self.store.create_as(id, values, HOUR);
        Ok(self.attempt(answer.ok_or(Miss::Skipped)?))
    }

    fn touch(&self, id: &str, lifetime: Duration) -> Outcome<Result<(), String>> {
        let answer = self.store.touch(id, lifetime);
        Ok(self.attempt(answer.ok_or(Miss::Skipped)?))
    }

    fn advance(&self, by: Duration) -> Outcome {
        self.subject.advance(by).then_some(()).ok_or(Miss::Skipped)
    }

    fn is_gone(&self, id: &str, expected: &str) -> Outcome {
        expect(self.load(id)?.is_none(), expected)
    }

    /// Runs `work` in so many threads that start together. Returns their results, in order.
    fn together<R: Send>(
        &self,
        threads: usize,
        work: impl Fn(usize) -> Outcome<R> + Sync,
    ) -> Outcome<Vec<R>> {
        let barrier = Barrier::new(threads);
        let start = |number| {
            barrier.wait();
            work(number)
        };
        let start = &start;
        thread::scope(|scope| {
            let workers: Vec<_> = (0..threads)
                .map(|number| scope.spawn(move || start(number)))
                .collect();
            let results = workers.into_iter().map(|worker| match worker.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            results.collect()
        })
    }
}

fn values<const N: usize>(pairs: [(&str, Value); N]) -> Values {
    let pairs = pairs.into_iter();
    pairs.map(|(key, value)| (key.to_owned(), value)).collect()
}

fn named(name: &str) -> Values {
    values([("name", name.into())])
}

fn is(values: &Values, key: &str, due: impl Into<Value>) -> bool {
    values.get(key) == Some(&due.into())
}
