//! What operators see, with the features `tracing` and `metrics`: enough, and never an id.

use dwell::manager::Manager;
use dwell::provider::MemoryProvider;
use dwell::session::SessionStore;
use http::{HeaderMap, header};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;
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

/// Whether a span is of interest is asked once in a process, and where no subscriber is, it is not: a test without one must
/// not be the first to come to a span while the other one runs.
static ONE_AFTER_THE_OTHER: Mutex<()> = Mutex::new(());

#[test]
fn spans_tell_what_happened_and_no_id() {
    let _turn = ONE_AFTER_THE_OTHER.lock();
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(FmtSpan::CLOSE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let (manager, _store) = manager();
    let ids =
        tracing::subscriber::with_default(subscriber, || pollster::block_on(requests(&manager)));
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
        ("dwell.session.refused_writes", 0.0),
        ("dwell.session.renewed", 1.0),
        ("dwell.session.size", 0.0),
    ];
    let due: BTreeMap<_, _> = due.map(|(name, value)| (name.to_owned(), value)).into();
    assert_eq!(seen, due);
}
