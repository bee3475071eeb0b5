//! Why a manager could not be built.

use crate::provider::RegistryError;

/// Why a manager could not be built.
///
/// ```
/// use dwell::manager::{Manager, ManagerError};
///
/// let refused = Manager::builder("a name with spaces").build();
/// assert!(matches!(refused, Err(ManagerError::CookieName { .. })));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManagerError {
    /// The provider could not be had.
    #[error(transparent)]
    Provider(#[from] RegistryError),
    /// The cookie's name is not one.
    #[error(
        "{name:?} is no cookie name: give up to 4,000 letters, digits, and any of !#$%&'*+-.^_`|~"
    )]
    CookieName {
        /// What was given.
        name: String,
    },
    /// The cookie's name begins with a prefix that browsers reserve.
    ///
    /// Browsers drop such a cookie, without a word to anybody, if it is not what the prefix says;
    /// and the manager puts a prefix of its own before the name.
    #[error(
        "the cookie's name {name:?} begins with {prefix}, which browsers reserve: leave it out, the manager puts __Host- before the name, except over plain http"
    )]
    CookiePrefix {
        /// What was given.
        name: String,
        /// The prefix that it begins with, in any case.
        prefix: &'static str,
    },
    /// Settings were given beside a provider, which has its own.
    #[error(
        "the provider that was given has settings of its own: give these where it is built, or name a provider of a registry"
    )]
    SettingsBesideProvider,
    /// `SameSite=None` without `Secure`, which browsers refuse.
    #[error("browsers refuse SameSite=None over plain http: use https, or SameSite=Lax")]
    InsecureCrossSite,
}
