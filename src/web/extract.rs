//! The session as an argument of axum's handlers, and what went wrong with it as their answer.

use crate::manager::Session;
use crate::session::SessionError;
use axum_core::extract::FromRequestParts;
use axum_core::response::{IntoResponse, Response};
use http::header::CACHE_CONTROL;
use http::request::Parts;
use http::{HeaderValue, StatusCode};

/// A handler asks for a [`Session`], and no [`SessionLayer`](super::SessionLayer) is around it.
///
/// A mistake in the program, not in the request: the response is `500 Internal Server Error`.
///
/// ```
/// use axum::response::IntoResponse;
/// use dwell::web::NoSessionLayer;
///
/// assert_eq!(NoSessionLayer.into_response().status(), 500);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no session: put a dwell::web::SessionLayer around this route")]
pub struct NoSessionLayer;

impl IntoResponse for NoSessionLayer {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, self.to_string()).into_response()
    }
}

/// The request's session, from the [`SessionLayer`](super::SessionLayer). Each extractor of a
/// request gives the same one.
impl<S: Send + Sync> FromRequestParts<S> for Session {
    type Rejection = NoSessionLayer;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, NoSessionLayer> {
        parts.extensions.get().cloned().ok_or(NoSessionLayer)
    }
}

/// A handler may return the error as it is. The response says its kind and nothing else: it has no
/// body, and no cache keeps it.
///
/// | error | status |
/// |---|---|
/// | `Ended` | `410 Gone` |
/// | `Superseded`, `Conflict` | `409 Conflict`: the client may try again |
/// | `Finished`, `Attribute` | `500 Internal Server Error`: a mistake in the program, which is logged with the feature `tracing` |
/// | `Unavailable`, `Contended`, `Random`, `Collision`, `Backend` | `503 Service Unavailable` |
///
/// ```
/// use axum::{Router, routing::post};
/// use axum::response::IntoResponse;
/// use dwell::manager::Session;
/// use dwell::session::SessionError;
///
/// async fn add(session: Session) -> Result<String, SessionError> {
///     let items = session.update("items", |items: Option<&u32>| items.unwrap_or(&0) + 1).await?;
///     Ok(format!("{items} items"))
/// }
///
/// let _: Router = Router::new().route("/add", post(add));
/// assert_eq!(SessionError::Ended.into_response().status(), 410);
/// ```
impl IntoResponse for SessionError {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Ended => StatusCode::GONE,
            Self::Superseded | Self::Conflict { .. } => StatusCode::CONFLICT,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Finished | Self::Attribute(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable
            | Self::Contended
            | Self::Random(_)
            | Self::Collision
            | Self::Backend(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        // What the provider fails at is logged where it fails.
        #[cfg(feature = "tracing")]
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(error = &self as &dyn std::error::Error, "a handler failed");
        }
        let no_store = HeaderValue::from_static("no-store");
        (status, [(CACHE_CONTROL, no_store)]).into_response()
    }
}
