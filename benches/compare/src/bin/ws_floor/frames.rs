//! Masked frames become unmasked ones in the buffer they were received into. Nothing is checked.

use std::ops::Range;

/// A client's head without an extended length, and what it shrinks by without its mask.
const SHORT_HEAD: usize = 6;
const MASK: usize = 4;
const LONGEST_HEAD: usize = 14;
const MASKED: u8 = 0x80;

/// Room that is left before received bytes, for the beginning of a head that came before.
pub const CARRY: usize = LONGEST_HEAD - 1;

/// Where a connection is between two receives: within a payload, or within a head.
#[derive(Clone, Default)]
pub struct Frames {
    /// Bytes of a payload to come.
    left: u64,
    /// As the next of them needs it.
    mask: [u8; MASK],
    carried: [u8; CARRY],
    carried_len: u8,
}

impl Frames {
    /// Rewrites what was received into `buffer[CARRY..end]`, and says what of the buffer is to be sent.
    #[inline]
    pub fn rewrite(&mut self, buffer: &mut [u8], end: usize) -> Range<usize> {
        let mut read = CARRY - usize::from(self.carried_len);
        if self.carried_len > 0 {
            buffer[read..CARRY].copy_from_slice(&self.carried[..usize::from(self.carried_len)]);
            self.carried_len = 0;
        }
        let mut sent = read..read;
        if self.left > 0 {
            read = self.continue_payload(buffer, read, end);
            sent.end = read;
        }
        while let Some(head) = head_length(&buffer[read..end]) {
            let payload = read + head;
            let shrunk = head - MASK;
            if sent.is_empty() {
                sent = read + MASK..read + MASK; // the payload stays where it is
            }
            self.start_payload(&buffer[read..payload]);
            buffer.copy_within(read..read + shrunk, sent.end);
            buffer[sent.end + 1] &= !MASKED;
            read = self.continue_payload(buffer, payload, end);
            let moved_to = sent.end + shrunk;
            if moved_to < payload {
                buffer.copy_within(payload..read, moved_to);
            }
            sent.end = moved_to + (read - payload);
        }
        let rest = end - read;
        self.carried[..rest].copy_from_slice(&buffer[read..end]);
        self.carried_len = rest as u8;
        sent
    }

    fn start_payload(&mut self, head: &[u8]) {
        self.left = match *head {
            [_, length, _, _, _, _] => u64::from(length & !MASKED),
            [_, _, a, b, _, _, _, _] => u64::from(u16::from_be_bytes([a, b])),
            [_, _, a, b, c, d, e, f, g, h, ..] => u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            _ => 0,
        };
        self.mask.copy_from_slice(&head[head.len() - MASK..]);
    }

    /// Unmasks what is there of the payload; the end of it.
    fn continue_payload(&mut self, buffer: &mut [u8], start: usize, end: usize) -> usize {
        let here = self.left.min((end - start) as u64) as usize;
        unmask(&mut buffer[start..start + here], self.mask);
        self.left -= here as u64;
        self.mask.rotate_left(here % MASK);
        start + here
    }
}

/// `None` until the whole head is there.
fn head_length(bytes: &[u8]) -> Option<usize> {
    let length = match bytes.get(1)? & !MASKED {
        126 => SHORT_HEAD + 2,
        127 => LONGEST_HEAD,
        _ => SHORT_HEAD,
    };
    (bytes.len() >= length).then_some(length)
}

fn unmask(bytes: &mut [u8], mask: [u8; MASK]) {
    let wide = (u64::from(u32::from_ne_bytes(mask)) << 32) | u64::from(u32::from_ne_bytes(mask));
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use lakh_compare::ws::Message;

    use super::*;

    fn echoed(sizes: &[usize], piece: usize) -> (Vec<u8>, Vec<u8>) {
        let messages: Vec<Message> = sizes.iter().map(|&size| Message::text(size)).collect();
        let received: Vec<u8> = messages.iter().flat_map(|message| message.masked.clone()).collect();
        let expected = messages.iter().flat_map(|message| message.plain.clone()).collect();
        let (mut frames, mut echo) = (Frames::default(), Vec::new());
        for piece in received.chunks(piece) {
            let mut buffer = [&[0; CARRY], piece].concat();
            let end = buffer.len();
            let sent = frames.rewrite(&mut buffer, end);
            echo.extend_from_slice(&buffer[sent]);
        }
        (echo, expected)
    }

    #[test]
    fn frames_are_echoed_however_they_are_cut() {
        let sizes = [64, 0, 1, 125, 126, 4096, 65_535, 65_536, 7];
        for piece in [1, 2, 3, 5, 6, 7, 13, 14, 15, 70, 71, 4103, 4104, 16_384, 1 << 20] {
            let (echo, expected) = echoed(&sizes, piece);
            assert!(echo == expected, "pieces of {piece}");
        }
    }

    #[test]
    fn a_whole_frame_is_sent_at_once_from_where_it_is() {
        let message = Message::text(64);
        let mut buffer = [&[0; CARRY], message.masked.as_slice()].concat();
        let end = buffer.len();
        assert_eq!(Frames::default().rewrite(&mut buffer, end), CARRY + MASK..end);
        assert_eq!(buffer[CARRY + MASK..end], message.plain);
    }
}
