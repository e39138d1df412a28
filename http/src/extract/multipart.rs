use super::{FromRequest, has_no_body};
use crate::{
    BodyError, HandlerError, RequestBody,
    into_response::IntoResponse,
    proto::{MultipartError, MultipartParser, PartEvent, PartHead, PartLimits, multipart::boundary},
    request::Request,
    response::Response,
};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use std::{
    error, fmt,
    future::poll_fn,
    task::{Context, Poll, ready},
};

/// A form with files, `multipart/form-data` (RFC 7578), field by field as it comes in.
///
/// Nothing is kept in memory or written to disk by itself: a field's content is read when the handler
/// asks for it, and the client sends no faster than that. A field that is not read to its end is skipped.
/// [`MultipartLimits`] are on by default, and the route's body limit
/// ([`RouteLimits::body`](crate::RouteLimits::body), 2 MiB unless it is raised) bounds the whole.
///
/// Refused with 415 if the body's type is another one, with 400 if its boundary is missing.
///
/// ```
/// use lakh_http::{App, HandlerResult, RouteLimits, extract::Multipart};
///
/// async fn upload(mut form: Multipart) -> HandlerResult<String> {
///     let mut report = String::new();
///     while let Some(mut field) = form.next_field().await? {
///         if field.is_file() {
///             let mut length = 0;
///             while let Some(chunk) = field.chunk().await? {
///                 length += chunk.len();
///             }
///             report += &format!("{} of {length} bytes\n", field.name());
///         } else {
///             report += &format!("{}: {}\n", field.name().to_owned(), field.text().await?);
///         }
///     }
///     Ok(report)
/// }
///
/// let app = App::new().post("/upload", upload).limits(RouteLimits::new().body(10 << 30));
/// ```
pub struct Multipart {
    body: RequestBody,
    parser: MultipartParser,
    /// What was read and not parsed yet: less than one read.
    input: Bytes,
    limits: MultipartLimits,
    fields: usize,
    /// Bytes that may still be gathered in memory.
    memory: u64,
    /// A field's content comes next.
    in_field: bool,
    fault: Option<FormError>,
}

/// Limits of a form; what is beyond them is 413.
///
/// ```
/// use lakh_http::extract::{Multipart, MultipartLimits};
///
/// async fn upload(form: Multipart) {
///     let mut form = form.with_limits(MultipartLimits::default().fields(2).field(1 << 30));
///     // …
/// #   let _ = form.next_field().await;
/// }
/// ```
#[derive(Debug, Clone)]
pub struct MultipartLimits {
    fields: usize,
    field: u64,
    total: u64,
    memory: u64,
}

impl Default for MultipartLimits {
    fn default() -> Self {
        MultipartLimits { fields: 100, field: u64::MAX, total: u64::MAX, memory: 2 << 20 }
    }
}

impl MultipartLimits {
    /// How many fields there may be. 100 by default.
    pub fn fields(self, fields: usize) -> Self {
        MultipartLimits { fields, ..self }
    }

    /// Bytes of each field's content. By default only the whole body is limited;
    /// [`Field::limit`] is about one field.
    pub fn field(self, bytes: u64) -> Self {
        MultipartLimits { field: bytes, ..self }
    }

    /// Bytes of the whole body, besides the route's own limit.
    pub fn total(self, bytes: u64) -> Self {
        MultipartLimits { total: bytes, ..self }
    }

    /// Bytes that [`Field::bytes`] and [`Field::text`] may gather of all fields together. 2 MiB by
    /// default, so that a route with a high body limit for its files does not take that much memory.
    pub fn memory(self, bytes: u64) -> Self {
        MultipartLimits { memory: bytes, ..self }
    }
}

impl<S> FromRequest<S> for Multipart {
    type Rejection = FormError;

    async fn from_request(request: Request, _: &S) -> Result<Self, FormError> {
        let content_type = request.head().header(header::CONTENT_TYPE).unwrap_or_default();
        let boundary = boundary(content_type).map_err(|error| FormError(Fault::Form(error)))?;
        Ok(Multipart {
            parser: MultipartParser::new(&boundary, PartLimits::default()),
            body: request.into_body(),
            input: Bytes::new(),
            limits: MultipartLimits::default(),
            fields: 0,
            memory: MultipartLimits::default().memory,
            in_field: false,
            fault: None,
        })
    }

