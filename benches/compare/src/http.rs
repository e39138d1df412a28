//! The bytes that are sent, and the check of the bytes that come back.

use crate::{Error, Result};

/// Where a request is to differ from others.
const NUMBER: &str = "00000000";

/// The request as number `number` of a load: with a number of its own, if it has a place for one.
pub fn numbered(request: &[u8], number: usize) -> Option<Vec<u8>> {
    let at = request.windows(NUMBER.len()).position(|window| window == NUMBER.as_bytes())?;
    let mut request = request.to_vec();
    request[at..at + NUMBER.len()].copy_from_slice(format!("{:08}", number % 100_000_000).as_bytes());
    Some(request)
}

/// How much a client says in its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// `Host` and nothing else, as wrk sends it.
    Bare,
    /// Twelve header fields, as a browser sends them.
    Browser,
    /// `Host` and an `X-Request-Id` that the generator makes another for each connection and place in a batch.
    Varied,
    /// A browser's twelve fields and such an `X-Request-Id`.
    VariedBrowser,
    /// `Host` and a cookie of 4,000 bytes: what makes servers grow their buffers.
    Large,
}

impl std::str::FromStr for Head {
    type Err = ();

    fn from_str(name: &str) -> std::result::Result<Head, ()> {
        match name {
            "bare" => Ok(Head::Bare),
            "browser" => Ok(Head::Browser),
            "varied" => Ok(Head::Varied),
            "varied-browser" => Ok(Head::VariedBrowser),
            "large" => Ok(Head::Large),
            _ => Err(()),
        }
    }
}

const BROWSER: &str = "Connection: keep-alive\r\n\
    Cache-Control: max-age=0\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
    Sec-Fetch-Site: same-origin\r\n\
    Sec-Fetch-Mode: navigate\r\n\
    Sec-Fetch-User: ?1\r\n\
    Sec-Fetch-Dest: document\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n";

/// One GET request, whole.
pub fn request(path: &str, host: &str, head: Head) -> Vec<u8> {
    let start = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n");
    let rest = match head {
        Head::Bare => String::new(),
        Head::Browser => BROWSER.to_owned(),
        Head::Varied => format!("X-Request-Id: {NUMBER}\r\n"),
        Head::VariedBrowser => format!("{BROWSER}X-Request-Id: {NUMBER}\r\n"),
        Head::Large => format!("Cookie: filler={}\r\n", "x".repeat(4000)),
    };
    format!("{start}{rest}\r\n").into_bytes()
}

/// What every answer must look like, learned from the first one, or known.
///
/// The length, the status and the body must be the same each time; the rest of the head may change (`Date`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// 0 if it is all body, as an echo is.
    head: usize,
    total: usize,
    /// The body's first bytes, `BODY_CHECKED` at most.
    body: Vec<u8>,
}

const STATUS: &[u8] = b"HTTP/1.1 200";
const BLANK_LINE: &[u8] = b"\r\n\r\n";
const BODY_CHECKED: usize = 4096;
const MAX_HEAD: usize = 16 * 1024;

impl Shape {
    /// Reads the first answer; `None` means that more bytes are needed.
    pub fn learn(bytes: &[u8]) -> Result<Option<Shape>> {
        let Some(end) = bytes.windows(4).position(|window| window == BLANK_LINE) else {
            if bytes.len() > MAX_HEAD {
                return Err(Error::new(format!("no end of the answer's head within {MAX_HEAD} bytes")));
            }
            return Ok(None);
        };
        let head = end + BLANK_LINE.len();
        let text = String::from_utf8_lossy(&bytes[..end]);
        let status = text.lines().next().unwrap_or_default();
        if !bytes.starts_with(STATUS) {
            return Err(Error::new(format!("the answer is {status:?} instead of \"HTTP/1.1 200 …\"")));
        }
        let length = content_length(&text).ok_or_else(|| {
            Error::new("the answer has no readable Content-Length, so it cannot be counted")
        })?;
        let checked = length.min(BODY_CHECKED);
        if bytes.len() < head + checked {
            return Ok(None);
        }
        Ok(Some(Shape { head, total: head + length, body: bytes[head..head + checked].to_vec() }))
    }

    /// An answer of `total` bytes that begins with `start`, and has no status.
    pub fn exactly(start: &[u8], total: usize) -> Shape {
        Shape { head: 0, total, body: start.to_vec() }
    }

