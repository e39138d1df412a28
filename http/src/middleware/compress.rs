#[cfg(feature = "compress")]
mod codings;

use super::{Middleware, Next, accept_encoding::AcceptEncoding};
use crate::{Body, HandlerError, Head, IntoResponse, Request, Response};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use std::{convert::Infallible, fmt, future::Future, pin::Pin, rc::Rc, task::Poll};

/// Below this a coding saves no packet.
const SMALLEST: u64 = 1024;
/// Of the bytes before they were encoded.
const DIGESTS: [HeaderName; 3] = [
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("content-md5"),
];

/// Encodes answers in the coding that the client likes best.
///
/// ```
/// use lakh_http::{App, middleware::Compress};
///
/// let app = App::new().get("/", || "text ".repeat(1000)).wrap(Compress::all());
/// ```
///
/// Encoded are successful answers whose `Content-Type` says that it helps, that have no `Content-Encoding`
/// yet, no `Cache-Control: no-transform`, and at least 1,024 bytes or an unknown length. Parts of an answer (206)
/// stay as they are, and so do, unless they are asked for, [files from disk](Self::files) and event streams: each of
/// the latter would hold an encoder for as long as its client stays ([`types`](Self::types) lets them in; what has
/// come of a stream is flushed whenever there is no more for the moment). HEAD is answered as GET would be, but
/// nothing is encoded for it, and no length given. Every answer that might have been
/// encoded has `Vary: Accept-Encoding`, 304 included; an encoded one has a weak `ETag` and no
/// `Accept-Ranges` (RFC 9110, 8.8.1 and 14.3). A client that refuses all that there is, the bytes as they are
/// included, gets 406. The order of the codings is the server's preference where the client has none.
///
/// Do not compress answers in which secrets stand beside text from outside: their length tells the secret
/// (BREACH).
pub struct Compress {
    codings: Vec<Coding>,
    smallest: u64,
    types: Box<dyn Fn(&str) -> bool>,
    files: bool,
}

struct Coding {
    name: HeaderValue,
    encode: Box<Encode>,
}

type Encode = dyn Fn(Body) -> Pin<Box<dyn Future<Output = Result<Body, Body>>>>;

impl Compress {
    /// No codings yet.
    pub fn new() -> Self {
        Compress { codings: Vec::new(), smallest: SMALLEST, types: Box::new(is_compressible), files: false }
    }

    /// zstd, brotli and gzip, by `lakh-compress`: zstd where the client does not mind, since it takes the least CPU.
    /// deflate is left out, which clients do not agree about.
    ///
    /// What is short is encoded on the shard, the rest on the pool's cpu lane, by pieces. A shard encodes at most 256
    /// answers at a time; beyond them, and when the lane is full, answers are
    /// sent as they are, and so are those that would not become shorter.
    #[cfg(feature = "compress")]
    pub fn all() -> Self {
        use lakh_compress::{Coding, Level};
        let encoders = codings::Encoders::new(Level::Balanced);
        [Coding::Zstd, Coding::Brotli, Coding::Gzip].into_iter().fold(Self::new(), |compress, coding| {
            let encoders = encoders.clone();
            compress.coding(coding.name(), move |body| encoders.clone().encode(coding, body))
        })
    }

    /// Adds a coding of your own by its registered name: `gzip`, `br`, `zstd`, `deflate` (RFC 9110, 18.6).
    ///
    /// An encoder is an async function from a body to the encoded body, or to `Err` of the body as it was, which is
    /// then sent: when the pool is full, say. Compressing long bodies takes milliseconds; do it on the pool's `cpu`
    /// lane, and streams chunk by chunk.
    ///
    /// ```
    /// use lakh_http::{App, Body, middleware::Compress};
    ///
    /// # fn deflated(bytes: &[u8]) -> Vec<u8> { bytes.to_vec() }
    /// async fn deflate(body: Body) -> Result<Body, Body> {
    ///     match body {
    ///         Body::Bytes(bytes) if bytes.len() < 64 * 1024 => Ok(deflated(&bytes).into()),
    ///         other => Err(other),
    ///     }
    /// }
    ///
    /// let app = App::new().get("/", || "text ".repeat(1000)).wrap(Compress::new().coding("deflate", deflate));
    /// ```
    ///
    /// # Panics
    /// If the name is no token.
    #[track_caller]
    pub fn coding<F, Fut>(mut self, name: &str, encoder: F) -> Self
    where
        F: Fn(Body) -> Fut + 'static,
        Fut: Future<Output = Result<Body, Body>> + 'static,
    {
        // Tokens are what names of fields are.
        let token: HeaderName = name.parse().unwrap_or_else(|_| panic!("{name:?} is no content coding"));
        let encode: Box<Encode> = Box::new(move |body| Box::pin(encoder(body)));
        self.codings.push(Coding { name: token.into(), encode });
        self
    }

    /// Leaves shorter bodies as they are; 1,024 bytes by default.
    pub fn min_size(self, bytes: u64) -> Self {
        Compress { smallest: bytes, ..self }
    }

    /// Encodes answers whose media type (in lower case, without parameters) fits, in the place of the default:
    /// `text/*` but event streams, JSON, XML, SVG, JavaScript, WebAssembly, and fonts that are not compressed.
    pub fn types(self, fits: impl Fn(&str) -> bool + 'static) -> Self {
        Compress { types: Box::new(fits), ..self }
    }

    /// Encodes files that are sent from disk, too. Each answer is read and encoded anew, where it would otherwise go
    /// from the page cache to the socket: for files that are asked for now and then, or a network that is slow.
    pub fn files(self) -> Self {
        Compress { files: true, ..self }
    }