    fn is_absent(request: &Request) -> bool {
        has_no_body(request)
    }
}

impl Multipart {
    /// With these limits from here on: call it before the first field.
    pub fn with_limits(mut self, limits: MultipartLimits) -> Self {
        self.body.limit(limits.total);
        self.memory = limits.memory;
        self.limits = limits;
        self
    }

    /// The next field, or `None` behind the last one. What is left of the one before is skipped.
    ///
    /// Cancel safe: a field whose future was dropped comes with the next call.
    ///
    /// # Errors
    /// If the form is malformed or beyond a limit, or the body cannot be had. Every later call gives the
    /// same.
    pub async fn next_field(&mut self) -> Result<Option<Field<'_>>, FormError> {
        let head = poll_fn(|cx| self.poll_head(cx)).await?;
        let left = self.limits.field;
        Ok(head.map(|head| Field { form: self, head, left }))
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<PartHead>, FormError>> {
        loop {
            match ready!(self.poll_event(cx))? {
                PartEvent::Begin(_) if self.fields == self.limits.fields => {
                    return Poll::Ready(Err(self.fail(Fault::TooManyFields)));
                }
                PartEvent::Begin(head) => {
                    self.fields += 1;
                    return Poll::Ready(Ok(Some(head)));
                }
                PartEvent::Done => return Poll::Ready(Ok(None)),
                // The rest of a field that nobody wants.
                PartEvent::Data(_) | PartEvent::End => {}
            }
        }
    }

    /// The parser's next event; the body is read only when the parser has nothing left.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<PartEvent, FormError>> {
        if let Some(fault) = &self.fault {
            return Poll::Ready(Err(fault.clone()));
        }
        loop {
            match self.parser.next(&mut self.input) {
                Ok(Some(event)) => {
                    self.in_field = matches!(event, PartEvent::Begin(_) | PartEvent::Data(_));
                    return Poll::Ready(Ok(event));
                }
                Ok(None) => {}
                Err(error) => return Poll::Ready(Err(self.fail(Fault::Form(error)))),
            }
            match ready!(self.body.poll_chunk(cx)) {
                Some(Ok(chunk)) => self.input = chunk,
                Some(Err(error)) => return Poll::Ready(Err(self.fail(Fault::Body(error)))),
                None => return Poll::Ready(Err(self.fail(Fault::Cut))),
            }
        }
    }

    /// The form cannot be read any further.
    fn fail(&mut self, fault: Fault) -> FormError {
        self.fault.insert(FormError(fault)).clone()
    }
}

impl fmt::Debug for Multipart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Multipart").field("fields", &self.fields).finish_non_exhaustive()
    }
}

/// A field of a [`Multipart`] form. Dropping it skips what is left of its content.
pub struct Field<'a> {
    form: &'a mut Multipart,
    head: PartHead,
    /// Bytes that the content may still have.
    left: u64,
}

