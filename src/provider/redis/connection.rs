//! The connections: made when they are first needed, shared by all requests, and made anew when
//! they break.
//!
//! A connection is multiplexed: requests that overlap are pipelined. A session always uses the same
//! one, by its name, so that a server sees the requests of one session in order. Connections sit in
//! an [`IdleMap`]. A caller that finds one broken takes it out, as the connection does itself when
//! it is closed. The next caller makes a new one, and the others wait for that. In a cluster there
//! are as many to each node.

use super::driver::Driver;
use super::eviction;
use super::failure::{RedisFailure, is_unknown_command};
use super::nodes::{Node, Nodes};
use crate::{Clock, Handle, IdleMap};
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{AsyncConnectionConfig, Client, ProtocolVersion, PushInfo, PushKind, RedisError};
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::OnceCell;

/// A connection that cannot tell of its own end is asked whether it lives if nothing came over it
/// for so long. No Redis server closes a connection that was silent for less than a second.
const SILENCE: Duration = Duration::from_millis(500);

/// A place for a connection, which the first caller that needs it makes.
pub(super) type Place = Arc<OnceCell<Connection>>;

/// One of the connections to a node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Spot {
    pub(super) node: Node,
    pub(super) number: usize,
}

pub(super) struct Connection {
    multiplexed: MultiplexedConnection,
    /// Whether its end is told as soon as it comes. Over RESP2 only the next request finds out.
    tells_of_its_end: bool,
}

/// Is told what becomes of connections.
pub(super) trait Watcher: Send + Sync {
    /// A connection has answered a question that was asked at some time.
    fn heard(&self, spot: &Spot, place: &Place, asked: Instant);

    /// A connection is lost.
    fn lost(&self, spot: &Spot);

    /// The server says something by itself. Called in the order in which things come, before the
    /// answers that come later.
    fn told(&self, spot: &Spot, push: &PushInfo);
}

pub(super) struct Connections {
    driver: Driver,
    connections: Arc<IdleMap<Spot, Place>>,
    /// Where something came in of late.
    heard: IdleMap<Spot, Place>,
    timeout: Duration,
    /// Whether the server may end sessions by itself.
    allows_eviction: bool,
    /// Has the server tell what becomes of what was read.
    watcher: Option<Arc<dyn Watcher>>,
}

impl Connections {
    pub(super) fn new(
        timeout: Duration,
        allows_eviction: bool,
        watcher: Option<Arc<dyn Watcher>>,
        clock: Arc<dyn Clock>,
    ) -> io::Result<Self> {
        let heard = IdleMap::builder().idle_timeout(SILENCE).clock(clock);
        Ok(Self {
            driver: Driver::start()?,
            connections: Arc::new(IdleMap::without_idle_timeout()),
            heard: heard.build().expect("the time is not 0"),
            timeout,
            allows_eviction,
            watcher,
        })
    }

    /// The place of a connection. It may be empty.
    pub(super) fn place(&self, spot: &Spot) -> Handle<Spot, Place> {
        let make = || Arc::new(OnceCell::new());
        self.connections.get_or_insert_with(spot.clone(), make)
    }

    /// The connection at a place, which is made if there is none. With `for_sure` it was alive just
    /// now: what is asked next does not meet one that was closed before.
    pub(super) async fn at(
        &self,
        spot: &Spot,
        place: &Place,
        nodes: &Nodes,
        for_sure: bool,
    ) -> Result<MultiplexedConnection, RedisFailure> {
        let connect = || self.connect(spot, place, nodes);
        let connection = place.get_or_try_init(connect).await?;
        let mut multiplexed = connection.multiplexed.clone();
        let is_heard = || {
            let heard = self.heard.peek(spot);
            heard.is_some_and(|heard| Arc::ptr_eq(&heard, place))
        };
        if for_sure && !connection.tells_of_its_end && !is_heard() {
            // Any answer will do, a refusal too.
            let answer = multiplexed.req_packed_command(&redis::cmd("PING")).await;
            if let Err(failure @ RedisFailure::Unreachable(_)) =
                answer.map_err(RedisFailure::to_connect)
            {
                return Err(failure);
            }
        }
        Ok(multiplexed)
    }

