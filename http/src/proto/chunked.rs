//! The chunked transfer coding (RFC 9112, 7.1), decoded strictly and as the bytes come.
use std::fmt;
use std::ops::Range;

use http::StatusCode;

use super::{TOKEN, is_text};

/// What a chunked body may spend on things that are not its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkLimits {
    /// Bytes of chunk extensions in the whole body.
    pub extensions: u32,
    /// Bytes of trailer fields.
    pub trailer_bytes: u32,
    /// Number of trailer fields.
    pub trailers: u16,
}

impl Default for ChunkLimits {
    fn default() -> Self {
        ChunkLimits { extensions: 4 * 1024, trailer_bytes: 8 * 1024, trailers: 64 }
    }
}

/// What one call of [`ChunkedDecoder::decode`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Bytes of the input that are done with. Those of `data` are among them.
    pub consumed: usize,
    /// The part of the input that belongs to the body. It may be empty.
    pub data: Range<usize>,
    /// The part of the input that belongs to the trailer section: lines with their ends, without the empty last
    /// one. Gather it from all calls for [`parse_trailers`](super::parse_trailers). Mostly empty.
    pub trailers: Range<usize>,
    /// Whether the body has ended; what follows `consumed` is the next request.
    pub done: bool,
}

/// Decodes one chunked body.
///
/// Chunk extensions are checked and skipped. Trailer fields are checked and handed on as they are: nothing of a
/// trailer may be merged into the head (RFC 9110, 6.5.1).
///
/// ```
/// use lakh_http::proto::{ChunkLimits, ChunkedDecoder};
///
/// let (mut decoder, limits) = (ChunkedDecoder::default(), ChunkLimits::default());
/// let mut input = &b"5\r\nhello\r\n0\r\n\r\nGET /next"[..];
/// let mut body = Vec::new();
/// loop {
///     let chunk = decoder.decode(input, &limits).unwrap();
///     body.extend_from_slice(&input[chunk.data]);
///     input = &input[chunk.consumed..];
///     if chunk.done || input.is_empty() {
///         break;
///     }
/// }
/// assert_eq!((&body[..], input), (&b"hello"[..], &b"GET /next"[..]));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChunkedDecoder {
    /// While the size is read: its value so far. In the data: bytes still to come.
    remaining: u64,
    extension_bytes: u32,
    trailer_bytes: u32,
    trailers: u16,
    /// Digits of the size so far.
    digits: u8,
    state: State,
}

const _: () = assert!(size_of::<ChunkedDecoder>() <= 24);

/// What the next byte has to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// A digit of the size, or what ends it.
    #[default]
    Size,
    /// White space in front of a semicolon.
    ExtensionGap,
    ExtensionNameStart,
    ExtensionName,
    /// White space in front of an equals sign, or a semicolon.
    ExtensionNameEnd,
    ExtensionValueStart,
    ExtensionToken,
    ExtensionQuoted,
    ExtensionQuotedPair,
    ExtensionQuotedEnd,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// A trailer's first byte, or the CR of the last line.
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    Done,
    Failed,
}

impl State {
    /// Within a line of the trailer section.
    fn is_in_trailer(self) -> bool {
        matches!(self, State::TrailerName | State::TrailerValue | State::TrailerLf)
    }
}

impl ChunkedDecoder {
    /// Reads up to the end of the next stretch of data, to the end of the body, or to the end of `input`.
    ///
    /// Call it again with the rest until the chunk is `done` or nothing is left. It never reads behind the body.
    ///
    /// # Errors
    ///
    /// The coding is broken: no later byte of the connection can be understood. Every further call fails as well.
    pub fn decode(&mut self, input: &[u8], limits: &ChunkLimits) -> Result<Chunk, ChunkError> {
        let (mut at, mut trailers) = (0, 0..0);
        while self.state != State::Done && at < input.len() {
            if self.state == State::Data {
                let end = at + self.take_data(input.len() - at);
                return Ok(Chunk { consumed: end, data: at..end, trailers, done: false });
            }
            let before = self.state;
            match self.step(input[at], limits) {
                Ok(state) => self.state = state,
                Err(kind) => {
                    self.state = State::Failed;
                    return Err(ChunkError(kind));
                }
            }
            if before.is_in_trailer() || self.state.is_in_trailer() {
                trailers = if trailers.is_empty() { at..at + 1 } else { trailers.start..at + 1 };
            }
            at += 1;
        }
        Ok(Chunk { consumed: at, data: at..at, trailers, done: self.state == State::Done })
    }

    /// Whether the body has ended.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Bytes of the current chunk that are announced and have not come: what the body will grow by at least.
    pub fn announced(&self) -> u64 {
        if self.state == State::Data { self.remaining } else { 0 }
    }

    fn take_data(&mut self, available: usize) -> usize {
        let taken = usize::try_from(self.remaining).map_or(available, |remaining| remaining.min(available));
        self.remaining -= taken as u64;
        if self.remaining == 0 {
            self.state = State::DataCr;
        }
        taken
    }

    /// Takes one byte that is not data. The grammar of RFC 9112, 7.1, line by line.
    #[inline]
    fn step(&mut self, byte: u8, limits: &ChunkLimits) -> Result<State, Kind> {
        match (self.state, byte) {
            (State::Size, _) => self.step_size(byte, limits),
            (State::SizeLf, b'\n') => self.end_size(),
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => {
                self.digits = 0;
                Ok(State::Size)
            }
            (State::DataCr | State::DataLf, _) => Err(Kind::DataEnd),
            (State::SizeLf | State::TrailerLf | State::EndLf, byte) if byte != b'\n' => Err(Kind::LineEnd),
            (State::TrailerLf, _) => Ok(State::TrailerStart),
            (State::EndLf, _) => Ok(State::Done),
            (State::TrailerStart, b'\r') => Ok(State::EndLf),
            (State::TrailerStart | State::TrailerName | State::TrailerValue, _) => {
                self.step_trailer(byte, limits)
            }
            (State::Done | State::Failed | State::Data | State::SizeLf, _) => Err(Kind::Failed),
            (_, _) => self.step_extension(byte, limits),
        }
    }