impl Field<'_> {
    /// The field's name.
    pub fn name(&self) -> &str {
        &self.head.name
    }

    /// Whether it is a file, by having a file name. Of an `<input type="file">` that nobody has filled in,
    /// browsers send one without a name or content.
    pub fn is_file(&self) -> bool {
        self.head.file_name.is_some()
    }

    /// The last component of the file's name as the client tells it; `None` if there is none that could
    /// be a file's name.
    ///
    /// **Never trust it.** It has no slashes, is not `..`, and has no control characters, but it may be
    /// the name of a file that exists, begin with a dot, be 255 bytes long, be reserved on some system,
    /// or look like another name. To keep a file, choose a name of your own and note this one beside it.
    pub fn file_name(&self) -> Option<&str> {
        self.head.last_component()
    }

    /// The content's type as the client tells it; nothing checks that it is true.
    pub fn content_type(&self) -> Option<&str> {
        self.head.headers.get(header::CONTENT_TYPE)?.to_str().ok()
    }

    /// All header fields of the part.
    pub fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// Lets the content have `bytes` bytes more at most.
    pub fn limit(&mut self, bytes: u64) {
        self.left = self.left.min(bytes);
    }

    /// The next bytes of the content, as they arrive; `None` at its end.
    ///
    /// Cancel safe: what has arrived stays until it is taken.
    ///
    /// # Errors
    /// As [`Multipart::next_field`].
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, FormError> {
        poll_fn(|cx| self.poll_chunk(cx)).await
    }

    /// Ready with what [`Field::chunk`] gives.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, FormError>> {
        if !self.form.in_field {
            return Poll::Ready(self.form.fault.clone().map_or(Ok(None), Err));
        }
        let PartEvent::Data(data) = ready!(self.form.poll_event(cx))? else { return Poll::Ready(Ok(None)) };
        match self.left.checked_sub(data.len() as u64) {
            Some(left) => self.left = left,
            None => return Poll::Ready(Err(self.form.fail(Fault::FieldTooLong))),
        }
        Poll::Ready(Ok(Some(data)))
    }

    /// All that is left of the content. [`MultipartLimits::memory`] bounds it.
    ///
    /// Not cancel safe: a dropped future loses what it has gathered.
    ///
    /// # Errors
    /// As [`Multipart::next_field`].
    pub async fn bytes(mut self) -> Result<Bytes, FormError> {
        let Some(first) = self.gather().await? else { return Ok(Bytes::new()) };
        let Some(second) = self.gather().await? else { return Ok(first) };
        let mut all = BytesMut::from(&first[..]);
        all.extend_from_slice(&second);
        while let Some(chunk) = self.gather().await? {
            all.extend_from_slice(&chunk);
        }
        Ok(all.freeze())
    }

    /// All that is left of the content, as text. [`MultipartLimits::memory`] bounds it.
    ///
    /// Not cancel safe, as [`Field::bytes`].
    ///
    /// # Errors
    /// As [`Multipart::next_field`]; and if it is not UTF-8, which ends the form.
    pub async fn text(mut self) -> Result<String, FormError> {
        let mut all = Vec::new();
        while let Some(chunk) = self.gather().await? {
            all.extend_from_slice(&chunk);
        }
        String::from_utf8(all).map_err(|_| self.form.fail(Fault::NotText))
    }

    /// A chunk that counts as memory.
    async fn gather(&mut self) -> Result<Option<Bytes>, FormError> {
        let chunk = self.chunk().await?;
        if let Some(chunk) = &chunk {
            match self.form.memory.checked_sub(chunk.len() as u64) {
                Some(left) => self.form.memory = left,
                None => return Err(self.form.fail(Fault::TooMuchMemory)),
            }
        }
        Ok(chunk)
    }
}

impl fmt::Debug for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Field").field("head", &self.head).finish_non_exhaustive()
    }
}

/// Why a [`Multipart`] form, or a field of it, cannot be had. Always the client's doing.
#[derive(Debug, Clone)]
pub struct FormError(Fault);

#[derive(Debug, Clone)]
enum Fault {
    Form(MultipartError),
    Body(BodyError),
    /// The body ended before its last boundary.
    Cut,
    TooManyFields,
    FieldTooLong,
    TooMuchMemory,
    NotText,
}

impl FormError {
    /// The status that tells the client: 415 if it is no form, 413 beyond a limit, 422 for a field
    /// without a name or with text that is none, 400 or what the body's reader gets otherwise.
    pub fn status(&self) -> StatusCode {
        match &self.0 {
            Fault::Form(error) => error.status(),
            Fault::Body(error) => error.status(),
            Fault::Cut => StatusCode::BAD_REQUEST,
            Fault::TooManyFields | Fault::FieldTooLong | Fault::TooMuchMemory => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            Fault::NotText => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }

    /// Something is beyond a limit.
    pub fn is_too_long(&self) -> bool {
        self.status() == StatusCode::PAYLOAD_TOO_LARGE
    }

    /// The body itself could not be had.
    pub fn body_error(&self) -> Option<&BodyError> {
        match &self.0 {
            Fault::Body(error) => Some(error),
            _ => None,
        }
    }
}

impl fmt::Display for FormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Fault::Form(error) => return error.fmt(f),
            Fault::Body(error) => return error.fmt(f),
            Fault::Cut => "the body ends before the form's last boundary",
            Fault::TooManyFields => "the form has more fields than the limit",
            Fault::FieldTooLong => "a field of the form is longer than the limit",
            Fault::TooMuchMemory => "the fields of the form together are longer than the limit",
            Fault::NotText => "a field of the form is not UTF-8",
        })
    }
}

impl error::Error for FormError {}

impl IntoResponse for FormError {
    fn into_response(self) -> Response {
        HandlerError::from(self).into_response()
    }
}
