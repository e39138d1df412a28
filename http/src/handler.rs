//! Functions that answer requests.

use crate::{
    body::RequestBody,
    request::{Head, Request},
    response::{IntoResponse, Response},
};
use std::{future::Future, pin::Pin};

/// A request on its way to its handler.
pub struct Incoming<'a> {
    pub(crate) head: Head<'a>,
    /// Makes the body's two ends, once; not called by handlers that do not want it.
    pub(crate) open_body: &'a mut dyn FnMut() -> RequestBody,
}

impl<'a> Incoming<'a> {
    /// The head.
    pub fn head(&self) -> &Head<'a> {
        &self.head
    }

    /// Copies the head, so that the request outlives the read buffer.
    pub fn into_request(self) -> Request {
        Request::new(self.head, (self.open_body)())
    }
}

/// What a handler gives at once.
#[allow(clippy::large_enum_variant)] // boxing the answer would be an allocation for each request
pub enum Outcome {
    /// The answer.
    Ready(Response),
    /// A future of it.
    Later(Pin<Box<dyn Future<Output = Response>>>),
}

/// A function that answers requests. Implemented for
///
/// - `Fn() -> R` and `Fn(&Head<'_>) -> R`: run at once, on the shard; they must not block;
/// - `Fn() -> F` and `Fn(Request) -> F` where `F` is a future of an `R`: `async fn`s, for instance;
///
/// where `R` is [`IntoResponse`]. `Form` only tells these apart and is always inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no handler",
    note = "a handler is a function of nothing or of `&Head<'_>`, or an async one of nothing or of `Request`",
    note = "what it returns, or what its future gives, must be `IntoResponse`"
)]
pub trait Handler<Form>: 'static {
    /// Answers a request.
    fn call(&self, incoming: Incoming<'_>) -> Outcome;
}

mod form {
    #![allow(missing_debug_implementations)]
    pub struct Plain;
    pub struct WithHead;
    pub struct Async;
    pub struct AsyncWithRequest;
}

impl<F, R> Handler<form::Plain> for F
where
    F: Fn() -> R + 'static,
    R: IntoResponse,
{
    #[inline]
    fn call(&self, _: Incoming<'_>) -> Outcome {
        Outcome::Ready(self().into_response())
    }
}

impl<F, R> Handler<form::WithHead> for F
where
    F: Fn(&Head<'_>) -> R + 'static,
    R: IntoResponse,
{
    #[inline]
    fn call(&self, incoming: Incoming<'_>) -> Outcome {
        Outcome::Ready(self(&incoming.head).into_response())
    }
}

impl<F, Fut> Handler<form::Async> for F
where
    F: Fn() -> Fut + 'static,
    Fut: Future<Output: IntoResponse> + 'static,
{
    fn call(&self, _: Incoming<'_>) -> Outcome {
        let future = self();
        Outcome::Later(Box::pin(async move { future.await.into_response() }))
    }
}

impl<F, Fut> Handler<form::AsyncWithRequest> for F
where
    F: Fn(Request) -> Fut + 'static,
    Fut: Future<Output: IntoResponse> + 'static,
{
    fn call(&self, incoming: Incoming<'_>) -> Outcome {
        let future = self(incoming.into_request());
        Outcome::Later(Box::pin(async move { future.await.into_response() }))
    }
}

/// A handler whose form is forgotten: what the router keeps.
pub(crate) trait Endpoint {
    fn call(&self, incoming: Incoming<'_>) -> Outcome;
}

pub(crate) struct Erased<H, Form>(pub(crate) H, pub(crate) std::marker::PhantomData<Form>);

impl<Form, H: Handler<Form>> Endpoint for Erased<H, Form> {
    #[inline]
    fn call(&self, incoming: Incoming<'_>) -> Outcome {
        self.0.call(incoming)
    }
}
