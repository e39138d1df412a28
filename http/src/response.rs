//! An answer, and what can be turned into one.

use crate::{
    HandlerError,
    error::Origin,
    files::{FileBody, FileSender},
    proto::encode,
    upgrade::OnUpgrade,
};
use bytes::Bytes;
use futures_core::Stream;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use smallvec::SmallVec;
use std::{
    error::Error,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// Bodies up to this many bytes are copied behind their head; longer ones are sent from where they
/// are.
const COPY_AT_MOST: usize = 16 * 1024;
/// Header fields that a response holds without an allocation.
const INLINE_FIELDS: usize = 2;

// Constants: `from_static` looks at every byte when it is called.
pub(crate) const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
pub(crate) const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
pub(crate) const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");
pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Header fields in their order.
pub(crate) type Fields = SmallVec<[(HeaderName, HeaderValue); INLINE_FIELDS]>;

/// What a stream of body chunks ends with when it fails: the connection is cut, since the answer
/// cannot be taken back.
pub type StreamError = Box<dyn Error>;

/// An answer: status, header fields, body.
///
/// `Content-Length` or `Transfer-Encoding`, `Date` and `Connection` are the server's business and
/// are left out when a handler sets them.
///
/// ```
/// use lakh_http::{Response, StatusCode};
///
/// let response = Response::new("gone fishing")
///     .with_status(StatusCode::SERVICE_UNAVAILABLE)
///     .with_header("retry-after", "3600");
/// assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
/// ```
#[derive(Debug)]
pub struct Response {
    pub(crate) status: StatusCode,
    pub(crate) fields: Fields,
    /// More of them, ready made.
    pub(crate) block: Option<Arc<FieldBlock>>,
    pub(crate) body: Body,
    /// Whether it tells of an error.
    pub(crate) origin: Origin,
    pub(crate) ending: Option<Box<Ending>>,
}

impl Response {
    /// 200 with this body and no header fields.
    pub fn new(body: impl Into<Body>) -> Self {
        Response { body: body.into(), ..Response::empty(StatusCode::OK) }
    }

    /// A status alone, without a body.
    pub fn empty(status: StatusCode) -> Self {
        Response {
            status,
            fields: Fields::new(),
            block: None,
            body: Body::Empty,
            origin: Origin::Handler,
            ending: None,
        }
    }

    /// A status with its name as plain text, for people who look at it.
    pub(crate) fn plain(status: StatusCode) -> Self {
        let reason = status.canonical_reason().unwrap_or("Error");
        let response = Response::new(reason).with_status(status);
        Response { origin: Origin::Status, ..response }.with_content_type(TEXT)
    }

    #[inline]
    pub(crate) fn with_content_type(self, value: HeaderValue) -> Self {
        self.with_field(header::CONTENT_TYPE, value)
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Sets the status. An answer that tells of an error stays one: [`App::on_error`](crate::App::on_error)
    /// is given the error with this status, unless it is the status of a success.
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        if let Origin::Error(error) = &mut self.origin {
            error.set_status(status);
        }
        self
    }

    /// Sets a header field in the place of all others of its name; `Set-Cookie` is added to others, since each
    /// is about a cookie of its own (RFC 6265, 3). [`Response::append_header`] adds a second one of any name.
    /// Fields in tuples and of a [`HandlerError`] follow the same rule.
    ///
    /// ```
    /// use lakh_http::{IntoResponse, header};
    ///
    /// let image = "<svg/>".into_response().with_header(header::CONTENT_TYPE, "image/svg+xml");
    /// assert_eq!(image.headers().count(), 1);
    /// ```
    ///
    /// # Panics
    /// If name or value are not legal in a header. For text from outside, make them first:
    /// `HeaderValue::try_from(text)?`.
    #[track_caller]
    #[inline]
    pub fn with_header<N, V>(mut self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName>,
        V: TryInto<HeaderValue>,
    {
        let name = name.try_into().ok().expect("a legal header name");
        let value = value.try_into().ok().expect("a legal header value");
        let is_first = self.fields.is_empty() && self.block.is_none();
        if !is_first && name != header::SET_COOKIE {
            self.remove_header(&name);
        }
        self.with_field(name, value)
    }

    /// Adds a header field whose name is not there yet.
    #[inline]
    pub(crate) fn with_field(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.fields.push((name, value));
        self
    }

    /// Sets a header field in the place of all others of its name.
    pub fn set_header(&mut self, name: HeaderName, value: HeaderValue) {
        self.remove_header(&name);
        self.fields.push((name, value));
    }

    /// Adds a header field beside others of its name.
    pub fn append_header(&mut self, name: HeaderName, value: HeaderValue) {
        self.fields.push((name, value));
    }

    /// Says by `Vary` that the answer depends on this header field of the request, beside what it says
    /// already (RFC 9110, 12.5.5).
    pub fn add_vary(&mut self, name: &HeaderName) {
        let said = self.headers().filter(|(n, _)| **n == header::VARY);
        let names = said.flat_map(|(_, value)| value.as_bytes().split(|&byte| byte == b','));
        let is_it = |said: &[u8]| said == b"*" || said.eq_ignore_ascii_case(name.as_str().as_bytes());
        if !names.map(<[u8]>::trim_ascii).any(is_it) {
            self.append_header(header::VARY, name.clone().into());
        }
    }

    /// Takes all header fields of this name out.
    pub fn remove_header(&mut self, name: &HeaderName) {
        if let Some(block) = self.block.take_if(|block| block.fields().iter().any(|(n, _)| n == name)) {
            self.fields.insert_many(0, block.fields().iter().cloned());
        }
        self.fields.retain(|(n, _)| n != name);
    }

    /// Ends a streamed answer with trailer fields: `make` is called for them when the stream has ended, and
    /// `names` says which are to be expected (RFC 9110, 6.6.2).
    ///
    /// They are sent with the chunked coding alone, so only behind [`Body::Stream`], and only to clients that
    /// say that they understand them (`TE: trailers`; intermediaries may drop trailers all the same). Nobody
    /// else gets them, and `make` is not called: what a client cannot do without belongs elsewhere. Fields that
    /// may not stand in a trailer are left out ([`is_trailer_field`](crate::proto::is_trailer_field)).
    ///
    /// ```
    /// use lakh_http::{Body, Bytes, HeaderMap, HeaderName, Response, header};
    /// use std::{cell::Cell, convert::Infallible, rc::Rc, task::Poll};
    ///
    /// fn rows() -> Response {
    ///     let sent = Rc::new(Cell::new(0));
    ///     let count = Rc::clone(&sent);
    ///     let body = Body::from_poll_fn(move |_| {
    ///         count.set(count.get() + 1);
    ///         Poll::Ready((count.get() <= 10).then(|| Ok::<_, Infallible>(Bytes::from("row\n"))))
    ///     });
    ///     let name = HeaderName::from_static("x-rows");
    ///     Response::new(body).with_trailers([name.clone()], move || {
    ///         HeaderMap::from_iter([(name, (sent.get() - 1).into())])
    ///     })
    /// }
    /// ```
    pub fn with_trailers(
        mut self,
        names: impl IntoIterator<Item = HeaderName>,
        make: impl FnOnce() -> HeaderMap + 'static,
    ) -> Self {
        let trailers = Trailers { names: names.into_iter().collect(), make: Box::new(make) };
        self.ending = Some(Box::new(Ending::Trailers(trailers)));
        self
    }

    /// All header fields, in their order.
    pub fn headers(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        let ready_made = self.block.iter().flat_map(|block| &block.fields);
        ready_made.chain(&self.fields).map(|(name, value)| (name, value))
    }

    /// The error that this answer tells of, if a handler or an extractor has given one.
    pub fn error(&self) -> Option<&HandlerError> {
        match &self.origin {
            Origin::Error(error) => Some(error),
            Origin::Handler | Origin::Status => None,
        }
    }

    /// The first header field of this name.
    pub fn header(&self, name: impl AsRef<str>) -> Option<&HeaderValue> {
        let name = name.as_ref();
        self.headers().find(|(n, _)| n.as_str().eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The body.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// The body, to be taken or replaced. What tells of an error does so no more:
    /// [`App::on_error`](crate::App::on_error) leaves the answer as it is from here on.
    pub fn body_mut(&mut self) -> &mut Body {
        self.origin = Origin::Handler;
        &mut self.body
    }
}

/// What follows an answer. Rare, so it is boxed.
pub(crate) enum Ending {
    Trailers(Trailers),
    Upgrade(OnUpgrade),
}

/// Fields behind a chunked body.
pub(crate) struct Trailers {
    pub(crate) names: Vec<HeaderName>,
    pub(crate) make: Box<dyn FnOnce() -> HeaderMap>,
}

impl fmt::Debug for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ending::Trailers(trailers) => f.debug_tuple("Trailers").field(&trailers.names).finish(),
            Ending::Upgrade(upgrade) => f.debug_tuple("Upgrade").field(&upgrade.protocol).finish(),
        }
    }
}

/// Header fields of an answer that is given many times, with their lines in one piece.
#[derive(Debug)]
pub(crate) struct FieldBlock {
    fields: Vec<(HeaderName, HeaderValue)>,
    lines: Vec<u8>,
}

impl FieldBlock {
    pub(crate) fn new(fields: Vec<(HeaderName, HeaderValue)>) -> Self {
        let mut lines = Vec::new();
        for (name, value) in &fields {
            encode::write_header(&mut lines, name, value);
        }
        FieldBlock { fields, lines }
    }

    pub(crate) fn fields(&self) -> &[(HeaderName, HeaderValue)] {
        &self.fields
    }

    /// As they are sent.
    pub(crate) fn lines(&self) -> &[u8] {
        &self.lines
    }
}

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
            Body::Static(bytes) => Bytes::from_static(std::mem::take(bytes)),
            Body::Bytes(bytes) => std::mem::take(bytes),
        };
        Poll::Ready((!bytes.is_empty()).then_some(Ok(bytes)))
    }

    fn poll_file(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, StreamError>>> {
        if let Body::File(file) = std::mem::take(self) {
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
