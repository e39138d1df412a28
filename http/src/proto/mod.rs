//! The protocol, without I/O.
//!
//! HTTP/1.1 as bytes in and bytes out (RFC 9112): request heads, the chunked coding, response heads. Nothing in
//! here opens a socket or reads a clock. The connection driver owns the buffers and the time; it calls
//!
//! * [`ParsedHead::parse`] once a whole request head may be there, and [`HeadScan`] until then,
//! * [`ChunkedDecoder::decode`] for bodies with `Transfer-Encoding: chunked`,
//! * the writers of [`encode`] for its answer.
//!
//! An error from either parser means that the peer's bytes can no longer be told apart into messages: answer with
//! the error's status, close, and never read another byte as a request (RFC 9112, 9.6 and 11.2).
//!
//! [`MultipartParser`] takes the bodies of forms apart, for the [extractor](crate::extract::Multipart).
pub mod chunked;
pub mod encode;
#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub mod fuzz;
pub mod head;
mod memo;
pub mod multipart;
mod trailers;

pub use chunked::{Chunk, ChunkError, ChunkLimits, ChunkedDecoder};
pub use encode::DateCache;
pub(crate) use head::is_authority;
pub use head::{BodyLength, HeadError, HeadLimits, HeadScan, Parsed, ParsedHead, Span};
pub use memo::{HeadMemo, KeptHead};
pub use multipart::{MultipartError, MultipartParser, PartEvent, PartHead, PartLimits};
pub use trailers::{is_trailer_field, parse_trailers};

/// `tchar` of RFC 9110, 5.6.2: what methods, field names and extension names are made of.
const TOKEN: [bool; 256] = byte_class(b"!#$%&'*+-.^_`|~");

/// Bytes of a `reg-name` (RFC 3986, 3.2.2) apart from percent signs: unreserved and sub-delims.
const REG_NAME: [bool; 256] = byte_class(b"-._~!$&'()*+,;=");

/// Letters, digits and `more`.
const fn byte_class(more: &[u8]) -> [bool; 256] {
    let mut class = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        class[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut i = 0;
    while i < more.len() {
        class[more[i] as usize] = true;
        i += 1;
    }
    class
}

/// What may stand in a field value and in a quoted string: visible, space, tab, obs-text (RFC 9110, 5.5).
const fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}
