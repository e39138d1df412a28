//! Layers as middleware.

use super::{
    BoxError, HttpService,
    context::{Context, Within},
    convert::{Companions, failed, join, response_of, split},
};
use crate::{
    HandlerError,
    body::RequestBody,
    error::Origin,
    into_response::IntoResponse,
    middleware::{Middleware, Next},
    request::Request,
    response::{Body, Response},
};
use bytes::Buf;
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    convert::Infallible,
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    task::{self, Poll},
};
use tower_layer::Layer;

/// Makes middleware of a layer: for [`App::wrap`](crate::App::wrap) and
/// [`App::wrap_route`](crate::App::wrap_route).
///
/// The layer is applied once, so that a limit in it counts for all that it is wrapped around. It may change the
/// request (parameters of the route stay as they were), refuse it, and change the answer; both bodies may become
/// others. What it leaves in the request's extensions reaches the handler as one value of type `http::Extensions`.
/// Errors that a handler gives are rendered by [`App::on_error`](crate::App::on_error) still, unless the layer
/// changes the status.
///
/// Layers that want `Send` services do not fit: handlers are at home on their shard.
///
/// ```
/// use lakh_http::{App, tower::{NextService, tower_layer}};
/// use tower_layer::layer_fn;
///
/// // Layers of tower-http go here: SetResponseHeaderLayer, CompressionLayer, TimeoutLayer, …
/// let nothing = layer_fn(|next: NextService| next);
/// let app = App::new().get("/", || "hello").wrap(tower_layer(nothing));
/// ```
pub fn tower_layer<L>(layer: L) -> TowerLayer<L::Service>
where
    L: Layer<NextService>,
    L::Service: HttpService<RequestBody>,
{
    let next = NextService::default();
    TowerLayer { service: layer.layer(next.clone()), next }
}

/// What [`tower_layer`](tower_layer()) gives.
pub struct TowerLayer<S> {
    service: S,
    next: NextService,
}

impl<S> fmt::Debug for TowerLayer<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TowerLayer")
    }
}

/// The service that a layer is wrapped around: whatever comes next for the request. It is always ready, and takes
/// requests with any body.
#[derive(Clone, Default)]
pub struct NextService {
    /// Requests that are in the layer.
    inside: Rc<RefCell<HashMap<u64, Passage>>>,
    last: Rc<Cell<u64>>,
}

impl fmt::Debug for NextService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NextService({} requests inside)", self.inside.borrow().len())
    }
}

/// What waits beside the layer while a request goes through it.
struct Passage {
    /// Taken when the request comes out.
    onward: Option<(Next, Companions)>,
    /// What the answer tells of, with its status; a layer cannot carry that.
    origin: Option<(http::StatusCode, Origin)>,
}

/// Under which number, in the request's extensions.
#[derive(Clone, Copy)]
struct Ticket(u64);

/// Takes the passage away when the request is done with, in whatever way.
struct Inside<'a>(&'a NextService, u64);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        let passage = self.0.inside.borrow_mut().remove(&self.1);
        drop(passage);
    }
}

impl NextService {
    fn enter(&self, next: Next, companions: Companions) -> (Inside<'_>, Ticket) {
        let number = self.last.get() + 1;
        self.last.set(number);
        let passage = Passage { onward: Some((next, companions)), origin: None };
        self.inside.borrow_mut().insert(number, passage);
        (Inside(self, number), Ticket(number))
    }

    fn come_out(&self, ticket: Ticket) -> Option<(Next, Companions)> {
        self.inside.borrow_mut().get_mut(&ticket.0)?.onward.take()
    }

    fn keep_origin(&self, ticket: Ticket, response: &mut Response) {
        let origin = std::mem::take(&mut response.parts.origin);
        if let Some(passage) = self.inside.borrow_mut().get_mut(&ticket.0) {
            passage.origin = Some((response.parts.status, origin));
        }
    }

    fn restore_origin(&self, ticket: Ticket, response: &mut Response) {
        let kept = self.inside.borrow_mut().get_mut(&ticket.0).and_then(|passage| passage.origin.take());
        if let Some((_, origin)) = kept.filter(|(status, _)| *status == response.parts.status) {
            response.parts.origin = origin;
        }
    }

    async fn run<B>(self, mut request: http::Request<B>) -> Response
    where
        B: http_body::Body<Data: Buf, Error: Into<BoxError>> + 'static,
    {
        let ticket = request.extensions_mut().remove::<Ticket>();
        let Some((ticket, (next, companions))) = ticket.and_then(|t| Some((t, self.come_out(t)?))) else {
            let cause = "a layer has dropped the request's extensions, or sent it twice";
            return HandlerError::internal(cause).into_response();
        };
        let mut response = match join(request, companions) {
            Ok(request) => next.run(request).await,
            Err(error) => error.into_response(),
        };
        self.keep_origin(ticket, &mut response);
        response
    }
}

impl<B> tower_service::Service<http::Request<B>> for NextService
where
    B: http_body::Body<Data: Buf, Error: Into<BoxError>> + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>>>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let next = self.clone();
        Box::pin(async move { Ok(next.run(request).await.into()) })
    }
}

impl<S: HttpService<RequestBody>> Middleware for TowerLayer<S> {
    async fn handle(self: Rc<Self>, request: Request, next: Next) -> Response {
        match self.pass(request, next).await {
            Ok(response) => response,
            Err(error) => error.into_response(),
        }
    }
}

impl<S: HttpService<RequestBody>> TowerLayer<S> {
    async fn pass(&self, request: Request, next: Next) -> Result<Response, HandlerError> {
        let context = Context::get()?;
        let (mut parts, body, companions) = split(request)?;
        let (_inside, ticket) = self.next.enter(next, companions);
        parts.extensions.insert(ticket);
        let request = http::Request::from_parts(parts, body);
        let mut work = Within::new(context.clone(), || Box::pin(self.service.clone().answer(request)));
        let answered = poll_fn(|cx| work.with(|work| work.as_mut().poll(cx)).unwrap_or(Poll::Pending)).await;
        drop(work);
        let mut response = match answered {
            Ok(response) => response_of(response, context, None),
            Err(error) => return Ok(failed(error)),
        };
        self.next.restore_origin(ticket, &mut response);
        Ok(response)
    }
}
