//! What handlers may return.

use crate::{
    HandlerError,
    response::{BYTES, Body, Fields, HTML, Response, TEXT},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use std::convert::Infallible;

/// What a handler may return.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be returned from a handler",
    note = "return a String, &'static str, Bytes, Json, Html, StatusCode, Response, (StatusCode, T), (fields, T), (StatusCode, fields, T) or a Result of them"
)]
pub trait IntoResponse {
    /// Makes the answer.
    fn into_response(self) -> Response;
}

impl IntoResponse for Response {
    #[inline]
    fn into_response(self) -> Response {
        self
    }
}

impl IntoResponse for () {
    fn into_response(self) -> Response {
        Response::empty(StatusCode::OK)
    }
}

impl IntoResponse for &'static str {
    #[inline]
    fn into_response(self) -> Response {
        Response::new(self).with_content_type(TEXT)
    }
}

impl IntoResponse for String {
    fn into_response(self) -> Response {
        Response::new(self).with_content_type(TEXT)
    }
}

impl IntoResponse for &'static [u8] {
    fn into_response(self) -> Response {
        Response::new(self).with_content_type(BYTES)
    }
}

impl IntoResponse for Vec<u8> {
    fn into_response(self) -> Response {
        Response::new(self).with_content_type(BYTES)
    }
}

impl IntoResponse for Bytes {
    fn into_response(self) -> Response {
        Response::new(self).with_content_type(BYTES)
    }
}

impl IntoResponse for StatusCode {
    /// The status, with its name as the body for errors and redirects.
    fn into_response(self) -> Response {
        let bare = self.is_success() || self == StatusCode::NOT_MODIFIED;
        if bare { Response::empty(self) } else { Response::plain(self) }
    }
}

impl<T: IntoResponse> IntoResponse for (StatusCode, T) {
    fn into_response(self) -> Response {
        self.1.into_response().with_status(self.0)
    }
}

impl<H: HeaderFields, T: IntoResponse> IntoResponse for (H, T) {
    fn into_response(self) -> Response {
        with_fields(self.0, self.1.into_response())
    }
}

impl<H: HeaderFields, T: IntoResponse> IntoResponse for (StatusCode, H, T) {
    fn into_response(self) -> Response {
        with_fields(self.1, self.2.into_response().with_status(self.0))
    }
}

impl<T: IntoResponse, E: IntoResponse> IntoResponse for Result<T, E> {
    fn into_response(self) -> Response {
        match self {
            Ok(value) => value.into_response(),
            Err(error) => error.into_response(),
        }
    }
}

impl<T: IntoResponse> IntoResponse for Option<T> {
    /// 404 for `None`.
    fn into_response(self) -> Response {
        self.map_or_else(|| Response::plain(StatusCode::NOT_FOUND), IntoResponse::into_response)
    }
}

impl IntoResponse for Infallible {
    fn into_response(self) -> Response {
        match self {}
    }
}

impl IntoResponse for Body {
    /// 200 and no `Content-Type`.
    fn into_response(self) -> Response {
        Response::new(self)
    }
}

/// Header fields beside a body, in a handler's answer: `([("x-a", "b")], body)`. They replace fields of their
/// names, so that `([(CONTENT_TYPE, "image/svg+xml")], text)` does what it looks like; a name that comes
/// twice is sent twice, and `Set-Cookie` is added to others. Names or values that are not legal in a header
/// make the answer 500.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot stand for the header fields of an answer",
    note = "use an array of names and values, `[(\"x-name\", \"value\")]`, or a HeaderMap"
)]
pub trait HeaderFields {
    /// Names and values; an error for what is not legal in a header.
    ///
    /// # Errors
    /// 500, with what was wrong as its cause.
    fn into_fields(self) -> Result<Vec<(HeaderName, HeaderValue)>, HandlerError>;
}

impl<N, V, const COUNT: usize> HeaderFields for [(N, V); COUNT]
where
    N: TryInto<HeaderName>,
    V: TryInto<HeaderValue>,
{
    fn into_fields(self) -> Result<Vec<(HeaderName, HeaderValue)>, HandlerError> {
        let field = |(name, value): (N, V)| {
            let name = name.try_into().map_err(|_| HandlerError::internal("a header name is not legal"))?;
            match value.try_into() {
                Ok(value) => Ok((name, value)),
                Err(_) => {
                    Err(HandlerError::internal(format!("the value of {name} is not legal in a header")))
                }
            }
        };
        self.into_iter().map(field).collect()
    }
}

impl HeaderFields for HeaderMap {
    fn into_fields(self) -> Result<Vec<(HeaderName, HeaderValue)>, HandlerError> {
        let mut last = None;
        let named = self.into_iter().filter_map(|(name, value)| {
            // The names of further values are left out.
            last = name.or(last.take());
            last.clone().map(|name| (name, value))
        });
        Ok(named.collect())
    }
}

fn with_fields(fields: impl HeaderFields, mut response: Response) -> Response {
    match fields.into_fields() {
        Ok(fields) => {
            // Each Set-Cookie is about a cookie of its own (RFC 6265, 3).
            let replacing = fields.iter().filter(|(name, _)| name != header::SET_COOKIE);
            replacing.for_each(|(name, _)| response.remove_header(name));
            response.parts.fields.extend::<Fields>(fields.into_iter().collect());
            response
        }
        Err(error) => error.into_response(),
    }
}

/// An answer of type `text/html`.
///
/// ```
/// use lakh_http::{App, Html};
///
/// let app = App::new().get("/", || Html("<!doctype html><title>Hello</title>"));
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Html<T>(pub T);

impl<T: Into<Body>> IntoResponse for Html<T> {
    fn into_response(self) -> Response {
        Response::new(self.0).with_content_type(HTML)
    }
}

/// An answer that sends the client elsewhere.
///
/// ```
/// use lakh_http::{App, Redirect};
///
/// let app = App::new().post("/things", || Redirect::see_other("/things/1"));
/// ```
#[derive(Debug, Clone)]
pub struct Redirect {
    status: StatusCode,
    to: Result<HeaderValue, String>,
}

impl Redirect {
    /// 303: the answer to this request is found there, by GET (RFC 9110, 15.4.4). After a POST.
    pub fn see_other(to: &str) -> Self {
        Self::with_status(StatusCode::SEE_OTHER, to)
    }

    /// 307: for now there, with the same method and body (RFC 9110, 15.4.8).
    pub fn temporary(to: &str) -> Self {
        Self::with_status(StatusCode::TEMPORARY_REDIRECT, to)
    }

    /// 308: for ever there, with the same method and body (RFC 9110, 15.4.9).
    pub fn permanent(to: &str) -> Self {
        Self::with_status(StatusCode::PERMANENT_REDIRECT, to)
    }

    fn with_status(status: StatusCode, to: &str) -> Self {
        Redirect { status, to: HeaderValue::try_from(to).map_err(|_| to.to_owned()) }
    }
}

impl IntoResponse for Redirect {
    /// 500 if the target is not legal in a header.
    fn into_response(self) -> Response {
        match self.to {
            Ok(to) => Response::empty(self.status).with_field(header::LOCATION, to),
            Err(to) => HandlerError::internal(format!("{to:?} is not legal in a header")).into_response(),
        }
    }
}
