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

//! Shipped are these, all of them written with what every crate can use:
//!
//! | | |
//! |---|---|
//! | [`ProxyHeaders`] | the client's address behind proxies, and the scheme and host that it has used |
//! | [`SetRequestId`] | an id for each request |
//! | [`AccessLog`] | a function, or a line of a log, for each request |
//! | [`Cors`] | scripts of other origins |
//! | [`SameOrigin`] | keeps forms and scripts of other origins out (CSRF) |
//! | [`SecurityHeaders`] | what makes browsers careful |
//! | [`Compress`] | encodes answers: zstd, brotli, gzip |
//! | [`RateLimit`] | so many requests of each client |
//! | [`BasicAuth`], [`BearerAuth`] | who may come in |
//! | [`BodyLimit`], [`Timeout`] | how much, how long |
//! | `Decompress` | decodes request bodies, up to a limit |
//! | [`CatchPanic`] | a panic as an error |
//!
//! The order of the table is a good one to wrap them in, outermost first ([`App::wrap`](crate::App::wrap)).
//! What the server answers by itself, before there is a request that the app could have (400, 408, 431, 413
//! for a length that is announced, …), passes no middleware.

mod accept_encoding;
mod access_log;
mod auth;
mod body_limit;
mod catch_panic;
mod compress;
mod cors;
#[cfg(feature = "compress")]
mod decompress;
mod forwarded;
mod proxy;
mod rate_limit;
mod request_id;
mod same_origin;
mod security;
mod timeout;

pub use access_log::{AccessEntry, AccessLog};
pub use auth::{BasicAuth, BearerAuth, BearerToken, Check, Credentials, UserName, Verdict, constant_time_eq};
pub use body_limit::BodyLimit;
pub use catch_panic::CatchPanic;
pub use compress::Compress;
pub use cors::Cors;
#[cfg(feature = "compress")]
pub use decompress::Decompress;
pub use proxy::{Network, NetworkError, ProxyHeaders};
pub use rate_limit::RateLimit;
pub use request_id::{RequestId, SetRequestId};
pub use same_origin::SameOrigin;
pub use security::SecurityHeaders;
pub use timeout::Timeout;

use crate::{
    handler::{Answer, Endpoint, Incoming, Outcome},
    into_response::IntoResponse,
    request::Request,
    response::Response,
};
use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

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
    async fn handle(self: Rc<Self>, request: Request, next: Next) -> Response {
        self(request, next).await.into_response()
    }
}

/// The rest of the way: further middleware, and at its end the handler.
pub struct Next(Rc<dyn Endpoint>);

impl Next {
    /// Goes on with the request, and gives the answer. Its errors are not rendered yet
    /// ([`Response::error`]).
    pub fn run(self, request: Request) -> Run {
        Run(State::Start(self, request))
    }
}

/// The future of [`Next::run`]. Cancel safe only as far as the handler is.
#[derive(Debug)]
#[must_use = "the request goes on when this is awaited"]
pub struct Run(State);

#[derive(Debug)]
enum State {
    Start(Next, Request),
    Waiting(Answer),
    Done,
}

impl Future for Run {
    type Output = Response;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response> {
        let mut answer = match mem::replace(&mut self.0, State::Done) {
            State::Start(next, request) => match next.0.call(request.into()) {
                Outcome::Ready(response) => return Poll::Ready(response),
                Outcome::Later(answer) => answer,
            },
            State::Waiting(answer) => answer,
            State::Done => panic!("polled after the answer was given"),
        };
        let poll = Pin::new(&mut answer).poll(cx);
        if poll.is_pending() {
            self.0 = State::Waiting(answer);
        }
        poll
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
        Outcome::Later(Answer::new(Rc::clone(&self.middleware).handle(incoming.into_request(), next)))
    }
}
