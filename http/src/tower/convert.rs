//! Requests and responses of this crate as those of the crate `http`, and the other way round.

use super::{BoxError, body::ForeignChunks, context::Context, pipe::Pump};
use crate::{
    HandlerError,
    body::RequestBody,
    extensions::Extensions,
    extract::ClientAddr,
    into_response::IntoResponse,
    proto::{HeadLimits, KeptHead, Parsed, ParsedHead, Span},
    request::{ParamNames, Parts, Request, Sender},
    response::{Body, Response},
};
use bytes::Buf;
use http::{HeaderMap, StatusCode, Uri, Version, header, request};
use std::{any::Any, rc::Rc};

/// What the parser takes at most: heads that have been through layers are not the client's any more.
const LIMITS: HeadLimits = HeadLimits { head: u16::MAX as usize, target: u16::MAX as usize, headers: 128 };

/// What belongs to a request and has no place in one of the crate `http`.
pub(super) struct Companions {
    names: Option<ParamNames>,
    params: Vec<Box<[u8]>>,
    sender: Sender,
    pub(super) extensions: Extensions,
}

impl TryFrom<Request> for http::Request<RequestBody> {
    type Error = HandlerError;

    /// Leaves out the route's parameters and what was left with the request, but for a value of type
    /// `http::Extensions`, whose contents it takes. Who has sent it is in its extensions ([`ClientAddr`]).
    ///
    /// # Errors
    /// 400 if the target has characters that are none of a `Uri`.
    fn try_from(request: Request) -> Result<Self, HandlerError> {
        let (parts, body, _) = split(request)?;
        Ok(http::Request::from_parts(parts, body))
    }
}

impl<B> TryFrom<http::Request<B>> for Request
where
    B: http_body::Body<Data: Buf, Error: Into<BoxError>> + 'static,
{
    type Error = HandlerError;

    /// The other's extensions are left with the request, as one value of type `http::Extensions`.
    ///
    /// # Errors
    /// 500 if its head would be no legal HTTP/1.1, or is longer than 64 KiB.
    fn try_from(request: http::Request<B>) -> Result<Self, HandlerError> {
        let none = Companions {
            names: None,
            params: Vec::new(),
            sender: Sender::UNKNOWN,
            extensions: Extensions::default(),
        };
        join(request, none)
    }
}

impl From<Response> for http::Response<Body> {
    fn from(mut response: Response) -> Self {
        let body = std::mem::take(response.body_mut());
        let mut converted = http::Response::new(body);
        *converted.status_mut() = response.status();
        converted.headers_mut().extend(response.headers().map(|(name, value)| (name.clone(), value.clone())));
        converted
    }
}

impl<B> From<http::Response<B>> for Response
where
    B: http_body::Body<Data: Buf, Error: Into<BoxError>> + 'static,
{
    /// The length that `Content-Length` announces is the body's; trailers and extensions are dropped.
    fn from(response: http::Response<B>) -> Self {
        match Context::get() {
            Ok(context) => response_of(response, context, None),
            Err(error) => error.into_response(),
        }
    }
}

/// A request's parts.
///
/// # Errors
/// As `TryFrom`.
pub(super) fn split(request: Request) -> Result<(request::Parts, RequestBody, Companions), HandlerError> {
    let head = request.head();
    let uri = Uri::try_from(head.target())
        .map_err(|error| HandlerError::bad_request("the target is no URI").with_cause(error))?;
    let (mut parts, ()) = http::Request::new(()).into_parts();
    (parts.method, parts.version, parts.uri) = (head.method().clone(), head.version(), uri);
    parts.headers = head.header_map();
    let client = head.client_addr();
    let Parts { head, names, params, sender, body, mut extensions } = *request.0;
    parts.extensions = extensions.remove().unwrap_or_default();
    if let Ok(client) = client {
        parts.extensions.insert(ClientAddr(client));
    }
    let params = params.iter().map(|param| param.of(&head.bytes).into()).collect();
    Ok((parts, body, Companions { names, params, sender, extensions }))
}

