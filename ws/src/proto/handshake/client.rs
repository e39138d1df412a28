//! A client's half: what it asks, and what it takes for an answer.
use std::fmt;

use super::*;
use crate::proto::deflate::{self, Deflate, DeflateOptions};

/// A handshake that a client begins.
///
/// ```
/// use lakh_ws::proto::handshake::ClientHandshake;
///
/// let handshake = ClientHandshake::new(*b"16 random bytes!", &["chat"], None).unwrap();
/// let fields = handshake.fields();
/// assert_eq!(fields["sec-websocket-key"], "MTYgcmFuZG9tIGJ5dGVzIQ==");
/// assert_eq!(fields["sec-websocket-protocol"], "chat");
/// ```
#[derive(Clone, Debug)]
pub struct ClientHandshake {
    key: HeaderValue,
    protocols: Vec<String>,
    deflate: Option<DeflateOptions>,
}

/// What the server has agreed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// One of the subprotocols that were asked for.
    pub protocol: Option<String>,
    /// If it was offered.
    pub deflate: Option<Deflate>,
}

/// Why an answer does not open a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnswerError {
    /// Not 101: the server refused, sent elsewhere, or knows no WebSocket.
    Status(StatusCode),
    /// The fields of the 101 are not what the request asks for.
    Fields(&'static str),
    /// The extensions are not what was offered.
    Extensions(deflate::ExtensionError),
}

impl fmt::Display for AnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AnswerError::Status(status) => write!(f, "the server answered {status} instead of 101"),
            AnswerError::Fields(what) => f.write_str(what),
            AnswerError::Extensions(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for AnswerError {}

impl ClientHandshake {
    /// `random` has to be new for each handshake.
    ///
    /// # Errors
    ///
    /// A subprotocol that is no token, or one that is named twice.
    pub fn new(
        random: [u8; 16],
        protocols: &[&str],
        deflate: Option<DeflateOptions>,
    ) -> Result<Self, HandshakeError> {
        let is_fine = |(at, name): (usize, &&str)| {
            !name.is_empty() && name.bytes().all(is_token_byte) && !protocols[..at].contains(name)
        };
        if !protocols.iter().enumerate().all(is_fine) {
            return Err(HandshakeError(Kind::Protocol));
        }
        let key = HeaderValue::try_from(KEY_CODING.encode(random)).map_err(|_| HandshakeError(Kind::Key))?;
        let protocols = protocols.iter().map(|&name| name.to_owned()).collect();
        Ok(ClientHandshake { key, protocols, deflate })
    }

    /// The request's fields, `Host` and `Origin` aside.
    pub fn fields(&self) -> HeaderMap {
        let mut fields = HeaderMap::new();
        fields.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        fields.insert(UPGRADE, HeaderValue::from_static("websocket"));
        fields.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
        fields.insert(SEC_WEBSOCKET_KEY, self.key.clone());
        // Tokens make a valid value.
        if !self.protocols.is_empty()
            && let Ok(protocols) = HeaderValue::try_from(self.protocols.join(", "))
        {
            fields.insert(SEC_WEBSOCKET_PROTOCOL, protocols);
        }
        if let Some(options) = &self.deflate {
            fields.insert(http::header::SEC_WEBSOCKET_EXTENSIONS, deflate::offer(options));
        }
        fields
    }

    /// Checks the answer (RFC 6455, 4.1).
    ///
    /// # Errors
    ///
    /// There is no WebSocket: close the connection.
    pub fn check(&self, status: StatusCode, headers: &HeaderMap) -> Result<Agreed, AnswerError> {
        if status != StatusCode::SWITCHING_PROTOCOLS {
            return Err(AnswerError::Status(status));
        }
        if !has_token(headers, &UPGRADE, "websocket") || !has_token(headers, &CONNECTION, "upgrade") {
            return Err(AnswerError::Fields("the server switches to another protocol than WebSocket"));
        }
        let accept = only(headers, &SEC_WEBSOCKET_ACCEPT);
        if accept.is_none() || accept != accept_key(&self.key).as_ref() {
            return Err(AnswerError::Fields("Sec-WebSocket-Accept does not belong to the key"));
        }
        let protocol = self.check_protocol(headers)?;
        let deflate = match &self.deflate {
            Some(options) => deflate::check_answer(headers, options).map_err(AnswerError::Extensions)?,
            None if headers.contains_key(http::header::SEC_WEBSOCKET_EXTENSIONS) => {
                return Err(AnswerError::Fields("an extension that was not offered"));
            }
            None => None,
        };
        Ok(Agreed { protocol, deflate })
    }

    fn check_protocol(&self, headers: &HeaderMap) -> Result<Option<String>, AnswerError> {
        if !headers.contains_key(SEC_WEBSOCKET_PROTOCOL) {
            return Ok(None);
        }
        let chosen = only(headers, &SEC_WEBSOCKET_PROTOCOL);
        let asked = self.protocols.iter().find(|name| chosen.is_some_and(|chosen| chosen == name.as_str()));
        asked.cloned().map(Some).ok_or(AnswerError::Fields("a subprotocol that was not asked for"))
    }
}
