//! What an answer's body is, and what its head says of it.

use super::reply::panicked;
use crate::{
    guard::drop_guarded,
    proto::encode,
    response::{Body, Response},
    service::Service,
};
use http::{Method, StatusCode};

/// An answer's body with its framing (RFC 9112, 6); for whoever sends it, and for tests without sockets.
pub(crate) struct Rendered {
    pub(crate) body: Body,
    /// In bytes, if it is known; as the answer to GET would have it.
    pub(crate) length: Option<u64>,
    /// Sent with the chunked coding.
    pub(crate) is_coded: bool,
    /// The status and the method let it be sent.
    pub(crate) is_sent: bool,
    has_framing: bool,
}

impl Rendered {
    /// Takes the body of an answer, whose error is rendered by then. `is_old`: to HTTP/1.0, which knows no
    /// chunks.
    pub(crate) fn of(response: &mut Response, service: &Service, method: &Method, is_old: bool) -> Self {
        if response.parts.status.is_informational() {
            // The client would go on waiting for the answer.
            drop_guarded(std::mem::replace(response, panicked()));
        }
        service.router().render_error(response);
        let status = response.parts.status;
        let body = std::mem::take(&mut response.parts.body);
        let length = if status == StatusCode::RESET_CONTENT { Some(0) } else { body.length() };
        // A bare 304 does not know the length that 200 would have (RFC 9110, 8.6).
        let is_unknown = status == StatusCode::NOT_MODIFIED && matches!(body, Body::Empty);
        Rendered {
            length,
            is_coded: length.is_none() && !is_old,
            is_sent: encode::body_allowed(status, method),
            has_framing: encode::content_length_allowed(status, method) && !is_unknown,
            body,
        }
    }

    /// Writes the field that tells where the body ends, if there is one.
    pub(crate) fn write_framing(&self, out: &mut Vec<u8>) {
        match self.length {
            _ if !self.has_framing => {}
            Some(length) => encode::write_content_length(out, length),
            None if self.is_coded => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
            None => {}
        }
    }
}
