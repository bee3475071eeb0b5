//! Providers: the memory provider passes the conformance suite, and broken ones do not.

use crate::sessions::{IDLE, together};
use dwell::provider::testing::{Subject, conformance};
use dwell::provider::{
    Access, Answer, By, MemoryProvider, Provider, Registry, RegistryError, register,
};
use dwell::session::{
    Attributes, Changes, IssuedSession, SessionError, SessionId, SessionInfo, SessionKey,
    SessionStore, Settings, Snapshot, Value,
};
use dwell::{Collector, ManualClock};
use std::collections::BTreeSet;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// What a provider may get wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    AdoptsUnknownIds,
    BringsSessionsBack,
    IgnoresVersions,
    LosesUpdates,
    NeverExpires,
    EndsOldIdsAtOnce,
    KeepsOldIdsForLong,
    AdmitsOnce,
    LogsInWithGrace,
    RenewsOldIds,
    TakesOldIdsForNewest,
    CountsPeeks,
    TouchesByTheSettingsAlone,
    DestroysNothing,
    HasNoBound,
    TakesNoNewcomers,
    ForgetsOwners,
    ListsTheDead,
    CountsTheDead,
    ListsWithoutDeadlines,
    RenewsWithoutDeadlines,
    HasNoAge,
    CountsVersionsFromZero,
    TouchesBySettingTerms,
    RoundsIntegers,
    DropsNulls,
    KeepsNamesOnly,
    TouchesWhatItRefuses,
    WritesDeletionsOfNothing,
    HasNoSessionBound,
}

#[derive(Debug)]
struct Flawed {
    memory: MemoryProvider,
    fault: Fault,
    /// The sessions of which the provider said whose they are.
    owned: Mutex<Vec<SessionInfo>>,
}

impl Flawed {
    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    /// A session as this provider tells of it.
    fn told(&self, mut session: Snapshot) -> Snapshot {
        match self.fault {
            Fault::HasNoAge => session.age = Duration::ZERO,
            Fault::TakesOldIdsForNewest => session.is_superseded = false,
            Fault::CountsVersionsFromZero => session.version -= 1,
            _ => {}
        }
        session
    }

    fn told_with(&self, mut issued: IssuedSession) -> IssuedSession {
        if self.is(Fault::RenewsWithoutDeadlines) {
            issued.snapshot.lifetime_left = None;
        }
        issued.snapshot = self.told(issued.snapshot);
        issued
    }

    async fn after_terms(&self, session: By) -> Result<(), SessionError> {
        match self.is(Fault::TouchesBySettingTerms) {
            true => self.memory.touch(session).await,
            false => Ok(()),
        }
    }

    fn admitted(&self, session: By) -> By {
        match self.is(Fault::AdmitsOnce) {
            true => By::Key(session.key()),
            false => session,
        }
    }
}

impl Flawed {
    /// A session as it comes back from a storage that changes values.
    fn kept(&self, mut session: Snapshot) -> Snapshot {
        let attributes = session.attributes.clone();
        for (name, value) in attributes.values() {
            let json = value.to_json().expect("it was set");
            match self.fault {
                Fault::DropsNulls if json == b"null" => {
                    session.attributes.delete(name);
                }
                // As JavaScript and Lua do.
                Fault::RoundsIntegers => {
                    let value = match serde_json::from_slice::<f64>(&json) {
                        Ok(number) if number.fract() == 0.0 => format!("{number:.0}").into_bytes(),
                        _ => json,
                    };
                    session.attributes.set_value(name, Value::from_json(value));
                }
                Fault::KeepsNamesOnly if name.contains(' ') => {
                    session.attributes.set_value(name.trim(), value.clone());
                }
                _ => {}
            }
        }
        session
    }
}

