//! Reading answers: RFC 9112, 4, 6 and 7. Strict where a server's mistake would be counted as an answer.

use super::super::{Answer, Failure, Sink};
use crate::stats::Cause;

/// A head of an answer may be so long.
const HEAD_AT_MOST: usize = 64 * 1024;
/// Fields of a head, or of a trailer.
const FIELDS_AT_MOST: usize = 128;
/// A line of a chunked body's framing: a size with extensions, or a field of the trailer.
const LINE_AT_MOST: usize = 8 * 1024;

/// What is expected of every answer.
pub(super) struct Expect {
    pub(super) status: Option<u16>,
    pub(super) body: Option<Vec<u8>>,
    /// The requests are HEAD: the answers have no bodies.
    pub(super) no_body: bool,
    /// The requests say `Connection: close`.
    pub(super) closes: bool,
}

/// What is left to be read of an answer.
#[derive(Debug, Default)]
enum Body {
    /// Nothing: a head comes next.
    #[default]
    None,
    Length(u64),
    UntilClose,
    /// A chunk's size comes next.
    Size,
    Chunk(u64),
    /// The line end behind a chunk.
    ChunkEnd,
    Trailer,
}

/// Reads the answers of one connection.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    body: Body,
    /// The head or line that has not come as a whole.
    partial: Option<Box<Partial>>,
    /// Of the answer whose body is being read.
    status: u16,
    closes: bool,
    /// Bytes of its body that were as expected; one that differs makes it [`DIFFERS`].
    matched: u32,
}

/// In a box, since few connections have one at a time.
#[derive(Debug, Default)]
struct Partial(Vec<u8>);

const DIFFERS: u32 = u32::MAX;

struct Head {
    len: usize,
    status: u16,
    closes: bool,
    body: Body,
}

impl Reader {
    pub(super) fn receive(
        &mut self,
        expect: &Expect,
        mut input: &[u8],
        sink: &mut Sink<'_>,
    ) -> Result<(), Failure> {
        while !input.is_empty() {
            let used = match self.body {
                Body::None => self.head(expect, input, sink)?,
                Body::Length(left) => {
                    let n = self.content(expect, input, left);
                    self.body = Body::Length(left - n as u64);
                    if left == n as u64 {
                        self.finish(expect, sink);
                    }
                    n
                }
                Body::UntilClose => self.content(expect, input, u64::MAX),
                Body::Chunk(left) => {
                    let n = self.content(expect, input, left);
                    self.body = if left == n as u64 { Body::ChunkEnd } else { Body::Chunk(left - n as u64) };
                    n
                }
                Body::Size | Body::ChunkEnd | Body::Trailer => self.line(expect, input, sink)?,
            };
            input = &input[used..];
        }
        Ok(())
    }

    /// Whether nothing of an answer has come that is not complete.
    fn is_between(&self) -> bool {
        matches!(self.body, Body::None) && self.partial.is_none()
    }

    pub(super) fn end(&mut self, expect: &Expect, sink: &mut Sink<'_>) {
        debug_assert!(!sink.closes || self.is_between() || matches!(self.body, Body::UntilClose));
        if matches!(self.body, Body::UntilClose) {
            self.finish(expect, sink);
        }
    }

