//! An answer.

mod body;

use crate::{HandlerError, error::Origin, guard::drop_guarded, proto::encode, upgrade::OnUpgrade};
pub(crate) use body::within;
pub use body::{Body, Chunks, StreamError};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use std::{cell::Cell, fmt, mem, sync::Arc};

/// Room for so many header fields is kept from one response to the next.
const KEEP_FIELDS: usize = 16;

// Constants: `from_static` looks at every byte when it is called.
pub(crate) const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
pub(crate) const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
pub(crate) const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");
pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Header fields in their order.
pub(crate) type Fields = Vec<(HeaderName, HeaderValue)>;

thread_local! {
    /// The parts of the response that was sent last, for the next one: no allocation for each request.
    static SPARE: Cell<Option<Box<Parts>>> = const { Cell::new(None) };
}

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
pub struct Response {
    /// Behind a pointer, since a response is handed on many times: by handlers, futures and middleware.
    pub(crate) parts: Box<Parts>,
}

pub(crate) struct Parts {
    pub(crate) status: StatusCode,
    pub(crate) fields: Fields,
    /// More of them, ready made.
    pub(crate) block: Option<Arc<FieldBlock>>,
    pub(crate) body: Body,
    /// Whether it tells of an error.
    pub(crate) origin: Origin,
    pub(crate) ending: Option<Ending>,
}

impl Parts {
    fn new() -> Self {
        Parts {
            status: StatusCode::OK,
            fields: Fields::new(),
            block: None,
            body: Body::Empty,
            origin: Origin::Handler,
            ending: None,
        }
    }

    /// Makes them those of an empty response.
    fn clear(&mut self) {
        self.fields.clear();
        if self.fields.capacity() > KEEP_FIELDS {
            self.fields = Fields::new();
        }
        self.block = None;
        match mem::take(&mut self.body) {
            // Spares a call: these are most, and have nothing to drop.
            body @ (Body::Empty | Body::Static(_)) => mem::forget(body),
            body => drop(body),
        }
        if let Origin::Error(error) = mem::take(&mut self.origin) {
            drop_guarded(error); // its cause is the user's
        }
        self.ending = None;
    }
}

impl Response {
    /// 200 with this body and no header fields.
    #[inline]
    pub fn new(body: impl Into<Body>) -> Self {
        let body = body.into();
        let mut response = Response::empty(StatusCode::OK);
        // An empty one: nothing to drop, which spares a call.
        mem::forget(mem::replace(&mut response.parts.body, body));
        response
    }

    /// A status alone, without a body.
    #[inline]
    pub fn empty(status: StatusCode) -> Self {
        let mut parts = SPARE.take().unwrap_or_else(|| Box::new(Parts::new()));
        parts.status = status;
        Response { parts }
    }

    /// Ends a response that is sent: its memory is the next one's.
    #[inline]
    pub(crate) fn recycle(mut self) {
        self.parts.clear();
        SPARE.set(Some(self.parts));
    }

    /// A status with its name as plain text, for people who look at it.
    pub(crate) fn plain(status: StatusCode) -> Self {
        let reason = status.canonical_reason().unwrap_or("Error");
        let mut response = Response::empty(status);
        response.parts.body = reason.into();
        response.parts.origin = Origin::Status;
        response.with_content_type(TEXT)
    }

    #[inline]
    pub(crate) fn with_content_type(self, value: HeaderValue) -> Self {
        self.with_field(header::CONTENT_TYPE, value)
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.parts.status
    }

    /// Sets the status. An answer that tells of an error stays one: [`App::on_error`](crate::App::on_error)
    /// is given the error with this status, unless it is the status of a success.
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.parts.status = status;
        if let Origin::Error(error) = &mut self.parts.origin {
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
    #[inline(always)] // on the way of every answer
    pub fn with_header<N, V>(mut self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName>,
        V: TryInto<HeaderValue>,
    {
        let name = name.try_into().ok().expect("a legal header name");
        let value = value.try_into().ok().expect("a legal header value");
        let is_first = self.parts.fields.is_empty() && self.parts.block.is_none();
        if !is_first && name != header::SET_COOKIE {
            self.remove_header(&name);
        }
        self.with_field(name, value)
    }

    /// Adds a header field whose name is not there yet.
    #[inline]
    pub(crate) fn with_field(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.parts.fields.push((name, value));
        self
    }

    /// Sets a header field in the place of all others of its name.
    pub fn set_header(&mut self, name: HeaderName, value: HeaderValue) {
        self.remove_header(&name);
        self.parts.fields.push((name, value));
    }

    /// Adds a header field beside others of its name.
    pub fn append_header(&mut self, name: HeaderName, value: HeaderValue) {
        self.parts.fields.push((name, value));
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
        if let Some(block) = self.parts.block.take_if(|block| block.fields().iter().any(|(n, _)| n == name)) {
            self.parts.fields.splice(0..0, block.fields().iter().cloned());
        }
        self.parts.fields.retain(|(n, _)| n != name);
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
        self.parts.ending = Some(Ending::Trailers(trailers));
        self
    }

    /// All header fields, in their order.
    pub fn headers(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        let ready_made = self.parts.block.iter().flat_map(|block| &block.fields);
        ready_made.chain(&self.parts.fields).map(|(name, value)| (name, value))
    }

    /// The error that this answer tells of, if a handler or an extractor has given one.
    pub fn error(&self) -> Option<&HandlerError> {
        match &self.parts.origin {
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
        &self.parts.body
    }

    /// The body, to be taken or replaced. What tells of an error does so no more:
    /// [`App::on_error`](crate::App::on_error) leaves the answer as it is from here on.
    pub fn body_mut(&mut self) -> &mut Body {
        self.parts.origin = Origin::Handler;
        &mut self.parts.body
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { status, fields, block, body, origin, ending } = &*self.parts;
        let mut out = f.debug_struct("Response");
        out.field("status", status).field("fields", fields).field("block", block);
        out.field("body", body).field("origin", origin).field("ending", ending).finish()
    }
}

/// What follows an answer.
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