impl Provider for Flawed {
    fn init(&self, attributes: Attributes) -> Answer<'_, IssuedSession> {
        Answer::later(async move {
            let issued = self.memory.init(attributes).await?;
            let store = self.memory.store();
            let is_full = Some(store.len()) == store.settings().capacity;
            if is_full && self.is(Fault::TakesNoNewcomers) {
                self.memory.destroy(By::Key(issued.id.key())).await?;
            }
            Ok(self.told_with(issued))
        })
    }

    fn read(&self, session: By, access: Access) -> Answer<'_, Option<Snapshot>> {
        let session = match access {
            Access::Touch => session,
            Access::Peek => self.admitted(session),
        };
        let resolution = self.memory.store().settings().touch_resolution;
        let access = match self.fault {
            Fault::CountsPeeks => Access::Touch,
            // The suite's sessions are read more often than that.
            Fault::TouchesByTheSettingsAlone if !resolution.is_zero() => Access::Peek,
            _ => access,
        };
        Answer::later(async move {
            match self.memory.read(session, access).await? {
                None if self.is(Fault::AdoptsUnknownIds) && access == Access::Touch => {
                    Ok(Some(self.init(Attributes::default()).await?.snapshot))
                }
                found => Ok(found.map(|session| self.told(self.kept(session)))),
            }
        })
    }

    fn apply(&self, session: By, changes: Changes, version: Option<u64>) -> Answer<'_, Snapshot> {
        let session = self.admitted(session);
        Answer::later(async move {
            if self.is(Fault::LosesUpdates) && version.is_none() {
                // Reads all, changes its copy, and writes all.
                let old = self.memory.read(session, Access::Touch).await?;
                let old = old.ok_or(SessionError::Ended)?.attributes;
                let mut new = old.clone();
                changes.apply_to(&mut new);
                std::thread::sleep(Duration::from_millis(1));
                let all = self.memory.read(session, Access::Touch).await?;
                let all = all.ok_or(SessionError::Ended)?.attributes;
                let all = Changes::between(&all, &new);
                // What sets an equal value is a write all the same.
                let changes = if all.is_empty() { changes } else { all };
                return self.memory.apply(session, changes, None).await;
            }
            let version = version.filter(|_| !self.is(Fault::IgnoresVersions));
            match self.memory.apply(session, changes, version).await {
                Err(SessionError::Ended) if self.is(Fault::BringsSessionsBack) => {
                    Ok(self.init(Attributes::default()).await?.snapshot)
                }
                Err(error @ SessionError::Conflict { .. })
                    if self.is(Fault::TouchesWhatItRefuses) =>
                {
                    self.memory.touch(session).await?;
                    Err(error)
                }
                Ok(written) if self.is(Fault::WritesDeletionsOfNothing) => {
                    // By its key: a login or an end that comes meanwhile is no part of this fault.
                    let _ = self.memory.touch(By::Key(session.key())).await;
                    Ok(written)
                }
                result => result.map(|session| self.told(session)),
            }
        })
    }

    fn touch(&self, session: By) -> Answer<'_, ()> {
        self.memory.touch(self.admitted(session))
    }

    fn destroy(&self, session: By) -> Answer<'_, bool> {
        if self.is(Fault::DestroysNothing) {
            return Answer::later(async { Ok(true) });
        }
        self.memory.destroy(self.admitted(session))
    }

    fn renew<'a>(
        &'a self,
        id: &'a SessionId,
        grace: Option<Duration>,
    ) -> Answer<'a, IssuedSession> {
        Answer::later(async move {
            let grace = match self.fault {
                Fault::EndsOldIdsAtOnce => Some(Duration::ZERO),
                Fault::KeepsOldIdsForLong => Some(IDLE),
                _ => grace,
            };
            let answers = self
                .memory
                .read(By::Id(*id), Access::Touch)
                .await?
                .is_some();
            match self.memory.renew(id, grace).await {
                Err(SessionError::Superseded) if answers && self.is(Fault::RenewsOldIds) => {
                    Ok(IssuedSession {
                        id: *id,
                        snapshot: Snapshot::new(id.key(), Attributes::default(), 1),
                    })
                }
                result => result.map(|issued| self.told_with(issued)),
            }
        })
    }

    fn log_in<'a>(&'a self, id: &'a SessionId, owner: &'a str) -> Answer<'a, IssuedSession> {
        match self.fault {
            Fault::LogsInWithGrace => Answer::later(async {
                let issued = self.memory.renew(id, None).await?;
                self.memory
                    .set_owner(By::Id(issued.id), Some(owner))
                    .await?;
                Ok(issued)
            }),
            _ => Answer::later(async move {
                let issued = self.memory.log_in(id, owner).await?;
                Ok(self.told_with(issued))
            }),
        }
    }

    fn set_owner<'a>(&'a self, session: By, owner: Option<&'a str>) -> Answer<'a, ()> {
        let session = self.admitted(session);
        Answer::later(async move {
            if self.is(Fault::ForgetsOwners) {
                return Ok(());
            }
            self.memory.set_owner(session, owner).await?;
            let listed = self.memory.owned_by(owner.unwrap_or_default()).await?;
            self.owned.lock().unwrap().extend(listed);
            Ok(())
        })
    }

    fn owned_by<'a>(&'a self, owner: &'a str) -> Answer<'a, Vec<SessionInfo>> {
        if self.is(Fault::ListsTheDead) {
            let all = self.owned.lock().unwrap();
            let its = all.iter().filter(|s| s.owner.as_deref() == Some(owner));
            let its = its.cloned().collect();
            return Answer::later(async { Ok(its) });
        }
        if self.is(Fault::ListsWithoutDeadlines) {
            return Answer::later(async move {
                let mut listed = self.memory.owned_by(owner).await?;
                for session in &mut listed {
                    session.time_left = IDLE - session.idle_for;
                }
                Ok(listed)
            });
        }
        self.memory.owned_by(owner)
    }

    fn destroy_owned_by<'a>(
        &'a self,
        owner: &'a str,
        except: Option<&'a SessionKey>,
    ) -> Answer<'a, usize> {
        if self.is(Fault::CountsTheDead) {
            return Answer::later(async move {
                let live = self.memory.owned_by(owner).await?;
                let ended = self.memory.destroy_owned_by(owner, except).await?;
                let all = self.owned.lock().unwrap();
                let its = all.iter().filter(|s| s.owner.as_deref() == Some(owner));
                let dead = its.filter(|s| live.iter().all(|live| live.key != s.key));
                let dead: BTreeSet<_> = dead.map(|s| s.key).collect();
                Ok(ended + dead.len())
            });
        }
        self.memory.destroy_owned_by(owner, except)
    }

    fn set_idle_timeout(&self, session: By, timeout: Duration) -> Answer<'_, ()> {
        let session = self.admitted(session);
        Answer::later(async move {
            self.memory.set_idle_timeout(session, timeout).await?;
            self.after_terms(session).await
        })
    }

    fn set_lifetime(&self, session: By, lifetime: Duration) -> Answer<'_, ()> {
        let session = self.admitted(session);
        Answer::later(async move {
            self.memory.set_lifetime(session, lifetime).await?;
            self.after_terms(session).await
        })
    }

    fn collect(&self) -> Answer<'_, usize> {
        self.memory.collect()
    }
}

