//! A request, as its handler sees it.

use crate::{
    body::RequestBody,
    proto::{ParsedHead, Span},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use lakh_net::TcpStream;
use percent_encoding::percent_decode;
use smallvec::SmallVec;
use std::{borrow::Cow, fmt, io, net::SocketAddr, rc::Rc};

/// Names of a route's parameters, in the order of the path.
pub(crate) type ParamNames = Rc<[Box<str>]>;

/// Values of the route's parameters as parts of the head.
pub(crate) type ParamSpans = SmallVec<[Span; 4]>;

/// A request's head, borrowed from the shard's read buffer: what a synchronous handler gets.
///
/// Nothing is copied or decoded until it is asked for.
///
/// ```
/// use lakh_http::{App, Head};
///
/// fn greet(head: &Head<'_>) -> String {
///     format!("Hello, {}!", head.param("name").unwrap_or_default())
/// }
///
/// let app = App::new().get("/hello/{name}", greet);
/// ```
#[derive(Clone, Copy)]
pub struct Head<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) parsed: &'a ParsedHead,
    pub(crate) names: Option<&'a ParamNames>,
    pub(crate) params: &'a [Span],
    pub(crate) peer: Peer<'a>,
}

/// Where the peer's address is found.
#[derive(Clone, Copy)]
pub(crate) enum Peer<'a> {
    Stream(&'a TcpStream),
    Known(Option<SocketAddr>),
}

impl<'a> Head<'a> {
    /// The method.
    pub fn method(&self) -> &'a Method {
        &self.parsed.method
    }

    /// HTTP/1.0 or HTTP/1.1.
    pub fn version(&self) -> Version {
        self.parsed.version
    }

    /// The request target as it was sent: usually path and query.
    pub fn target(&self) -> &'a str {
        text(self.parsed.target.of(self.bytes))
    }

    /// The path as it was sent, not decoded; it begins with `/` (or is the `*` of `OPTIONS *`).
    pub fn path(&self) -> &'a str {
        text(self.parsed.path.of(self.bytes))
    }

    /// What follows the first `?`, not decoded.
    pub fn query(&self) -> Option<&'a str> {
        self.parsed.query.map(|query| text(query.of(self.bytes)))
    }

    /// The host that the request is for, with its port if one was sent; empty if it has none.
    pub fn host(&self) -> &'a str {
        self.parsed.host.map(|host| text(host.of(self.bytes))).unwrap_or_default()
    }

    /// The first header field of this name (in any case), as it was sent.
    pub fn header(&self, name: impl AsRef<str>) -> Option<&'a [u8]> {
        let name = name.as_ref().as_bytes();
        self.headers().find(|(n, _)| n.as_bytes().eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Names (as they were sent) and values of all header fields, in their order.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        let bytes = self.bytes;
        self.parsed.headers.iter().map(move |(name, value)| (text(name.of(bytes)), value.of(bytes)))
    }

    /// All header fields as a map. It is built anew at each call.
    pub fn header_map(&self) -> HeaderMap {
        let mut map = HeaderMap::with_capacity(self.parsed.headers.len());
        for (name, value) in self.headers() {
            // The parser has accepted both by the same rules.
            if let (Ok(name), Ok(value)) =
                (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value))
            {
                map.append(name, value);
            }
        }
        map
    }

    /// A parameter of the route's path, percent-decoded; bytes that are no UTF-8 are replaced.
    /// `None` if the route has none of this name.
    pub fn param(&self, name: &str) -> Option<Cow<'a, str>> {
        self.raw_param(name).map(|raw| percent_decode(raw.as_bytes()).decode_utf8_lossy())
    }

    /// A parameter of the route's path as it was sent.
    pub fn raw_param(&self, name: &str) -> Option<&'a str> {
        let at = self.names?.iter().position(|n| **n == *name)?;
        self.params.get(at).map(|span| text(span.of(self.bytes)))
    }

    /// The address at the other end of the connection: the client's, or the last proxy's.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        match self.peer {
            Peer::Stream(stream) => stream.peer_addr(),
            Peer::Known(addr) => addr.ok_or_else(|| io::ErrorKind::NotConnected.into()),
        }
    }
}

impl fmt::Debug for Head<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Head({} {})", self.method(), self.target())
    }
}

/// The parser lets visible ASCII into targets, tokens into names and checked characters into hosts.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// A request that its handler owns: what an asynchronous handler gets.
///
/// ```
/// use lakh_http::{App, Request};
///
/// async fn shout(mut request: Request) -> Result<String, lakh_http::BodyError> {
///     let body = request.body_mut().bytes().await?;
///     Ok(String::from_utf8_lossy(&body).to_uppercase())
/// }
///
/// let app = App::new().post("/shout", shout);
/// ```
pub struct Request {
    bytes: Bytes,
    parsed: ParsedHead,
    names: Option<ParamNames>,
    params: ParamSpans,
    peer: Option<SocketAddr>,
    body: RequestBody,
}

impl Request {
    /// Copies a head, so that it outlives the read buffer.
    pub(crate) fn new(head: Head<'_>, body: RequestBody) -> Self {
        Request {
            bytes: Bytes::copy_from_slice(&head.bytes[..head.parsed.len]),
            parsed: head.parsed.clone(),
            names: head.names.cloned(),
            params: head.params.into(),
            peer: head.peer_addr().ok(),
            body,
        }
    }

    /// The head.
    pub fn head(&self) -> Head<'_> {
        Head {
            bytes: &self.bytes,
            parsed: &self.parsed,
            names: self.names.as_ref(),
            params: &self.params,
            peer: Peer::Known(self.peer),
        }
    }

    /// The body, to be read.
    pub fn body_mut(&mut self) -> &mut RequestBody {
        &mut self.body
    }

    /// The body alone.
    pub fn into_body(self) -> RequestBody {
        self.body
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({} {})", self.head().method(), self.head().target())
    }
}
