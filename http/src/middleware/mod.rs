//! What stands between the connection and the handlers.
//!
//! Middleware is an async function of the request and of what comes [`Next`]:
//!
//! ```
//! use lakh_http::{App, HeaderValue, Request, Response, header, middleware::Next};
//!
//! async fn no_store(request: Request, next: Next) -> Response {
//!     let mut response = next.run(request).await;
//!     response.set_header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
//!     response
//! }
//!
//! let app = App::new().get("/", || "never kept").wrap(no_store);
//! ```

mod proxy;

pub use proxy::ProxyHeaders;

use crate::{
    handler::{Endpoint, Incoming, Outcome},
    into_response::IntoResponse,
    request::Request,
    response::Response,
};
use std::{fmt, future::Future, rc::Rc};

/// What [`App::wrap`](crate::App::wrap) wraps around handlers: an async function of [`Request`] and
/// [`Next`], or a type of one's own.
///
/// ```
/// use lakh_http::{HandlerError, IntoResponse, Request, Response, StatusCode, middleware::{Middleware, Next}};
/// use std::rc::Rc;
///
/// /// Lets requests in that know the word.
/// struct Password(String);
///
/// impl Middleware for Password {
///     async fn handle(self: Rc<Self>, request: Request, next: Next) -> Response {
///         if request.head().header("x-password") == Some(self.0.as_bytes()) {
///             return next.run(request).await;
///         }
///         HandlerError::new(StatusCode::FORBIDDEN, "what is the password?").into_response()
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no middleware",
    note = "middleware is an async function of `Request` and `Next` whose result is `IntoResponse`, or a type that implements `Middleware`"
)]
pub trait Middleware: 'static {
    /// Answers a request, mostly by what comes next.
    fn handle(self: Rc<Self>, request: Request, next: Next) -> impl Future<Output = Response> + 'static;
}

impl<F, Fut> Middleware for F
where
    F: Fn(Request, Next) -> Fut + 'static,
    Fut: Future<Output: IntoResponse> + 'static,
{
    fn handle(self: Rc<Self>, request: Request, next: Next) -> impl Future<Output = Response> + 'static {
        let future = self(request, next);
        async move { future.await.into_response() }
    }
}

/// The rest of the way: further middleware, and at its end the handler.
pub struct Next(Rc<dyn Endpoint>);

impl Next {
    /// Goes on with the request, and gives the answer. Its errors are not rendered yet
    /// ([`Response::error`]).
    pub async fn run(self, request: Request) -> Response {
        let outcome = self.0.call(request.into());
        outcome.response().await
    }
}

impl fmt::Debug for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Next")
    }
}

/// An endpoint within middleware.
pub(crate) struct Layered<M> {
    middleware: Rc<M>,
    inner: Rc<dyn Endpoint>,
}

impl<M> Layered<M> {
    pub(crate) fn new(middleware: &Rc<M>, inner: Rc<dyn Endpoint>) -> Self {
        Layered { middleware: Rc::clone(middleware), inner }
    }
}

impl<M: Middleware> Endpoint for Layered<M> {
    fn call(&self, incoming: Incoming<'_>) -> Outcome {
        let next = Next(Rc::clone(&self.inner));
        Outcome::Later(Box::pin(Rc::clone(&self.middleware).handle(incoming.into_request(), next)))
    }
}
