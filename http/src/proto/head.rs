//! Request heads: what they say, and whether that may be said.
use http::{Method, Version};

pub(crate) use self::authority::is_authority;
use self::authority::scheme_len;
use self::error::Kind;
use self::framing::Framing;
use self::syntax::{Reader, Stop, Target};

mod authority;
mod error;
mod framing;
mod scan;
mod syntax;

pub use self::error::HeadError;
pub use self::scan::HeadScan;

/// A part of a head as an offset into the bytes that were given to [`ParsedHead::parse`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Span {
    start: u16,
    len: u16,
}

impl Span {
    /// The bytes themselves; `bytes` begins where the buffer given to [`ParsedHead::parse`] began.
    ///
    /// Empty, rather than a panic, when `bytes` is shorter than that buffer was.
    #[inline]
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.range()).unwrap_or_default()
    }

    /// First to behind the last byte.
    #[inline]
    pub fn range(self) -> std::ops::Range<usize> {
        let start = usize::from(self.start);
        start..start + usize::from(self.len)
    }

    /// The number of bytes.
    #[inline]
    pub fn len(self) -> usize {
        usize::from(self.len)
    }

    /// Whether there is no byte in it.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    /// The place of `part` in a buffer at address `base`. Both are at most `MAX_HEAD` long, so nothing is cut off.
    #[inline]
    pub(crate) fn locate(base: usize, part: &[u8]) -> Span {
        Span { start: part.as_ptr().addr().wrapping_sub(base) as u16, len: part.len() as u16 }
    }

    #[inline]
    fn slice(self, from: usize, to: usize) -> Span {
        Span { start: self.start + from as u16, len: (to - from) as u16 }
    }
}

/// What a request head may take up at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes from the first to the blank line, 65,535 at most. Beyond it: 431 (RFC 6585, 5).
    pub head: usize,
    /// Bytes of the request target. Beyond it: 414 (RFC 9110, 15.5.15).
    pub target: usize,
    /// Number of header fields, 128 at most. Beyond it: 431.
    pub headers: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        HeadLimits { head: 16 * 1024, target: 8 * 1024, headers: 100 }
    }
}

/// How the end of the request's body is found (RFC 9112, 6.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum BodyLength {
    /// Neither Content-Length nor Transfer-Encoding: there is no body.
    #[default]
    None,
    /// The Content-Length as it was sent; it may be 0.
    Exactly(u64),
    /// `Transfer-Encoding: chunked`, for [`ChunkedDecoder`](super::ChunkedDecoder).
    Chunked,
}

/// Whether a whole head was there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parsed {
    /// The head is parsed, checked and takes up [`ParsedHead::len`] bytes.
    Complete,
    /// The blank line is missing; nothing but the limits is known. Go on with [`HeadScan`].
    Partial,
}

/// All that is known of a request head, as offsets; it owns no bytes.
///
/// Reusable: [`parse`](ParsedHead::parse) clears and refills it and keeps the capacity, so that parsing allocates
/// nothing in the steady state. After [`Parsed::Partial`] and after an error the fields mean nothing.
///
/// ```
/// use lakh_http::proto::{HeadLimits, Parsed, ParsedHead};
///
/// let bytes = b"GET /search?q=lakh HTTP/1.1\r\nHost: example.com\r\n\r\n";
/// let mut head = ParsedHead::default();
/// assert_eq!(head.parse(bytes, &HeadLimits::default()), Ok(Parsed::Complete));
/// assert_eq!(head.path.of(bytes), b"/search");
/// assert_eq!(head.query.unwrap().of(bytes), b"q=lakh");
/// assert!(head.keep_alive);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParsedHead {
    /// The method; it may be one nobody has registered (RFC 9110, 9.1).
    pub method: Method,
    /// `HTTP_10` or `HTTP_11`.
    pub version: Version,
    /// The request target as it was sent (RFC 9112, 3.2).
    pub target: Span,
    /// The target's path, not decoded. It begins with `/`, or it is the `*` of `OPTIONS *`. An absolute form
    /// without a path gives `/`.
    pub path: Span,
    /// What follows the first `?` of the target, if there is one. It may be empty.
    pub query: Option<Span>,
    /// The authority the request is for: the target's in absolute form, else the Host field (RFC 9112, 3.3).
    /// Valid as `uri-host [ ":" port ]`, or empty. Never `None` in HTTP/1.1.
    pub host: Option<Span>,
    /// Names and values in the order they were sent; values without the white space around them.
    pub headers: Vec<(Span, Span)>,
    /// Bytes up to and with the blank line, the skipped empty line in front included.
    pub len: usize,
    /// How the end of the body is found.
    pub body: BodyLength,
    /// Whether the client wants the connection to stay open after the answer (RFC 9112, 9.3).
    pub keep_alive: bool,
    /// `Expect: 100-continue` on a request that has a body to wait for (RFC 9110, 10.1.1).
    pub expect_continue: bool,
    /// `TE: trailers`: the client understands trailer fields (RFC 9110, 10.1.4).
    pub te_trailers: bool,
    /// Both an Upgrade field and `Connection: upgrade`, in HTTP/1.1 (RFC 9110, 7.8).
    pub upgrade: bool,
}

