//! How a provider of sessions in a server is built.

use super::RedisProvider;
use super::link::Link;
use super::names::Names;
use super::remote::Remote;
use super::scripts::Scripts;
use crate::session::Settings;
use crate::{BuildError, Clock, IdleMap};
use redis::{Client, RedisError};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1);
const DEFAULT_CONNECTIONS: usize = 4;

/// Makes a [`RedisProvider`], from [`RedisProvider::builder`].
///
/// ```
/// use dwell::provider::RedisProvider;
/// use dwell::session::Settings;
/// use std::time::Duration;
///
/// let settings = Settings::new(Duration::from_secs(30 * 60));
/// let provider = RedisProvider::builder("redis://127.0.0.1:6379/", settings)
///     .timeout(Duration::from_millis(500))
///     .prefix("shop")
///     .build()?; // connects when it is first needed
/// # Ok::<(), dwell::provider::redis::RedisBuildError>(())
/// ```
pub struct RedisBuilder {
    address: String,
    settings: Settings,
    timeout: Duration,
    connections: usize,
    prefix: String,
    clock: Option<Arc<dyn Clock>>,
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
/// let refused = RedisProvider::builder("redis://127.0.0.1/", settings).build();
/// assert!(matches!(refused, Err(RedisBuildError::Capacity)));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedisBuildError {
    /// The address is none, or has parts that this build does not support, such as TLS.
    #[error("the server's address is of no use: {0}")]
    Address(#[source] RedisError),
    /// The server's memory is bounded by the server.
    #[error("a capacity cannot be set here: set `maxmemory` in the server")]
    Capacity,
    /// A timeout of zero, or no connections.
    #[error("{setting} is 0: give at least 1")]
    Zero {
        /// The builder's method.
        setting: &'static str,
    },
    /// A setting that no provider takes.
    #[error(transparent)]
    Settings(#[from] BuildError),
}

impl RedisBuilder {
    pub(super) fn new(address: String, settings: Settings) -> Self {
        Self {
            address,
            settings,
            timeout: DEFAULT_TIMEOUT,
            connections: DEFAULT_CONNECTIONS,
            prefix: "dwell".into(),
            clock: None,
        }
    }

    /// How long an operation takes at the most, connecting and repeating included. Default: one second.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many connections there are, over which sessions are spread. Default: 4. One is enough for most:
    /// requests that overlap are pipelined. More help where single values are large.
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// What the names of everything in the server begin with, so that applications can share it. Default:
    /// `dwell`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// What time it is. Default: the server's time, so that all machines agree. Another clock is for tests: the
    /// server then keeps each session for an hour after its end, which nobody can see.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Builds the provider. Does not connect yet.
    ///
    /// # Errors
    /// If the address is none, or if a setting is of no use.
    pub fn build(self) -> Result<RedisProvider, RedisBuildError> {
        let settings = self.settings;
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
        ] {
            if is_zero {
                return Err(RedisBuildError::Zero { setting });
            }
        }
        check_durations(&settings)?;
        let client = Client::open(self.address).map_err(RedisBuildError::Address)?;
        Ok(RedisProvider::from_parts(Remote {
            link: Link::new(client, self.connections, self.timeout),
            names: Names::new(&self.prefix),
            scripts: Scripts::new(),
            settings,
            clock: self.clock,
        }))
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