    /// Bytes of one answer.
    pub fn total(&self) -> usize {
        self.total
    }

    /// Bytes of one answer's body.
    pub fn body(&self) -> usize {
        self.total - self.head
    }

    /// How many of an answer's first bytes `check` wants to see.
    pub fn checked(&self) -> usize {
        self.head + self.body.len()
    }

    /// Whether the first `checked()` bytes of an answer are as they should be.
    #[inline]
    pub fn check(&self, answer: &[u8]) -> bool {
        answer.len() >= self.checked()
            && (self.head == 0 || self.check_head(answer))
            && answer[self.head..self.checked()] == self.body
    }

    #[inline]
    fn check_head(&self, answer: &[u8]) -> bool {
        answer.starts_with(STATUS) && &answer[self.head - BLANK_LINE.len()..self.head] == BLANK_LINE
    }
}

fn content_length(head: &str) -> Option<usize> {
    let mut lengths = head.lines().skip(1).filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim())
    });
    let value = lengths.next()?;
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || lengths.next().is_some() { None } else { value.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\ndate: 1\r\n\r\nhello";

    #[test]
    fn requests_are_what_wrk_and_browsers_send() {
        let bare = request("/plaintext", "127.0.0.1:80", Head::Bare);
        assert_eq!(bare, b"GET /plaintext HTTP/1.1\r\nHost: 127.0.0.1:80\r\n\r\n");
        let varied = request("/", "h", Head::Varied);
        let seventh = numbered(&varied, 7).unwrap();
        assert_eq!((seventh.len(), numbered(&bare, 7)), (varied.len(), None));
        assert!(seventh.ends_with(b"X-Request-Id: 00000007\r\n\r\n"));
        let both = numbered(&request("/", "h", Head::VariedBrowser), 7).unwrap();
        assert!(both.ends_with(b"q=0.8\r\nX-Request-Id: 00000007\r\n\r\n"));
        let browser = String::from_utf8(request("/", "h", Head::Browser)).unwrap();
        assert_eq!(browser.lines().filter(|line| line.contains(": ")).count(), 12);
        assert!(browser.ends_with("\r\n\r\n") && !browser.contains("\n "));
    }

    #[test]
    fn a_shape_is_learned_once_head_and_body_are_there() {
        for cut in 0..ANSWER.len() {
            assert_eq!(Shape::learn(&ANSWER[..cut]).unwrap(), None, "{cut} bytes");
        }
        let shape = Shape::learn(ANSWER).unwrap().unwrap();
        assert_eq!((shape.total(), shape.checked()), (ANSWER.len(), ANSWER.len()));
        assert!(shape.check(ANSWER));
    }

    #[test]
    fn anything_else_is_refused() {
        let shape = Shape::learn(ANSWER).unwrap().unwrap();
        for (from, to) in [("200", "500"), ("hello", "jello"), ("\r\n\r\n", "\r\n\rx"), ("HTTP", "xTTP")] {
            let changed = String::from_utf8(ANSWER.to_vec()).unwrap().replacen(from, to, 1);
            assert!(!shape.check(changed.as_bytes()), "{to:?}");
        }
        assert!(
            shape.check(
                &String::from_utf8(ANSWER.to_vec()).unwrap().replace("date: 1", "date: 2").into_bytes()
            )
        );
    }

    #[test]
    fn unusable_first_answers_are_errors() {
        let refused = |text: &str| Shape::learn(text.as_bytes()).unwrap_err().to_string();
        assert!(refused("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").contains("404 Not Found"));
        assert!(refused("HTTP/1.1 200 OK\r\n\r\n").contains("Content-Length"));
        assert!(refused("HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\nx").contains("Content-Length"));
        assert!(
            refused("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx").contains("Length")
        );
        assert!(refused(&"x".repeat(MAX_HEAD + 1)).contains("no end"));
    }

    #[test]
    fn of_large_bodies_the_beginning_is_checked() {
        let answer = [b"HTTP/1.1 200 OK\r\ncontent-length: 9000\r\n\r\n".as_slice(), &[7; 4096]].concat();
        let shape = Shape::learn(&answer).unwrap().unwrap();
        assert_eq!(shape.total() - shape.checked(), 9000 - 4096);
    }
}