impl ParsedHead {
    /// Parses the head at the start of `buf`, which begins where the request begins.
    ///
    /// One empty line in front of it is skipped (RFC 9112, 2.2). Bytes behind the head are not looked at.
    ///
    /// # Errors
    ///
    /// The peer's fault, always: answer with [`HeadError::status`] and close. Limits that are already exceeded are
    /// an error though the head is still partial.
    pub fn parse(&mut self, buf: &[u8], limits: &HeadLimits) -> Result<Parsed, HeadError> {
        self.headers.clear();
        let buf = &buf[..buf.len().min(limits.head).min(MAX_HEAD)];
        let skipped = match leading_empty_line(buf)? {
            Some(skipped) => skipped,
            None => return partial(buf, limits),
        };
        let lines = match self.read(buf, skipped, limits.headers.min(MAX_HEADERS)) {
            Ok(lines) => lines,
            Err(Stop::Short) => return partial(buf, limits),
            Err(Stop::Bad(kind)) => return Err(syntax_error(kind, buf, limits)),
        };
        if lines.target.bytes.len() > limits.target {
            return Err(HeadError(Kind::TargetTooLong));
        }
        self.set_method(lines.method)?;
        let authority = self.set_target(&lines.target)?;
        self.set_framing(buf, &lines.framing, authority)?;
        Ok(Parsed::Complete)
    }

