//! The link: takes a script to the server that has its session, and brings the answer back.
//!
//! **Place.** In a cluster a request goes where `nodes` says, or where the node that was asked
//! says.
//!
//! **Time.** An operation ends within the time that it was given, whatever happens: connecting,
//! repeating and the pauses between included.
//!
//! **Answers.** Each begins and ends with a number that its request had, so that no request takes
//! another one's.

use super::asking::Asking;
use super::connection::{Connections, Place, Spot, Watcher};
use super::failure::{RedisFailure, lacks_script};
use super::names::Target;
use super::nodes::{Node, Nodes, Way};
use super::scripts::Call;
use crate::Clock;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue, Value};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// The first pause before a request is repeated, on average; each one after it is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(8);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// How often in a row a request is sent elsewhere without a pause.
const MOST_REDIRECTIONS: usize = 4;

/// What a request may be asked twice for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Doing it twice is the same as doing it once: it is asked again whatever happened.
    Always,
    /// It is asked again only if it was certainly not done.
    IfNotDone,
}

pub(super) struct Link {
    nodes: Nodes,
    connections: Connections,
    /// How many connections there are to each node.
    count: usize,
    timeout: Duration,
}

impl Link {
    pub(super) fn new(
        nodes: Nodes,
        count: usize,
        timeout: Duration,
        allows_eviction: bool,
        watcher: Option<Arc<dyn Watcher>>,
        clock: Arc<dyn Clock>,
    ) -> io::Result<Self> {
        Ok(Self {
            nodes,
            connections: Connections::new(timeout, allows_eviction, watcher, clock)?,
            count,
            timeout,
        })
    }

    /// When an operation that begins now must be over.
    pub(super) fn end(&self) -> Instant {
        Instant::now() + self.timeout
    }

    /// The connection that a request goes to, as far as it is known here.
    pub(super) fn spot(&self, target: Target) -> Spot {
        let slot = target.slot();
        self.spot_at(slot, self.nodes.home(slot))
    }

    fn spot_at(&self, slot: u16, node: Node) -> Spot {
        let number = usize::from(slot) % self.count;
        Spot { node, number }
    }

    /// Has a script run, where its target is.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        target: Target,
        script: &Call<'_>,
        repeat: Repeat,
        end: Instant,
    ) -> Result<T, RedisFailure> {
        let (answer, _) = self.run_over(target, script, repeat, end).await?;
        Ok(answer)
    }

    /// As [`run`](Self::run); tells also over which connection the answer came.
    pub(super) async fn run_over<T: FromRedisValue>(
        &self,
        target: Target,
        script: &Call<'_>,
        repeat: Repeat,
        end: Instant,
    ) -> Result<(T, Place), RedisFailure> {
        let slot = target.slot();
        let mut pause = FIRST_PAUSE;
        let mut redirections = 0;
        let mut redirection = None;
        let mut told = None;
        loop {
            let way = redirection.take().unwrap_or_else(|| Way {
                node: self.nodes.home(slot),
                is_asking: false,
            });
            let spot = self.spot_at(slot, way.node);
            let failure = match self
                .attempt(&spot, way.is_asking, script, repeat, end)
                .await
            {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            redirection = self.nodes.follow(slot, &spot.node, &failure);
            if redirection.is_some() {
                redirections += 1;
                if redirections % MOST_REDIRECTIONS != 0 {
                    continue;
                }
            }
            let may_be_repeated = failure.may_be_repeated(repeat == Repeat::Always);
            let pause_now = pause.mul_f64(2.0 * random_share());
            if !may_be_repeated || Instant::now() + pause_now >= end {
                return Err(failure.after(told));
            }
            told = Some(failure.after(told));
            sleep(pause_now).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn attempt<T: FromRedisValue>(
        &self,
        spot: &Spot,
        is_asking: bool,
        script: &Call<'_>,
        repeat: Repeat,
        end: Instant,
    ) -> Result<(T, Place), RedisFailure> {
        let place = self.connections.place(spot);
        let mut asked = false;
        let began = std::time::Instant::now();
        let work = async {
            let for_sure = repeat == Repeat::IfNotDone;
            let connection = self.connections.at(spot, &place, &self.nodes, for_sure);
            let mut connection = connection.await?;
            asked = true;
            let by_hash = |number| script.by_hash(number);
            match ask(&mut connection, is_asking, by_hash).await {
                Err(RedisFailure::NotReady(error)) if lacks_script(&error) => {
                    ask(&mut connection, is_asking, |number| script.by_text(number)).await
                }
                answer => answer,
            }
        };
        let result = timeout_at(end, work).await.unwrap_or_else(|_| {
            Err(RedisFailure::TimedOut {
                after: self.timeout,
                asked,
            })
        });
        if result.as_ref().is_err_and(RedisFailure::is_of_connection) {
            self.connections.give_up(spot, &place);
            self.nodes.failed(&spot.node);
        } else {
            self.connections.heard(spot, &place, began);
        }
        Ok((result?, Arc::clone(&place)))
    }
}

/// Asks one thing, and makes sure that the answer is to that.
async fn ask<T: FromRedisValue>(
    connection: &mut MultiplexedConnection,
    is_asking: bool,
    command: impl Fn(u64) -> Cmd,
) -> Result<T, RedisFailure> {
    // Random: behind a proxy other programs ask over the same connection. Without random bytes
    // there are no new sessions either.
    let number = getrandom::u64().unwrap_or_default();
    let command = command(number);
    let answer: Result<Value, _> = match is_asking {
        false => command.query_async(connection).await,
        true => command.query_async(&mut Asking(connection)).await,
    };
    let Value::Array(parts) = answer.map_err(RedisFailure::to_answer)? else {
        return Err(RedisFailure::WrongAnswer);
    };
    let is_number = |value: &Value| matches!(value, Value::BulkString(text) if text == number.to_string().as_bytes());
    match <[Value; 3]>::try_from(parts) {
        Ok([begin, answer, end]) if is_number(&begin) && is_number(&end) => {
            let read = redis::from_redis_value(answer);
            read.map_err(|_| RedisFailure::NotASession("an answer of another kind"))
        }
        _ => Err(RedisFailure::WrongAnswer),
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
