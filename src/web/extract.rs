//! The session as an argument of axum's handlers.

use crate::manager::Session;
use axum_core::extract::FromRequestParts;
use axum_core::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;

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

/// The request's session, from the [`SessionLayer`](super::SessionLayer). Each extractor of a request gives
/// the same one.
impl<S: Send + Sync> FromRequestParts<S> for Session {
    type Rejection = NoSessionLayer;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, NoSessionLayer> {
        parts.extensions.get().cloned().ok_or(NoSessionLayer)
    }
}
