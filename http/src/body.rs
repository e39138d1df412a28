//! A request's body, on its way from the connection to the handler.
//!
//! The handler asks, the connection reads: no byte is taken from the socket before someone wants
//! it, so a handler that pauses slows its client down and nothing piles up.

use crate::{error::status_of, proto::ChunkError};
use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use http::{HeaderMap, StatusCode};
use std::{
    cell::RefCell,
    error, fmt,
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};

/// Sources of an error that are looked at, one behind the other.
const MOST_SOURCES: usize = 16;

/// The body of a request.
///
/// Dropping it leaves the rest unread; the connection then skips it, or ends if it is long.
///
/// It may be read by the handler, by a stream that the handler answers with, or by another task of
/// the shard. It ends with the answer: who still reads then gets an error.
#[derive(Default)]
pub struct RequestBody {
    source: Source,
    length: Option<u64>,
    /// How many bytes it may give; beyond them it is too long.
    allowance: Option<u64>,
}

#[derive(Default)]
enum Source {
    #[default]
    Nothing,
    /// More than it was allowed to give.
    TooLong,
    Connection(Rc<BodyCell>),
    Bytes(Bytes),
    Chunks(Pin<Box<dyn Stream<Item = Result<Bytes, BodyError>>>>),
}

/// What the connection and the handler share of a body.
pub(crate) struct BodyCell(RefCell<State>);

#[derive(Default)]
struct State {
    chunk: Option<Bytes>,
    end: Option<Result<(), BodyError>>,
    /// Set before the end.
    trailers: Option<Box<HeaderMap>>,
    /// The handler waits for a chunk.
    wanted: bool,
    reader: Option<Waker>,
    connection: Option<Waker>,
    /// The connection polls the handler right now, and will look at `wanted` by itself.
    attended: bool,
}

impl BodyCell {
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(BodyCell(RefCell::new(State::default())))
    }

    /// Whether the handler waits for bytes.
    pub(crate) fn is_wanted(&self) -> bool {
        let state = self.0.borrow();
        state.wanted && state.chunk.is_none() && state.end.is_none()
    }

    /// Whether the handler still holds its side.
    pub(crate) fn is_held(self: &Rc<Self>) -> bool {
        Rc::strong_count(self) > 1
    }

    /// Says whether the connection polls the handler now, and who is woken when it does not.
    pub(crate) fn attend(&self, attended: bool, cx: &Context<'_>) {
        let mut state = self.0.borrow_mut();
        state.attended = attended;
        if !state.connection.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            state.connection = Some(cx.waker().clone());
        }
    }

    pub(crate) fn push(&self, chunk: Bytes) {
        self.change(|state| match &mut state.chunk {
            // Bounded: the connection pushes what one read gave, and reads only when asked.
            Some(first) => {
                let mut both = BytesMut::with_capacity(first.len() + chunk.len());
                both.extend_from_slice(first);
                both.extend_from_slice(&chunk);
                *first = both.freeze();
            }
            none => *none = Some(chunk),
        });
    }

    pub(crate) fn set_trailers(&self, trailers: HeaderMap) {
        self.0.borrow_mut().trailers = Some(Box::new(trailers));
    }

    pub(crate) fn finish(&self, end: Result<(), BodyError>) {
        self.change(|state| {
            state.end.get_or_insert(end);
        });
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let reader = {
            let mut state = self.0.borrow_mut();
            change(&mut state);
            state.wanted = false;
            // The connection polls its own handler after each change.
            let reader = state.reader.take();
            let connection = state.connection.as_ref();
            reader.filter(|reader| !connection.is_some_and(|waker| waker.will_wake(reader)))
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    fn poll_chunk(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let connection = {
            let mut state = self.0.borrow_mut();
            if let Some(chunk) = state.chunk.take() {
                return Poll::Ready(Some(Ok(chunk)));
            }
            match &state.end {
                Some(Ok(())) => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error.clone()))),
                None => {}
            }
            if !state.reader.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                state.reader = Some(cx.waker().clone());
            }
            if std::mem::replace(&mut state.wanted, true) || state.attended {
                return Poll::Pending;
            }
            state.connection.clone()
        };
        if let Some(connection) = connection {
            connection.wake();
        }
        Poll::Pending
    }
}

impl RequestBody {
    pub(crate) fn new(cell: Rc<BodyCell>, length: Option<u64>) -> Self {
        RequestBody { source: Source::Connection(cell), length, allowance: None }
    }

