//! Server-Sent Events: an answer that goes on for as long as the client listens (HTML standard, 9.2).
//!
//! | the events come from | |
//! |---|---|
//! | an async function, one for each client | [`Sse::from_async_fn`] |
//! | tasks that push into a bounded queue | [`channel`] |
//! | something that all clients of all shards listen to, and resume | [`Feed`] |
//! | a stream | [`Sse::new`] |
//!
//! ```
//! use lakh_http::{App, sse::{Event, Sse}};
//! use std::time::Duration;
//!
//! async fn seconds() -> Sse {
//!     Sse::from_async_fn(async |events| {
//!         for second in 0.. {
//!             if events.send(Event::new(second.to_string())).await.is_err() {
//!                 return; // nobody listens any more
//!             }
//!             lakh_core::sleep(Duration::from_secs(1)).await;
//!         }
//!     })
//! }
//!
//! let app = App::new().get("/seconds", seconds);
//! ```
//!
//! A client that goes away ends its stream: the async function is dropped where it waits, senders are
//! refused. A drain ends all streams at once, so that it need not wait for them; browsers come back by
//! themselves, to whoever serves then, and say by `Last-Event-ID` what they had last. One that does not
//! read slows its source down and is closed by the server's limits.

mod channel;
mod event;
mod feed;

pub use channel::{Refused, Sender, channel};
pub use event::Event;
pub use feed::Feed;

use crate::{
    HandlerError,
    extract::FromHead,
    into_response::IntoResponse,
    request::Head,
    response::{Body, Response, StreamError},
};
use bytes::Bytes;
use channel::Receiver;
use futures_core::Stream;
use http::{HeaderName, HeaderValue, header};
use lakh_core::{Shard, Sleep};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

/// Silence after which a comment is sent: less than the idle timeouts of most proxies.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// A comment without text.
const COMMENT: &[u8] = b":\n\n";

const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");

/// An answer of Server-Sent Events; see the [module](crate::sse).
///
/// It is of type `text/event-stream`, kept by no cache, and held back by no nginx
/// (`X-Accel-Buffering: no`).
pub struct Sse {
    events: Encoded,
    keep_alive: Option<Duration>,
    retry: Option<Duration>,
}

/// Events as they are sent.
type Encoded = Pin<Box<dyn Stream<Item = Bytes>>>;

impl Sse {
    /// Sends the events of a stream, and ends with it. Clients come back after an end as after a loss:
    /// send an event that tells them to close, or answer with 204.
    pub fn new(events: impl Stream<Item = Event> + 'static) -> Self {
        Self::encoded(Encode(Box::pin(events)))
    }

    /// Sends what an async function gives to its [`Sender`], which waits until the client has taken the
    /// event before. The function runs as a part of the answer: it is dropped when the client goes away
    /// or the server drains.
    pub fn from_async_fn<Fut>(events: impl FnOnce(Sender) -> Fut) -> Self
    where
        Fut: Future<Output = ()> + 'static,
    {
        let (sender, receiver) = channel::pair(1);
        Self::encoded(Encode(Box::pin(Driven { future: Some(Box::pin(events(sender))), receiver })))
    }

    fn encoded(events: impl Stream<Item = Bytes> + 'static) -> Self {
        Sse { events: Box::pin(events), keep_alive: Some(KEEP_ALIVE), retry: None }
    }

    /// After so much silence a comment is sent, which keeps proxies from closing the connection; 15 s by
    /// default.
    pub fn keep_alive(self, silence: Duration) -> Self {
        Sse { keep_alive: Some(silence), ..self }
    }

    /// No comments, however long the silence.
    pub fn no_keep_alive(self) -> Self {
        Sse { keep_alive: None, ..self }
    }

    /// Tells the client first how long it has to wait before it comes back; browsers wait some seconds
    /// by default.
    pub fn retry(self, delay: Duration) -> Self {
        Sse { retry: Some(delay), ..self }
    }
}