    /// The values of all header fields called `name`, in the order they were sent.
    pub fn values<'a>(&'a self, bytes: &'a [u8], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let named = move |field: &&(Span, Span)| field.0.of(bytes).eq_ignore_ascii_case(name.as_bytes());
        self.headers.iter().filter(named).map(|field| field.1.of(bytes))
    }

    /// Reads all lines, takes down the fields, and notes what a few of them say.
    #[inline]
    fn read<'a>(&mut self, buf: &'a [u8], skipped: usize, most: usize) -> Result<Lines<'a>, Stop> {
        let locate = |part: &[u8]| Span::locate(buf.as_ptr().addr(), part);
        let mut reader = Reader { rest: &buf[skipped..] };
        let (method, target) = (reader.method()?, reader.target()?);
        self.version = reader.version()?;
        self.target = locate(target.bytes);
        let mut framing = Framing::default();
        while let Some((name, value)) = reader.field()? {
            if self.headers.len() == most {
                return Err(Stop::Bad(Kind::TooManyHeaders));
            }
            framing.note(self.headers.len(), name, value);
            self.headers.push((locate(name), locate(value)));
        }
        self.len = buf.len() - reader.rest.len();
        Ok(Lines { method, target, framing })
    }

    #[inline]
    fn set_method(&mut self, method: &[u8]) -> Result<(), HeadError> {
        if method == b"GET" {
            self.method = Method::GET;
            return Ok(());
        }
        self.method = match Method::from_bytes(method) {
            Ok(Method::CONNECT) => return Err(HeadError(Kind::Connect)),
            Ok(method) => method,
            Err(_) => return Err(HeadError(Kind::RequestLine)),
        };
        Ok(())
    }

    /// Splits the target into path and query; gives the authority of an absolute form (RFC 9112, 3.2).
    #[inline]
    fn set_target(&mut self, target: &Target<'_>) -> Result<Option<Span>, HeadError> {
        if target.bytes[0] != b'/' {
            return self.set_unusual_target(target.bytes);
        }
        self.split_path(0, target.question, target.bytes.len());
        Ok(None)
    }

    #[inline]
    fn split_path(&mut self, path: usize, question: Option<usize>, end: usize) {
        self.path = self.target.slice(path, question.unwrap_or(end));
        self.query = question.map(|question| self.target.slice(question + 1, end));
    }

    /// Asterisk-form and absolute-form.
    #[cold]
    fn set_unusual_target(&mut self, target: &[u8]) -> Result<Option<Span>, HeadError> {
        if target == b"*" {
            self.split_path(0, None, 1);
            return if self.method == Method::OPTIONS { Ok(None) } else { Err(HeadError(Kind::Asterisk)) };
        }
        let scheme = scheme_len(target).ok_or(HeadError(Kind::TargetForm))?;
        let rest = &target[scheme..];
        let path = scheme + rest.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
        let authority = &target[scheme..path];
        if authority.contains(&b'@') {
            return Err(HeadError(Kind::UserInfo));
        }
        if !is_authority(authority) {
            return Err(HeadError(Kind::HostInvalid));
        }
        let question = target[path..].iter().position(|&b| b == b'?').map(|at| path + at);
        self.split_path(path, question, target.len());
        if self.path.is_empty() {
            self.path = self.target.slice(scheme - 1, scheme); // the scheme's second slash stands for "/"
        }
        Ok(Some(self.target.slice(scheme, path)))
    }

    #[inline]
    fn set_framing(
        &mut self,
        buf: &[u8],
        framing: &Framing,
        authority: Option<Span>,
    ) -> Result<(), HeadError> {
        if let Some(kind) = framing.error {
            return Err(HeadError(kind));
        }
        let modern = self.version == Version::HTTP_11;
        self.body = match (framing.chunked, framing.content_length) {
            (false, None) => BodyLength::None,
            (false, Some(length)) => BodyLength::Exactly(length),
            (true, Some(_)) => return Err(HeadError(Kind::CodingWithLength)),
            (true, None) if !modern => return Err(HeadError(Kind::CodingInOldVersion)),
            (true, None) => BodyLength::Chunked,
        };
        let has_body = !matches!(self.body, BodyLength::None | BodyLength::Exactly(0));
        if modern && framing.expects_else {
            return Err(HeadError(Kind::Expectation));
        }
        self.expect_continue = modern && framing.expects_continue && has_body;
        self.keep_alive = !framing.close && (modern || framing.keep_alive);
        self.te_trailers = modern && framing.te_trailers;
        self.upgrade = modern && framing.upgrade && framing.connection_upgrade;
        let host = framing.host.map(|index| self.headers[index].1);
        self.set_host(buf, host, authority, modern)
    }

    #[inline]
    fn set_host(
        &mut self,
        buf: &[u8],
        host: Option<Span>,
        authority: Option<Span>,
        modern: bool,
    ) -> Result<(), HeadError> {
        match host {
            None if modern => return Err(HeadError(Kind::HostMissing)),
            None => {}
            // Empty is what a client sends whose target has no authority, so not with one in the target.
            Some(host) if host.is_empty() && authority.is_none() => {}
            Some(host) if is_authority(host.of(buf)) => {}
            Some(_) => return Err(HeadError(Kind::HostInvalid)),
        }
        self.host = authority.or(host);
        Ok(())
    }
}

/// What [`ParsedHead::read`] has read and not yet judged.
struct Lines<'a> {
    method: &'a [u8],
    target: Target<'a>,
    framing: Framing,
}

/// How many bytes of an empty line to skip; `None` when that cannot be told yet.
#[inline]
fn leading_empty_line(buf: &[u8]) -> Result<Option<usize>, HeadError> {
    match buf {
        [b'\r', b'\n', b'\r' | b'\n', ..] => Err(HeadError(Kind::EmptyLines)),
        [b'\r', b'\n', _, ..] => Ok(Some(2)),
        [b'\r', b'\n'] | [b'\r'] | [] => Ok(None),
        [b'\r' | b'\n', ..] => Err(HeadError(Kind::LineEnd)),
        _ => Ok(Some(0)),
    }
}

#[cold]
fn partial(buf: &[u8], limits: &HeadLimits) -> Result<Parsed, HeadError> {
    let mut scan = HeadScan::default();
    scan.scan(buf);
    scan.over_limit(limits).map_or(Ok(Parsed::Partial), Err)
}

/// A target over the limit comes first: it may have been answered with 414 before the offending byte arrived.
#[cold]
fn syntax_error(kind: Kind, buf: &[u8], limits: &HeadLimits) -> HeadError {
    let mut scan = HeadScan::default();
    scan.scan(buf);
    let too_long = usize::from(scan.target) > limits.target;
    HeadError(if too_long { Kind::TargetTooLong } else { kind })
}

/// The most header fields a head may have, whatever [`HeadLimits::headers`] says.
const MAX_HEADERS: usize = 128;

/// The most bytes a head may have, whatever [`HeadLimits::head`] says: offsets are 16 bits wide.
const MAX_HEAD: usize = u16::MAX as usize;