    /// A connection has answered a question that was asked at some time.
    pub(super) fn heard(&self, spot: &Spot, place: &Place, asked: Instant) {
        if let Some(connection) = place.get()
            && !connection.tells_of_its_end
        {
            self.heard.insert(spot.clone(), Arc::clone(place));
        }
        if let Some(watcher) = &self.watcher {
            watcher.heard(spot, place, asked);
        }
    }

    /// Lets nobody else find a connection that broke. The callers that use it still have it.
    pub(super) fn give_up(&self, spot: &Spot, place: &Place) {
        let is_it = |other: &Place| Arc::ptr_eq(other, place);
        self.connections.remove_if(spot, is_it);
        if let Some(watcher) = &self.watcher {
            watcher.lost(spot);
        }
    }

    async fn connect(
        &self,
        spot: &Spot,
        place: &Place,
        nodes: &Nodes,
    ) -> Result<Connection, RedisFailure> {
        let client = nodes.client(&spot.node);
        let client = client.map_err(RedisFailure::to_connect)?;
        let config = self.config();
        let hearing = config.clone().set_push_sender(self.hear(spot, place));
        let mut tells_of_its_end = true;
        let mut multiplexed = match self.open(client.clone(), hearing).await {
            Err(error) if is_unknown_command(&error) && self.watcher.is_some() => {
                return Err(RedisFailure::NoTracking(error));
            }
            // Without HELLO the server says nothing by itself, and nothing comes of the
            // connection's end either.
            Err(error) if is_unknown_command(&error) => {
                tells_of_its_end = false;
                let client = without_hello(&client).map_err(RedisFailure::to_connect)?;
                self.open(client, config).await
            }
            opened => opened,
        }
        .map_err(RedisFailure::to_connect)?;
        if !self.allows_eviction {
            eviction::refuse(&mut multiplexed).await?;
        }
        if self.watcher.is_some() {
            let mut tracking = redis::cmd("CLIENT");
            let tracking = tracking.arg("TRACKING").arg("ON");
            let tracks = tracking.exec_async(&mut multiplexed).await;
            tracks.map_err(|error| match is_unknown_command(&error) {
                true => RedisFailure::NoTracking(error),
                false => RedisFailure::to_connect(error),
            })?;
        }
        if nodes.must_be_cluster() {
            // Servers that know nothing of each other would each have some of the sessions.
            let mut member = redis::cmd("CLUSTER");
            let asked = member.arg("MYID").exec_async(&mut multiplexed).await;
            asked.map_err(RedisFailure::to_connect)?;
        }
        Ok(Connection {
            multiplexed,
            tells_of_its_end,
        })
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
        // The connections own this closure, so it must not own them.
        let connections = Arc::downgrade(&self.connections);
        let watcher = self.watcher.as_ref().map(Arc::downgrade);
        move |push: PushInfo| {
            if let (PushKind::Disconnection, Some(connections)) =
                (&push.kind, connections.upgrade())
            {
                // Nobody shall ask over it any more: a caller could not know whether anything was
                // done.
                let is_it = |other: &Place| std::ptr::eq(Arc::as_ptr(other), own.as_ptr());
                connections.remove_if(&spot, is_it);
            }
            if let Some(watcher) = watcher.as_ref().and_then(Weak::upgrade) {
                watcher.told(&spot, &push);
            }
            Ok(())
        }
    }
}

/// The same server, asked as servers were before Redis 6.
fn without_hello(client: &Client) -> Result<Client, RedisError> {
    let info = client.get_connection_info().clone();
    let settings = info.redis_settings().clone();
    Client::open(info.set_redis_settings(settings.set_protocol(ProtocolVersion::RESP2)))
}
