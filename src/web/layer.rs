//! The tower layer: each request gets its session, each response the cookie that it needs.

use super::on_error::{ErrorHook, OnError, Unavailable};
use crate::manager::{Manager, Session};
use crate::session::{SessionError, SessionId};
use http::request::Parts;
use http::{HeaderMap, Request, Response};
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tower_layer::Layer;
use tower_service::Service;

/// Gives each request its [`Session`](crate::manager::Session), and each response the cookie that
/// it needs, if it needs one.
///
/// The session is in the request's extensions; with the feature `axum` it is an extractor. A
/// request whose cookie answers to a session touches it, whether or not the handler uses it: put
/// the layer around the routes that have to do with sessions. Nothing is loaded and saved as a
/// whole: each call on the session is one step at the provider, so that concurrent requests of one
/// session lose nothing.
///
/// The response gets a `Set-Cookie` when the session was created, renewed or destroyed, or when its
/// lifetime was set, and only then, whatever its status is. Bodies pass through as they are. While
/// a body is streamed, the session can be used; but an id that is issued then could not reach the
/// client, so it is not issued
/// ([`SessionError::Finished`](crate::session::SessionError::Finished)).
///
/// If the provider fails when the session is looked up, the handler is not called, and the response
/// is an empty `503 Service Unavailable`; [`on_error`](Self::on_error) decides otherwise. A visitor
/// without a cookie needs no look-up, and gets the page.
///
/// # Responses that are made further out
///
/// The cookie is put into the response that comes to this layer. So put what answers in the place
/// of a handler inside of it: `HandleErrorLayer`, timeouts, what catches panics. With
/// `Router::layer` that is above it, with `ServiceBuilder` below. Where the service inside fails
/// with an error, is dropped by a timeout further out, or panics, no response comes: what was
/// stored stays stored, but an id that was issued until then reaches nobody. A session that was
/// created so lapses. One that was renewed answers to its old id for the grace, and then to nobody:
/// the visitor has lost it. The layer can do no more than tell: a warning with the feature
/// `tracing`, `dwell.session.cookies` with the action `lost` with `metrics`; and clones of the
/// session issue no further id
/// ([`SessionError::Finished`](crate::session::SessionError::Finished)). The same happens where a
/// client goes away: the request ends wherever it waits, each step done or not done.
///
/// # One layer within another
///
/// - **Of the same manager**, or of two with one provider and one cookie name: the layer further
///   out looks the session up and finishes it, and decides if that fails; the one inside gives the
///   same session. There is one session and one cookie, whatever middleware between the two and the
///   handler do, as long as they pass the request's extensions on.
/// - **Of different managers**: each has a session and a cookie of its own. Give their cookies
///   different names: of one name a browser keeps one. The extractor and the request's extensions
///   give the session of the innermost layer. For one further out, take it from the extensions in a
///   middleware between the two, and put it back as a type of yours.
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
#[doc(alias("SessionManagerLayer", "session middleware"))]
#[derive(Clone)]
#[must_use = "it does nothing until it is put around a service"]
pub struct SessionLayer<H = Unavailable> {
    manager: Arc<Manager>,
    hook: H,
}

impl SessionLayer {
    /// A layer over a manager, or over an `Arc` of one that the application uses elsewhere too.
    pub fn new(manager: impl Into<Arc<Manager>>) -> Self {
        Self {
            manager: manager.into(),
            hook: Unavailable,
        }
    }
}

impl<H> SessionLayer<H> {
    /// Decides what becomes of a request whose session could not be looked up, in the place of the
    /// empty `503`: a response of yours, or a call of the handler without the visitor's session.
    ///
    /// The error has been counted and logged by then, with the features `metrics` and `tracing`. It
    /// is for the operator: what the response says of it, everybody may read.
    ///
    /// ```
    /// use axum::http::{StatusCode, request::Parts};
    /// use axum::response::{Html, IntoResponse};
    /// use dwell::manager::Manager;
    /// use dwell::session::SessionError;
    /// use dwell::web::{OnError, SessionLayer};
    /// use std::time::Duration;
    ///
    /// # fn main() -> Result<(), dwell::manager::ManagerError> {
    /// # let manager = Manager::new("memory", "sid", Duration::from_secs(30 * 60))?;
    /// let layer = SessionLayer::new(manager).on_error(|_: &SessionError, request: &Parts| {
    ///     if !request.uri.path().starts_with("/account") {
    ///         return OnError::GoOn; // public pages do without
    ///     }
    ///     let page = Html("<p>Please try again in a minute.</p>");
    ///     OnError::Refuse((StatusCode::SERVICE_UNAVAILABLE, page).into_response())
    /// });
    /// # let _: axum::Router = axum::Router::new().layer(layer);
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_error<F, B>(self, hook: F) -> SessionLayer<F>
    where
        F: Fn(&SessionError, &Parts) -> OnError<B> + Clone + Send + Sync + 'static,
    {
        SessionLayer {
            manager: self.manager,
            hook,
        }
    }
}

