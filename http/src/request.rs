//! A request, as its handler sees it.

use crate::{
    body::RequestBody,
    extensions::Extensions,
    proto::{KeptHead, ParsedHead, Span, is_authority},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use lakh_net::{TcpStream, sys::PeerHandle};
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
    pub(crate) extensions: Option<&'a Extensions>,
}

/// Where the peer's address is found.
#[derive(Clone, Copy)]
pub(crate) enum Peer<'a> {
    Stream(&'a TcpStream),
    Sender(&'a Sender),
}

/// Who has sent a request that outlives the call.
#[derive(Clone)]
pub(crate) struct Sender {
    peer: PeerSource,
    /// Who is behind the peer, if middleware knows; and which address of ours they have used.
    client: Option<SocketAddr>,
    scheme: Scheme,
    host: Option<Rc<str>>,
}

/// How a client has reached the service; see [`Head::client_scheme`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Scheme {
    /// Without TLS.
    #[default]
    Http,
    /// By TLS.
    Https,
}

impl Scheme {
    /// As it stands in URLs: `http`, `https`.
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Clone, Copy)]
enum PeerSource {
    Stream(PeerHandle),
    Known(SocketAddr),
    #[cfg(feature = "tower")]
    Unknown,
}

impl Sender {
    /// Nobody: the request did not come from a connection.
    #[cfg(feature = "tower")]
    pub(crate) const UNKNOWN: Sender = Sender::of(PeerSource::Unknown);

    const fn of(peer: PeerSource) -> Self {
        Sender { peer, client: None, scheme: Scheme::Http, host: None }
    }

    /// One that is known beforehand: a test's.
    pub(crate) fn known(peer: SocketAddr) -> Self {
        Sender::of(PeerSource::Known(peer))
    }

