//! What operators see, with the features `tracing` and `metrics`: enough, and never an id.

use dwell::manager::{Manager, Session};
use dwell::provider::{MemoryProvider, RedisProvider};
use dwell::session::{SessionId, SessionStore, Settings};
use dwell::web::SessionLayer;
use http::{HeaderMap, header};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tower::{Layer, ServiceExt};
use tracing_subscriber::fmt::format::FmtSpan;

/// Where the log goes.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Requests of all kinds. Returns the ids that were issued.
async fn requests(manager: &Manager) -> Vec<String> {
    let mut ids = Vec::new();
    let session = manager.start(&HeaderMap::new()).await.unwrap();
    session.set("visits", 1_u64).await.unwrap();
    ids.push(session.id().unwrap().to_cookie());
    let mut response = HeaderMap::new();
    manager.finish(session, &mut response);

    let mut request = HeaderMap::new();
    request.insert(
        header::COOKIE,
        format!("__Host-sid={}", ids[0]).parse().unwrap(),
    );
    let session = manager.start(&request).await.unwrap();
    session.renew_with_grace(Duration::ZERO).await.unwrap();
    ids.push(session.id().unwrap().to_cookie());
    session.destroy().await.unwrap();
    manager.finish(session, &mut response);

    manager.start(&request).await.unwrap();
    request.insert(header::COOKIE, "__Host-sid=nonsense".parse().unwrap());
    manager.start(&request).await.unwrap();
    ids
}

fn manager() -> (Manager, SessionStore) {
    let store = SessionStore::new(Duration::from_secs(60));
    let provider = Arc::new(MemoryProvider::new(store.clone()));
    (
        Manager::builder("sid").provider(provider).build().unwrap(),
        store,
    )
}

/// Whether a span is of interest is asked once in a process, and where no subscriber is, it is not:
/// a test without one must not be the first to come to a span while the other one runs.
static ONE_AFTER_THE_OTHER: Mutex<()> = Mutex::new(());

#[test]
fn spans_tell_what_happened_and_no_id() {
    let _turn = ONE_AFTER_THE_OTHER.lock();
    let log = Log::default();
    let (manager, _store) = manager();
    let ids =
        tracing::subscriber::with_default(logging(&log), || pollster::block_on(requests(&manager)));
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    for told in [
        "dwell.session.lookup",
        "dwell.session.outcome=\"no_cookie\"",
        "dwell.session.outcome=\"found\"",
        "dwell.session.outcome=\"unknown\"",
        "dwell.session.outcome=\"malformed\"",
        "dwell.session.create",
        "dwell.session.renew",
        "dwell.session.destroy",
    ] {
        assert!(log.contains(told), "{told} is missing in\n{log}");
    }
    for id in ids {
        for part in [&id[..22], &id[22..]] {
            assert!(!log.contains(part), "a part of an id in\n{log}");
        }
    }
}

/// A subscriber that writes all there is into a log.
fn logging(log: &Log) -> impl tracing::Subscriber + Send + Sync + 'static {
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(FmtSpan::CLOSE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish()
}

/// A request with an id, to a server that is not there. Returns the id.
async fn request_to_nobody() -> String {
    let settings = Settings::new(Duration::from_secs(60));
    let provider = RedisProvider::builder("redis://127.0.0.1:1/", "observe", settings)
        .timeout(Duration::from_millis(300))
        .build();
    let manager = Manager::builder("sid").provider(Arc::new(provider.unwrap()));
    let manager = manager.build().unwrap();
    let id = SessionId::generate().unwrap().to_cookie();
    let mut request = HeaderMap::new();
    request.insert(header::COOKIE, format!("__Host-sid={id}").parse().unwrap());
    assert!(manager.start(&request).await.is_err());
    let stranger = manager.start(&HeaderMap::new()).await.unwrap();
    assert!(stranger.set("visits", 1_u64).await.is_err());
    assert!(manager.ping().await.is_err());
    id
}

fn in_a_runtime<T>(work: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap().block_on(work)
}

