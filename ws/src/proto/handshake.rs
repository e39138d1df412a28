//! The opening handshake (RFC 6455, 4), as checks of header fields.
mod client;

use std::{collections::HashSet, fmt};

use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, PAD};
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use tungstenite::handshake::derive_accept_key;

use super::is_token_byte;
pub use client::{Agreed, AnswerError, ClientHandshake};

/// Some clients fill the key's last character with bits that mean nothing.
const KEY_CODING: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, PAD.with_decode_allow_trailing_bits(true));
const VERSION: &str = "13";

/// Why a request is no opening handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandshakeError(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Method,
    HttpVersion,
    Upgrade,
    Connection,
    Version,
    Key,
    Protocol,
}

impl HandshakeError {
    /// 426 for a request that is none for WebSocket, or for another version of it; else 400.
    pub fn status(&self) -> StatusCode {
        match self.0 {
            Kind::Upgrade | Kind::Version => StatusCode::UPGRADE_REQUIRED,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// Adds the fields that go with [`status`](HandshakeError::status): `Upgrade` (RFC 9110, 15.5.22) and
    /// `Sec-WebSocket-Version` (RFC 6455, 4.4).
    pub fn add_fields(&self, answer: &mut HeaderMap) {
        if self.status() == StatusCode::UPGRADE_REQUIRED {
            answer.insert(UPGRADE, HeaderValue::from_static("websocket"));
            answer.append(CONNECTION, HeaderValue::from_static("upgrade"));
            answer.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
        }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Method => "a WebSocket begins with GET",
            Kind::HttpVersion => "a WebSocket begins with HTTP/1.1",
            Kind::Upgrade => "this is for WebSocket: Upgrade is missing",
            Kind::Connection => "Connection does not name Upgrade",
            Kind::Version => "Sec-WebSocket-Version has to be 13",
            Kind::Key => "Sec-WebSocket-Key has to be 16 bytes in base64, once",
            Kind::Protocol => "Sec-WebSocket-Protocol has to be a list of different tokens",
        })
    }
}

impl std::error::Error for HandshakeError {}

/// Checks an opening handshake, and returns the answer's `Sec-WebSocket-Accept`.
///
/// # Errors
///
/// It is none. Origins, subprotocols and extensions are not looked at.
pub fn accept_request(
    method: &Method,
    version: Version,
    headers: &HeaderMap,
) -> Result<HeaderValue, HandshakeError> {
    let refuse = |kind| Err(HandshakeError(kind));
    if !has_token(headers, &UPGRADE, "websocket") {
        return refuse(Kind::Upgrade);
    }
    if method != Method::GET {
        return refuse(Kind::Method);
    }
    if version != Version::HTTP_11 {
        return refuse(Kind::HttpVersion);
    }
    if !has_token(headers, &CONNECTION, "upgrade") {
        return refuse(Kind::Connection);
    }
    if only(headers, &SEC_WEBSOCKET_VERSION).is_none_or(|version| version != VERSION) {
        return refuse(Kind::Version);
    }
    let key = only(headers, &SEC_WEBSOCKET_KEY).filter(|key| is_key(key));
    key.and_then(accept_key).ok_or(HandshakeError(Kind::Key))
}

/// The subprotocol for the answer: the first of the client's that is also the server's.
///
/// # Errors
///
/// The client's list is broken or names one twice (RFC 6455, 4.1).
pub fn choose_protocol<'a>(
    headers: &HeaderMap,
    supported: &[&'a str],
) -> Result<Option<&'a str>, HandshakeError> {
    let (mut chosen, mut offered) = (None, HashSet::new());
    for field in headers.get_all(SEC_WEBSOCKET_PROTOCOL) {
        let text = field.to_str().map_err(|_| HandshakeError(Kind::Protocol))?;
        for name in text.split(',').map(trim).filter(|name| !name.is_empty()) {
            if !name.bytes().all(is_token_byte) || !offered.insert(name) {
                return Err(HandshakeError(Kind::Protocol));
            }
            chosen = chosen.or_else(|| supported.iter().copied().find(|ours| *ours == name));
        }
    }
    Ok(chosen)
}

/// Whether one of the fields of this name lists the token, in any case.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let fields = headers.get_all(name).iter().filter_map(|field| field.to_str().ok());
    fields.flat_map(|field| field.split(',')).any(|listed| trim(listed).eq_ignore_ascii_case(token))
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// The field's value if there is exactly one.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut fields = headers.get_all(name).iter();
    let first = fields.next();
    if fields.next().is_some() { None } else { first }
}

fn is_key(key: &HeaderValue) -> bool {
    // 24 characters are 18 bytes at most.
    let mut bytes = [0; 18];
    key.len() == 24 && KEY_CODING.decode_slice(key.as_bytes(), &mut bytes) == Ok(16)
}

fn accept_key(key: &HeaderValue) -> Option<HeaderValue> {
    HeaderValue::try_from(derive_accept_key(key.as_bytes())).ok()
}
