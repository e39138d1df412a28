//! Why a head is refused, and the status that says so.
use std::fmt;

use http::StatusCode;

/// Why a request head was refused. Answer with [`status`](HeadError::status) and close.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HeadError(pub(super) Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    EmptyLines,
    LineEnd,
    RequestLine,
    TargetForm,
    TargetByte,
    Asterisk,
    UserInfo,
    HeaderName,
    HeaderValue,
    Version,
    VersionUnsupported,
    Connect,
    TargetTooLong,
    HeadTooLarge,
    TooManyHeaders,
    HostMissing,
    HostRepeated,
    HostInvalid,
    LengthInvalid,
    LengthRepeated,
    CodingUnknown,
    CodingRepeated,
    CodingWithLength,
    CodingInOldVersion,
    Expectation,
}

impl HeadError {
    /// The status to answer with.
    pub fn status(&self) -> StatusCode {
        match self.0 {
            Kind::Connect => StatusCode::METHOD_NOT_ALLOWED,
            Kind::TargetTooLong => StatusCode::URI_TOO_LONG,
            Kind::Expectation => StatusCode::EXPECTATION_FAILED,
            Kind::HeadTooLarge | Kind::TooManyHeaders => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Kind::VersionUnsupported => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

impl HeadError {
    /// Whether a byte stands where the grammar has no place for it, line ends aside.
    #[cfg(feature = "fuzz")]
    pub(in crate::proto) fn is_about_grammar(&self) -> bool {
        use Kind::{HeaderName, HeaderValue, RequestLine, Version, VersionUnsupported};
        matches!(self.0, RequestLine | HeaderName | HeaderValue | Version | VersionUnsupported)
    }
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::EmptyLines => "more than one empty line before the request (RFC 9112, 2.2)",
            Kind::LineEnd => "a line does not end in CR LF (RFC 9112, 2.2)",
            Kind::RequestLine => "malformed request line (RFC 9112, 3)",
            Kind::TargetForm => "the target is neither a path nor an http URI (RFC 9112, 3.2)",
            Kind::TargetByte => "a byte in the target that must be percent-encoded (RFC 3986, 2)",
            Kind::Asterisk => "the target * with a method other than OPTIONS (RFC 9112, 3.2.4)",
            Kind::UserInfo => "user information in the target (RFC 9110, 4.2.4)",
            Kind::HeaderName => "a header name that is no token, or not followed by a colon (RFC 9112, 5.1)",
            Kind::HeaderValue => "a control byte in a header value (RFC 9110, 5.5)",
            Kind::Version => "malformed HTTP version (RFC 9112, 2.3)",
            Kind::VersionUnsupported => "HTTP version other than 1.0 and 1.1 (RFC 9110, 2.5)",
            Kind::Connect => "CONNECT is for proxies (RFC 9110, 9.3.6)",
            Kind::TargetTooLong => "the target is longer than allowed (RFC 9112, 3)",
            Kind::HeadTooLarge => "the head is longer than allowed (RFC 9110, 5.4)",
            Kind::TooManyHeaders => "more header fields than allowed (RFC 9110, 5.4)",
            Kind::HostMissing => "no Host field (RFC 9112, 3.2)",
            Kind::HostRepeated => "more than one Host field (RFC 9112, 3.2)",
            Kind::HostInvalid => "the host is not valid (RFC 9112, 3.2)",
            Kind::LengthInvalid => "Content-Length is not a number (RFC 9110, 8.6)",
            Kind::LengthRepeated => "more than one Content-Length (RFC 9112, 6.3)",
            Kind::CodingUnknown => "Transfer-Encoding other than chunked (RFC 9112, 6.1)",
            Kind::CodingRepeated => "more than one Transfer-Encoding (RFC 9112, 6.1)",
            Kind::CodingWithLength => "both Transfer-Encoding and Content-Length (RFC 9112, 6.1)",
            Kind::CodingInOldVersion => "Transfer-Encoding in HTTP/1.0 (RFC 9112, 6.1)",
            Kind::Expectation => "an expectation other than 100-continue (RFC 9110, 10.1.1)",
        })
    }
}

impl fmt::Debug for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HeadError({:?}, {})", self.0, self.status().as_u16())
    }
}

impl std::error::Error for HeadError {}
