//! Answers that no socket takes.

use super::response::{self, TestResponse, parse_head};
use crate::{
    connection::{IncomingBody, Rendered},
    guard::catch,
    proto::{encode, is_trailer_field},
    response::{Body, Ending, Response, StreamError, Trailers},
    service::Service,
};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use serde::de::DeserializeOwned;
use std::{
    any::Any,
    collections::VecDeque,
    fmt,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    task::{Context, Poll},
};

/// The body of a [`TestClient`](super::TestClient)'s answer: nothing runs ahead of its reader.
pub struct InProcess {
    body: Body,
    exchange: Exchange,
    /// To be made when the body has ended.
    trailers: Option<Trailers>,
    sent_trailers: Option<HeaderMap>,
}

/// A request's body, which is still being sent while its answer is made.
#[derive(Default)]
pub(super) struct Exchange {
    incoming: Option<Box<IncomingBody>>,
    /// Of the body's bytes, not sent yet.
    pieces: VecDeque<Bytes>,
}

impl Exchange {
    pub(super) fn new(incoming: Option<Box<IncomingBody>>, pieces: VecDeque<Bytes>) -> Self {
        Exchange { incoming, pieces }
    }

    /// Polls what the service makes, and gives it the request's body as it asks for it. A panic is an
    /// error.
    pub(super) fn poll_fed<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<Result<T, Box<dyn Any + Send>>> {
        loop {
            self.attend(true, cx);
            let polled = catch_unwind(AssertUnwindSafe(|| poll(cx)));
            self.attend(false, cx);
            match polled {
                Ok(Poll::Ready(value)) => return Poll::Ready(Ok(value)),
                Err(panic) => return Poll::Ready(Err(panic)),
                Ok(Poll::Pending) if self.feed() => {}
                Ok(Poll::Pending) => return Poll::Pending,
            }
        }
    }

    fn attend(&self, attended: bool, cx: &Context<'_>) {
        if let Some(cell) = self.incoming.as_ref().and_then(|body| body.reader()) {
            cell.attend(attended, cx);
        }
    }

    /// Hands the next piece out if it is asked for.
    fn feed(&mut self) -> bool {
        let Some(body) = self.incoming.as_mut().filter(|body| body.is_wanted()) else { return false };
        let Some(piece) = self.pieces.pop_front() else { return false };
        // The reader has got more of it, or is told of the fault.
        let _ = body.feed(&piece);
        true
    }
}

/// Renders an answer as a connection does: its head as it would be sent, its body to be asked for.
///
/// # Panics
/// If the connection would be handed on: there is none.
pub(super) fn answer(
    service: &Service,
    method: &Method,
    te_trailers: bool,
    mut response: Response,
    exchange: Exchange,
) -> TestResponse<InProcess> {
    let trailers = match response.parts.ending.take() {
        Some(Ending::Upgrade(_)) if response.parts.status == StatusCode::SWITCHING_PROTOCOLS => {
            panic!("upgrades need TestServer: TestClient has no connection to hand on")
        }
        Some(Ending::Trailers(trailers)) if te_trailers => Some(trailers),
        Some(Ending::Upgrade(_) | Ending::Trailers(_)) | None => None,
    };
    let rendered = Rendered::of(&mut response, service, method, false);
    let trailers = trailers.filter(|_| rendered.is_sent && rendered.is_coded);
    let mut head = Vec::new();
    service.write_head_start(&mut head, &response);
    rendered.write_framing(&mut head);
    encode::write_head_end(&mut head);
    let (parsed, _) = parse_head(&head).expect("a whole head");
    let body = if rendered.is_sent { rendered.body } else { Body::Empty };
    parsed.with_body(|()| InProcess { body, exchange, trailers, sent_trailers: None })
}

impl TestResponse<InProcess> {
    /// The next bytes of the body as the handler gives them; `None` at its end. Cancel safe.
    ///
    /// # Panics
    /// If the body fails, which would cut a connection.
    pub async fn chunk(&mut self) -> Option<Bytes> {
        self.try_chunk().await.unwrap_or_else(|error| panic!("the answer was cut: {error}"))
    }

    /// As [`chunk`](Self::chunk), for bodies that may fail.
    ///
    /// # Errors
    /// What the handler's stream has failed with, or that it has panicked.
    pub async fn try_chunk(&mut self) -> Result<Option<Bytes>, StreamError> {
        let InProcess { body, exchange, trailers, sent_trailers } = &mut self.body;
        loop {
            let next = poll_fn(|cx| exchange.poll_fed(cx, |cx| body.poll_chunk(cx))).await;
            match next.unwrap_or_else(|_| Some(Err("the body has panicked".into()))).transpose() {
                Ok(Some(chunk)) if chunk.is_empty() => {}
                Ok(None) => {
                    if let Some(trailers) = trailers.take() {
                        let fields = catch(trailers.make).ok_or("the maker of the trailers has panicked")?;
                        *sent_trailers = Some(allowed(fields));
                    }
                    return Ok(None);
                }
                next => return next,
            }
        }
    }

    /// The trailer fields that were sent behind the body, once it was read to its end. `None` before that,
    /// and if the request did not say `TE: trailers` or the answer has none
    /// ([`Response::with_trailers`](crate::Response::with_trailers)).
    pub fn trailers(&self) -> Option<&HeaderMap> {
        self.body.sent_trailers.as_ref()
    }

    /// What is left of the body. Not cancel safe: a dropped future loses what it has gathered.
    ///
    /// # Panics
    /// If the body fails, or is longer than 64 MiB.
    pub async fn bytes(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(chunk) = self.chunk().await {
            response::gather(&mut all, &chunk);
        }
        all
    }

    /// What is left of the body, as text; see [`bytes`](Self::bytes).
    ///
    /// # Panics
    /// As [`bytes`](Self::bytes), and if it is not UTF-8.
    pub async fn text(&mut self) -> String {
        response::text(self.bytes().await)
    }

    /// What is left of the body, as JSON; see [`bytes`](Self::bytes).
    ///
    /// # Panics
    /// As [`bytes`](Self::bytes), and if it is not JSON of this type.
    pub async fn json<T: DeserializeOwned>(&mut self) -> T {
        response::json(&self.bytes().await)
    }
}

/// Those that may stand in a trailer, as the connection sends them.
fn allowed(fields: HeaderMap) -> HeaderMap {
    let all = fields.keys().filter(|name| is_trailer_field(name));
    let pairs = all.flat_map(|name| fields.get_all(name).iter().map(|value| (name.clone(), value.clone())));
    let mut sent = HeaderMap::new();
    pairs.for_each(|(name, value)| {
        sent.append(name, value);
    });
    sent
}

impl fmt::Debug for InProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.body.fmt(f)
    }
}
