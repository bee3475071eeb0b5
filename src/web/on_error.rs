//! What becomes of a request whose session could not be looked up.

use crate::session::SessionError;
use http::request::Parts;
use http::{Response, StatusCode};
use std::fmt;

/// What a [`SessionLayer`](super::SessionLayer) does with a request whose session could not be
/// looked up, from the closure that was given to [`on_error`](super::SessionLayer::on_error).
///
/// ```
/// use dwell::web::OnError;
/// use http::{Response, StatusCode};
///
/// let mut response = Response::new("Please try again in a minute.");
/// *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
/// assert!(matches!(OnError::Refuse(response), OnError::Refuse(_)));
/// ```
pub enum OnError<B> {
    /// The handler is not called, and this is the response.
    Refuse(Response<B>),
    /// The handler is called, with a session whose methods fail with
    /// [`SessionError::Unavailable`](crate::session::SessionError::Unavailable).
    ///
    /// It reads nothing, writes nothing and takes the place of nothing: the visitor's own session
    /// and cookie stay as they are, for when the provider answers again.
    GoOn,
}

impl<B> fmt::Debug for OnError<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refuse(response) => write!(f, "Refuse({})", response.status()),
            Self::GoOn => f.write_str("GoOn"),
        }
    }
}

/// What decides: a closure of this signature, or [`Unavailable`].
///
/// ```
/// use dwell::session::SessionError;
/// use dwell::web::{ErrorHook, OnError};
/// use http::request::Parts;
///
/// fn is_hook<B>(_: impl ErrorHook<B>) {}
/// is_hook::<String>(|_: &SessionError, _: &Parts| OnError::GoOn);
/// ```
pub trait ErrorHook<B>: Clone + Send + Sync + 'static {
    /// Decides for one request.
    fn decide(&self, error: &SessionError, request: &Parts) -> OnError<B>;
}

impl<B, F> ErrorHook<B> for F
where
    F: Fn(&SessionError, &Parts) -> OnError<B> + Clone + Send + Sync + 'static,
{
    fn decide(&self, error: &SessionError, request: &Parts) -> OnError<B> {
        self(error, request)
    }
}

/// Refuses each request whose session could not be looked up with an empty `503 Service
/// Unavailable`: the default.
///
/// ```
/// use dwell::manager::Manager;
/// use dwell::web::{SessionLayer, Unavailable};
/// use std::time::Duration;
///
/// # fn main() -> Result<(), dwell::manager::ManagerError> {
/// let manager = Manager::new("memory", "sid", Duration::from_secs(30 * 60))?;
/// let layer: SessionLayer<Unavailable> = SessionLayer::new(manager);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Unavailable;

impl<B: Default> ErrorHook<B> for Unavailable {
    fn decide(&self, _: &SessionError, _: &Parts) -> OnError<B> {
        let mut response = Response::new(B::default());
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        OnError::Refuse(response)
    }
}