impl IntoResponse for Sse {
    fn into_response(self) -> Response {
        let Sse { events, keep_alive, retry } = self;
        let body = Body::stream(Sending {
            first: retry.map(|delay| Event::default().retry(delay).encode()),
            events: Some(events),
            silence: keep_alive.map(Silence::new),
            drain: Box::pin(lakh_core::drain_requested()),
        });
        Response::new(body)
            .with_content_type(EVENT_STREAM)
            .with_field(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
            .with_field(X_ACCEL_BUFFERING, HeaderValue::from_static("no"))
    }
}

const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

impl fmt::Debug for Sse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sse").field("keep_alive", &self.keep_alive).finish_non_exhaustive()
    }
}

/// The body of the answer.
struct Sending {
    first: Option<Bytes>,
    /// Until they have ended.
    events: Option<Encoded>,
    silence: Option<Silence>,
    drain: Pin<Box<dyn Future<Output = ()>>>,
}

impl Stream for Sending {
    type Item = Result<Bytes, StreamError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(events) = &mut this.events else { return Poll::Ready(None) };
        let next = match this.first.take() {
            _ if lakh_core::with(Shard::is_draining) => None,
            Some(first) => Some(first),
            None => match events.as_mut().poll_next(cx) {
                Poll::Ready(next) => next,
                Poll::Pending if this.drain.as_mut().poll(cx).is_ready() => None,
                Poll::Pending => {
                    let Some(silence) = &mut this.silence else { return Poll::Pending };
                    ready!(silence.poll_end(cx));
                    Some(Bytes::from_static(COMMENT))
                }
            },
        };
        match &next {
            Some(_) => this.silence.iter_mut().for_each(Silence::begin),
            None => this.events = None,
        }
        Poll::Ready(next.map(Ok))
    }
}

/// How long nothing was sent. Beginning anew costs nothing: the timer is moved when it fires early.
struct Silence {
    limit: Duration,
    since: Instant,
    timer: Sleep,
}

impl Silence {
    fn new(limit: Duration) -> Self {
        Silence { limit, since: lakh_core::with(Shard::now), timer: lakh_core::sleep(limit) }
    }

    fn begin(&mut self) {
        self.since = lakh_core::with(Shard::now);
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(Pin::new(&mut self.timer).poll(cx));
            let (now, end) = (lakh_core::with(Shard::now), self.since + self.limit);
            if end <= now {
                self.timer.reset(now + self.limit);
                return Poll::Ready(());
            }
            self.timer.reset(end);
        }
    }
}

/// A stream of events as they are sent.
struct Encode(Pin<Box<dyn Stream<Item = Event>>>);

impl Stream for Encode {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.0.as_mut().poll_next(cx).map(|event| event.map(|event| event.encode()))
    }
}

/// An async function and what it sends.
struct Driven {
    future: Option<Pin<Box<dyn Future<Output = ()>>>>,
    receiver: Receiver,
}

impl Stream for Driven {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        if let Poll::Ready(Some(event)) = self.receiver.poll_event(cx) {
            return Poll::Ready(Some(event));
        }
        if let Some(future) = &mut self.future
            && future.as_mut().poll(cx).is_ready()
        {
            self.future = None;
        }
        self.receiver.poll_event(cx)
    }
}

/// The id of the event that a client had last before it lost its connection: the header field
/// `Last-Event-ID` (HTML standard, 9.2.4). As a handler's parameter it is mostly an `Option`.
///
/// Refused with 400 if there is none, or if it is not UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LastEventId(pub String);

impl<S> FromHead<S> for LastEventId {
    type Rejection = HandlerError;

    fn from_head(head: &Head<'_>, _: &S) -> Result<Self, HandlerError> {
        let id = head.header("last-event-id").and_then(|id| std::str::from_utf8(id).ok());
        let missing = || HandlerError::bad_request("a Last-Event-ID is needed");
        id.map(|id| LastEventId(id.to_owned())).ok_or_else(missing)
    }

    fn is_absent(head: &Head<'_>) -> bool {
        head.header("last-event-id").is_none()
    }
}
