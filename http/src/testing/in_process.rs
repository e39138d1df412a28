//! Answers that no socket takes.

use super::response::{self, TestResponse, parse_head};
use crate::{
    connection::{IncomingBody, panicked},
    proto::encode,
    response::{Body, Response, StreamError},
    service::Service,
};
use bytes::Bytes;
use http::{Method, StatusCode};
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
pub(super) fn answer(
    service: &Service,
    method: &Method,
    mut response: Response,
    exchange: Exchange,
) -> TestResponse<InProcess> {
    if response.status.is_informational() {
        response = panicked();
    }
    service.router().render_error(&mut response);
    let body = std::mem::take(&mut response.body);
    let length = if response.status == StatusCode::RESET_CONTENT { Some(0) } else { body.length() };
    let is_bare = response.status == StatusCode::NOT_MODIFIED && matches!(body, Body::Empty);
    let mut head = Vec::new();
    service.write_head_start(&mut head, &response);
    if encode::content_length_allowed(response.status, method) && !is_bare {
        match length {
            Some(length) => encode::write_content_length(&mut head, length),
            None => head.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        }
    }
    encode::write_head_end(&mut head);
    let (parsed, _) = parse_head(&head).expect("a whole head");
    let body = if encode::body_allowed(response.status, method) { body } else { Body::Empty };
    parsed.with_body(|()| InProcess { body, exchange })
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
        let InProcess { body, exchange } = &mut self.body;
        loop {
            let next = poll_fn(|cx| exchange.poll_fed(cx, |cx| body.poll_chunk(cx))).await;
            match next.unwrap_or_else(|_| Some(Err("the body has panicked".into()))).transpose() {
                Ok(Some(chunk)) if chunk.is_empty() => {}
                next => return next,
            }
        }
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

impl fmt::Debug for InProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.body.fmt(f)
    }
}
