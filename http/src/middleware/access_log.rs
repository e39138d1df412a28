use super::{Middleware, Next, RequestId};
use crate::{Request, Response};
use http::{Method, StatusCode, Version, header};
use std::{
    fmt,
    net::IpAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    time::{Duration, Instant, SystemTime},
};

/// Tells a function of every request and its answer.
///
/// The server itself can do so, too ([`Server::on_access`](crate::Server::on_access)):
///
/// | | this middleware | the server's `on_access` |
/// |---|---|---|
/// | hears of | what reaches the app, or a part of it | everything, malformed requests and 413 before the body as well |
/// | knows | client address behind proxies, request id, what a route did | the peer, how many bytes, whether the answer was cut |
/// | time | up to the handler's answer | up to the last byte given to the kernel |
/// | cost | a copy of the request, as any middleware | the target alone is copied |
///
/// The function runs on the shard and must not block: a line to a terminal or a pipe may. Hand lines to a
/// task that writes them on the pool, and drop some when that falls behind. The status is that of the answer
/// before [`App::on_error`](crate::App::on_error) renders it. Wrap it inside of
/// [`SetRequestId`](super::SetRequestId) and [`ProxyHeaders`](super::ProxyHeaders), and outside of the rest.
///
/// ```
/// use lakh_http::{App, middleware::{AccessEntry, AccessLog}};
///
/// let app = App::new().get("/", || "hello").wrap(AccessLog::new(|entry: &AccessEntry| {
///     let line = entry.combined().to_string();
///     # drop(line);
/// }));
/// ```
pub struct AccessLog {
    tell: Box<dyn Fn(&AccessEntry)>,
}

impl AccessLog {
    /// Tells `tell` of each request once its answer's head is known, or its handler was dropped without one.
    /// If it panics, the answer is given all the same.
    pub fn new(tell: impl Fn(&AccessEntry) + 'static) -> Self {
        AccessLog { tell: Box::new(tell) }
    }
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessLog")
    }
}

/// A request and its answer, as the app sees them. The server's own record, of what the connection has come to, is
/// [`AccessRecord`](crate::AccessRecord).
#[derive(Debug, Clone)]
pub struct AccessEntry {
    request: Asked,
    status: Option<StatusCode>,
    bytes: Option<u64>,
    at: SystemTime,
    took: Duration,
}

/// What is remembered of the request, which goes on to the handler.
#[derive(Debug, Clone)]
struct Asked {
    method: Method,
    target: String,
    path_len: usize,
    version: Version,
    client: Option<IpAddr>,
    id: Option<RequestId>,
    referer: Option<Box<[u8]>>,
    user_agent: Option<Box<[u8]>>,
}

impl AccessEntry {
    fn of(request: &Request) -> Self {
        let head = request.head();
        let field = |name| head.header(name).map(Into::into);
        let (target, path) = (head.target(), head.path());
        // The path is the target up to its query, or a part in its middle (RFC 9112, 3.2.2).
        let target = if target.starts_with(path) {
            target.to_owned()
        } else {
            match head.query() {
                Some(query) => format!("{path}?{query}"),
                None => path.to_owned(),
            }
        };
        AccessEntry {
            request: Asked {
                method: head.method().clone(),
                target,
                path_len: path.len(),
                version: head.version(),
                client: head.client_addr().ok().map(|client| client.ip()),
                id: head.extension::<RequestId>().cloned(),
                referer: field(header::REFERER),
                user_agent: field(header::USER_AGENT),
            },
            status: None,
            bytes: None,
            at: SystemTime::now(),
            took: Duration::ZERO,
        }
    }

    /// The method.
    pub fn method(&self) -> &Method {
        &self.request.method
    }

    /// The path as it was sent.
    pub fn path(&self) -> &str {
        &self.request.target[..self.request.path_len]
    }

    /// The path and the query as they were sent: visible ASCII. Queries tell secrets more often than paths.
    pub fn target(&self) -> &str {
        &self.request.target
    }

    /// The status of the answer; `None` if the handler was dropped (the client has gone away, or an outer
    /// timeout was over) or has panicked.
    pub fn status(&self) -> Option<StatusCode> {
        self.status
    }

