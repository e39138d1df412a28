use http::StatusCode;
use std::{error, fmt};

/// Why a body, or what its head says of it, is no `multipart/form-data`. Always the client's doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MultipartError {
    /// `Content-Type` says that it is something else.
    NotMultipart,
    /// `Content-Type` has no boundary, or none that is legal (RFC 2046, 5.1.1).
    NoBoundary,
    /// A boundary is followed by something else in its line.
    BoundaryLine,
    /// What a part begins with are no header fields.
    Head,
    /// A part's header block, or what is around a boundary, is longer than the limit.
    HeadTooLong,
    /// A part has more header fields than the limit.
    TooManyHeaders,
    /// A part has no `Content-Disposition: form-data` with a name in UTF-8 (RFC 7578, 4.2), or two.
    NoName,
}

impl MultipartError {
    /// The status that tells the client: 400, 413, 415 or 422.
    pub fn status(self) -> StatusCode {
        match self {
            MultipartError::NotMultipart => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            MultipartError::HeadTooLong | MultipartError::TooManyHeaders => StatusCode::PAYLOAD_TOO_LARGE,
            MultipartError::NoName => StatusCode::UNPROCESSABLE_ENTITY,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

impl fmt::Display for MultipartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MultipartError::NotMultipart => {
                "the body has to be a form with parts: send Content-Type: multipart/form-data"
            }
            MultipartError::NoBoundary => "Content-Type has no legal boundary",
            MultipartError::BoundaryLine => "a boundary of the form has more in its line",
            MultipartError::Head => "a part of the form has malformed header fields",
            MultipartError::HeadTooLong => {
                "the header fields of a part of the form are longer than the limit"
            }
            MultipartError::TooManyHeaders => "a part of the form has more header fields than the limit",
            MultipartError::NoName => {
                "a part of the form has no name: it needs Content-Disposition: form-data; name=\"…\""
            }
        })
    }
}

impl error::Error for MultipartError {}