/// A request made of its parts.
///
/// # Errors
/// As `TryFrom`.
pub(super) fn join<B>(request: http::Request<B>, companions: Companions) -> Result<Request, HandlerError>
where
    B: http_body::Body<Data: Buf, Error: Into<BoxError>> + 'static,
{
    let (parts, body) = request.into_parts();
    let Companions { names, params: values, sender, mut extensions } = companions;
    let mut bytes = head_of(&parts);
    let mut parsed = ParsedHead::default();
    match parsed.parse(&bytes, &LIMITS) {
        Ok(Parsed::Complete) => {}
        Ok(Parsed::Partial) => return Err(HandlerError::internal("a layer has made what is no request")),
        Err(error) => return Err(HandlerError::internal(error)),
    }
    // The parameters stand behind the head: a layer may have changed the path that they were parts of.
    let starts: Vec<usize> = values.iter().map(|value| append(&mut bytes, value)).collect();
    if bytes.len() > LIMITS.head {
        return Err(HandlerError::internal("the head and its parameters are too long"));
    }
    let (base, ends) = (bytes.as_ptr().addr(), starts.iter().skip(1).copied().chain([bytes.len()]));
    let params =
        starts.iter().zip(ends).map(|(&start, end)| Span::locate(base, &bytes[start..end])).collect();
    extensions.insert(parts.extensions);
    let body = request_body(body)?;
    let head = Rc::new(KeptHead { head: parsed, bytes });
    Ok(Request(Box::new(Parts { head, names, params, sender, body, extensions })))
}

/// An answer, with what feeds the request's body if it is still read.
pub(super) fn response_of<B>(response: http::Response<B>, context: Context, pump: Option<Pump>) -> Response
where
    B: http_body::Body<Data: Buf, Error: Into<BoxError>> + 'static,
{
    let (mut parts, body) = response.into_parts();
    let announced = announced(&parts.headers);
    parts.headers.remove(header::CONTENT_LENGTH);
    let body = match same::<B, Body>(body) {
        Ok(ours) => ours,
        Err(body) => {
            let pump = pump.filter(Pump::is_read);
            ForeignChunks::new(body, context, pump).into_body(announced)
        }
    };
    let mut converted = Response::new(body).with_status(parts.status);
    for (name, value) in &parts.headers {
        converted.append_header(name.clone(), value.clone());
    }
    converted
}

fn request_body<B>(body: B) -> Result<RequestBody, HandlerError>
where
    B: http_body::Body<Data: Buf, Error: Into<BoxError>> + 'static,
{
    match same::<B, RequestBody>(body) {
        Ok(ours) => Ok(ours),
        Err(body) if body.is_end_stream() => Ok(RequestBody::default()),
        Err(body) => Ok(RequestBody::from_stream(ForeignChunks::new(body, Context::get()?, None))),
    }
}

/// The value, if its type is the other one.
fn same<A: 'static, B: 'static>(value: A) -> Result<B, A> {
    let mut value = Some(value);
    let any: &mut dyn Any = &mut value;
    match any.downcast_mut::<Option<B>>().and_then(Option::take) {
        Some(value) => Ok(value),
        None => Err(value.expect("it was not taken")),
    }
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The head as it would be sent.
fn head_of(parts: &request::Parts) -> Vec<u8> {
    let mut head = Vec::with_capacity(512);
    let old = parts.version == Version::HTTP_10;
    let target = match (parts.uri.scheme(), parts.uri.path_and_query()) {
        (Some(_), _) | (None, None) => parts.uri.to_string(),
        (None, Some(path)) => path.to_string(),
    };
    let version = if old { "HTTP/1.0" } else { "HTTP/1.1" };
    for part in [parts.method.as_str(), " ", &target, " ", version, "\r\n"] {
        append(&mut head, part.as_bytes());
    }
    if !old && !parts.headers.contains_key(header::HOST) {
        let host = parts.uri.authority().map_or("", |authority| authority.as_str());
        append_field(&mut head, b"host", host.as_bytes());
    }
    for (name, value) in &parts.headers {
        append_field(&mut head, name.as_str().as_bytes(), value.as_bytes());
    }
    append(&mut head, b"\r\n");
    head
}

fn append_field(head: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    for part in [name, b": ", value, b"\r\n"] {
        append(head, part);
    }
}

/// Gives where it begins.
fn append(bytes: &mut Vec<u8>, part: &[u8]) -> usize {
    let start = bytes.len();
    bytes.extend_from_slice(part);
    start
}

/// 500 if the service has failed.
pub(super) fn failed(error: BoxError) -> Response {
    let error: Box<dyn std::error::Error> = error;
    HandlerError::status_only(StatusCode::INTERNAL_SERVER_ERROR).with_cause(error).into_response()
}