    /// The length of the answer's body, as far as it is known beforehand; it is sent unless the method is
    /// HEAD or the client goes away.
    pub fn bytes(&self) -> Option<u64> {
        self.bytes
    }

    /// When the request came.
    pub fn at(&self) -> SystemTime {
        self.at
    }

    /// From the request's head to the answer's.
    pub fn took(&self) -> Duration {
        self.took
    }

    /// Who has sent the request, if they were still there; see [`Head::client_addr`](crate::Head::client_addr).
    pub fn client(&self) -> Option<IpAddr> {
        self.request.client
    }

    /// What [`SetRequestId`](super::SetRequestId) has given it.
    pub fn request_id(&self) -> Option<&RequestId> {
        self.request.id.as_ref()
    }

    /// The line of the Common Log Format: `client - - [time] "request" status bytes`. What could end a line
    /// or a quoted part is escaped as `\x22`.
    pub fn common(&self) -> impl fmt::Display {
        Line { entry: self, combined: false }
    }

    /// The line of the Combined Log Format, which is the common one with `"referer" "user agent"`.
    pub fn combined(&self) -> impl fmt::Display {
        Line { entry: self, combined: true }
    }
}

struct Line<'a> {
    entry: &'a AccessEntry,
    combined: bool,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AccessEntry { request, status, bytes, at, .. } = self.entry;
        match request.client {
            Some(client) => write!(f, "{client}")?,
            None => f.write_str("-")?,
        }
        write!(f, " - - [{}] \"{} ", LogTime(*at), request.method)?;
        escape(f, request.target.as_bytes())?;
        write!(f, " {:?}\" ", request.version)?;
        match status {
            Some(status) => write!(f, "{} ", status.as_str())?,
            None => f.write_str("- ")?,
        }
        match bytes {
            Some(bytes) => write!(f, "{bytes}")?,
            None => f.write_str("-")?,
        }
        if self.combined {
            for field in [&request.referer, &request.user_agent] {
                f.write_str(" \"")?;
                escape(f, field.as_deref().unwrap_or(b"-"))?;
                f.write_str("\"")?;
            }
        }
        Ok(())
    }
}

/// `10/Oct/2000:13:55:36 +0000`.
struct LogTime(SystemTime);

impl fmt::Display for LogTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Tue, 10 Oct 2000 13:55:36 GMT
        let date = httpdate::fmt_http_date(self.0);
        let mut parts = date.split(' ').skip(1);
        let mut next = || parts.next().unwrap_or_default();
        write!(f, "{}/{}/{}:{} +0000", next(), next(), next(), next())
    }
}

fn escape(f: &mut fmt::Formatter<'_>, text: &[u8]) -> fmt::Result {
    use fmt::Write;
    for &byte in text {
        match byte {
            b'"' | b'\\' => write!(f, "\\x{byte:02X}")?,
            b' '..=b'~' => f.write_char(byte.into())?,
            _ => write!(f, "\\x{byte:02X}")?,
        }
    }
    Ok(())
}

/// Tells of the request when it is dropped, with an answer or without.
struct Telling {
    log: Rc<AccessLog>,
    entry: AccessEntry,
    began: Instant,
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.entry.took = self.began.elapsed();
        // The handler may be panicking: a second panic on its way out would end the process. The panic hook
        // reports it.
        let _ = catch_unwind(AssertUnwindSafe(|| (self.log.tell)(&self.entry)));
    }
}

impl Middleware for AccessLog {
    async fn handle(self: Rc<Self>, request: Request, next: Next) -> Response {
        let mut telling = Telling { log: self, entry: AccessEntry::of(&request), began: Instant::now() };
        let response = next.run(request).await;
        telling.entry.status = Some(response.status());
        telling.entry.bytes = response.body().length();
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_common_log_format() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(971_186_136);
        assert_eq!(LogTime(at).to_string(), "10/Oct/2000:13:55:36 +0000");
    }

    #[test]
    fn nothing_ends_a_quoted_part_before_its_end() {
        struct Escaped(&'static [u8]);
        impl fmt::Display for Escaped {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                escape(f, self.0)
            }
        }
        assert_eq!(Escaped(b"a\"b\\c\td\xFF~").to_string(), "a\\x22b\\x5Cc\\x09d\\xFF~");
    }
}
