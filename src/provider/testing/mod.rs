//! The conformance suite: what every [`Provider`] must do, ours and others'.
//!
//! Implement [`Subject`] for a provider and run the suite in a test. It fails by a panic that names
//! the check and what was expected. Needs the feature `testing`.
//!
//! ```
//! use dwell::ManualClock;
//! use dwell::provider::testing::{Subject, conformance};
//! use dwell::provider::{MemoryProvider, Provider};
//! use dwell::session::{SessionStore, Settings};
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! struct Memory(ManualClock);
//!
//! impl Subject for Memory {
//!     fn provider(&self, settings: &Settings) -> Option<Arc<dyn Provider>> {
//!         let store = SessionStore::builder(*settings).clock(self.0.clone());
//!         Some(Arc::new(MemoryProvider::new(store.build().unwrap())))
//!     }
//!
//!     fn advance(&self, by: Duration) {
//!         self.0.advance(by);
//!     }
//! }
//!
//! let report = conformance(&Memory(ManualClock::new()));
//! assert!(report.skipped.is_empty());
//! ```

mod admission;
mod attributes;
mod expiry;
mod owners;
mod refusals;
mod renewal;
mod resurrection;
mod values;

use super::{Access, Answer, By, Provider};
use crate::session::{
    Attribute, Attributes, Changes, IssuedSession, SessionError, SessionId, SessionKey, Settings,
    Snapshot,
};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

/// A provider under test, with its clock.
pub trait Subject: Sync {
    /// A new provider without sessions. None if it cannot have these settings, say a capacity: the
    /// check is skipped then.
    fn provider(&self, settings: &Settings) -> Option<Arc<dyn Provider>>;

    /// Moves the clock that the providers see. The suite never sleeps.
    fn advance(&self, by: Duration);

    /// Runs a task to its end. Called from several threads at the same time. Override it where the
    /// provider needs a runtime.
    fn block_on(&self, task: Pin<Box<dyn Future<Output = ()> + Send + '_>>) {
        pollster::block_on(task);
    }
}

/// A check of the suite.
type Check = fn(&Bench<'_>);

/// One check, the settings that its provider needs, and its name.
struct Case {
    name: &'static str,
    settings: Settings,
    check: Check,
}

/// What the suite did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The checks that the provider passed.
    pub passed: Vec<&'static str>,
    /// The checks whose settings the provider cannot have.
    pub skipped: Vec<&'static str>,
}

/// Runs all checks, each with a new provider.
///
/// # Panics
/// If the provider fails one.
pub fn conformance(subject: &dyn Subject) -> Report {
    let mut report = Report::default();
    let cases = [
        attributes::cases(),
        values::cases(),
        expiry::cases(),
        resurrection::cases(),
        renewal::cases(),
        admission::cases(),
        owners::cases(),
        refusals::cases(),
    ];
    for case in cases.into_iter().flatten() {
        match subject.provider(&case.settings) {
            None => report.skipped.push(case.name),
            Some(provider) => {
                (case.check)(&Bench {
                    name: case.name,
                    subject,
                    provider,
                });
                report.passed.push(case.name);
            }
        }
    }
    report
}

/// How long the suite's sessions may idle, if a check does not say otherwise.
const IDLE: Duration = Duration::from_secs(60);
/// How long the suite's old ids answer.
const GRACE: Duration = Duration::from_secs(5);

fn settings() -> Settings {
    Settings::new(IDLE).grace(GRACE)
}

fn case(name: &'static str, check: Check) -> Case {
    case_with(settings(), name, check)
}

fn case_with(settings: Settings, name: &'static str, check: Check) -> Case {
    Case {
        name,
        settings,
        check,
    }
}

/// A provider on the bench: its methods, sync, and without errors where none is expected.
struct Bench<'a> {
    name: &'static str,
    subject: &'a dyn Subject,
    provider: Arc<dyn Provider>,
}

impl Bench<'_> {
    fn try_wait<T: Send>(&self, answer: Answer<'_, T>) -> Result<T, SessionError> {
        let mut result = None;
        self.subject
            .block_on(Box::pin(async { result = Some(answer.await) }));
        result.unwrap_or_else(|| panic!("{}: block_on did not run the task to its end", self.name))
    }

    #[track_caller]
    fn wait<T: Send>(&self, answer: Answer<'_, T>) -> T {
        match self.try_wait(answer) {
            Ok(result) => result,
            Err(error) => panic!("{}: the provider failed: {error}", self.name),
        }
    }

    #[track_caller]
    fn check(&self, holds: bool, expected: &str) {
        assert!(holds, "{}: expected {expected}", self.name);
    }

    #[track_caller]
    fn refuses_as_ended<T: Send>(&self, answer: Answer<'_, T>, what: &str) {
        let result = self.try_wait(answer);
        self.check(
            matches!(result, Err(SessionError::Ended)),
            &format!("{what} of a session that has ended to fail as such"),
        );
    }

    fn advance(&self, by: Duration) {
        self.subject.advance(by);
    }

    #[track_caller]
    fn init(&self) -> IssuedSession {
        self.wait(self.provider.init(Attributes::default()))
    }

    #[track_caller]
    fn owned(&self, owner: &str) -> IssuedSession {
        let issued = self.init();
        self.set_owner(&issued.id.key(), Some(owner));
        issued
    }

    #[track_caller]
    fn read(&self, id: &SessionId) -> Option<Snapshot> {
        match self.try_wait(self.provider.read(By::Id(*id), Access::Touch)) {
            Ok(session) => session,
            Err(SessionError::Superseded) => None,
            Err(error) => panic!("{}: the provider failed: {error}", self.name),
        }
    }

    #[track_caller]
    fn peek(&self, key: &SessionKey) -> Option<Snapshot> {
        self.wait(self.provider.read(By::Key(*key), Access::Peek))
    }

    #[track_caller]
    fn set<T: Attribute>(&self, key: &SessionKey, name: &str, value: T) -> Snapshot {
        self.wait(self.provider.apply(By::Key(*key), set(name, value), None))
    }

    #[track_caller]
    fn set_owner(&self, key: &SessionKey, owner: Option<&str>) {
        self.wait(self.provider.set_owner(By::Key(*key), owner));
    }

    #[track_caller]
    fn keys_of(&self, owner: &str) -> Vec<SessionKey> {
        let listed = self.wait(self.provider.owned_by(owner));
        let mut keys: Vec<_> = listed.iter().map(|session| session.key).collect();
        keys.sort();
        keys
    }

    #[track_caller]
    fn renew(&self, id: &SessionId) -> IssuedSession {
        self.wait(self.provider.renew(id, None))
    }

    /// Runs `work` in so many threads that start together. Returns their results, in order.
    fn together<R: Send>(&self, threads: usize, work: impl Fn(usize) -> R + Sync) -> Vec<R> {
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

fn set<T: Attribute>(name: &str, value: T) -> Changes {
    Changes::default()
        .set(name, value)
        .expect("the suite's values are JSON")
}

#[track_caller]
fn get<T: Attribute + Clone>(snapshot: &Snapshot, name: &str) -> Option<T> {
    let value = snapshot.attributes.get::<T>(name);
    let value = value.expect("the value is of the type that was set");
    value.map(|value| (*value).clone())
}
