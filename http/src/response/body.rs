//! Bodies of answers.

use crate::files::{FileBody, FileSender};
use bytes::Bytes;
use futures_core::Stream;
use std::{
    error::Error,
    fmt, mem,
    pin::Pin,
    task::{Context, Poll},
};

/// Bodies up to this many bytes are copied behind their head; longer ones are sent from where they
/// are.
const COPY_AT_MOST: usize = 16 * 1024;

/// What a stream of body chunks ends with when it fails: the connection is cut, since the answer
/// cannot be taken back.
pub type StreamError = Box<dyn Error>;

/// A response's body.
#[derive(Default)]
#[non_exhaustive]
pub enum Body {
    /// None.
    #[default]
    Empty,
    /// Bytes of the program itself.
    Static(&'static [u8]),
    /// Bytes in memory, shared and not copied when they are many.
    Bytes(Bytes),
    /// A part of an open file, sent without reading it into memory where the system can.
    File(Box<FileBody>),
    /// Chunks as they come, sent with the chunked coding (or until the end of the connection to
    /// HTTP/1.0 clients). The next one is asked for when the peer has taken those before.
    Stream(Chunks),
    /// Chunks as they come, of so many bytes together. They are announced as `Content-Length`; a stream that
    /// gives fewer or more cuts the connection.
    Sized(u64, Chunks),
}

/// The chunks of a body.
pub type Chunks = Pin<Box<dyn Stream<Item = Result<Bytes, StreamError>>>>;

impl Body {
    /// A body of chunks as they come.
    pub fn stream(chunks: impl Stream<Item = Result<Bytes, StreamError>> + 'static) -> Self {
        Body::Stream(Box::pin(chunks))
    }

    /// A body of chunks as they come that are `length` bytes together.
    pub fn sized_stream(
        length: u64,
        chunks: impl Stream<Item = Result<Bytes, StreamError>> + 'static,
    ) -> Self {
        Body::Sized(length, Box::pin(chunks))
    }

    /// A body of the chunks that a function gives when it is polled, up to the first `None`.
    ///
    /// ```
    /// use lakh_http::{Body, Request, Response};
    ///
    /// async fn echo(request: Request) -> Response {
    ///     let mut body = request.into_body();
    ///     Response::new(Body::from_poll_fn(move |cx| body.poll_chunk(cx)))
    /// }
    /// ```
    pub fn from_poll_fn<F, E>(poll: F) -> Self
    where
        F: FnMut(&mut Context<'_>) -> Poll<Option<Result<Bytes, E>>> + Unpin + 'static,
        E: Into<StreamError>,
    {
        Self::stream(PollFn(poll))
    }

    /// The next bytes, whatever the body is made of; `None` at its end. For middleware that changes them.
    ///
    /// # Errors
    /// If the stream fails, gives fewer or more bytes than it has announced, or a file cannot be read.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, StreamError>>> {
        let bytes = match self {
            Body::Stream(chunks) => return chunks.as_mut().poll_next(cx),
            Body::Sized(left, chunks) => return chunks.as_mut().poll_next(cx).map(|next| within(left, next)),
            Body::File(_) => return self.poll_file(cx),
            Body::Empty => Bytes::new(),
            Body::Static(bytes) => Bytes::from_static(mem::take(bytes)),
            Body::Bytes(bytes) => mem::take(bytes),
        };
        Poll::Ready((!bytes.is_empty()).then_some(Ok(bytes)))
    }

    fn poll_file(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, StreamError>>> {
        if let Body::File(file) = mem::take(self) {
            *self = Body::sized_stream(file.length(), FileSender::new(*file));
        }
        self.poll_chunk(cx)
    }

    /// The bytes, if they are few enough to be copied behind their head.
    #[inline]
    pub(crate) fn short(&self) -> Option<&[u8]> {
        match self {
            Body::Empty => Some(&[]),
            Body::Static(bytes) if bytes.len() <= COPY_AT_MOST => Some(bytes),
            Body::Bytes(bytes) if bytes.len() <= COPY_AT_MOST => Some(bytes),
            _ => None,
        }
    }

    /// The length in bytes, if it is known beforehand.
    pub fn length(&self) -> Option<u64> {
        match self {
            Body::Empty => Some(0),
            Body::Static(bytes) => Some(bytes.len() as u64),
            Body::Bytes(bytes) => Some(bytes.len() as u64),
            Body::File(file) => Some(file.length()),
            Body::Sized(length, _) => Some(*length),
            Body::Stream(_) => None,
        }
    }
}

/// Counts a chunk of `left` announced bytes.
pub(crate) fn within(
    left: &mut u64,
    next: Option<Result<Bytes, StreamError>>,
) -> Option<Result<Bytes, StreamError>> {
    let given = next.as_ref().map_or(0, |chunk| chunk.as_ref().map_or(0, |bytes| bytes.len() as u64));
    match left.checked_sub(given) {
        None => Some(Err("the body is longer than announced".into())),
        Some(rest) if next.is_none() && rest > 0 => Some(Err("the body is shorter than announced".into())),
        Some(rest) => {
            *left = rest;
            next
        }
    }
}

/// The stream of [`Body::from_poll_fn`].
struct PollFn<F>(F);

impl<F, E> Stream for PollFn<F>
where
    F: FnMut(&mut Context<'_>) -> Poll<Option<Result<Bytes, E>>> + Unpin,
    E: Into<StreamError>,
{
    type Item = Result<Bytes, StreamError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        (self.0)(cx).map(|next| next.map(|chunk| chunk.map_err(Into::into)))
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.length() {
            Some(length) => write!(f, "Body({length} bytes)"),
            None => f.write_str("Body(stream)"),
        }
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Body::Static(text.as_bytes())
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Self {
        Body::Static(bytes)
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Body::Bytes(text.into())
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Body::Bytes(bytes.into())
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Body::Bytes(bytes)
    }
}

impl From<()> for Body {
    fn from((): ()) -> Self {
        Body::Empty
    }
}
