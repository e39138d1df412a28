//! Bodies of this crate as those of `http-body`, and the other way round.

use super::{
    BoxError,
    context::{Context as Surroundings, Within},
    pipe::Pump,
};
use crate::{
    body::{BodyError, RequestBody},
    response::{Body, StreamError},
};
use bytes::{Buf, Bytes};
use futures_core::Stream;
use http_body::{Frame, SizeHint};
use std::{
    error, fmt,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

/// Frames without data, or chunks of the request, that are dealt with in one poll.
const ROUNDS: usize = 16;

/// Bodies up to so many bytes are taken at once, if they are there: they need no stream.
const TAKEN_AT_ONCE: u64 = 64 * 1024;

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.poll_chunk(cx).map(|next| next.map(|chunk| chunk.map(Frame::data)))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = ResponseBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ResponseBodyError>>> {
        let next = ready!(self.poll_chunk(cx));
        Poll::Ready(next.map(|chunk| chunk.map(Frame::data).map_err(ResponseBodyError::new)))
    }

    fn is_end_stream(&self) -> bool {
        self.length() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.length().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// Why the body of an answer failed, in words: layers want errors that are `Send`, and a
/// [`StreamError`] need not be.
#[derive(Debug, Clone)]
pub struct ResponseBodyError(Box<str>);

impl ResponseBodyError {
    fn new(error: StreamError) -> Self {
        ResponseBodyError(error.to_string().into())
    }
}

impl fmt::Display for ResponseBodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl error::Error for ResponseBodyError {}

/// The chunks of a foreign body. Trailers are dropped, as is what comes behind them.
pub(super) struct ForeignChunks<B> {
    /// What was read of it beforehand.
    first: Option<Bytes>,
    body: Within<Pin<Box<B>>>,
    /// Feeds the request's body, from which this one may be made.
    pump: Option<Pump>,
}

impl<B> ForeignChunks<B>
where
    B: http_body::Body<Data: Buf, Error: Into<BoxError>> + 'static,
{
    pub(super) fn new(body: B, context: Surroundings, pump: Option<Pump>) -> Self {
        ForeignChunks { first: None, body: Within::new(context, || Box::pin(body)), pump }
    }

    /// A body of this crate: in memory if all of it is there, announced if its length is known.
    pub(super) fn into_body(mut self, announced: Option<u64>) -> Body {
        let hint = self.body.with(|body| body.size_hint().exact()).flatten();
        if hint.is_some_and(|length| length <= TAKEN_AT_ONCE) && announced.is_none_or(|_| announced == hint) {
            // It is polled again if it is not ready, so nobody needs to be woken.
            if let Poll::Ready(next) = self.poll_data(&mut Context::from_waker(Waker::noop())) {
                match next {
                    Some(Ok(bytes)) if hint == Some(bytes.len() as u64) => return Body::Bytes(bytes),
                    Some(Ok(bytes)) => self.first = Some(bytes),
                    Some(Err(error)) => return Body::stream(Failed(Some(error))),
                    None if hint == Some(0) => return Body::Empty,
                    None => {}
                }
            }
        }
        match announced.or(hint) {
            Some(length) => Body::sized_stream(length, self),
            None => Body::stream(self),
        }
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, StreamError>>> {
        for _ in 0..ROUNDS {
            match self.body.with(|body| body.as_mut().poll_frame(cx)) {
                Some(Poll::Ready(Some(Ok(frame)))) => match frame.into_data() {
                    Ok(mut data) if data.has_remaining() => {
                        return Poll::Ready(Some(Ok(data.copy_to_bytes(data.remaining()))));
                    }
                    Ok(_) => {}
                    Err(_trailers) => return Poll::Ready(None),
                },
                Some(Poll::Ready(Some(Err(error)))) => {
                    let error: BoxError = error.into();
                    return Poll::Ready(Some(Err(error)));
                }
                Some(Poll::Ready(None)) | None => return Poll::Ready(None),
                Some(Poll::Pending) => match &mut self.pump {
                    Some(pump) => ready!(pump.poll(cx)),
                    None => return Poll::Pending,
                },
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<B> Stream for ForeignChunks<B>
where
    B: http_body::Body<Data: Buf, Error: Into<BoxError>> + 'static,
{
    type Item = Result<Bytes, StreamError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.first.take() {
            Some(bytes) => Poll::Ready(Some(Ok(bytes))),
            None => self.poll_data(cx),
        }
    }
}

/// A body that has failed before it began.
struct Failed(Option<StreamError>);

impl Stream for Failed {
    type Item = Result<Bytes, StreamError>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.take().map(Err))
    }
}