    /// A body of chunks as they come, in the place of another one: for middleware that decodes or checks it.
    ///
    /// An error that is a [`BodyError`], or has one among its sources, keeps its status. One with the pool or a full disk among
    /// them is [internal](BodyError::is_internal), and any other one is [refused](BodyError::is_refused).
    pub fn from_stream<E>(chunks: impl Stream<Item = Result<Bytes, E>> + 'static) -> Self
    where
        E: Into<Box<dyn error::Error>>,
    {
        let chunks = Box::pin(Converted(Box::pin(chunks)));
        RequestBody { source: Source::Chunks(chunks), length: None, allowance: None }
    }

    /// Lets it give `bytes` bytes more at most; beyond them its reader gets an error with
    /// [`is_too_long`](BodyError::is_too_long).
    pub fn limit(&mut self, bytes: u64) {
        self.allowance = Some(self.allowance.map_or(bytes, |allowance| allowance.min(bytes)));
    }

    /// The body, if all of it is in memory and nobody has limited it.
    #[cfg(feature = "tower")]
    pub(crate) fn take_memory(&mut self) -> Option<Bytes> {
        match &mut self.source {
            Source::Nothing => Some(Bytes::new()),
            Source::Bytes(bytes) if self.allowance.is_none() => Some(std::mem::take(bytes)),
            _ => None,
        }
    }

    /// The whole body's length in bytes, if the head says it: 0 without a body, `None` if it is
    /// chunked or made [of a stream](RequestBody::from_stream).
    pub fn length(&self) -> Option<u64> {
        match &self.source {
            Source::Nothing => Some(0),
            Source::Bytes(bytes) => Some(bytes.len() as u64),
            Source::Connection(_) | Source::Chunks(_) | Source::TooLong => self.length,
        }
    }

    /// The next bytes, as they arrive; `None` at the end of the body.
    ///
    /// Cancel safe: what has arrived stays until it is taken.
    ///
    /// # Errors
    /// If the body cannot be had: malformed, too long, too slow, or the connection was lost. Every
    /// later call gives the same.
    pub async fn chunk(&mut self) -> Option<Result<Bytes, BodyError>> {
        poll_fn(|cx| self.poll_chunk(cx)).await
    }

    /// Ready with what [`RequestBody::chunk`] gives.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let next = match &mut self.source {
            Source::Nothing => None,
            Source::TooLong => Some(Err(BodyError(BodyFault::TooLong))),
            Source::Bytes(bytes) if bytes.is_empty() => None,
            Source::Bytes(bytes) => Some(Ok(std::mem::take(bytes))),
            Source::Connection(cell) => ready!(cell.poll_chunk(cx)),
            Source::Chunks(chunks) => ready!(chunks.as_mut().poll_next(cx)),
        };
        Poll::Ready(self.within_allowance(next))
    }

    fn within_allowance(
        &mut self,
        next: Option<Result<Bytes, BodyError>>,
    ) -> Option<Result<Bytes, BodyError>> {
        if let (Some(Ok(chunk)), Some(allowance)) = (&next, &mut self.allowance) {
            match allowance.checked_sub(chunk.len() as u64) {
                Some(left) => *allowance = left,
                None => {
                    // The rest is not wanted, and every later call says the same.
                    self.source = Source::TooLong;
                    return Some(Err(BodyError(BodyFault::TooLong)));
                }
            }
        }
        next
    }

    /// The trailer fields that came behind a chunked body, once its end was read: [`RequestBody::chunk`] gave
    /// `None`, or [`RequestBody::bytes`] all of it. `None` before that, and if there were none.
    ///
    /// They are not merged into the head, and fields that may not stand in a trailer are left out
    /// ([`is_trailer_field`](crate::proto::is_trailer_field); RFC 9110, 6.5.1).
    ///
    /// ```
    /// use lakh_http::{BodyError, RequestBody};
    ///
    /// async fn upload(mut body: RequestBody) -> Result<String, BodyError> {
    ///     let bytes = body.bytes().await?;
    ///     let trailers = body.trailers().unwrap_or_default();
    ///     let digest = trailers.get("content-digest").and_then(|value| value.to_str().ok());
    ///     Ok(format!("{} bytes, {}", bytes.len(), digest.unwrap_or("unchecked")))
    /// }
    /// ```
    pub fn trailers(&self) -> Option<HeaderMap> {
        let Source::Connection(cell) = &self.source else { return None };
        let state = cell.0.borrow();
        let is_read = state.chunk.is_none() && state.end.is_some();
        state.trailers.as_deref().filter(|_| is_read).cloned()
    }

    /// All that is left of the body; the server's body limit bounds it.
    ///
    /// Not cancel safe: a dropped future loses what it has gathered.
    ///
    /// # Errors
    /// As [`RequestBody::chunk`].
    pub async fn bytes(&mut self) -> Result<Bytes, BodyError> {
        let Some(first) = self.chunk().await.transpose()? else { return Ok(Bytes::new()) };
        let Some(second) = self.chunk().await.transpose()? else { return Ok(first) };
        let mut all = BytesMut::from(&first[..]);
        all.extend_from_slice(&second);
        while let Some(chunk) = self.chunk().await {
            all.extend_from_slice(&chunk?);
        }
        Ok(all.freeze())
    }
}

