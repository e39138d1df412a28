//! Frame heads (RFC 6455, 5.2).
use std::ops::Deref;

use super::error::{Kind, ProtocolError};

/// The longest payload of a control frame (RFC 6455, 5.5).
pub const MAX_CONTROL_PAYLOAD: usize = 125;
/// The longest head: two bytes, a length of eight, a mask of four.
pub const MAX_HEAD: usize = 14;

/// Which end of the connection we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Frames come masked.
    Server,
    /// Frames come without a mask.
    Client,
}

/// What a peer's frames have to keep to. Routes hold them; a [`Decoder`](super::Decoder) is shown them with each call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Which end we are.
    pub role: Role,
    /// The only kind of messages that is taken, if it is one.
    pub only: Option<MessageKind>,
    /// Whether permessage-deflate was agreed on: only then may messages be compressed.
    pub deflate: bool,
    /// The longest payload of a data frame, in bytes. By default what a message may have.
    pub max_frame: usize,
    /// The longest message, in bytes, over all of its frames and before it is inflated. By default 1 MiB.
    pub max_message: usize,
}

impl Rules {
    /// For what a server reads: default limits, nothing compressed.
    pub const fn server() -> Self {
        Rules { role: Role::Server, only: None, deflate: false, max_frame: usize::MAX, max_message: 1 << 20 }
    }

    /// For what a client reads: default limits, nothing compressed.
    pub const fn client() -> Self {
        Rules { role: Role::Client, ..Rules::server() }
    }
}

/// Of what a message is made. The numbers are those of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum MessageKind {
    /// UTF-8.
    Text = 1,
    /// Any bytes.
    Binary = 2,
}

impl Rules {
    /// Whether messages that begin so are taken.
    #[inline]
    pub(super) fn takes(&self, first: u8) -> bool {
        self.only.is_none_or(|only| only as u8 == first & 0x0f)
    }
}

/// What a frame is. The numbers are those of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// More of a message.
    Continuation = 0,
    /// A text message, or its first fragment.
    Text = 1,
    /// A binary message, or its first fragment.
    Binary = 2,
    /// The last frame of its sender.
    Close = 8,
    /// To be answered with a pong.
    Ping = 9,
    /// The answer to a ping, or a sign of life.
    Pong = 10,
}

impl Opcode {
    /// Whether it is about the connection and no part of a message.
    #[inline]
    pub const fn is_control(self) -> bool {
        self as u8 & 8 != 0
    }

    #[inline]
    const fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0 => Opcode::Continuation,
            1 => Opcode::Text,
            2 => Opcode::Binary,
            8 => Opcode::Close,
            9 => Opcode::Ping,
            10 => Opcode::Pong,
            _ => return None,
        })
    }
}

/// A frame's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHead {
    /// What the frame is.
    pub opcode: Opcode,
    /// Whether it is its message's last.
    pub fin: bool,
    /// RSV1: whether the message that begins here is compressed (RFC 7692, 6).
    pub compressed: bool,
    /// The key, if the payload is masked.
    pub mask: Option<[u8; 4]>,
    /// Bytes of payload.
    pub len: u64,
}

impl FrameHead {
    /// A whole message or a control frame, not compressed and not masked.
    #[inline]
    pub const fn new(opcode: Opcode, len: usize) -> Self {
        FrameHead { opcode, fin: true, compressed: false, mask: None, len: len as u64 }
    }

    /// Reads the head at the beginning of `bytes`, and says how many bytes it has; `None` if it is not all there.
    ///
    /// `within_message` says whether a message has begun and not ended. A fault is found with the byte that makes it
    /// one, be the head whole or not.
    ///
    /// # Errors
    ///
    /// The head breaks RFC 6455, or the payload is over the limits.
    #[inline]
    pub fn parse(
        bytes: &[u8],
        rules: &Rules,
        within_message: bool,
    ) -> Result<Option<(FrameHead, usize)>, ProtocolError> {
        let [first, rest @ ..] = bytes else { return Ok(None) };
        let mut head = Self::parse_first(*first, rules, within_message)?;
        let [second, rest @ ..] = rest else { return Ok(None) };
        let masked = second & 0x80 != 0;
        match rules.role {
            Role::Server if !masked => return Err(ProtocolError(Kind::MaskMissing)),
            Role::Client if masked => return Err(ProtocolError(Kind::Masked)),
            _ => {}
        }
        let Some((len, len_bytes)) = parse_len(second & 0x7f, head.opcode, rest)? else { return Ok(None) };
        if len > rules.max_frame.min(rules.max_message) as u64 && !head.opcode.is_control() {
            return Err(ProtocolError(Kind::FrameTooLarge));
        }
        head.len = len;
        if !masked {
            return Ok(Some((head, 2 + len_bytes)));
        }
        let Some(key) = rest[len_bytes..].first_chunk::<4>() else { return Ok(None) };
        head.mask = Some(*key);
        Ok(Some((head, 6 + len_bytes)))
    }

