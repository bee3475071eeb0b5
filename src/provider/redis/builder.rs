//! How a provider of sessions in a server is built.

use super::RedisProvider;
use super::connection::Watcher;
use super::link::Link;
use super::names::Names;
use super::near::{Limits, Near};
use super::nodes::Nodes;
use super::owners::nothing_seen;
use super::queue::Queues;
use super::remote::{Remote, resolution};
use super::scripts::Scripts;
#[cfg(feature = "redis-tls")]
use super::tls::Tls;
use crate::session::Settings;
use crate::{BuildError, Clock, CoarseClock, IdleMap};
use redis::io::tcp::TcpSettings;
use redis::io::tcp::socket2::TcpKeepalive;
use redis::{Client, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisError};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1);
const DEFAULT_CONNECTIONS: usize = 4;
/// Of the near cache, in bytes.
const DEFAULT_BYTES: u64 = 64 << 20;
const DEFAULT_STALENESS: Duration = Duration::from_secs(2);
/// How long a connection is silent before the system asks whether the other end is still there.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Makes a [`RedisProvider`], from [`RedisProvider::builder`].
///
/// ```
/// use dwell::provider::RedisProvider;
/// use dwell::session::Settings;
/// use std::time::Duration;
///
/// let settings = Settings::new(Duration::from_secs(30 * 60));
/// let provider = RedisProvider::builder("redis://127.0.0.1:6379/", "shop", settings)
///     .timeout(Duration::from_millis(500))
///     .build()?; // connects when it is first needed
/// # Ok::<(), dwell::provider::redis::RedisBuildError>(())
/// ```
#[must_use = "it does nothing until `build`"]
pub struct RedisBuilder {
    addresses: Vec<String>,
    settings: Settings,
    timeout: Duration,
    connections: usize,
    prefix: String,
    clock: Option<Arc<dyn Clock>>,
    near: Option<usize>,
    near_bytes: u64,
    staleness: Duration,
    allows_eviction: bool,
    #[cfg(feature = "redis-tls")]
    tls: Tls,
}