impl<B: Into<Bytes>> From<B> for RequestBody {
    /// A body that is in memory: for tests, and for middleware that has read and replaced one.
    fn from(bytes: B) -> Self {
        let source = Source::Bytes(bytes.into());
        RequestBody { source, length: None, allowance: None }
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody").field("length", &self.length()).finish()
    }
}

/// A stream whose errors become [`BodyError`]s.
struct Converted<S>(Pin<Box<S>>);

impl<S, E> Stream for Converted<S>
where
    S: Stream<Item = Result<Bytes, E>>,
    E: Into<Box<dyn error::Error>>,
{
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(cx).map(|next| next.map(|chunk| chunk.map_err(BodyError::of)))
    }
}

/// Why a request's body cannot be had. The client's doing, unless it [is internal](BodyError::is_internal).
#[derive(Debug, Clone)]
pub struct BodyError(pub(crate) BodyFault);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyFault {
    Malformed,
    TrailersTooLarge,
    TooLong,
    TooSlow,
    Lost,
    Refused,
    /// With the status of a server's error.
    Internal(StatusCode),
}

impl From<ChunkError> for BodyFault {
    fn from(error: ChunkError) -> Self {
        match error.status() {
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => BodyFault::TrailersTooLarge,
            _ => BodyFault::Malformed,
        }
    }
}

impl BodyError {
    /// The body error among an error and its sources, one of the service itself if the pool or the disk are among them, or
    /// one that says that it was refused.
    fn of(error: impl Into<Box<dyn error::Error>>) -> Self {
        let error = error.into();
        let mut source: Option<&(dyn error::Error + 'static)> = Some(&*error);
        for _ in 0..MOST_SOURCES {
            match source {
                Some(error) => match (error.downcast_ref::<BodyError>(), status_of(error)) {
                    (Some(error), _) => return error.clone(),
                    (None, Some(status)) => return BodyError(BodyFault::Internal(status)),
                    (None, None) => source = error.source(),
                },
                None => break,
            }
        }
        BodyError(BodyFault::Refused)
    }

    /// The status that tells the client: 400, 408, 413 or 431; 500, 503 or 507 if it [is internal](Self::is_internal).
    pub fn status(&self) -> StatusCode {
        match self.0 {
            BodyFault::Malformed | BodyFault::Lost | BodyFault::Refused => StatusCode::BAD_REQUEST,
            BodyFault::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
            BodyFault::TooSlow => StatusCode::REQUEST_TIMEOUT,
            BodyFault::TrailersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            BodyFault::Internal(status) => status,
        }
    }

    /// The body is longer than the server's limit.
    pub fn is_too_long(&self) -> bool {
        self.0 == BodyFault::TooLong
    }

    /// The client sent too slowly.
    pub fn is_too_slow(&self) -> bool {
        self.0 == BodyFault::TooSlow
    }

    /// What stands between the connection and the reader could not decode the body, or did not want it.
    pub fn is_refused(&self) -> bool {
        self.0 == BodyFault::Refused
    }

    /// What stands between the connection and the reader could not do its work: the pool has shut down, say. Not the
    /// client's doing.
    pub fn is_internal(&self) -> bool {
        matches!(self.0, BodyFault::Internal(_))
    }

    /// The connection ended in the middle of the body.
    pub fn is_lost(&self) -> bool {
        self.0 == BodyFault::Lost
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            BodyFault::Malformed => "the body's chunked coding is malformed",
            BodyFault::TrailersTooLarge => "the body's trailer fields are more than the limit",
            BodyFault::TooLong => "the body is longer than the limit",
            BodyFault::TooSlow => "the body came too slowly",
            BodyFault::Lost => "the connection ended in the middle of the body",
            BodyFault::Refused => "the body was refused on its way",
            BodyFault::Internal(_) => "the body could not be dealt with now",
        })
    }
}

impl error::Error for BodyError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_beyond_its_limit_stays_too_long() {
        let mut body = RequestBody::from("hello");
        body.limit(3);
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..2 {
            let Poll::Ready(Some(Err(error))) = body.poll_chunk(&mut cx) else { panic!("it is an error") };
            assert!(error.is_too_long());
        }
    }
}