struct Lab {
    clock: ManualClock,
    fault: Fault,
}

impl Lab {
    fn new(fault: Fault) -> Self {
        let clock = ManualClock::new();
        Self { clock, fault }
    }
}

impl Subject for Lab {
    fn provider(&self, settings: &Settings) -> Option<Arc<dyn Provider>> {
        let mut settings = *settings;
        if self.fault == Fault::HasNoBound {
            settings.capacity = None;
        }
        if self.fault == Fault::HasNoSessionBound {
            settings.max_session_bytes = u64::MAX;
        }
        let store = SessionStore::builder(settings).clock(self.clock.clone());
        Some(Arc::new(Flawed {
            memory: MemoryProvider::new(store.build().unwrap()),
            fault: self.fault,
            owned: Mutex::default(),
        }))
    }

    fn advance(&self, by: Duration) {
        if self.fault != Fault::NeverExpires {
            self.clock.advance(by);
        }
    }
}

#[test]
fn the_memory_provider_passes_every_check() {
    struct Memory(ManualClock);
    impl Subject for Memory {
        fn provider(&self, settings: &Settings) -> Option<Arc<dyn Provider>> {
            let store = SessionStore::builder(*settings).clock(self.0.clone());
            Some(Arc::new(MemoryProvider::new(store.build().unwrap())))
        }

        fn advance(&self, by: Duration) {
            self.0.advance(by);
        }
    }
    let report = conformance(&Memory(ManualClock::new()));
    assert!(report.passed.len() >= 46, "{report:?}");
    assert!(report.skipped.is_empty());
}

