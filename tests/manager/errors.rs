//! Errors: each message of a chain is said once, and a response says the kind and nothing else.

use dwell::manager::{Manager, ManagerError};
use dwell::provider::{MemoryProvider, Registry, RegistryError};
use dwell::session::{SessionError, SessionStore};
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

fn denied() -> io::Error {
    io::Error::other("the disk is on fire")
}

/// The messages of an error and of what caused it.
fn chain(error: &dyn Error) -> Vec<String> {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(|error| error.to_string()).collect()
}

#[track_caller]
fn assert_said_once(error: &dyn Error) {
    let chain = chain(error);
    for (at, message) in chain.iter().enumerate() {
        for cause in &chain[at + 1..] {
            assert!(
                !message.contains(cause.as_str()),
                "{cause:?} is said twice in {chain:?}"
            );
        }
    }
    assert!(chain.len() > 1, "no cause is told: {chain:?}");
}

#[test]
fn each_message_of_a_chain_is_said_once() {
    assert_said_once(&SessionError::Backend(denied().into()));
    assert_said_once(&SessionError::Random(denied()));
    let registry = Registry::new();
    registry
        .register("broken", |_| Err(denied().into()))
        .unwrap();
    let error = Manager::builder("sid")
        .provider_named("broken")
        .build_from(&registry);
    let error = error.unwrap_err();
    assert!(matches!(
        error,
        ManagerError::Provider(RegistryError::NotOpened { .. })
    ));
    assert_said_once(&error);
}

#[cfg(feature = "snapshot")]
#[test]
fn each_message_of_a_snapshots_error_is_said_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = dwell::snapshot::SnapshotFile::new(folder.path().join("no such folder/sessions"));
    let store = SessionStore::new(Duration::from_secs(60));
    assert_said_once(&file.write(&store).unwrap_err());
}

#[cfg(feature = "axum")]
#[test]
fn a_response_says_the_kind_of_an_error_and_nothing_else() {
    use axum::response::IntoResponse;
    use dwell::session::Attributes;

    let wrong_type = || {
        let mut attributes = Attributes::default();
        attributes.set("secret plan", 7_u32).unwrap();
        attributes.get::<String>("secret plan").unwrap_err()
    };
    let conflict = SessionError::Conflict {
        expected: 1,
        current: 2,
    };
    for (error, status) in [
        (SessionError::Ended, 410),
        (SessionError::Superseded, 409),
        (conflict, 409),
        (SessionError::Finished, 500),
        (wrong_type().into(), 500),
        (SessionError::Random(denied()), 503),
        (SessionError::Contended, 503),
        (SessionError::Collision, 503),
        (SessionError::Unavailable, 503),
        (SessionError::Backend(denied().into()), 503),
    ] {
        let shown = format!("{error:?}");
        let response = error.into_response();
        assert_eq!(response.status(), status, "{shown}");
        assert_eq!(response.headers()["cache-control"], "no-store", "{shown}");
        let body = axum::body::to_bytes(response.into_body(), 1_000);
        assert!(pollster::block_on(body).unwrap().is_empty(), "{shown}");
    }
}

#[test]
fn settings_beside_a_provider_that_has_its_own_are_refused() {
    let store = SessionStore::new(Duration::from_secs(60));
    let provider = Arc::new(MemoryProvider::new(store));
    let settings = dwell::session::Settings::new(Duration::from_secs(7));
    let builder = || Manager::builder("sid");
    for both in [
        builder().provider(provider.clone()).settings(settings),
        builder().settings(settings).provider(provider.clone()),
    ] {
        let refused = both.build().unwrap_err();
        assert!(
            matches!(refused, ManagerError::SettingsBesideProvider),
            "{refused:?}"
        );
    }
    assert!(builder().provider(provider).build().is_ok());
    assert!(builder().settings(settings).build().is_ok());
}
