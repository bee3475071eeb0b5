//! What the tests ask a provider for, and how they look at its answers.

use super::{LONG, runtime};
use dwell::provider::redis::RedisFailure;
use dwell::provider::{Access, By, Provider, RedisProvider};
use dwell::session::{Changes, SessionError, SessionKey};
use std::future::Future;

/// Runs a test. One that hangs fails.
pub fn run(test: impl Future<Output = ()>) {
    runtime().block_on(async {
        let ended = tokio::time::timeout(LONG, test).await;
        ended.expect("nothing hangs");
    });
}

pub fn set(name: &str, value: u64) -> Changes {
    Changes::default()
        .set(name, value)
        .expect("a number is JSON")
}

/// A number of a session, which counts as used.
pub async fn touch(provider: &RedisProvider, key: &SessionKey, name: &str) -> Option<u64> {
    get(provider, key, name, Access::Touch).await
}

/// A number of a session, which does not count as used.
pub async fn peek(provider: &RedisProvider, key: &SessionKey, name: &str) -> Option<u64> {
    get(provider, key, name, Access::Peek).await
}

async fn get(
    provider: &RedisProvider,
    key: &SessionKey,
    name: &str,
    access: Access,
) -> Option<u64> {
    let session = provider
        .read(By::Key(*key), access)
        .await
        .expect("a server")?;
    let value = session.attributes.get::<u64>(name).expect("a number");
    value.map(|value| *value)
}

#[track_caller]
pub fn failure<T>(result: &Result<T, SessionError>) -> &RedisFailure {
    match result {
        Ok(_) => panic!("it should have failed"),
        Err(error) => RedisFailure::of(error).expect("a failure of the server's"),
    }
}

/// Why an operation fails, if it is not because the time was over just then: a machine may stand
/// still.
pub async fn reason<T>(
    mut operation: impl AsyncFnMut() -> Result<T, SessionError>,
) -> RedisFailure {
    loop {
        let error = operation().await.err().expect("it should have failed");
        match error {
            SessionError::Backend(source) => match *source.downcast().expect("the server's") {
                RedisFailure::TimedOut { .. } => {}
                failure => return failure,
            },
            other => panic!("{other}"),
        }
    }
}
