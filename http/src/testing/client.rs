//! Asking an app without sockets.

use super::{
    InProcess, TestRequest, TestResponse,
    cookies::Jar,
    in_process::{Exchange, answer},
    request::RequestBytes,
};
use crate::{
    App,
    body::{BodyCell, RequestBody},
    connection::{IncomingBody, panicked},
    guard::{catch, drop_guarded},
    handler::{Incoming, Outcome},
    limits::Limits,
    proto::{HeadMemo, Parsed},
    request::{Head, ParamSpans, Peer, Sender},
    response::Response,
    server::run_at_drain,
    service::Service,
};
use http::StatusCode;
use std::{
    cell::RefCell,
    collections::VecDeque,
    fmt,
    future::{Future, poll_fn},
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    sync::Arc,
};

/// A client of an [`App`] in the same process, on the current shard; see the
/// [module](crate::testing).
///
/// Deadlines do not count for it, and its requests come from `127.0.0.1:1`.
#[derive(Clone)]
pub struct TestClient {
    service: Rc<Service>,
    peer: SocketAddr,
    cookies: Option<Rc<RefCell<Jar>>>,
}

impl TestClient {
    /// A client of this app, with the limits that servers have by default.
    ///
    /// # Panics
    /// Outside a shard: call it inside [`run`](super::run) or [`block_on`](lakh_core::block_on).
    #[track_caller]
    pub fn new<S: 'static>(app: App<S>) -> Self {
        Self::with_limits(app, Limits::default())
    }

    /// A client of this app, with a server's limits.
    ///
    /// # Panics
    /// As [`TestClient::new`].
    #[track_caller]
    pub fn with_limits<S: 'static>(app: App<S>, limits: Limits) -> Self {
        let (router, on_drain) = app.into_router();
        let shard = lakh_core::current();
        on_drain.into_iter().for_each(|hook| shard.spawn_detached(run_at_drain(hook)));
        let service = Service::new(router, limits, None, None, Arc::default(), &shard);
        TestClient { service, peer: ([127, 0, 0, 1], 1).into(), cookies: None }
    }

    /// The address that its requests come from.
    pub fn peer(self, peer: SocketAddr) -> Self {
        TestClient { peer, ..self }
    }

    /// Sends the cookies that its answers have set, from here on. Clones have them in common.
    pub fn keep_cookies(self) -> Self {
        TestClient { cookies: Some(Rc::default()), ..self }
    }

    /// What a connection does with a request's bytes.
    async fn ask(&self, request: RequestBytes) -> TestResponse<InProcess> {
        let RequestBytes { method, head, body } = request;
        let mut memo = HeadMemo::default();
        let refused = match memo.parse(&head, &self.service.limits().head) {
            Ok(Parsed::Complete) => None,
            Ok(Parsed::Partial) => Some(StatusCode::BAD_REQUEST),
            Err(error) => Some(error.status()),
        };
        if let Some(status) = refused {
            let refusal = refusal(&self.service, status);
            return answer(&self.service, &method, false, refusal, Exchange::default());
        }
        let (outcome, mut exchange) = self.call(&memo, &head, body);
        let response = match outcome {
            Some(Outcome::Ready(response)) => response,
            Some(Outcome::Later(mut future)) => {
                let response = poll_fn(|cx| exchange.poll_fed(cx, |cx| Pin::new(&mut future).poll(cx))).await;
                let is_dropped = drop_guarded(future);
                response.ok().filter(|_| is_dropped).unwrap_or_else(panicked)
            }
            None => panicked(),
        };
        answer(&self.service, &method, memo.head().te_trailers, response, exchange)
    }

    /// Calls the handler; no outcome if it panics.
    fn call(
        &self,
        memo: &HeadMemo,
        head: &[u8],
        pieces: VecDeque<bytes::Bytes>,
    ) -> (Option<Outcome>, Exchange) {
        let (router, parsed) = (self.service.router(), memo.head());
        let mut params = ParamSpans::new();
        let found = router.find(parsed, head, &mut params);
        let mut body = IncomingBody::of(parsed, || self.service.limits_of(found)).map(Box::new);
        if body.as_ref().is_some_and(|body| body.is_announced_too_long()) {
            let response = Response::plain(StatusCode::PAYLOAD_TOO_LARGE);
            return (Some(Outcome::Ready(response)), Exchange::default());
        }
        let mut open_body = || match &mut body {
            None => RequestBody::default(),
            Some(body) => {
                let cell = BodyCell::new();
                body.set_reader(Rc::clone(&cell));
                RequestBody::new(cell, body.length())
            }
        };
        let sender = Sender::known(self.peer);
        let (endpoint, names) = router.endpoint(found);
        let head = Head::new(head, parsed, names, &params, Peer::Sender(&sender));
        let incoming = Incoming::new(head, memo, &mut open_body);
        let outcome = catch(|| endpoint.call(incoming));
        (outcome, Exchange::new(body, pieces))
    }
}

impl TestRequest<'_, TestClient> {
    /// Sends it, and waits for the answer's head. Cancel safe as far as the handler is.
    ///
    /// # Panics
    /// Outside the shard of its client, and if the answer is an upgrade.
    pub async fn send(self) -> TestResponse<InProcess> {
        let cookies = self.client().cookies.clone();
        let (client, request) = self.into_bytes(cookies.as_ref().and_then(|jar| jar.borrow().header()));
        let response = client.ask(request).await;
        if let Some(jar) = cookies {
            jar.borrow_mut().store(response.headers());
        }
        response
    }
}

/// The server's own answer to what it does not understand.
fn refusal(service: &Service, status: StatusCode) -> Response {
    match status {
        StatusCode::METHOD_NOT_ALLOWED => service.router().refuse_method(),
        _ => Response::plain(status),
    }
}

impl fmt::Debug for TestClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestClient").field("peer", &self.peer).finish_non_exhaustive()
    }
}
