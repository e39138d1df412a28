//! Services and layers of tower in an [`App`](crate::App), with the feature `tower`.
//!
//! [`tower_service`](tower_service()) makes a handler of any service that answers `http::Request`s: an axum
//! `Router`, a service of tower-http, or your own. [`App::nest_service`](crate::App::nest_service) serves one below
//! a prefix, and [`tower_layer`](tower_layer()) makes middleware of a layer.
//!
//! ```
//! use lakh_http::{
//!     App,
//!     tower::{SendBody, tower_service},
//! };
//! use std::{
//!     convert::Infallible,
//!     future::{Ready, ready},
//!     task::{Context, Poll},
//! };
//! use tower_service::Service;
//!
//! /// Tells the path that it was asked for.
//! #[derive(Clone)]
//! struct Echo;
//!
//! impl Service<http::Request<SendBody>> for Echo {
//!     type Response = http::Response<lakh_http::Body>;
//!     type Error = Infallible;
//!     type Future = Ready<Result<Self::Response, Infallible>>;
//!
//!     fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
//!         Poll::Ready(Ok(()))
//!     }
//!
//!     fn call(&mut self, request: http::Request<SendBody>) -> Self::Future {
//!         ready(Ok(http::Response::new(request.uri().path().to_owned().into())))
//!     }
//! }
//!
//! let app = App::new()
//!     .get("/hello", || "a handler as usual")
//!     .get("/echo", tower_service(Echo))
//!     .nest_service("/old", Echo)
//!     .fallback(tower_service(Echo));
//! ```
//!
//! - A service is cloned for each request, its `poll_ready` is awaited, and then it is called: as with axum and
//!   hyper. What its clones share is shared by the shard; the app factory runs once on each shard, so give it a
//!   clone of what all shards are to share.
//! - Services are polled on the shard. With the feature `tokio`, too, they and their bodies are polled in the
//!   context of tokio (`lakh::tokio`), so timers, sockets and `tokio::spawn` work in them.
//! - Bodies are streamed both ways, each chunk when it is asked for. A request's body is a [`SendBody`], which may
//!   leave the shard. Trailers are dropped both ways; `Content-Length` of an answer is kept if the service sets it
//!   or its body knows it.
//! - An error of a service is a 500 by [`HandlerError`](crate::HandlerError), whose cause is that error.
//! - The request's extensions contain who has sent it, as [`ClientAddr`](crate::extract::ClientAddr), and what
//!   middleware has left as one value of type `http::Extensions`.
//! - Upgrades (WebSockets of axum, CONNECT) do not work: the answer is 500.

mod body;
mod context;
mod convert;
mod layer;
mod pipe;
mod service;

pub use body::ResponseBodyError;
pub use layer::{NextService, TowerLayer, tower_layer};
pub use pipe::SendBody;
pub(crate) use service::Nested;
pub use service::{TowerService, tower_service};

use bytes::Buf;
use std::{error::Error, future::Future, task};

/// What services fail with.
type BoxError = Box<dyn Error + Send + Sync>;

/// A tower service that answers requests with bodies of type `B`. Implemented for every
/// `Service<http::Request<B>>` that can be cloned, and whose response is an `http::Response`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no service that answers `http::Request<{B}>`",
    note = "it has to be `Clone`, `'static` and a `tower::Service<http::Request<{B}>>`",
    note = "its response has to be an `http::Response` of a body, and its error `Into<Box<dyn Error + Send + Sync>>`",
    note = "for services that cannot be cloned there is tower's `Buffer`"
)]
pub trait HttpService<B>: Clone + 'static {
    /// The body of its answers.
    type Body: http_body::Body<Data: Buf, Error: Into<BoxError>> + 'static;

    /// Waits until the service is ready, and calls it. Cancel safe as far as the service is.
    fn answer(
        self,
        request: http::Request<B>,
    ) -> impl Future<Output = Result<http::Response<Self::Body>, BoxError>> + 'static;
}

impl<S, B, R> HttpService<B> for S
where
    S: tower_service::Service<http::Request<B>, Response = http::Response<R>> + Clone + 'static,
    S::Error: Into<BoxError>,
    S::Future: 'static,
    B: 'static,
    R: http_body::Body<Data: Buf, Error: Into<BoxError>> + 'static,
{
    type Body = R;

    async fn answer(mut self, request: http::Request<B>) -> Result<http::Response<R>, BoxError> {
        std::future::poll_fn(|cx: &mut task::Context<'_>| self.poll_ready(cx)).await.map_err(Into::into)?;
        self.call(request).await.map_err(Into::into)
    }
}