#[test]
fn what_a_provider_fails_at_is_logged_by_kind_and_without_an_id() {
    let _turn = ONE_AFTER_THE_OTHER.lock();
    let log = Log::default();
    let id = tracing::subscriber::with_default(logging(&log), || in_a_runtime(request_to_nobody()));
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let events: Vec<_> = log.lines().filter(|line| line.contains("ERROR")).collect();
    assert_eq!(events.len(), 3, "{log}");
    for event in events {
        for told in [
            "kind=\"unreachable\"",
            "the session provider failed",
            "error.sources=",
        ] {
            assert!(event.contains(told), "{told} is missing in\n{event}");
        }
    }
    for part in [&id[..22], &id[22..]] {
        assert!(!log.contains(part), "a part of an id in\n{log}");
    }
}

#[test]
fn what_a_provider_fails_at_is_counted_by_kind() {
    let _turn = ONE_AFTER_THE_OTHER.lock();
    let recorder = DebuggingRecorder::new();
    metrics::with_local_recorder(&recorder, || in_a_runtime(request_to_nobody()));
    let failures = recorder.snapshotter().snapshot().into_vec().into_iter();
    let failures: Vec<_> = failures
        .filter(|(key, ..)| key.key().name() == "dwell.session.failures")
        .map(|(key, _, _, value)| {
            let kind = key.key().labels().next().unwrap().value().to_owned();
            (kind, value)
        })
        .collect();
    assert_eq!(
        failures,
        [("unreachable".to_owned(), DebugValue::Counter(3))]
    );
}

#[test]
fn a_cookie_that_reaches_nobody_is_logged_and_counted() {
    let _turn = ONE_AFTER_THE_OTHER.lock();
    let (log, recorder) = (Log::default(), DebuggingRecorder::new());
    let (manager, _store) = manager();
    let handler = tower::service_fn(async |request: http::Request<()>| {
        let session = request.extensions().get::<Session>().unwrap();
        session.set("visits", 1_u64).await.unwrap();
        Err::<http::Response<String>, _>("too slow")
    });
    let site = SessionLayer::new(manager).layer(handler);
    tracing::subscriber::with_default(logging(&log), || {
        metrics::with_local_recorder(&recorder, || {
            let answer = pollster::block_on(site.oneshot(http::Request::new(())));
            assert!(answer.is_err());
        });
    });
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(
        log.contains("WARN") && log.contains("cookie is lost"),
        "{log}"
    );
    let lost = recorder.snapshotter().snapshot().into_vec().into_iter();
    let mut lost = lost.filter(|(key, ..)| {
        key.key()
            .labels()
            .any(|label| (label.key(), label.value()) == ("action", "lost"))
    });
    assert_eq!(lost.next().unwrap().3, DebugValue::Counter(1));
}

#[test]
fn metrics_count_what_happened() {
    let _turn = ONE_AFTER_THE_OTHER.lock();
    let recorder = DebuggingRecorder::new();
    let (manager, store) = manager();
    metrics::with_local_recorder(&recorder, || {
        pollster::block_on(requests(&manager));
        store.stats().publish();
    });
    let mut seen = BTreeMap::new();
    for (key, _, _, value) in recorder.snapshotter().snapshot().into_vec() {
        let labels = key.key().labels();
        let labels: String = labels
            .map(|label| format!(" {}={}", label.key(), label.value()))
            .collect();
        let value = match value {
            DebugValue::Counter(count) => count as f64,
            DebugValue::Gauge(value) => value.into_inner(),
            DebugValue::Histogram(_) => panic!("there are no histograms"),
        };
        seen.insert(format!("{}{labels}", key.key().name()), value);
    }
    let due = [
        ("dwell.session.cookies action=issued", 1.0),
        ("dwell.session.cookies action=removed", 1.0),
        ("dwell.session.count state=anonymous", 0.0),
        ("dwell.session.count state=owned", 0.0),
        ("dwell.session.created", 1.0),
        ("dwell.session.ended reason=destroyed", 1.0),
        ("dwell.session.ended reason=evicted", 0.0),
        ("dwell.session.ended reason=expired", 0.0),
        ("dwell.session.lookups outcome=found", 1.0),
        ("dwell.session.lookups outcome=malformed", 1.0),
        ("dwell.session.lookups outcome=no_cookie", 1.0),
        ("dwell.session.lookups outcome=unknown", 1.0),
        ("dwell.session.lost_events", 0.0),
        ("dwell.session.refused_writes", 0.0),
        ("dwell.session.renewed", 1.0),
        ("dwell.session.size", 0.0),
    ];
    let due: BTreeMap<_, _> = due.map(|(name, value)| (name.to_owned(), value)).into();
    assert_eq!(seen, due);
}
