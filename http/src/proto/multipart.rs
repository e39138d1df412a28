//! `multipart/form-data` (RFC 7578) as bytes in and parts out.
//!
//! The parser keeps the head of the part that it is in and how much of a boundary it has seen, and
//! nothing of any content: that is handed on as it comes.
mod error;
mod head;
mod params;

pub use error::MultipartError;
pub use head::PartHead;
pub use params::boundary;

use bytes::{Buf, Bytes};
use memchr::{memchr, memmem::Finder, memrchr};

/// Bytes of a boundary (RFC 2046, 5.1.1).
pub const LONGEST_BOUNDARY: usize = 70;

/// Bytes of a line's end.
const CRLF: usize = 2;

/// What a part may take up beside its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartLimits {
    /// Bytes of a part's header block; also of what stands before the first boundary, and behind one in
    /// its line. 8 KiB by default.
    pub head: usize,
    /// Header fields of a part. 16 by default.
    pub headers: usize,
}

impl Default for PartLimits {
    fn default() -> Self {
        PartLimits { head: 8 * 1024, headers: 16 }
    }
}

/// What comes next in a body.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum PartEvent {
    /// A part begins.
    Begin(PartHead),
    /// More of the part's content, never empty.
    Data(Bytes),
    /// The part's content has ended.
    End,
    /// The last boundary has been seen: what follows means nothing.
    Done,
}

/// Takes a body apart, in whatever pieces it comes.
///
/// ```
/// use lakh_http::{Bytes, proto::{MultipartParser, PartEvent, PartLimits}};
///
/// let mut input = Bytes::from("--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--x--");
/// let mut parser = MultipartParser::new(b"x", PartLimits::default());
/// let mut content = Vec::new();
/// while let Some(event) = parser.next(&mut input)? {
///     match event {
///         PartEvent::Begin(head) => assert_eq!(head.name, "a"),
///         PartEvent::Data(bytes) => content.extend_from_slice(&bytes),
///         PartEvent::Done => break,
///         _ => {} // the end of a part
///     }
/// }
/// assert!(parser.is_done() && content == b"1");
/// # Ok::<(), lakh_http::proto::MultipartError>(())
/// ```
#[derive(Debug, Clone)]
pub struct MultipartParser {
    finder: Finder<'static>,
    /// What the finder finds: `\r\n--` and the boundary.
    delimiter: Bytes,
    limits: PartLimits,
    state: State,
    /// How much of the delimiter the last piece has ended with. It is no data yet.
    matched: usize,
    /// How much of that was not in the content: the end of the line before it.
    before: usize,
    /// Bytes before the first boundary, or behind one in its line.
    skipped: usize,
    head: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first boundary.
    Preamble,
    /// Behind a boundary, in its line.
    Line(Line),
    Head,
    Data,
    Done,
    Failed(MultipartError),
}

/// What follows a boundary: two dashes, or padding and the line's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Begin,
    Dash,
    Padding,
    Cr,
}

impl MultipartParser {
    /// A parser of a whole body; `boundary` is what [`boundary`] gives.
    pub fn new(boundary: &[u8], limits: PartLimits) -> Self {
        let delimiter = Bytes::from([b"\r\n--", boundary].concat());
        MultipartParser {
            finder: Finder::new(&delimiter).into_owned(),
            delimiter,
            limits,
            state: State::Preamble,
            // The first boundary needs no line before it.
            matched: CRLF,
            before: CRLF,
            skipped: 0,
            head: Vec::new(),
        }
    }

    /// The next event, or `None` once all of `input` is used up. What is used is taken off its front.
    ///
    /// # Errors
    /// If the body is malformed or beyond the limits. Every later call gives the same.
    pub fn next(&mut self, input: &mut Bytes) -> Result<Option<PartEvent>, MultipartError> {
        self.step(input).inspect_err(|&error| self.state = State::Failed(error))
    }

    /// Whether the last boundary has been seen. A body that ends before is not whole.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Each round uses some of the input, or changes the state towards one that does.
    fn step(&mut self, input: &mut Bytes) -> Result<Option<PartEvent>, MultipartError> {
        loop {
            match self.state {
                State::Failed(error) => return Err(error),
                State::Done => return Ok(Some(PartEvent::Done)),
                _ if input.is_empty() => return Ok(None),
                State::Preamble => self.skip_preamble(input)?,
                State::Line(line) => self.finish_line(line, input.get_u8())?,
                State::Head => {
                    if let Some(head) = self.gather_head(input)? {
                        self.state = State::Data;
                        return Ok(Some(PartEvent::Begin(head)));
                    }
                }
                State::Data => match self.content(input) {
                    Content::Data(data) => return Ok(Some(PartEvent::Data(data))),
                    Content::End => {
                        self.state = State::Line(Line::Begin);
                        return Ok(Some(PartEvent::End));
                    }
                    Content::NotYet => {}
                },
            }
        }
    }

