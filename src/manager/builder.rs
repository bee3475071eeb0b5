//! How a manager is built.

use super::Manager;
use super::cookie::{Cookies, SameSite};
use super::error::ManagerError;
use super::inner::Inner;
use crate::provider::{Provider, Registry, RegistryError};
use crate::session::Settings;
use std::sync::Arc;
use std::time::Duration;

/// Half an hour, as for the map.
const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// Settings for a [`Manager`], from [`Manager::builder`].
///
/// ```
/// use dwell::manager::{Manager, SameSite};
/// use dwell::session::Settings;
/// use std::time::Duration;
///
/// let manager = Manager::builder("sid")
///     .settings(Settings::new(Duration::from_secs(15 * 60)))
///     .same_site(SameSite::Strict)
///     .build()?;
/// # Ok::<(), dwell::manager::ManagerError>(())
/// ```
#[derive(Debug)]
#[must_use = "it does nothing until `build`"]
pub struct Builder {
    cookie: String,
    source: Source,
    /// None: the default.
    settings: Option<Settings>,
    same_site: SameSite,
    is_plain_http: bool,
    collects: bool,
}

#[derive(Debug)]
enum Source {
    Named(String),
    Given(Arc<dyn Provider>),
}

impl Builder {
    pub(super) fn new(cookie: &str) -> Self {
        Self {
            cookie: cookie.to_owned(),
            source: Source::Named("memory".to_owned()),
            settings: None,
            same_site: SameSite::Lax,
            is_plain_http: false,
            collects: true,
        }
    }

    /// Opens the provider of this name in the [process-wide registry](Registry::global). Default:
    /// `"memory"`.
    pub fn provider_named(mut self, name: &str) -> Self {
        self.source = Source::Named(name.to_owned());
        self
    }

    /// Takes this provider, with its own settings. Settings for this builder beside it are an
    /// error.
    pub fn provider(mut self, provider: Arc<dyn Provider>) -> Self {
        self.source = Source::Given(provider);
        self
    }

    /// How long sessions live, and how many there may be, for the provider that a registry opens.
    /// Default: half an hour of idle time. A provider that is given to this builder has its own.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = Some(settings);
        self
    }

    /// Which requests from other sites bring the cookie. Default: `Lax`, those that open a page by
    /// a link.
    #[doc(alias = "CSRF")]
    pub fn same_site(mut self, same_site: SameSite) -> Self {
        self.same_site = same_site;
        self
    }

    /// For development without https only: the cookie is not `Secure` and has no `__Host-` prefix.
    ///
    /// What this gives up:
    ///
    /// - Anybody on the way can read the id and take over the session.
    /// - Without the prefix, any page of the same host (another port, another path) or of a
    ///   neighbour host (with `Domain`) can plant a cookie of the name. An id that it plants is
    ///   adopted if it answers to a session: the neighbour's own. Renew at each login.
    /// - A planted cookie beside the visitor's own locks the visitor out: two different values are
    ///   counted as [`duplicate`](super::ManagerStats::duplicate) and taken for none, since nothing
    ///   tells which of them is the visitor's. Only the browser's user can delete it. Two equal
    ///   values are one.
    #[doc(alias("with_secure", "insecure cookie"))]
    pub fn plain_http(mut self) -> Self {
        self.is_plain_http = true;
        self
    }

    /// Starts no thread that frees what has ended: the application calls [`Manager::collect`].
    pub fn without_collector(mut self) -> Self {
        self.collects = false;
        self
    }

    /// Builds the manager, with a provider of the process-wide registry unless one was given.
    ///
    /// # Errors
    /// If there is no provider of the name, if it cannot be opened, if there are settings beside a
    /// provider, if the cookie's name is none or begins with a prefix that browsers reserve, or for
    /// `SameSite=None` over plain http.
    ///
    /// # Panics
    /// If the operating system does not give a thread to collect with.
    pub fn build(self) -> Result<Manager, ManagerError> {
        self.build_with(|name, settings| Registry::global().open(name, settings))
    }

    /// As [`build`](Self::build), with another registry.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    ///
    /// # Panics
    /// As [`build`](Self::build).
    pub fn build_from(self, registry: &Registry) -> Result<Manager, ManagerError> {
        self.build_with(|name, settings| registry.open(name, settings))
    }

    /// Leaves the registry alone if a provider was given.
    fn build_with(
        self,
        open: impl FnOnce(&str, &Settings) -> Result<Arc<dyn Provider>, RegistryError>,
    ) -> Result<Manager, ManagerError> {
        let cookies = Cookies::new(&self.cookie, self.same_site, self.is_plain_http)?;
        let provider = match (self.source, self.settings) {
            (Source::Given(provider), None) => provider,
            (Source::Given(_), Some(_)) => return Err(ManagerError::SettingsBesideProvider),
            (Source::Named(name), settings) => {
                let default = || Settings::new(DEFAULT_IDLE_TIMEOUT);
                open(&name, &settings.unwrap_or_else(default))?
            }
        };
        let collector = self.collects.then(|| provider.spawn_collector()).flatten();
        Ok(Manager {
            inner: Arc::new(Inner::new(provider, cookies)),
            _collector: collector,
        })
    }
}