/// Why a [`RedisProvider`] could not be built.
///
/// ```
/// use dwell::provider::RedisProvider;
/// use dwell::provider::redis::RedisBuildError;
/// use dwell::session::Settings;
/// use std::time::Duration;
///
/// let settings = Settings::new(Duration::from_secs(60)).capacity(1_000);
/// let refused = RedisProvider::builder("redis://127.0.0.1/", "shop", settings).build();
/// assert!(matches!(refused, Err(RedisBuildError::Capacity)));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedisBuildError {
    /// The address is none, or has parts that this build does not support, such as TLS.
    #[error("the server's address is of no use")]
    Address(#[source] RedisError),
    /// The server's memory is bounded by the server.
    #[error("a capacity cannot be set here: set `maxmemory` in the server")]
    Capacity,
    /// Applications that share a server are told apart by their prefixes.
    #[error("the prefix is empty: give the application's name, and each application another one")]
    Prefix,
    /// A near cache without a touch resolution would keep nothing.
    #[error("a near cache needs a touch resolution: set `Settings::touch_resolution`")]
    NoResolution,
    /// A timeout of zero, no connections, or a near cache for no sessions.
    #[error("{setting} is 0: give at least 1")]
    Zero {
        /// The builder's method.
        setting: &'static str,
    },
    /// The thread that serves the connections could not be started.
    #[error("the system gives no thread for the connections")]
    Thread(#[source] io::Error),
    /// A setting that no provider takes.
    #[error(transparent)]
    Settings(#[from] BuildError),
}

impl RedisBuilder {
    pub(super) fn new(address: String, prefix: String, settings: Settings) -> Self {
        Self {
            addresses: vec![address],
            settings,
            timeout: DEFAULT_TIMEOUT,
            connections: DEFAULT_CONNECTIONS,
            prefix,
            clock: None,
            near: None,
            near_bytes: DEFAULT_BYTES,
            staleness: DEFAULT_STALENESS,
            allows_eviction: false,
            #[cfg(feature = "redis-tls")]
            tls: Tls::default(),
        }
    }

    /// Another node of the same cluster, which is asked where things are while the ones before it
    /// are out of reach. One address is enough while that node is up: the other nodes are found.
    /// Servers that are no cluster are refused: each would have some of the sessions.
    ///
    /// ```
    /// use dwell::provider::RedisProvider;
    /// use dwell::session::Settings;
    /// use std::time::Duration;
    ///
    /// let settings = Settings::new(Duration::from_secs(30 * 60));
    /// let provider = RedisProvider::builder("redis://10.0.0.1:6379/", "shop", settings)
    ///     .cluster_node("redis://10.0.0.2:6379/")
    ///     .cluster_node("redis://10.0.0.3:6379/")
    ///     .build()?;
    /// # Ok::<(), dwell::provider::redis::RedisBuildError>(())
    /// ```
    pub fn cluster_node(mut self, address: impl Into<String>) -> Self {
        self.addresses.push(address.into());
        self
    }

    /// Trusts the certificates that these ones sign, in PEM, and not the system's. Needs the
    /// feature `redis-tls`, and an address that begins with `rediss://`.
    #[cfg(feature = "redis-tls")]
    pub fn tls_roots(mut self, certificates: impl Into<Vec<u8>>) -> Self {
        self.tls.roots = Some(certificates.into());
        self
    }

    /// The certificate and private key, in PEM, by which the server knows this program: it asks for
    /// one, unless it is told not to. Needs the feature `redis-tls`.
    #[cfg(feature = "redis-tls")]
    pub fn tls_identity(
        mut self,
        certificate: impl Into<Vec<u8>>,
        key: impl Into<Vec<u8>>,
    ) -> Self {
        self.tls.identity = Some((certificate.into(), key.into()));
        self
    }

    /// How long an operation takes at the most, connecting and repeating included. Default: one
    /// second.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many connections there are, to each node of a cluster, over which sessions are spread.
    /// Default: 4. One is enough for most: requests that overlap are pipelined. More help where
    /// single values are large.
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// Keeps copies of so many sessions in this process, and has the server tell when one changes
    /// (client tracking): the tiered provider. Default: none.
    ///
    /// A session in use then costs the server one command in each [touch
    /// resolution](Settings::touch_resolution), however many requests there are; requests that come
    /// together share it. The copies are also bounded by
    /// [`near_cache_bytes`](Self::near_cache_bytes). What this provider changes, it sees at once;
    /// what another one changes, as soon as the server says so, and if the connection is dead
    /// without anybody knowing, after [`staleness`](Self::staleness) at the latest.
    #[doc(alias("client-side caching", "L1 cache"))]
    pub fn near_cache(mut self, sessions: usize) -> Self {
        self.near = Some(sessions);
        self
    }

    /// How many bytes the copies in the near cache may take together, by the same estimate as
    /// [`Settings::capacity_bytes`]. A session that would take more than a sixteenth of it, or more
    /// than 8 MiB, is not kept: each read asks for it. Default: 64 MiB.
    pub fn near_cache_bytes(mut self, bytes: u64) -> Self {
        self.near_bytes = bytes;
        self
    }

    /// For how long at the most a copy in the near cache counts after another machine has changed
    /// or ended the session, whatever happens to the connection. Default: 2 seconds.
    pub fn staleness(mut self, staleness: Duration) -> Self {
        self.staleness = staleness;
        self
    }

    /// Goes on with a server whose `maxmemory-policy` lets it end sessions by itself when its
    /// memory is full. Default: such a server is refused, with
    /// [`RedisFailure::Evicts`](super::RedisFailure::Evicts), when a connection to it is made.
    ///
    /// A session that is evicted is a visitor who is logged out, at any time. And what is evicted
    /// may be the index of an owner whose sessions stay: until each of them is accessed again,
    /// [`destroy_owned_by`](crate::provider::Provider::destroy_owned_by) misses them, and so "log
    /// out everywhere" leaves somebody logged in.
    pub fn allow_eviction(mut self) -> Self {
        self.allows_eviction = true;
        self
    }

    /// What time it is. Default: the server's time, so that all machines agree. Another clock is
    /// for tests: the server then keeps each session for an hour after its end, which nobody can
    /// see.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Builds the provider. Does not connect yet.
    ///
    /// # Errors
    /// If the address is none, if the prefix is empty, or if a setting is of no use.
    pub fn build(self) -> Result<RedisProvider, RedisBuildError> {
        let settings = self.settings;
        if self.prefix.is_empty() {
            return Err(RedisBuildError::Prefix);
        }
        if settings.capacity.is_some() || settings.capacity_bytes.is_some() {
            return Err(RedisBuildError::Capacity);
        }
        if settings.max_per_owner == Some(0) {
            return Err(BuildError::ZeroCapacity {
                setting: "max_per_owner",
            }
            .into());
        }
        for (setting, is_zero) in [
            ("timeout", self.timeout.is_zero()),
            ("connections", self.connections == 0),
            ("near_cache", self.near == Some(0)),
            ("near_cache_bytes", self.near_bytes == 0),
            ("staleness", self.staleness.is_zero()),
        ] {
            if is_zero {
                return Err(RedisBuildError::Zero { setting });
            }
        }
        check_durations(&settings)?;
        let clients = self.addresses.iter().map(|address| self.client(address));
        let clients: Result<Vec<_>, _> = clients.collect();
        let nodes = Nodes::new(clients.map_err(RedisBuildError::Address)?);
        let names = Names::new(&self.prefix);
        let clock = self.clock.clone().unwrap_or_else(|| Arc::new(CoarseClock));
        let near = match self.near {
            None => None,
            Some(_) if resolution(&settings) == 0 => return Err(RedisBuildError::NoResolution),
            Some(sessions) => {
                let limits = Limits {
                    sessions,
                    bytes: self.near_bytes,
                    staleness: self.staleness,
                };
                let near = Near::new(
                    limits,
                    resolution(&settings),
                    names.clone(),
                    Arc::clone(&clock),
                );
                Some(Arc::new(near))
            }
        };
        let watcher = near.clone().map(|near| near as Arc<dyn Watcher>);
        let link = Link::new(
            nodes,
            self.connections,
            self.timeout,
            self.allows_eviction,
            watcher,
            clock,
        );
        Ok(RedisProvider::from_parts(Remote {
            link: link.map_err(RedisBuildError::Thread)?,
            near,
            names,
            scripts: Scripts::new(),
            queues: Queues::new(),
            settings,
            seen: nothing_seen(),
            clock: self.clock,
        }))
    }

    fn client(&self, address: &str) -> Result<Client, RedisError> {
        let info = address.into_connection_info()?;
        // In this one a server says by itself what changed, and the client when a connection is
        // closed.
        let settings = info.redis_settings().clone();
        // A name for this client is of no use, and not all servers take one: an error would be an
        // answer more.
        let settings = settings.set_protocol(ProtocolVersion::RESP3);
        let info = info.set_redis_settings(settings.set_skip_set_lib_name());
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE);
        // Requests are small, and none waits for the answer to the one before.
        let tcp = TcpSettings::default().set_nodelay(true);
        let info = info.set_tcp_settings(tcp.set_keepalive(keepalive));
        self.open(info)
    }

    #[cfg(not(feature = "redis-tls"))]
    fn open(&self, info: ConnectionInfo) -> Result<Client, RedisError> {
        Client::open(info)
    }

    #[cfg(feature = "redis-tls")]
    fn open(&self, info: ConnectionInfo) -> Result<Client, RedisError> {
        self.tls.open(info)
    }
}

/// Durations that a map refuses are refused here too.
fn check_durations(settings: &Settings) -> Result<(), BuildError> {
    let mut map = IdleMap::<u8, u8>::builder().idle_timeout(settings.idle_timeout);
    if let Some(lifetime) = settings.max_lifetime {
        map = map.max_lifetime(lifetime);
    }
    map.build().map(drop)
}

impl fmt::Debug for RedisBuilder {
    /// Without the address: it may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBuilder")
            .field("settings", &self.settings)
            .field("timeout", &self.timeout)
            .field("connections", &self.connections)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}
