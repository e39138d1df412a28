//! The protocol, without I/O.
//!
//! WebSocket (RFC 6455) and permessage-deflate (RFC 7692) as bytes in and bytes out. Nothing in here opens a socket or
//! reads a clock. The connection driver owns the buffers; it calls
//!
//! * [`Decoder::decode`] with what was read, until all of it is consumed,
//! * the writers of [`encode`] for what it sends,
//! * what [`deflate`] has, if compression was agreed on,
//! * the checks of [`handshake`] before all that.
//!
//! An error means that the peer's bytes can no longer be told apart into messages: send a close frame with the error's
//! [`close_code`](ProtocolError::close_code), and read nothing more (RFC 6455, 7.1.7).
//!
//! Frame heads are parsed and written by our own code. tungstenite's `FrameHeader` leaves out most checks that RFC 6455
//! asks for, and reads through a cursor, which takes longer than all the rest of a short message; it is the second
//! opinion in the tests instead (`ws/tests/`). Its close codes and its accept key are used as they are.
pub mod decoder;
pub mod deflate;
pub mod encode;
mod error;
pub mod frame;
#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub mod fuzz;
pub mod handshake;
pub mod mask;
mod utf8;

pub use decoder::{CloseFrame, Decoded, Decoder, Event};
pub use error::ProtocolError;
pub use frame::{EncodedHead, FrameHead, MessageKind, Opcode, Role, Rules};
pub use mask::MaskKeys;
pub use tungstenite::protocol::frame::coding::CloseCode;

/// `tchar` of RFC 9110, 5.6.2: what subprotocols and the names and values of extensions are made of.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