    /// Reads a head, or keeps what has come of it; how many bytes of `input` it took.
    fn head(&mut self, expect: &Expect, input: &[u8], sink: &mut Sink<'_>) -> Result<usize, Failure> {
        let Some(mut partial) = self.partial.take() else {
            return match parse(input, expect)? {
                Some(head) => {
                    let len = head.len;
                    self.begin(expect, head, sink);
                    Ok(len)
                }
                None => {
                    self.keep(input)?;
                    Ok(input.len())
                }
            };
        };
        let before = partial.0.len();
        partial.0.extend_from_slice(&input[..input.len().min(HEAD_AT_MOST + 1 - before.min(HEAD_AT_MOST))]);
        match parse(&partial.0, expect)? {
            Some(head) => {
                let len = head.len;
                self.begin(expect, head, sink);
                // What came before was no head.
                Ok(len - before)
            }
            None if partial.0.len() > HEAD_AT_MOST => Err(garbage("a head of more than 64 KiB")),
            None => {
                let taken = partial.0.len() - before;
                self.partial = Some(partial);
                Ok(taken)
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if bytes.len() > HEAD_AT_MOST {
            return Err(garbage("a head of more than 64 KiB"));
        }
        self.partial = Some(Box::new(Partial(bytes.to_vec())));
        Ok(())
    }

    fn begin(&mut self, expect: &Expect, head: Head, sink: &mut Sink<'_>) {
        // Interim answers are no answers (RFC 9110, 15.2).
        if (100..200).contains(&head.status) && head.status != 101 {
            return;
        }
        (self.status, self.closes, self.body, self.matched) = (head.status, head.closes, head.body, 0);
        if matches!(self.body, Body::None | Body::Length(0)) {
            self.finish(expect, sink);
        }
    }

    /// Takes bytes of a body, `left` at most.
    fn content(&mut self, expect: &Expect, input: &[u8], left: u64) -> usize {
        let n = input.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if let Some(expected) = &expect.body
            && self.matched != DIFFERS
        {
            let at = self.matched as usize;
            let same = expected.get(at..at + n).is_some_and(|part| part == &input[..n]);
            self.matched = if same { (at + n) as u32 } else { DIFFERS };
        }
        n
    }

    fn finish(&mut self, expect: &Expect, sink: &mut Sink<'_>) {
        self.body = Body::None;
        sink.closes |= self.closes;
        let class = match self.status / 100 {
            class @ 1..=5 => class as u8,
            _ => 0,
        };
        let status_differs = expect.status.is_some_and(|status| status != self.status);
        let body_differs = expect.body.as_ref().is_some_and(|body| body.len() != self.matched as usize);
        sink.answers.push(match (status_differs, body_differs && !expect.no_body) {
            (true, _) => Answer::Bad(class, Cause::Status),
            (false, true) => Answer::Bad(class, Cause::Body),
            (false, false) => Answer::Good(class),
        });
    }

    /// Reads a line of a chunked body's framing.
    fn line(&mut self, expect: &Expect, input: &[u8], sink: &mut Sink<'_>) -> Result<usize, Failure> {
        let end = input.iter().position(|&byte| byte == b'\n');
        let taken = end.map_or(input.len(), |end| end + 1);
        let mut kept = self.partial.take();
        if kept.as_ref().map_or(0, |kept| kept.0.len()) + taken > LINE_AT_MOST {
            return Err(garbage("a line of chunked framing of more than 8 KiB"));
        }
        if end.is_none() {
            kept.get_or_insert_default().0.extend_from_slice(input);
            self.partial = kept;
            return Ok(taken);
        }
        let line = match &mut kept {
            Some(kept) => {
                kept.0.extend_from_slice(&input[..taken]);
                &kept.0[..]
            }
            None => &input[..taken],
        };
        let Some(line) = line.strip_suffix(b"\r\n") else {
            return Err(garbage("a line of chunked framing that does not end with CR LF"));
        };
        match self.body {
            Body::Size => match chunk_size(line) {
                Some(0) => self.body = Body::Trailer,
                Some(size) => self.body = Body::Chunk(size),
                None => return Err(garbage(format!("a chunk of the size {:?}", lossy(line)))),
            },
            Body::ChunkEnd if line.is_empty() => self.body = Body::Size,
            Body::ChunkEnd => return Err(garbage("a chunk that is longer than its size")),
            _ if line.is_empty() => self.finish(expect, sink),
            _ => {}
        }
        Ok(taken)
    }
}

fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|&byte| byte == b';').next()?.trim_ascii_end();
    let is_number = !digits.is_empty() && digits.len() <= 15 && digits.iter().all(u8::is_ascii_hexdigit);
    is_number.then(|| u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()).flatten()
}

/// The head at the beginning of `input`; `None` if it is not there as a whole.
fn parse(input: &[u8], expect: &Expect) -> Result<Option<Head>, Failure> {
    let mut fields = [const { std::mem::MaybeUninit::uninit() }; FIELDS_AT_MOST];
    let mut response = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let status = config.parse_response_with_uninit_headers(&mut response, input, &mut fields);
    let len = match status {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => {
            let start = &input[..input.len().min(32)];
            return Err(garbage(format!("{error}, in what begins with {:?}", lossy(start))));
        }
    };
    let status = response.code.unwrap_or_default();
    let minor = response.version.unwrap_or_default();
    let (mut length, mut chunked, mut coded) = (None, false, false);
    let mut closes = expect.closes || minor == 0;
    for field in response.headers.iter() {
        let name = field.name;
        // By length first: most fields are none of these.
        match name.len() {
            14 if name.eq_ignore_ascii_case("content-length") => {
                let new = decimal(field.value)
                    .ok_or_else(|| garbage(format!("a Content-Length of {:?}", lossy(field.value))))?;
                if length.is_some_and(|length| length != new) {
                    return Err(garbage("two values of Content-Length"));
                }
                length = Some(new);
            }
            17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                coded = true;
                let last = field.value.rsplit(|&byte| byte == b',').next().unwrap_or_default();
                chunked = last.trim_ascii().eq_ignore_ascii_case(b"chunked");
            }
            10 if name.eq_ignore_ascii_case("connection") => {
                for option in field.value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
                    closes |= option.eq_ignore_ascii_case(b"close");
                    closes &= expect.closes || !(minor == 0 && option.eq_ignore_ascii_case(b"keep-alive"));
                }
            }
            _ => {}
        }
    }
    // RFC 9112, 6.3, in its order.
    let body = match (status, chunked, length) {
        (100..200 | 204 | 304, ..) => Body::None,
        _ if expect.no_body => Body::None,
        (_, true, _) => Body::Size,
        (_, false, _) if coded => Body::UntilClose,
        (_, false, Some(length)) => Body::Length(length),
        (_, false, None) => Body::UntilClose,
    };
    closes |= matches!(body, Body::UntilClose);
    Ok(Some(Head { len, status, closes, body }))
}

fn decimal(value: &[u8]) -> Option<u64> {
    let is_number = !value.is_empty() && value.len() <= 18 && value.iter().all(u8::is_ascii_digit);
    is_number.then(|| value.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

fn garbage(what: impl Into<String>) -> Failure {
    Failure::new(Cause::Garbage, what)
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
