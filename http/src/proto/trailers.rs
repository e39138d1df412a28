//! Trailer sections: the fields behind a chunked body (RFC 9110, 6.5; RFC 9112, 7.1.2).
use http::{HeaderMap, HeaderName, HeaderValue};

/// Whether a field may stand in a trailer (RFC 9110, 6.5.1): not one that frames or routes the message, changes
/// how its request is understood, authenticates, or says how the content is to be processed. It would come too
/// late, and whoever has merged it into the head could be led astray by it.
///
/// ```
/// use lakh_http::{header, proto::is_trailer_field};
///
/// assert!(is_trailer_field(&header::ETAG) && !is_trailer_field(&header::CONTENT_LENGTH));
/// ```
pub fn is_trailer_field(name: &HeaderName) -> bool {
    !FORBIDDEN.contains(&name.as_str())
}

/// The fields of a trailer section, as [`Chunk::trailers`](super::Chunk::trailers) gave it. Those that may not
/// stand in one are left out, and nothing else: a decoder has checked the lines.
///
/// ```
/// use lakh_http::proto::parse_trailers;
///
/// let fields = parse_trailers(b"Digest: abc \r\nHost: elsewhere\r\n");
/// assert_eq!((fields.len(), &fields["digest"]), (1, &"abc".parse().unwrap()));
/// ```
pub fn parse_trailers(section: &[u8]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for line in section.split(|&b| b == b'\n') {
        let Some(colon) = line.iter().position(|&b| b == b':') else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        // The decoder's rules are the same.
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
            && is_trailer_field(&name)
        {
            fields.append(name, value);
        }
    }
    fields
}

const FORBIDDEN: [&str; 44] = [
    // Framing and the connection
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    // Routing
    "host",
    // What changes how a request is understood
    "cache-control",
    "expect",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "max-forwards",
    "pragma",
    "range",
    // Authentication and state
    "authorization",
    "authentication-info",
    "cookie",
    "forwarded",
    "origin",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "set-cookie",
    "www-authenticate",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    // How the content is processed
    "content-encoding",
    "content-location",
    "content-range",
    "content-type",
    // What controls the answer
    "age",
    "date",
    "expires",
    "location",
    "retry-after",
    "strict-transport-security",
    "vary",
    "warning",
];
