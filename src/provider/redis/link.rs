//! The connections: made when they are first needed, shared by all requests, and made anew when they break.
//!
//! A connection is multiplexed: requests that overlap are pipelined. A session always uses the same one, by
//! its name, so that a server sees the requests of one session in order. Connections sit in an
//! [`IdleMap`]: who finds one that broke takes it out, and whoever comes next makes a new one, while the
//! others wait for that.
//!
//! **Time.** An operation ends within the time that it was given, whatever happens: connecting, repeating and
//! the pauses between included.

use super::failure::RedisFailure;
use super::near::Near;
use crate::{Handle, IdleMap};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, FromRedisValue, PushInfo, ScriptInvocation};
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep, timeout_at};

/// Connections do not lapse: the longest idle timeout that a map takes.
const FOREVER: Duration = Duration::from_secs(34 * 365 * 24 * 60 * 60);
/// The first pause before a request is repeated, on average; each one after it is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(8);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// A place for a connection, which whoever comes first makes.
pub(super) type Place = Arc<OnceCell<MultiplexedConnection>>;

/// What a request may be asked twice for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Doing it twice is the same as doing it once: it is asked again whatever happened.
    Always,
    /// It is asked again only if it was certainly not done.
    IfNotDone,
}

pub(super) struct Link {
    client: Client,
    connections: IdleMap<usize, Place>,
    count: usize,
    timeout: Duration,
    /// Has the server tell what becomes of what was read.
    near: Option<Arc<Near>>,
}

impl Link {
    pub(super) fn new(
        client: Client,
        count: usize,
        timeout: Duration,
        near: Option<Arc<Near>>,
    ) -> Self {
        Self {
            near,
            client,
            connections: IdleMap::new(FOREVER),
            count,
            timeout,
        }
    }

    /// When an operation that begins now must be over.
    pub(super) fn end(&self) -> Instant {
        Instant::now() + self.timeout
    }

    pub(super) fn near(&self) -> Option<&Near> {
        self.near.as_deref()
    }

    /// The connection for a hash.
    pub(super) fn number(&self, hash: u8) -> usize {
        usize::from(hash) % self.count
    }

    /// Has a script run. `hash` chooses the connection.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        hash: u8,
        script: &ScriptInvocation<'_>,
        repeat: Repeat,
        end: Instant,
    ) -> Result<T, RedisFailure> {
        let number = self.number(hash);
        let mut pause = FIRST_PAUSE;
        loop {
            let failure = match self.attempt(number, script, end).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let may_be_repeated = failure.may_be_repeated(repeat == Repeat::Always);
            let pause_now = pause.mul_f64(2.0 * random_share());
            if !may_be_repeated || Instant::now() + pause_now >= end {
                return Err(failure);
            }
            sleep(pause_now).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn attempt<T: FromRedisValue>(
        &self,
        number: usize,
        script: &ScriptInvocation<'_>,
        end: Instant,
    ) -> Result<T, RedisFailure> {
        let place = self
            .connections
            .get_or_insert_with(number, || Arc::new(OnceCell::new()));
        let mut asked = false;
        let began = std::time::Instant::now();
        let work = async {
            let connect = || self.connect(number);
            let connection = place.get_or_try_init(connect).await;
            let mut connection = connection.map_err(RedisFailure::to_connect)?.clone();
            asked = true;
            let answer = script.invoke_async(&mut connection).await;
            answer.map_err(RedisFailure::to_answer)
        };
        let result = timeout_at(end, work).await.unwrap_or_else(|_| {
            Err(RedisFailure::TimedOut {
                after: self.timeout,
                asked,
            })
        });
        if result.as_ref().is_err_and(RedisFailure::is_of_connection) {
            self.give_up(number, &place);
        } else if let Some(near) = self.near() {
            near.heard(number, &place, began);
        }
        result
    }

    async fn connect(&self, number: usize) -> Result<MultiplexedConnection, redis::RedisError> {
        // The time of the request counts, not the client's own.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(None);
        let Some(near) = self.near.clone() else {
            return self.open(&config).await;
        };
        // Called in the order in which things come, before the answers that come later.
        let config = config.set_push_sender(move |push: PushInfo| {
            near.told(number, &push);
            Ok::<(), Infallible>(())
        });
        let mut connection = self.open(&config).await?;
        let mut tracking = redis::cmd("CLIENT");
        tracking.arg("TRACKING").arg("ON").arg("NOLOOP");
        tracking.exec_async(&mut connection).await?;
        Ok(connection)
    }

    async fn open(
        &self,
        config: &AsyncConnectionConfig,
    ) -> Result<MultiplexedConnection, redis::RedisError> {
        let opened = self
            .client
            .get_multiplexed_async_connection_with_config(config);
        opened.await
    }

    /// Lets nobody else find a connection that broke. Who uses it still has it.
    fn give_up(&self, number: usize, place: &Handle<usize, Place>) {
        let is_it = |other: &Place| Arc::ptr_eq(other, place);
        self.connections.remove_if(&number, is_it);
        if let Some(near) = self.near() {
            near.lost(number);
        }
    }
}

/// From 0 to 1: who fail together shall not come back together.
fn random_share() -> f64 {
    getrandom::u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX))
}

impl fmt::Debug for Link {
    /// Without the address: it may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("connections", &self.count)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
