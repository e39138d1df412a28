//! Writing frames.
//!
//! Everything is appended to a buffer of the caller's. For a payload that is not to be copied, send
//! [`FrameHead::encode`] and the payload behind it.
use std::ops::Deref;

use super::frame::{FrameHead, MAX_CONTROL_PAYLOAD, Opcode};
use super::{CloseCode, mask};

/// glibc may copy more than this by `rep movsb`, for which AMD's Zen 3 takes 28 times as long (1,700 ns for 4 KiB) if the
/// target is up to 31 bytes further into its page than the source into its own (glibc's bug 30994). It is, with a head
/// before it, when both are in buffers that begin with a page.
const COPIED_AT_ONCE: usize = 2048;

/// Writes a whole message or a control frame as a server does. A control frame's payload has at most 125 bytes.
#[inline]
pub fn write(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    write_frame(out, FrameHead::new(opcode, payload.len()), payload);
}

/// Writes a whole message or a control frame as a client does, masked with a key of
/// [`MaskKeys`](super::MaskKeys).
#[inline]
pub fn write_masked(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8], key: [u8; 4]) {
    write_frame(out, FrameHead { mask: Some(key), ..FrameHead::new(opcode, payload.len()) }, payload);
}

/// Writes any frame: fragments, compressed messages. If the head has a key, the payload is masked on its way.
#[inline]
pub fn write_frame(out: &mut Vec<u8>, head: FrameHead, payload: &[u8]) {
    debug_assert!(head.len == payload.len() as u64, "the head is another payload's");
    debug_assert!(!head.opcode.is_control() || (head.fin && payload.len() <= MAX_CONTROL_PAYLOAD));
    if head.mask.is_none() && payload.len() < 126 {
        // Most of what a server sends. Two bytes of a known number are one store.
        out.reserve(2 + payload.len());
        out.extend_from_slice(&[head.first_byte(), payload.len() as u8]);
        out.extend_from_slice(payload);
        return;
    }
    let encoded = head.encode();
    out.reserve(encoded.len() + payload.len());
    out.extend_from_slice(&encoded);
    let from = out.len();
    for piece in payload.chunks(COPIED_AT_ONCE) {
        out.extend_from_slice(piece);
    }
    if let Some(key) = head.mask {
        mask::apply(&mut out[from..], key);
    }
}

/// The payload of a close frame: a code and a reason, at most 125 bytes.
///
/// ```
/// use lakh_ws::proto::{CloseCode, Opcode, encode};
///
/// let mut out = Vec::new();
/// encode::write(&mut out, Opcode::Close, &encode::ClosePayload::new(CloseCode::Away, "restart"));
/// assert_eq!(out, b"\x88\x09\x03\xe9restart");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ClosePayload {
    bytes: [u8; MAX_CONTROL_PAYLOAD],
    len: u8,
}

impl ClosePayload {
    /// A reason of more than 123 bytes is cut between two characters.
    ///
    /// Code 1005 says that there was none, so it makes an empty payload; other codes that may not be sent become 1002
    /// ([`sent_as`]).
    pub fn new(code: CloseCode, reason: &str) -> Self {
        let mut payload = ClosePayload { bytes: [0; MAX_CONTROL_PAYLOAD], len: 0 };
        if code != CloseCode::Status {
            let reason = &reason[..reason.floor_char_boundary(MAX_CONTROL_PAYLOAD - 2)];
            payload.bytes[..2].copy_from_slice(&u16::from(sent_as(code)).to_be_bytes());
            payload.bytes[2..2 + reason.len()].copy_from_slice(reason.as_bytes());
            payload.len = 2 + reason.len() as u8;
        }
        payload
    }
}

impl Deref for ClosePayload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// What a code is sent as: one that may not be ([`may_be_sent`]) as 1002, but 1005 as none, which it stands for.
pub fn sent_as(code: CloseCode) -> CloseCode {
    if code == CloseCode::Status || may_be_sent(code.into()) { code } else { CloseCode::Protocol }
}

/// Whether a close frame may have this code (RFC 6455, 7.4, and IANA's registry).
///
/// 1004, 1005, 1006 and 1015 may not, nor what is below 1000, from 1016 to 2999, or from 5000.
pub fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}
