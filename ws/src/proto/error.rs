//! Why a connection is closed, and the code that says so.
use std::fmt;

use super::CloseCode;

/// What a peer did that ends its connection. Send [`close_code`](ProtocolError::close_code) and read nothing more.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ProtocolError(pub(super) Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Opcode,
    ReservedBits,
    FragmentedControl,
    LongControl,
    ContinuationWithoutStart,
    StartWithinMessage,
    MaskMissing,
    Masked,
    LengthNotMinimal,
    LengthSign,
    ClosePayload,
    CloseCode,
    Utf8,
    Inflate,
    Unwanted,
    FrameTooLarge,
    MessageTooLarge,
}

impl ProtocolError {
    /// The code for the close frame (RFC 6455, 7.4.1).
    ///
    /// 1003 for messages of a kind that is not taken, 1007 for text that is not UTF-8 and for data that cannot be inflated, 1009 for what is over a limit, else 1002.
    pub fn close_code(&self) -> CloseCode {
        match self.0 {
            Kind::Utf8 | Kind::Inflate => CloseCode::Invalid,
            Kind::FrameTooLarge | Kind::MessageTooLarge => CloseCode::Size,
            Kind::Unwanted => CloseCode::Unsupported,
            _ => CloseCode::Protocol,
        }
    }

    /// A few words for the close frame's reason, at most 123 bytes.
    pub fn reason(&self) -> &'static str {
        match self.0 {
            Kind::Opcode => "reserved opcode",
            Kind::ReservedBits => "reserved bit set",
            Kind::FragmentedControl => "fragmented control frame",
            Kind::LongControl => "control frame over 125 bytes",
            Kind::ContinuationWithoutStart => "continuation without a message",
            Kind::StartWithinMessage => "new message within a message",
            Kind::MaskMissing => "frame of a client without a mask",
            Kind::Masked => "frame of a server with a mask",
            Kind::LengthNotMinimal => "length not in its shortest form",
            Kind::LengthSign => "length over 63 bits",
            Kind::ClosePayload => "close frame with half a code",
            Kind::CloseCode => "close code that may not be sent",
            Kind::Utf8 => "text that is not UTF-8",
            Kind::Inflate => "message that cannot be inflated",
            Kind::Unwanted => "messages of this kind are not taken",
            Kind::FrameTooLarge => "frame too large",
            Kind::MessageTooLarge => "message too large",
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl fmt::Debug for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProtocolError({:?})", self.0)
    }
}

impl std::error::Error for ProtocolError {}
