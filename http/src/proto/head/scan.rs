//! Finding the end of a head that comes in pieces.
use super::error::{HeadError, Kind};
use super::syntax::is_target_byte;
use super::{HeadLimits, MAX_HEAD, MAX_HEADERS};
use crate::proto::TOKEN;

/// Looks for a head's blank line in a buffer that grows, without reading any byte twice.
///
/// For the time after [`Parsed::Partial`](super::Parsed::Partial): a parse begins anew at each call, so it is called
/// again only once [`scan`](HeadScan::scan) says so.
///
/// ```
/// use lakh_http::proto::{HeadLimits, HeadScan};
///
/// let mut scan = HeadScan::default();
/// assert!(!scan.scan(b"GET / HTTP/1.1\r\nHost: a\r\n"));
/// assert_eq!(scan.over_limit(&HeadLimits::default()), None);
/// assert!(scan.scan(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeadScan {
    /// Bytes that need not be looked at again.
    seen: u32,
    /// Target bytes so far.
    pub(super) target: u16,
    /// Header lines so far.
    lines: u16,
    at: Place,
}

/// Where [`HeadScan`] stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Start,
    Method,
    Target,
    RestOfLine,
    Headers,
    Found,
}

impl HeadScan {
    /// Whether the blank line is there. `buf` begins where the request begins and only ever grows.
    pub fn scan(&mut self, buf: &[u8]) -> bool {
        let buf = &buf[..buf.len().min(MAX_HEAD + 1)];
        if self.at == Place::Start {
            if buf == b"\r" || buf.is_empty() {
                return false;
            }
            self.seen = if buf.starts_with(b"\r\n") { 2 } else { 0 };
            self.at = Place::Method;
        }
        if self.at == Place::Method {
            self.scan_method(buf);
        }
        if self.at == Place::Target {
            self.scan_target(buf);
        }
        while matches!(self.at, Place::RestOfLine | Place::Headers) && self.scan_line(buf) {}
        self.at == Place::Found
    }

    /// The limit that the bytes seen so far are over, if there is one.
    pub fn over_limit(&self, limits: &HeadLimits) -> Option<HeadError> {
        let found = self.at == Place::Found;
        let seen = self.seen as usize;
        let head = limits.head.min(MAX_HEAD);
        if usize::from(self.target) > limits.target {
            Some(HeadError(Kind::TargetTooLong))
        } else if seen > head || (seen == head && !found) {
            Some(HeadError(Kind::HeadTooLarge))
        } else if usize::from(self.lines) > limits.headers.min(MAX_HEADERS) {
            Some(HeadError(Kind::TooManyHeaders))
        } else {
            None
        }
    }

    /// What is no method followed by a space is no request line: there is no target to measure, parse will say so.
    fn scan_method(&mut self, buf: &[u8]) {
        let is_token = |byte: &u8| TOKEN[usize::from(*byte)];
        let from = self.seen as usize;
        let Some(end) = buf[from..].iter().position(|byte| !is_token(byte)).map(|at| from + at) else {
            self.seen = buf.len() as u32;
            return;
        };
        if buf[end] == b' ' && buf[..end].last().is_some_and(is_token) {
            self.at = Place::Target;
            self.seen = end as u32 + 1;
        } else {
            self.at = Place::RestOfLine;
            self.seen = end as u32;
        }
    }

    fn scan_target(&mut self, buf: &[u8]) {
        let rest = &buf[self.seen as usize..];
        let end = rest.iter().position(|&byte| !is_target_byte(byte));
        let len = end.unwrap_or(rest.len());
        self.target = self.target.saturating_add(u16::try_from(len).unwrap_or(u16::MAX));
        self.seen += len as u32;
        if end.is_some() {
            self.at = Place::RestOfLine;
        }
    }

    /// Goes on to the end of the current line; false when it is not there yet or was the blank one.
    fn scan_line(&mut self, buf: &[u8]) -> bool {
        let from = self.seen as usize;
        let Some(end) = memchr::memchr(b'\n', &buf[from..]).map(|at| from + at) else {
            self.seen = buf.len() as u32;
            return false;
        };
        self.seen = end as u32 + 1;
        if matches!(&buf[..end], [] | [.., b'\n'] | [.., b'\n', b'\r']) {
            self.at = Place::Found;
            return false;
        }
        match self.at {
            Place::Headers => self.lines = self.lines.saturating_add(1),
            _ => self.at = Place::Headers,
        }
        true
    }
}