#[test]
fn the_suite_finds_each_fault() {
    conformance(&Lab::new(Fault::None));
    let faults = [
        (Fault::AdoptsUnknownIds, "ends on the millisecond"),
        (Fault::BringsSessionsBack, "ends on the millisecond"),
        (Fault::IgnoresVersions, "outdated version"),
        (Fault::LosesUpdates, "lose nothing"),
        (Fault::NeverExpires, "ends on the millisecond"),
        (Fault::EndsOldIdsAtOnce, "answers for its grace"),
        (Fault::KeepsOldIdsForLong, "answers for its grace"),
        (Fault::AdmitsOnce, "does not answer"),
        (Fault::LogsInWithGrace, "makes a version"),
        (Fault::RenewsOldIds, "only the newest id"),
        (Fault::TakesOldIdsForNewest, "answers for its grace"),
        (Fault::CountsPeeks, "ends on the millisecond"),
        (Fault::TouchesByTheSettingsAlone, "a long touch resolution"),
        (Fault::DestroysNothing, "refuses what comes late"),
        (Fault::HasNoBound, "keeps its bound"),
        (Fault::TakesNoNewcomers, "keeps its bound"),
        (Fault::ForgetsOwners, "makes a version"),
        (Fault::ListsTheDead, "a peek does not"),
        (Fault::CountsTheDead, "are not ended again"),
        (Fault::ListsWithoutDeadlines, "what is left"),
        (Fault::RenewsWithoutDeadlines, "keeps everything but its id"),
        (Fault::HasNoAge, "the age counts"),
        (Fault::CountsVersionsFromZero, "makes a version"),
        (Fault::TouchesBySettingTerms, "setting terms"),
        (Fault::RoundsIntegers, "numbers come back"),
        (Fault::DropsNulls, "null is a value"),
        (Fault::KeepsNamesOnly, "any key and any value"),
        (
            Fault::TouchesWhatItRefuses,
            "a refused write does not touch",
        ),
        (Fault::WritesDeletionsOfNothing, "changes nothing is none"),
        (Fault::HasNoSessionBound, "too large is refused"),
    ];
    for (fault, check) in faults {
        let lab = Lab::new(fault);
        let panic = catch_unwind(AssertUnwindSafe(|| conformance(&lab)));
        let panic = panic.expect_err(&format!("{fault:?} passes"));
        let message = panic.downcast_ref::<String>().expect("a message");
        assert!(message.contains(check), "{fault:?}: {message}");
    }
}

#[test]
fn a_check_whose_settings_the_provider_cannot_have_is_skipped_and_said() {
    struct Boundless(Lab);
    impl Subject for Boundless {
        fn provider(&self, settings: &Settings) -> Option<Arc<dyn Provider>> {
            settings
                .capacity
                .is_none()
                .then(|| self.0.provider(settings))?
        }

        fn advance(&self, by: Duration) {
            self.0.advance(by);
        }
    }
    let report = conformance(&Boundless(Lab::new(Fault::None)));
    assert_eq!(
        report.skipped,
        ["a full store takes new sessions and keeps its bound"]
    );
}