    fn peer_addr(&self) -> io::Result<SocketAddr> {
        match &self.peer {
            PeerSource::Stream(stream) => stream.addr(),
            PeerSource::Known(addr) => Ok(*addr),
            #[cfg(feature = "tower")]
            PeerSource::Unknown => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl Peer<'_> {
    fn sender(&self) -> Sender {
        match self {
            Peer::Stream(stream) => Sender::of(PeerSource::Stream(stream.peer_handle())),
            Peer::Sender(sender) => (*sender).clone(),
        }
    }
}

impl<'a> Head<'a> {
    #[inline]
    pub(crate) fn new(
        bytes: &'a [u8],
        parsed: &'a ParsedHead,
        names: Option<&'a ParamNames>,
        params: &'a [Span],
        peer: Peer<'a>,
    ) -> Self {
        Head { bytes, parsed, names, params, peer, extensions: None }
    }

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
        // Names are compared as bytes: only one that is given out has to be text.
        let (name, bytes) = (name.as_ref().as_bytes(), self.bytes);
        let mut fields = self.parsed.headers.iter();
        let is_it = |n: Span| n.len() == name.len() && n.of(bytes).eq_ignore_ascii_case(name);
        fields.find(|(n, _)| is_it(*n)).map(|(_, value)| value.of(bytes))
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

    /// Names and values of the route's parameters, percent-decoded, in the order of its path.
    pub fn params(&self) -> impl Iterator<Item = (&'a str, Cow<'a, str>)> + use<'a> {
        let (bytes, values) = (self.bytes, self.params);
        let names = self.names.map_or(&[][..], |names| names);
        names.iter().zip(values).map(move |(name, value)| (&**name, decode(text(value.of(bytes)))))
    }

    /// Whether all parameters of the route's path are UTF-8.
    pub(crate) fn params_are_text(&self) -> bool {
        let mut raw = self.params.iter().map(|param| param.of(self.bytes));
        raw.all(|raw| memchr::memchr(b'%', raw).is_none() || percent_decode(raw).decode_utf8().is_ok())
    }

    /// The address at the other end of the connection: the client's, or the last proxy's.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        match self.peer {
            Peer::Stream(stream) => stream.peer_addr(),
            Peer::Sender(sender) => sender.peer_addr(),
        }
    }

    /// Who has sent the request: what [`Request::set_client_addr`] says, or else the peer.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn client_addr(&self) -> io::Result<SocketAddr> {
        match self.peer {
            Peer::Sender(Sender { client: Some(client), .. }) => Ok(*client),
            _ => self.peer_addr(),
        }
    }

    /// How the client has reached the service: what [`Request::set_client_scheme`] says, or else
    /// [`Scheme::Http`], as Lakh does no TLS yet.
    pub fn client_scheme(&self) -> Scheme {
        match self.peer {
            Peer::Sender(sender) => sender.scheme,
            Peer::Stream(_) => Scheme::Http,
        }
    }

    /// The host that the client has asked, with its port if one was told: what [`Request::set_client_host`]
    /// says, or else [`Head::host`].
    pub fn client_host(&self) -> &'a str {
        match self.peer {
            Peer::Sender(Sender { host: Some(host), .. }) => host,
            _ => self.host(),
        }
    }

    /// What middleware has left with the request, by its type.
    pub fn extension<T: 'static>(&self) -> Option<&'a T> {
        self.extensions?.get()
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

/// Most parameters have nothing to decode.
#[inline]
fn decode(raw: &str) -> Cow<'_, str> {
    match memchr::memchr(b'%', raw.as_bytes()) {
        None => Cow::Borrowed(raw),
        Some(_) => percent_decode(raw.as_bytes()).decode_utf8_lossy(),
    }
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
pub struct Request(pub(crate) Box<Parts>);

/// In one allocation: requests are handed from one middleware to the next.
pub(crate) struct Parts {
    pub(crate) head: Rc<KeptHead>,
    pub(crate) names: Option<ParamNames>,
    pub(crate) params: ParamSpans,
    pub(crate) sender: Sender,
    pub(crate) body: RequestBody,
    pub(crate) extensions: Extensions,
}

impl Request {
    /// What `kept` and `head` are, and outlives the read buffer.
    pub(crate) fn new(kept: Rc<KeptHead>, head: Head<'_>, body: RequestBody) -> Self {
        Request(Box::new(Parts {
            head: kept,
            names: head.names.cloned(),
            params: head.params.into(),
            sender: head.peer.sender(),
            body,
            extensions: Extensions::default(),
        }))
    }

    /// The head.
    pub fn head(&self) -> Head<'_> {
        let Parts { head, names, params, sender, extensions, .. } = &*self.0;
        Head {
            bytes: &head.bytes,
            parsed: &head.head,
            names: names.as_ref(),
            params,
            peer: Peer::Sender(sender),
            extensions: Some(extensions),
        }
    }

    /// The body, as far as it can be told without reading it.
    pub fn body(&self) -> &RequestBody {
        &self.0.body
    }

    /// The body, to be read or replaced.
    pub fn body_mut(&mut self) -> &mut RequestBody {
        &mut self.0.body
    }

    /// The body alone.
    pub fn into_body(self) -> RequestBody {
        self.0.body
    }

    /// Takes all header fields of this name (in any case) out of the head, for middleware that has dealt with what they say.
    /// False, and nothing is copied, if there are none. What [`Head::host`] says stays.
    pub fn remove_header(&mut self, name: impl AsRef<str>) -> bool {
        let name = name.as_ref().as_bytes();
        let KeptHead { head, bytes } = &*self.0.head;
        let is_it = |field: Span| field.of(bytes).eq_ignore_ascii_case(name);
        if !head.headers.iter().any(|(field, _)| is_it(*field)) {
            return false;
        }
        // The connection may go on with the old one: heads that repeat are shared.
        let mut head = head.clone();
        head.headers.retain(|(field, _)| !is_it(*field));
        self.0.head = Rc::new(KeptHead { head, bytes: bytes.clone() });
        true
    }

    /// Leaves a value with the request, in the place of another of its type, for the handler
    /// ([`Extension`](crate::extract::Extension)) and for middleware further in.
    pub fn insert_extension<T: 'static>(&mut self, value: T) {
        self.0.extensions.insert(value);
    }

    /// Takes a value that was left with the request.
    pub fn remove_extension<T: 'static>(&mut self) -> Option<T> {
        self.0.extensions.remove()
    }

    /// Says who has sent the request, for middleware that knows better than the connection.
    pub fn set_client_addr(&mut self, client: SocketAddr) {
        self.0.sender.client = Some(client);
    }

    /// Says how the client has reached the service, for middleware that knows better than the connection.
    pub fn set_client_scheme(&mut self, scheme: Scheme) {
        self.0.sender.scheme = scheme;
    }

    /// Says which host the client has asked, for middleware that knows better than the request. Routes stay
    /// those of [`Head::host`]. False, and nothing is changed, if it could not stand in a `Host` field.
    pub fn set_client_host(&mut self, host: &str) -> bool {
        let is_host = is_authority(host.as_bytes());
        if is_host {
            self.0.sender.host = Some(host.into());
        }
        is_host
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({} {})", self.head().method(), self.head().target())
    }
}
