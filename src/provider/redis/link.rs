//! The connections: made when they are first needed, shared by all requests, and made anew when they break.
//!
//! A connection is multiplexed: requests that overlap are pipelined. A session always uses the same one, by
//! its name, so that a server sees the requests of one session in order. Connections sit in an
//! [`IdleMap`]: who finds one that broke takes it out, as it does itself when it is closed, and whoever comes next
//! makes a new one, while the others wait for that. In a cluster there are as many to each node, and a request goes where `nodes` says, or
//! where the node that was asked says.
//!
//! **Time.** An operation ends within the time that it was given, whatever happens: connecting, repeating and
//! the pauses between included.

use super::asking::Asking;
use super::driver::Driver;
use super::eviction;
use super::failure::{RedisFailure, is_unknown_command, lacks_script};
use super::names::Target;
use super::near::Near;
use super::nodes::{Node, Nodes, Way};
use super::scripts::Call;
use crate::{Handle, IdleMap};
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, FromRedisValue, ProtocolVersion, PushInfo, PushKind,
    RedisError, Value,
};
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep, timeout_at};

/// The first pause before a request is repeated, on average; each one after it is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(8);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// How often in a row a request is sent elsewhere without a pause.
const MOST_REDIRECTIONS: usize = 4;

/// A place for a connection, which whoever comes first makes.
pub(super) type Place = Arc<OnceCell<MultiplexedConnection>>;

/// One of the connections to a node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Spot {
    node: Node,
    number: usize,
}

/// What a request may be asked twice for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Doing it twice is the same as doing it once: it is asked again whatever happened.
    Always,
    /// It is asked again only if it was certainly not done.
    IfNotDone,
}

pub(super) struct Link {
    driver: Driver,
    nodes: Nodes,
    connections: Arc<IdleMap<Spot, Place>>,
    count: usize,
    timeout: Duration,
    /// Whether the server may end sessions by itself.
    allows_eviction: bool,
    /// Has the server tell what becomes of what was read.
    near: Option<Arc<Near>>,
}

impl Link {
    pub(super) fn new(
        nodes: Nodes,
        count: usize,
        timeout: Duration,
        allows_eviction: bool,
        near: Option<Arc<Near>>,
    ) -> io::Result<Self> {
        Ok(Self {
            allows_eviction,
            near,
            nodes,
            connections: Arc::new(IdleMap::without_idle_timeout()),
            count,
            timeout,
            driver: Driver::start()?,
        })
    }

    /// When an operation that begins now must be over.
    pub(super) fn end(&self) -> Instant {
        Instant::now() + self.timeout
    }

    /// The time that an operation was given is over, and it has asked for nothing.
    pub(super) fn timed_out(&self) -> RedisFailure {
        RedisFailure::TimedOut {
            after: self.timeout,
            asked: false,
        }
    }