impl<H> fmt::Debug for SessionLayer<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionLayer")
            .field("manager", &self.manager)
            .finish_non_exhaustive()
    }
}

impl<S, H: Clone> Layer<S> for SessionLayer<H> {
    type Service = SessionService<S, H>;

    fn layer(&self, inner: S) -> Self::Service {
        SessionService {
            layer: self.clone(),
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
pub struct SessionService<S, H = Unavailable> {
    layer: SessionLayer<H>,
    inner: S,
}

/// A session whose response is still to come. If none comes to the layer, the session is abandoned.
#[derive(Debug)]
struct Open(Option<Session>);

impl Open {
    fn finish(&mut self, response: &mut HeaderMap) {
        if let Some(session) = self.0.take() {
            session.answer(response);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(session) = self.0.take() {
            session.abandon();
        }
    }
}

pin_project! {
    /// What a [`SessionService`] answers, in its own time: what the service inside answers, with
    /// the cookie that the client needs.
    ///
    /// Needs no allocation, except where the session is looked up over a network.
    pub struct SessionFuture<F, R, E> {
        #[pin]
        state: State<F, R, E>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F, R, E> {
        /// The service inside was called.
        Called { #[pin] inner: F, open: Open },
        /// The session is being looked up.
        Asked { answer: Pin<Box<dyn Future<Output = Result<R, E>> + Send>> },
    }
}

impl<F, R, E> SessionFuture<F, R, E> {
    /// After a call of the service inside. Without a session, a layer further out finishes it.
    fn called(inner: F, session: Option<Session>) -> Self {
        let open = Open(session);
        Self {
            state: State::Called { inner, open },
        }
    }

    fn asked(answer: impl Future<Output = Result<R, E>> + Send + 'static) -> Self {
        let answer = Box::pin(answer);
        Self {
            state: State::Asked { answer },
        }
    }
}

impl<F, B, E> Future for SessionFuture<F, Response<B>, E>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProjection::Called { inner, open } => {
                let mut response = ready!(inner.poll(context));
                if let Ok(response) = &mut response {
                    open.finish(response.headers_mut());
                }
                Poll::Ready(response)
            }
            StateProjection::Asked { answer } => answer.as_mut().poll(context),
        }
    }
}

impl<F, R, E> fmt::Debug for SessionFuture<F, R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionFuture").finish_non_exhaustive()
    }
}

impl<S, H, RequestBody, ResponseBody> Service<Request<RequestBody>> for SessionService<S, H>
where
    S: Service<Request<RequestBody>, Response = Response<ResponseBody>> + Clone + Send + 'static,
    S::Future: Send,
    H: ErrorHook<ResponseBody>,
    RequestBody: Send + 'static,
    ResponseBody: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = SessionFuture<S::Future, S::Response, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<RequestBody>) -> Self::Future {
        let SessionLayer { manager, hook } = &self.layer;
        let outer = request.extensions().get::<Session>();
        if let Some(session) = outer.and_then(|outer| outer.of(manager)).cloned() {
            request.extensions_mut().insert(session);
            return SessionFuture::called(self.inner.call(request), None);
        }
        match manager.begin(request.headers(), outer) {
            Ok(session) => {
                request.extensions_mut().insert(session.clone());
                let mut open = Open(Some(session));
                let inner = self.inner.call(request);
                SessionFuture::called(inner, open.0.take())
            }
            Err(id) => {
                let (manager, hook) = (Arc::clone(manager), hook.clone());
                // The clone is for the next request; the one that said it is ready is for this.
                let clone = self.inner.clone();
                let inner = mem::replace(&mut self.inner, clone);
                SessionFuture::asked(ask(manager, hook, id, inner, request))
            }
        }
    }
}

/// Asks the provider for the session of a request before the service inside is called.
async fn ask<S, H, RequestBody, ResponseBody>(
    manager: Arc<Manager>,
    hook: H,
    id: SessionId,
    mut inner: S,
    mut request: Request<RequestBody>,
) -> Result<S::Response, S::Error>
where
    S: Service<Request<RequestBody>, Response = Response<ResponseBody>>,
    H: ErrorHook<ResponseBody>,
{
    let outer = request.extensions().get::<Session>().cloned();
    let session = match manager.ask(id, outer.as_ref()).await {
        Ok(session) => session,
        Err(error) => {
            let (parts, body) = request.into_parts();
            if let OnError::Refuse(response) = hook.decide(&error, &parts) {
                return Ok(response);
            }
            request = Request::from_parts(parts, body);
            manager.unavailable_within(outer.as_ref())
        }
    };
    request.extensions_mut().insert(session.clone());
    let mut open = Open(Some(session));
    let mut response = inner.call(request).await?;
    open.finish(response.headers_mut());
    Ok(response)
}