    fn skip_preamble(&mut self, input: &mut Bytes) -> Result<(), MultipartError> {
        match self.content(input) {
            Content::Data(data) => self.skip(data.len()),
            Content::NotYet => Ok(()),
            Content::End => {
                self.state = State::Line(Line::Begin);
                Ok(())
            }
        }
    }

    /// A byte behind a boundary (RFC 2046, 5.1.1: transport-padding).
    fn finish_line(&mut self, line: Line, byte: u8) -> Result<(), MultipartError> {
        self.state = match (line, byte) {
            (Line::Begin, b'-') => State::Line(Line::Dash),
            (Line::Dash, b'-') => State::Done,
            (Line::Begin | Line::Padding, b' ' | b'\t') => State::Line(Line::Padding),
            (Line::Begin | Line::Padding, b'\r') => State::Line(Line::Cr),
            (Line::Cr, b'\n') => {
                self.skipped = 0;
                State::Head
            }
            _ => return Err(MultipartError::BoundaryLine),
        };
        self.skip(1)
    }

    fn skip(&mut self, bytes: usize) -> Result<(), MultipartError> {
        self.skipped = self.skipped.saturating_add(bytes);
        if self.skipped > self.limits.head { Err(MultipartError::HeadTooLong) } else { Ok(()) }
    }

    /// Takes lines up to the blank one.
    fn gather_head(&mut self, input: &mut Bytes) -> Result<Option<PartHead>, MultipartError> {
        let line = memchr(b'\n', input).map_or(input.len(), |at| at + 1);
        if self.head.len() + line > self.limits.head {
            return Err(MultipartError::HeadTooLong);
        }
        self.head.extend_from_slice(&input.split_to(line));
        if self.head != b"\r\n" && !self.head.ends_with(b"\r\n\r\n") {
            return Ok(None);
        }
        // A field's name may look like a boundary, and others would take it for one.
        if self.head.starts_with(&self.delimiter[CRLF..]) || self.finder.find(&self.head).is_some() {
            return Err(MultipartError::Head);
        }
        let head = PartHead::parse(&self.head, self.limits.headers)?;
        // Its room is kept for the next part's.
        self.head.clear();
        // Where there is no content, the blank line's end may be the delimiter's beginning.
        (self.matched, self.before) = (CRLF, CRLF);
        Ok(Some(head))
    }

    /// What comes before the next delimiter, which is looked for across the ends of pieces.
    fn content(&mut self, input: &mut Bytes) -> Content {
        if self.matched > 0 {
            return self.go_on_matching(input);
        }
        match self.finder.find(input) {
            Some(0) => {
                input.advance(self.delimiter.len());
                Content::End
            }
            Some(at) => Content::Data(input.split_to(at)),
            None => {
                self.matched = self.partial_match(input);
                let data = input.split_to(input.len() - self.matched);
                input.clear();
                if data.is_empty() { Content::NotYet } else { Content::Data(data) }
            }
        }
    }

    /// The last piece has ended within what may be a delimiter.
    fn go_on_matching(&mut self, input: &mut Bytes) -> Content {
        let expected = &self.delimiter[self.matched..];
        let same = expected.iter().zip(&input[..]).take_while(|(a, b)| a == b).count();
        if same == expected.len() {
            (self.matched, self.before) = (0, 0);
            input.advance(same);
            return Content::End;
        }
        if same == input.len() {
            self.matched += same;
            input.clear();
            return Content::NotYet;
        }
        // It was data after all. There is one CR in a delimiter, its first byte: none begins within.
        let held = std::mem::take(&mut self.before)..std::mem::take(&mut self.matched);
        if held.is_empty() { Content::NotYet } else { Content::Data(self.delimiter.slice(held)) }
    }

    /// How many of the last bytes a delimiter may begin with.
    fn partial_match(&self, input: &[u8]) -> usize {
        let tail = &input[input.len().saturating_sub(self.delimiter.len() - 1)..];
        let last = memrchr(b'\r', tail).map(|at| &tail[at..]);
        last.filter(|last| self.delimiter.starts_with(last)).map_or(0, <[u8]>::len)
    }
}

enum Content {
    Data(Bytes),
    End,
    NotYet,
}
