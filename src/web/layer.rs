//! The tower layer: each request gets its session, each response the cookie that it needs.

use crate::manager::Manager;
use http::{Request, Response, StatusCode};
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower_layer::Layer;
use tower_service::Service;

/// Gives each request its [`Session`](crate::manager::Session), and each response the cookie that it needs,
/// if it needs one.
///
/// The session is in the request's extensions; with the feature `axum` it is an extractor. A request whose
/// cookie answers to a session touches it, whether or not the handler uses it: put the layer around the
/// routes that have to do with sessions. Nothing is loaded and saved as a whole: each call on the session is
/// one step at the provider, so that concurrent requests of one session lose nothing.
///
/// The response gets a `Set-Cookie` when the session was created, renewed or destroyed, and only then,
/// whatever its status is. Bodies pass through as they are. While a body is streamed, the session can be
/// used; but an id that is issued then could not reach the client, so it is not issued
/// ([`SessionError::Finished`](crate::session::SessionError::Finished)).
///
/// If the provider fails when the session is looked up, the handler is not called, and the response is an
/// empty `503 Service Unavailable`. If the handler panics, the panic goes on: what it stored stays stored,
/// and a layer further out that catches it makes a response without the session's cookie. A client that goes
/// away ends the request wherever it waits: each step is done or not done.
///
/// ```
/// use axum::{Router, routing::get};
/// use dwell::manager::{Manager, Session};
/// use dwell::web::SessionLayer;
/// use std::time::Duration;
///
/// async fn visits(session: Session) -> Result<String, axum::http::StatusCode> {
///     let count = |visits: Option<&u64>| visits.map_or(1, |visits| visits + 1);
///     match session.update("visits", count).await {
///         Ok(visits) => Ok(format!("visit {visits}")),
///         Err(_) => Err(axum::http::StatusCode::SERVICE_UNAVAILABLE),
///     }
/// }
///
/// # fn main() -> Result<(), dwell::manager::ManagerError> {
/// let manager = Manager::new("memory", "sid", Duration::from_secs(30 * 60))?;
/// let site: Router = Router::new()
///     .route("/", get(visits))
///     .layer(SessionLayer::new(manager));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct SessionLayer {
    manager: Arc<Manager>,
}

impl SessionLayer {
    /// A layer over a manager, or over an `Arc` of one that the application uses elsewhere too.
    pub fn new(manager: impl Into<Arc<Manager>>) -> Self {
        Self {
            manager: manager.into(),
        }
    }
}

impl<S> Layer<S> for SessionLayer {
    type Service = SessionService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SessionService {
            manager: Arc::clone(&self.manager),
            inner,
        }
    }
}

/// The service that a [`SessionLayer`] makes of another.
///
/// ```
/// use dwell::manager::Manager;
/// use dwell::web::SessionLayer;
/// use std::time::Duration;
/// use tower::{ServiceBuilder, service_fn};
///
/// # fn main() -> Result<(), dwell::manager::ManagerError> {
/// let manager = Manager::new("memory", "sid", Duration::from_secs(30 * 60))?;
/// let service = ServiceBuilder::new()
///     .layer(SessionLayer::new(manager))
///     .service(service_fn(async |_: http::Request<String>| {
///         Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
///     }));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct SessionService<S> {
    manager: Arc<Manager>,
    inner: S,
}

/// What a [`SessionService`] answers, in its own time.
pub type SessionFuture<R, E> = Pin<Box<dyn Future<Output = Result<R, E>> + Send>>;

impl<S, RequestBody, ResponseBody> Service<Request<RequestBody>> for SessionService<S>
where
    S: Service<Request<RequestBody>, Response = Response<ResponseBody>> + Clone + Send + 'static,
    S::Future: Send,
    RequestBody: Send + 'static,
    ResponseBody: Default + Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = SessionFuture<S::Response, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<RequestBody>) -> Self::Future {
        let manager = Arc::clone(&self.manager);
        // The clone is for the next request; the one that said it is ready is for this.
        let clone = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, clone);
        Box::pin(async move {
            let Ok(session) = manager.start(request.headers()).await else {
                let mut response = Response::new(ResponseBody::default());
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                return Ok(response);
            };
            request.extensions_mut().insert(session.clone());
            let mut response = inner.call(request).await?;
            manager.finish(session, response.headers_mut());
            Ok(response)
        })
    }
}