#[test]
fn the_memory_providers_futures_are_ready_at_once() {
    let provider = MemoryProvider::new(SessionStore::new(IDLE));
    let mut context = Context::from_waker(Waker::noop());
    let future = pin!(provider.init(Attributes::default()));
    assert!(matches!(future.poll(&mut context), Poll::Ready(Ok(_))));
}

#[test]
fn a_collection_lets_other_tasks_run_in_between() {
    const SESSIONS: usize = 5_000;
    let clock = ManualClock::new();
    let store = SessionStore::builder(Settings::new(IDLE))
        .clock(clock.clone())
        .build()
        .unwrap();
    let provider = MemoryProvider::new(store.clone());
    for _ in 0..SESSIONS {
        store.create().unwrap();
    }
    clock.advance(2 * IDLE);
    let mut collection = provider.collect();
    let mut polls = 0;
    let ended = loop {
        let before = store.len();
        let mut context = Context::from_waker(Waker::noop());
        match Pin::new(&mut collection).poll(&mut context) {
            Poll::Ready(ended) => break ended.unwrap(),
            Poll::Pending => polls += 1,
        }
        assert!(before - store.len() <= 1_024);
    };
    assert_eq!((ended, store.len()), (SESSIONS, 0));
    assert!(polls >= SESSIONS / 1_024);
}

#[test]
fn collection_in_the_background_stops_when_its_guard_is_dropped() {
    let clock = ManualClock::new();
    let store = SessionStore::builder(Settings::new(IDLE)).clock(clock.clone());
    let provider = MemoryProvider::new(store.build().unwrap());
    let collector: Collector = provider.spawn_collector().expect("a thread");
    provider.store().create().unwrap();
    // A quantum more than the timeout, for the collection to be due.
    clock.advance(IDLE * 2);
    while !provider.store().is_empty() {
        std::thread::yield_now();
    }
    drop(collector);
}

fn memory(
    settings: &Settings,
) -> Result<Arc<dyn Provider>, Box<dyn std::error::Error + Send + Sync>> {
    let store = SessionStore::builder(*settings).build()?;
    Ok(Arc::new(MemoryProvider::new(store)))
}

#[test]
fn registering_nothing_or_a_name_twice_is_an_error_that_says_so() {
    let registry = Registry::new();
    assert!(matches!(
        registry.register("", memory),
        Err(RegistryError::NoName)
    ));
    registry.register("one", memory).unwrap();
    assert_eq!(format!("{registry:?}"), "[\"one\"]");
    let twice = registry.register("one", memory).unwrap_err();
    assert_eq!(
        twice.to_string(),
        "a provider named \"one\" is registered already: choose another name"
    );
    let unknown = registry.open("two", &Settings::new(IDLE)).unwrap_err();
    assert_eq!(
        unknown.to_string(),
        "no provider is named \"two\": register it first, or choose one of [\"one\"]"
    );
    let refused = registry
        .open("one", &Settings::new(Duration::ZERO))
        .unwrap_err();
    let why = std::error::Error::source(&refused).unwrap().to_string();
    assert!(why.contains("idle_timeout"), "{why}");
}

#[test]
fn of_threads_that_register_one_name_one_succeeds() {
    let registry = Registry::new();
    let won = together(4, |_| registry.register("one", memory).is_ok());
    assert_eq!(won.into_iter().filter(|won| *won).count(), 1);
}

#[test]
fn the_process_wide_registry_has_memory_and_takes_more() {
    assert!(matches!(
        register("memory", memory),
        Err(RegistryError::NameTaken { .. })
    ));
    register("another", memory).unwrap();
    assert_eq!(Registry::global().names(), ["another", "memory"]);
    let open = || {
        Registry::global()
            .open("another", &Settings::new(IDLE))
            .unwrap()
    };
    let (one, two) = (open(), open());
    let id = pollster::block_on(one.init(Attributes::default()))
        .unwrap()
        .id;
    assert!(
        pollster::block_on(two.read(By::Id(id), Access::Touch))
            .unwrap()
            .is_none(),
        "they share nothing"
    );
}