    /// Whether the client has a say in how this answer is encoded.
    fn is_negotiable(&self, response: &Response) -> bool {
        response.status().is_success()
            && response.status() != StatusCode::NO_CONTENT
            && response.header(header::CONTENT_ENCODING).is_none()
            && (self.files || !matches!(response.body(), Body::File(_)))
            && !forbids_transforming(response)
            && media_type(response).is_some_and(|media_type| (self.types)(&media_type))
    }

    async fn encode(&self, accepted: &AcceptEncoding, is_head: bool, mut response: Response) -> Response {
        let names = self.codings.iter().map(|coding| coding.name.as_bytes());
        let Some(choice) = accepted.choose(names) else {
            return refused();
        };
        let long_enough = response.body().length().is_none_or(|length| length >= self.smallest);
        let wanted = long_enough || !accepted.takes_identity();
        let Some(coding) = choice.filter(|_| wanted).and_then(|at| self.codings.get(at)) else {
            return response;
        };
        let body = std::mem::take(response.body_mut());
        let encoded = match is_head {
            // Nobody reads it, and its length is not known.
            true => Ok(Body::from_poll_fn(|_| Poll::Ready(None::<Result<_, Infallible>>))),
            false => (coding.encode)(body).await,
        };
        match encoded {
            Ok(encoded) => {
                *response.body_mut() = encoded;
                response.set_header(header::CONTENT_ENCODING, coding.name.clone());
                response.remove_header(&header::ACCEPT_RANGES);
                DIGESTS.iter().for_each(|name| response.remove_header(name));
                weaken_etag(&mut response);
            }
            Err(as_it_was) => *response.body_mut() = as_it_was,
        }
        response
    }
}

impl Default for Compress {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Compress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.codings.iter().map(|coding| &coding.name).collect();
        f.debug_struct("Compress").field("codings", &names).finish_non_exhaustive()
    }
}

impl Middleware for Compress {
    async fn handle(self: Rc<Self>, request: Request, next: Next) -> Response {
        let accepted = AcceptEncoding::of(&request.head());
        let is_head = *request.head().method() == Method::HEAD;
        let asked_weakly = weak_tags(&request.head());
        let mut response = next.run(request).await;
        if response.status() == StatusCode::NOT_MODIFIED {
            response.add_vary(&header::ACCEPT_ENCODING);
            // What the client has was encoded here: it is told of its own tag (RFC 9111, 4.3.4).
            if is_among(&asked_weakly, &response) {
                weaken_etag(&mut response);
            }
            return response;
        }
        if !self.is_negotiable(&response) {
            return response;
        }
        if response.status() != StatusCode::PARTIAL_CONTENT {
            response = self.encode(&accepted, is_head, response).await;
        }
        response.add_vary(&header::ACCEPT_ENCODING);
        response
    }
}

fn refused() -> Response {
    HandlerError::status_only(StatusCode::NOT_ACCEPTABLE).into_response()
}

fn weaken_etag(response: &mut Response) {
    let Some(etag) = response.header(header::ETAG).filter(|etag| !etag.as_bytes().starts_with(b"W/")) else {
        return;
    };
    let weak = HeaderValue::from_bytes(&[b"W/", etag.as_bytes()].concat());
    response.remove_header(&header::ETAG);
    if let Ok(weak) = weak {
        response.append_header(header::ETAG, weak);
    }
}

/// `If-None-Match`, if there is a weak tag in it.
fn weak_tags(head: &Head<'_>) -> Vec<u8> {
    let tags = head.header(header::IF_NONE_MATCH).unwrap_or_default();
    if tags.windows(3).any(|start| start == b"W/\"") { tags.to_vec() } else { Vec::new() }
}

/// Whether the answer's tag is among them as a weak one.
fn is_among(tags: &[u8], response: &Response) -> bool {
    let Some(etag) = response.header(header::ETAG) else { return false };
    let weak = [b"W/", etag.as_bytes()].concat();
    tags.windows(weak.len()).any(|tag| tag == weak)
}

fn forbids_transforming(response: &Response) -> bool {
    let fields = response.headers().filter(|(name, _)| **name == header::CACHE_CONTROL);
    let mut directives = fields.flat_map(|(_, value)| value.as_bytes().split(|&byte| byte == b','));
    directives.any(|directive| directive.trim_ascii().eq_ignore_ascii_case(b"no-transform"))
}

/// In lower case, without parameters.
fn media_type(response: &Response) -> Option<String> {
    let content_type = response.header(header::CONTENT_TYPE)?.to_str().ok()?;
    let essence = content_type.split(';').next().unwrap_or_default();
    Some(essence.trim().to_ascii_lowercase())
}

fn is_compressible(media_type: &str) -> bool {
    const OTHERS: [&str; 10] = [
        "application/json",
        "application/javascript",
        "application/xml",
        "application/wasm",
        "application/x-ndjson",
        "application/vnd.ms-fontobject",
        "font/ttf",
        "font/otf",
        "image/bmp",
        "image/x-icon",
    ];
    let is_text = media_type.starts_with("text/") && media_type != "text/event-stream";
    is_text || OTHERS.contains(&media_type) || media_type.ends_with("+json") || media_type.ends_with("+xml")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_that_are_text_are_compressible() {
        for yes in ["text/html", "application/json", "application/problem+json", "image/svg+xml", "font/ttf"]
        {
            assert!(is_compressible(yes), "{yes}");
        }
        for no in ["image/png", "application/gzip", "text/event-stream", "font/woff2", "video/mp4", ""] {
            assert!(!is_compressible(no), "{no}");
        }
    }
}
