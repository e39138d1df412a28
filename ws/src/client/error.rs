//! Why a client has no connection.

use crate::proto::handshake::AnswerError;
use http::{HeaderMap, StatusCode};
use lakh_net::ConnectAnyError;
use std::{borrow::Cow, error, fmt, io};

/// Why [`connect`](crate::connect()) gave no WebSocket.
pub struct ConnectError(Box<Kind>);

pub(super) enum Kind {
    /// The URL, or an option.
    Invalid(Cow<'static, str>),
    /// A name that is not in the hosts file.
    Unknown(String),
    /// The hosts file cannot be read.
    Hosts(io::Error),
    Timeout,
    Connect(ConnectAnyError),
    Io(io::Error),
    /// What the server sent is no answer in HTTP.
    Answer(&'static str),
    Refused(Refusal),
    /// The 101 does not open a WebSocket.
    Handshake(AnswerError),
    /// It opens one without the extension that has to be.
    NoDeflate,
}

/// An answer that is not 101.
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl ConnectError {
    pub(super) fn new(kind: Kind) -> Self {
        ConnectError(Box::new(kind))
    }

    /// The URL or an option cannot be used; nobody was asked.
    pub fn is_invalid(&self) -> bool {
        matches!(*self.0, Kind::Invalid(_))
    }

    /// The host's name has no known address.
    pub fn is_unresolved(&self) -> bool {
        matches!(*self.0, Kind::Unknown(_) | Kind::Hosts(_))
    }

    /// No TCP connection could be made; the text says why of each address.
    pub fn is_connect(&self) -> bool {
        matches!(*self.0, Kind::Connect(..))
    }

    /// It took longer than [`Connect::timeout`](crate::Connect::timeout).
    pub fn is_timeout(&self) -> bool {
        matches!(*self.0, Kind::Timeout)
    }

    /// The server answered, but opened no WebSocket: with another status, against the protocol, or without compression
    /// that was [required](crate::Connect::require_deflate).
    pub fn is_handshake(&self) -> bool {
        matches!(*self.0, Kind::Answer(_) | Kind::Refused(_) | Kind::Handshake(_) | Kind::NoDeflate)
    }

    /// What the server answered in place of 101, if it was whole.
    pub fn status(&self) -> Option<StatusCode> {
        self.refusal().map(|refusal| refusal.status)
    }

    /// The header fields that came with [`status`](ConnectError::status): where to go (`Location`), when to ask again
    /// (`Retry-After`).
    pub fn headers(&self) -> Option<&HeaderMap> {
        self.refusal().map(|refusal| &refusal.headers)
    }

    /// The beginning of the body that came with [`status`](ConnectError::status), 4 KiB at most. Empty if the server
    /// did not say how long it is.
    pub fn body(&self) -> &[u8] {
        self.refusal().map_or(&[], |refusal| &refusal.body)
    }

    fn refusal(&self) -> Option<&Refusal> {
        match &*self.0 {
            Kind::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }
}

impl From<Kind> for ConnectError {
    fn from(kind: Kind) -> Self {
        ConnectError::new(kind)
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Kind::Invalid(why) => f.write_str(why),
            Kind::Answer(why) => f.write_str(why),
            Kind::Unknown(name) => write!(
                f,
                "{name} is not in the hosts file, and the DNS is not asked yet: name an address, or set `Connect::addr`"
            ),
            Kind::Hosts(error) => write!(f, "the hosts file cannot be read: {error}"),
            Kind::Timeout => f.write_str("the handshake has taken too long"),
            Kind::Connect(error) => error.fmt(f),
            Kind::Io(error) => write!(f, "the connection broke off in the handshake: {error}"),
            Kind::Refused(refusal) => write!(f, "the server answered {} instead of 101", refusal.status),
            Kind::Handshake(error) => error.fmt(f),
            Kind::NoDeflate => {
                f.write_str("the server does not agree on permessage-deflate, which is required")
            }
        }
    }
}

impl fmt::Debug for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectError({self})")
    }
}

impl error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match &*self.0 {
            Kind::Hosts(error) | Kind::Io(error) => Some(error),
            Kind::Connect(error) => Some(error),
            Kind::Handshake(error) => Some(error),
            _ => None,
        }
    }
}