    #[inline]
    fn step_size(&mut self, byte: u8, limits: &ChunkLimits) -> Result<State, Kind> {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            _ if self.digits == 0 => return Err(Kind::Size),
            b'\r' => return Ok(State::SizeLf),
            b';' | b' ' | b'\t' => {
                self.state = State::ExtensionGap;
                return self.step_extension(byte, limits);
            }
            _ => return Err(Kind::Size),
        };
        if self.digits == 16 {
            return Err(Kind::SizeOverflow);
        }
        self.digits += 1;
        self.remaining = self.remaining << 4 | u64::from(digit);
        Ok(State::Size)
    }

    fn end_size(&self) -> Result<State, Kind> {
        match self.remaining {
            0 => Ok(State::TrailerStart),
            size if size > i64::MAX as u64 => Err(Kind::SizeOverflow),
            _ => Ok(State::Data),
        }
    }

    /// `*( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )` (RFC 9112, 7.1.1).
    #[cold]
    fn step_extension(&mut self, byte: u8, limits: &ChunkLimits) -> Result<State, Kind> {
        use State::*;
        self.extension_bytes += 1;
        if self.extension_bytes > limits.extensions {
            return Err(Kind::ExtensionsTooLarge);
        }
        let token = TOKEN[usize::from(byte)];
        match (self.state, byte) {
            (ExtensionGap | ExtensionNameStart | ExtensionNameEnd | ExtensionValueStart, b' ' | b'\t') => {
                Ok(self.state)
            }
            (ExtensionName, b' ' | b'\t') => Ok(ExtensionNameEnd),
            (ExtensionToken | ExtensionQuotedEnd, b' ' | b'\t') => Ok(ExtensionGap),
            (ExtensionGap | ExtensionName | ExtensionNameEnd | ExtensionToken | ExtensionQuotedEnd, b';') => {
                Ok(ExtensionNameStart)
            }
            (ExtensionName | ExtensionNameEnd, b'=') => Ok(ExtensionValueStart),
            (ExtensionName | ExtensionToken | ExtensionQuotedEnd, b'\r') => Ok(SizeLf),
            (ExtensionNameStart | ExtensionName, _) if token => Ok(ExtensionName),
            (ExtensionValueStart, b'"') => Ok(ExtensionQuoted),
            (ExtensionValueStart | ExtensionToken, _) if token => Ok(ExtensionToken),
            (ExtensionQuoted, b'"') => Ok(ExtensionQuotedEnd),
            (ExtensionQuoted, b'\\') => Ok(ExtensionQuotedPair),
            (ExtensionQuoted | ExtensionQuotedPair, _) if is_text(byte) => Ok(ExtensionQuoted),
            _ => Err(Kind::Extension),
        }
    }

    /// `*( field-line CRLF )` (RFC 9112, 7.1.2), without folding.
    #[cold]
    fn step_trailer(&mut self, byte: u8, limits: &ChunkLimits) -> Result<State, Kind> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > limits.trailer_bytes {
            return Err(Kind::TrailersTooLarge);
        }
        match (self.state, byte) {
            (State::TrailerStart, _) if TOKEN[usize::from(byte)] => {
                if self.trailers >= limits.trailers {
                    Err(Kind::TrailersTooLarge)
                } else {
                    self.trailers += 1;
                    Ok(State::TrailerName)
                }
            }
            (State::TrailerName, b':') => Ok(State::TrailerValue),
            (State::TrailerName, _) if TOKEN[usize::from(byte)] => Ok(State::TrailerName),
            (State::TrailerValue, b'\r') => Ok(State::TrailerLf),
            (State::TrailerValue, _) if is_text(byte) => Ok(State::TrailerValue),
            _ => Err(Kind::Trailer),
        }
    }
}

/// Why a chunked body was refused. Answer with [`status`](ChunkError::status) if an answer is still possible, and
/// close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkError(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Size,
    SizeOverflow,
    LineEnd,
    DataEnd,
    Extension,
    ExtensionsTooLarge,
    Trailer,
    TrailersTooLarge,
    Failed,
}

impl ChunkError {
    /// The status to answer with: 431 for too many trailers, else 400.
    pub fn status(&self) -> StatusCode {
        match self.0 {
            Kind::TrailersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

impl fmt::Display for ChunkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Size => "a chunk size that is not hexadecimal (RFC 9112, 7.1)",
            Kind::SizeOverflow => "a chunk size that is too large (RFC 9112, 7.1)",
            Kind::LineEnd => "a line that does not end in CR LF (RFC 9112, 7.1)",
            Kind::DataEnd => "chunk data that is not followed by CR LF (RFC 9112, 7.1)",
            Kind::Extension => "a malformed chunk extension (RFC 9112, 7.1.1)",
            Kind::ExtensionsTooLarge => "chunk extensions longer than allowed (RFC 9112, 7.1.1)",
            Kind::Trailer => "a malformed trailer field (RFC 9112, 7.1.2)",
            Kind::TrailersTooLarge => "more trailer fields than allowed (RFC 9112, 7.1.2)",
            Kind::Failed => "bytes after a malformed chunk",
        })
    }
}

impl std::error::Error for ChunkError {}
