//! Providers by name, so that a configuration file can choose one.

use super::{MemoryProvider, Provider};
use crate::IdleMap;
use crate::session::{SessionStore, Settings};
use std::error::Error;
use std::fmt;
use std::sync::{Arc, OnceLock};

type Failure = Box<dyn Error + Send + Sync>;
type Open = dyn Fn(&Settings) -> Result<Arc<dyn Provider>, Failure> + Send + Sync;

/// Ways to open a provider, by name.
///
/// A registry is a value: make as many as you like, and pass them around. The one that
/// [`Registry::global`] returns is there for those who want a process-wide one.
///
/// ```
/// use dwell::provider::{MemoryProvider, Provider, Registry};
/// use dwell::session::{SessionStore, Settings};
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// let registry = Registry::new();
/// registry.register("fleeting", |settings| {
///     let settings = settings.max_lifetime(Duration::from_secs(60));
///     let store = SessionStore::builder(settings).build()?;
///     Ok(Arc::new(MemoryProvider::new(store)) as Arc<dyn Provider>)
/// })?;
/// let provider = registry.open("fleeting", &Settings::new(Duration::from_secs(10)))?;
/// assert!(registry.open("memory", &Settings::new(Duration::from_secs(10))).is_err());
/// # Ok::<(), dwell::provider::RegistryError>(())
/// ```
pub struct Registry {
    providers: IdleMap<Arc<str>, Arc<Open>>,
}

/// Why a provider could not be registered or opened.
///
/// ```
/// use dwell::provider::{Registry, RegistryError};
/// use dwell::session::Settings;
/// use std::time::Duration;
///
/// let unknown = Registry::with_memory().open("redis", &Settings::new(Duration::from_secs(60)));
/// assert!(matches!(unknown, Err(RegistryError::Unknown { .. })));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The name is empty.
    #[error("the provider has no name: register it under one")]
    NoName,
    /// The name is taken.
    #[error("a provider named {name:?} is registered already: choose another name")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// No provider has the name.
    #[error("no provider is named {name:?}: register it first, or choose one of {known:?}")]
    Unknown {
        /// The name.
        name: String,
        /// The names that are registered, in order.
        known: Vec<String>,
    },
    /// The provider could not be opened.
    #[error("the provider {name:?} could not be opened")]
    NotOpened {
        /// The name.
        name: String,
        /// Why.
        source: Failure,
    },
}

impl Registry {
    /// A registry without any provider.
    pub fn new() -> Self {
        Self {
            providers: IdleMap::without_idle_timeout(),
        }
    }

    /// A registry with the provider `"memory"`.
    pub fn with_memory() -> Self {
        let registry = Self::new();
        registry
            .register("memory", |settings| {
                let store = SessionStore::builder(*settings).build()?;
                Ok(Arc::new(MemoryProvider::new(store)) as Arc<dyn Provider>)
            })
            .expect("the registry is empty");
        registry
    }

    /// The process-wide registry. Has the provider `"memory"` from the beginning.
    pub fn global() -> &'static Self {
        static GLOBAL: OnceLock<Registry> = OnceLock::new();
        GLOBAL.get_or_init(Self::with_memory)
    }

    /// Registers a way to open a provider. `open` gets the settings, and returns a new provider
    /// each time.
    ///
    /// # Errors
    /// If the name is empty, or taken. Of several threads that register one name, one succeeds.
    pub fn register(
        &self,
        name: &str,
        open: impl Fn(&Settings) -> Result<Arc<dyn Provider>, Failure> + Send + Sync + 'static,
    ) -> Result<(), RegistryError> {
        if name.is_empty() {
            return Err(RegistryError::NoName);
        }
        match self.providers.try_insert(name.into(), Arc::new(open)) {
            Ok(_) => Ok(()),
            Err(_) => Err(RegistryError::NameTaken { name: name.into() }),
        }
    }

    /// Opens the provider of a name: a new one, which shares nothing with others of this name.
    ///
    /// # Errors
    /// If no provider has the name, or if it cannot be opened.
    pub fn open(
        &self,
        name: &str,
        settings: &Settings,
    ) -> Result<Arc<dyn Provider>, RegistryError> {
        let Some(open) = self.providers.get(name) else {
            return Err(RegistryError::Unknown {
                name: name.into(),
                known: self.names(),
            });
        };
        open(settings).map_err(|source| RegistryError::NotOpened {
            name: name.into(),
            source,
        })
    }

    /// The names that are registered, in order.
    pub fn names(&self) -> Vec<String> {
        let names = self.providers.iter();
        let mut names: Vec<_> = names.map(|open| open.key().to_string()).collect();
        names.sort();
        names
    }
}

impl Default for Registry {
    /// As [`with_memory`](Self::with_memory).
    fn default() -> Self {
        Self::with_memory()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

/// Registers a way to open a provider in the [process-wide registry](Registry::global).
///
/// # Errors
/// As [`Registry::register`].
///
/// ```
/// use dwell::provider::{RegistryError, register};
/// let taken = register("memory", |_| Err("it is never opened".into()));
/// assert!(matches!(taken, Err(RegistryError::NameTaken { .. })));
/// ```
pub fn register(
    name: &str,
    open: impl Fn(&Settings) -> Result<Arc<dyn Provider>, Failure> + Send + Sync + 'static,
) -> Result<(), RegistryError> {
    Registry::global().register(name, open)
}