    pub(super) fn near(&self) -> Option<&Near> {
        self.near.as_deref()
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
            let failure = match self.attempt(&spot, way.is_asking, script, end).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            redirection = self.nodes.follow(slot, &spot.node, &failure);
            if redirection.is_some() {
                if let (Some(near), Target::Session(name)) = (self.near(), target) {
                    near.forget(name);
                }
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
        end: Instant,
    ) -> Result<T, RedisFailure> {
        let make = || Arc::new(OnceCell::new());
        let place = self.connections.get_or_insert_with(spot.clone(), make);
        let mut asked = false;
        let began = std::time::Instant::now();
        let work = async {
            let connect = || self.connect(spot, &place);
            let mut connection = place.get_or_try_init(connect).await?.clone();
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
            self.give_up(spot, &place);
        } else if let Some(near) = self.near() {
            near.heard(spot, &place, began);
        }
        result
    }

    async fn connect(
        &self,
        spot: &Spot,
        place: &Place,
    ) -> Result<MultiplexedConnection, RedisFailure> {
        let client = self.nodes.client(&spot.node);
        let client = client.map_err(RedisFailure::to_connect)?;
        let config = self.config();
        let hearing = config.clone().set_push_sender(self.hear(spot, place));
        let mut connection = match self.open(client.clone(), hearing).await {
            Err(error) if is_unknown_command(&error) && self.near.is_some() => {
                return Err(RedisFailure::NoTracking(error));
            }
            // Without HELLO the server says nothing by itself, not even that it closes the connection.
            Err(error) if is_unknown_command(&error) => {
                let client = without_hello(&client).map_err(RedisFailure::to_connect)?;
                self.open(client, config).await
            }
            opened => opened,
        }
        .map_err(RedisFailure::to_connect)?;
        if !self.allows_eviction {
            eviction::refuse(&mut connection).await?;
        }
        if self.near.is_some() {
            let mut tracking = redis::cmd("CLIENT");
            tracking.arg("TRACKING").arg("ON");
            tracking.exec_async(&mut connection).await.map_err(
                |error| match is_unknown_command(&error) {
                    true => RedisFailure::NoTracking(error),
                    false => RedisFailure::to_connect(error),
                },
            )?;
        }
        if self.nodes.must_be_cluster() {
            // Servers that know nothing of each other would each have some of the sessions.
            let mut member = redis::cmd("CLUSTER");
            let asked = member.arg("MYID").exec_async(&mut connection).await;
            asked.map_err(RedisFailure::to_connect)?;
        }
        Ok(connection)
    }

    fn config(&self) -> AsyncConnectionConfig {
        // The time of the request counts, not the client's own.
        AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(None)
    }

    async fn open(
        &self,
        client: Client,
        config: AsyncConnectionConfig,
    ) -> Result<MultiplexedConnection, RedisError> {
        let open = async move {
            client
                .get_multiplexed_async_connection_with_config(&config)
                .await
        };
        self.driver.run(open).await?
    }

    /// Hears what the server says by itself.
    fn hear(
        &self,
        spot: &Spot,
        place: &Place,
    ) -> impl Fn(PushInfo) -> Result<(), Infallible> + Send + Sync + 'static {
        let (spot, own) = (spot.clone(), Arc::downgrade(place));
        // It is theirs, so it must not keep them.
        let connections = Arc::downgrade(&self.connections);
        let near = self.near.as_ref().map_or_else(Weak::new, Arc::downgrade);
        // Called in the order in which things come, before the answers that come later.
        move |push: PushInfo| {
            if let (PushKind::Disconnection, Some(connections)) =
                (&push.kind, connections.upgrade())
            {
                // Nobody shall ask over it any more: they could not know whether anything was done.
                let is_it = |other: &Place| std::ptr::eq(Arc::as_ptr(other), own.as_ptr());
                connections.remove_if(&spot, is_it);
            }
            if let Some(near) = near.upgrade() {
                near.told(&spot, &push);
            }
            Ok(())
        }
    }

    /// Lets nobody else find a connection that broke. Who uses it still has it.
    fn give_up(&self, spot: &Spot, place: &Handle<Spot, Place>) {
        let is_it = |other: &Place| Arc::ptr_eq(other, place);
        self.connections.remove_if(spot, is_it);
        self.nodes.failed(&spot.node);
        if let Some(near) = self.near() {
            near.lost(spot);
        }
    }
}

/// Asks one thing, and makes sure that the answer is to that.
async fn ask<T: FromRedisValue>(
    connection: &mut MultiplexedConnection,
    is_asking: bool,
    command: impl Fn(u64) -> Cmd,
) -> Result<T, RedisFailure> {
    // Random: behind a proxy other programs ask over the same connection. Without random bytes there are no new
    // sessions either.
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

/// The same server, asked as servers were before Redis 6.
fn without_hello(client: &Client) -> Result<Client, RedisError> {
    let info = client.get_connection_info().clone();
    let settings = info.redis_settings().clone();
    Client::open(info.set_redis_settings(settings.set_protocol(ProtocolVersion::RESP2)))
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