    /// What the first byte says, and all that can be wrong with it.
    #[inline]
    fn parse_first(first: u8, rules: &Rules, within_message: bool) -> Result<Self, ProtocolError> {
        let Some(opcode) = Opcode::from_bits(first & 0x0f) else { return Err(ProtocolError(Kind::Opcode)) };
        let (fin, compressed) = (first & 0x80 != 0, first & 0x40 != 0);
        let begins = matches!(opcode, Opcode::Text | Opcode::Binary);
        if first & 0x30 != 0 || (compressed && !(rules.deflate && begins)) {
            return Err(ProtocolError(Kind::ReservedBits));
        }
        if opcode.is_control() && !fin {
            return Err(ProtocolError(Kind::FragmentedControl));
        }
        if begins && !rules.takes(first) {
            return Err(ProtocolError(Kind::Unwanted));
        }
        if begins && within_message {
            return Err(ProtocolError(Kind::StartWithinMessage));
        }
        if opcode == Opcode::Continuation && !within_message {
            return Err(ProtocolError(Kind::ContinuationWithoutStart));
        }
        Ok(FrameHead { opcode, fin, compressed, mask: None, len: 0 })
    }

    /// The head's bytes, for a payload that is sent from where it is. A masked one has to be masked by the caller
    /// ([`mask::apply`](super::mask::apply)).
    #[inline]
    pub fn encode(&self) -> EncodedHead {
        let mut head = EncodedHead { bytes: [0; MAX_HEAD], len: 0 };
        let first = self.first_byte();
        let masked = u8::from(self.mask.is_some()) << 7;
        match self.len {
            0..=125 => head.push(&[first, masked | self.len as u8]),
            126..=0xffff => {
                let [high, low] = (self.len as u16).to_be_bytes();
                head.push(&[first, masked | 126, high, low]);
            }
            _ => {
                head.push(&[first, masked | 127]);
                head.push(&self.len.to_be_bytes());
            }
        }
        if let Some(key) = &self.mask {
            head.push(key);
        }
        head
    }

    #[inline]
    pub(super) fn first_byte(&self) -> u8 {
        u8::from(self.fin) << 7 | u8::from(self.compressed) << 6 | self.opcode as u8
    }
}

/// The length and the number of bytes behind the second one that it takes; `None` if they are not all there.
#[inline]
fn parse_len(short: u8, opcode: Opcode, rest: &[u8]) -> Result<Option<(u64, usize)>, ProtocolError> {
    if short < 126 {
        return Ok(Some((u64::from(short), 0)));
    }
    if opcode.is_control() {
        return Err(ProtocolError(Kind::LongControl));
    }
    let (len, len_bytes, least) = if short == 126 {
        let Some(bytes) = rest.first_chunk::<2>() else { return Ok(None) };
        (u64::from(u16::from_be_bytes(*bytes)), 2, 126)
    } else {
        let Some(bytes) = rest.first_chunk::<8>() else { return Ok(None) };
        (u64::from_be_bytes(*bytes), 8, 1 << 16)
    };
    if len >> 63 != 0 {
        return Err(ProtocolError(Kind::LengthSign));
    }
    if len < least {
        return Err(ProtocolError(Kind::LengthNotMinimal));
    }
    Ok(Some((len, len_bytes)))
}

/// A frame's head as it is sent: at most [`MAX_HEAD`] bytes, without an allocation.
#[derive(Clone, Copy, Debug)]
pub struct EncodedHead {
    bytes: [u8; MAX_HEAD],
    len: u8,
}

impl EncodedHead {
    #[inline]
    fn push(&mut self, bytes: &[u8]) {
        let from = usize::from(self.len);
        self.bytes[from..from + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len() as u8;
    }
}

impl Deref for EncodedHead {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}
