//! Request bodies in a content coding.

use super::{Middleware, Next};
use crate::{BodyError, HandlerError, Head, IntoResponse, Request, RequestBody, Response};
use bytes::Bytes;
use futures_core::Stream;
use http::{HeaderValue, StatusCode, header};
use lakh_compress::{Coding, Decode, StreamError};
use std::{
    cell::Cell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

/// Bodies that are decoded at a time, on each shard: each holds a window that its sender has chosen, of up to 16 MiB.
const AT_ONCE: usize = 64;
/// What is told with 415 (RFC 9110, 12.5.3).
const ACCEPTED: HeaderValue = HeaderValue::from_static("gzip, deflate, br, zstd");

/// Decodes request bodies that come in a content coding: gzip, deflate, brotli or zstd (RFC 9110, 8.4).
///
/// The handler gets the decoded bytes, and a head without `Content-Encoding` and `Content-Length`. They are decoded as it
/// asks for them, on the pool's cpu lane or, short ones, on the shard. More of them than the limit is 413, which is
/// an error of the body ([`BodyError::is_too_long`]) once that much has been read; of a bomb there are 64 KiB in memory.
/// The limits of server and route are for the bytes as they are sent. A body that is damaged is 400, and one in whose middle the pool
/// shuts down 503. Another coding, or
/// several, is 415 with `Accept-Encoding`, before a byte is read. A shard decodes at most 64 bodies at a time
/// ([`at_once`](Self::at_once)); one more is 503 with `Retry-After`.
///
/// Trailer fields of a body that is decoded are lost.
///
/// ```
/// use lakh_http::{App, Bytes, middleware::Decompress};
///
/// let app = App::new()
///     .post("/events", async |events: Bytes| format!("{} bytes", events.len()))
///     .wrap(Decompress::new(1 << 20));
/// ```
#[derive(Debug)]
pub struct Decompress {
    limit: u64,
    free: Rc<Cell<usize>>,
}

impl Decompress {
    /// Lets at most `limit` bytes come out of each body.
    pub fn new(limit: u64) -> Self {
        Decompress { limit, free: Rc::new(Cell::new(AT_ONCE)) }
    }

    /// How many bodies are decoded at a time on each shard.
    pub fn at_once(self, bodies: usize) -> Self {
        Decompress { free: Rc::new(Cell::new(bodies)), ..self }
    }

    fn enter(&self) -> Option<Permit> {
        self.free.set(self.free.get().checked_sub(1)?);
        Some(Permit(Rc::clone(&self.free)))
    }

    /// The body, decoded, and nothing left of it with the request.
    fn decoded(&self, request: &mut Request, coding: Coding) -> Result<RequestBody, HandlerError> {
        let full =
            || HandlerError::status_only(StatusCode::SERVICE_UNAVAILABLE).with_header(header::RETRY_AFTER, 1);
        let permit = self.enter().ok_or_else(full)?;
        let chunks = Chunks(std::mem::take(request.body_mut()));
        // It is the body that says what is too long, of chunks that have 64 KiB at most.
        let chunks = Decode::new(chunks, coding, u64::MAX)?;
        let mut body = RequestBody::from_stream(Decoded { chunks, _permit: permit });
        body.limit(self.limit);
        for name in [header::CONTENT_ENCODING, header::CONTENT_LENGTH] {
            request.remove_header(name);
        }
        Ok(body)
    }
}

impl Middleware for Decompress {
    async fn handle(self: Rc<Self>, mut request: Request, next: Next) -> Response {
        let coding = match coding_of(&request.head()) {
            Ok(coding) => coding,
            Err(unsupported) => return unsupported.into_response(),
        };
        // Nothing is no gzip, and means nothing all the same.
        if let Some(coding) = coding
            && request.body().length() != Some(0)
        {
            match self.decoded(&mut request, coding) {
                Ok(body) => *request.body_mut() = body,
                Err(error) => return error.into_response(),
            }
        }
        next.run(request).await
    }
}

/// The one coding that is not `identity`.
fn coding_of(head: &Head<'_>) -> Result<Option<Coding>, HandlerError> {
    let unsupported = || {
        HandlerError::status_only(StatusCode::UNSUPPORTED_MEDIA_TYPE)
            .with_header(header::ACCEPT_ENCODING, ACCEPTED)
    };
    let fields =
        head.headers().filter(|(name, _)| name.eq_ignore_ascii_case(header::CONTENT_ENCODING.as_str()));
    let mut found = None;
    for name in fields.flat_map(|(_, value)| value.split(|byte| *byte == b',')) {
        let name = str::from_utf8(name.trim_ascii()).map_err(|_| unsupported())?;
        if name.is_empty() || name.eq_ignore_ascii_case("identity") {
            continue;
        }
        let coding = name.parse().map_err(|_| unsupported())?;
        if found.replace(coding).is_some() {
            return Err(unsupported());
        }
    }
    Ok(found)
}

/// Leave to hold a window.
#[derive(Debug)]
struct Permit(Rc<Cell<usize>>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// A body's chunks as they were sent.
struct Chunks(RequestBody);

impl Stream for Chunks {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_chunk(cx)
    }
}

struct Decoded {
    chunks: Decode<Chunks>,
    _permit: Permit,
}

impl Stream for Decoded {
    type Item = Result<Bytes, StreamError<BodyError>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.chunks).poll_next(cx)
    }
}
