//! Frames of a server: RFC 6455, 5.2. tungstenite reads the header; what it leaves unchecked is checked here.

use super::super::Failure;
use crate::stats::Cause;
use std::io::Cursor;
use tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Control, Data, OpCode},
};

/// The longest header of a frame, with a mask: what has one is refused when it is there as a whole.
const HEADER_AT_MOST: usize = 14;
/// The longest payload of a control frame.
const CONTROL_AT_MOST: usize = 125;

/// Reads the frames of one connection. Between messages it keeps nothing.
#[derive(Debug, Default)]
pub(super) struct Decoder(Option<Box<Partial>>);

/// What has come of a message or a frame that is not there as a whole.
#[derive(Debug, Default)]
struct Partial {
    /// The frame's, as far as it has come.
    header: Vec<u8>,
    frame: Option<Frame>,
    /// The message's, if its last frame has not come.
    message: Option<Message>,
    /// Of a control frame.
    payload: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    opcode: OpCode,
    is_final: bool,
    /// Bytes that have not come.
    left: u64,
}

#[derive(Clone, Copy, Debug)]
struct Message {
    is_text: bool,
    /// Whether any part of it was given out.
    begun: bool,
}

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// Of a message; `first` and `last` say where.
    Data {
        is_text: bool,
        first: bool,
        last: bool,
        bytes: &'a [u8],
    },
    Ping(Vec<u8>),
    Pong,
    /// With its payload.
    Close(Vec<u8>),
}

impl Decoder {
    /// Takes the next part off `input`; `None` if more has to come for it, and all of `input` is kept then.
    pub(super) fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Part<'a>>, Failure> {
        let mut partial = match self.0.take() {
            Some(partial) => partial,
            None => match self.whole(input)? {
                Some(part) => return Ok(Some(part)),
                None if input.is_empty() => return Ok(None),
                None => Box::default(),
            },
        };
        let part = partial.next(input)?;
        if partial.is_needed() {
            self.0 = Some(partial);
        }
        Ok(part)
    }

    /// The common case, without a box: a message in one frame that is there as a whole.
    #[inline]
    fn whole<'a>(&self, input: &mut &'a [u8]) -> Result<Option<Part<'a>>, Failure> {
        let Some((frame, len)) = parse(input)? else { return Ok(None) };
        let OpCode::Data(kind @ (Data::Text | Data::Binary)) = frame.opcode else { return Ok(None) };
        let rest = &input[len..];
        if !frame.is_final || frame.left > rest.len() as u64 {
            return Ok(None);
        }
        let (bytes, rest) = rest.split_at(frame.left as usize);
        *input = rest;
        Ok(Some(Part::Data { is_text: kind == Data::Text, first: true, last: true, bytes }))
    }
}

impl Partial {
    fn is_needed(&self) -> bool {
        !self.header.is_empty() || self.frame.is_some() || self.message.is_some()
    }

    fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Part<'a>>, Failure> {
        let mut frame = match self.frame {
            Some(frame) => frame,
            None => match self.header(input)? {
                Some(frame) => frame,
                None => return Ok(None),
            },
        };
        let n = frame.left.min(input.len() as u64) as usize;
        let (bytes, rest) = input.split_at(n);
        *input = rest;
        frame.left -= n as u64;
        self.frame = (frame.left > 0).then_some(frame);
        match frame.opcode {
            OpCode::Control(kind) => {
                self.payload.extend_from_slice(bytes);
                if frame.left > 0 {
                    return Ok(None);
                }
                let payload = std::mem::take(&mut self.payload);
                Ok(Some(match kind {
                    Control::Ping => Part::Ping(payload),
                    Control::Pong => Part::Pong,
                    _ => Part::Close(payload),
                }))
            }
            OpCode::Data(_) => {
                let last = frame.is_final && frame.left == 0;
                if n == 0 && frame.left > 0 {
                    return Ok(None);
                }
                let message = self.message.as_mut().expect("a frame of data is one of a message");
                let (is_text, first) = (message.is_text, !message.begun);
                message.begun = true;
                if last {
                    self.message = None;
                }
                Ok(Some(Part::Data { is_text, first, last, bytes }))
            }
        }
    }

    fn header(&mut self, input: &mut &[u8]) -> Result<Option<Frame>, Failure> {
        let before = self.header.len();
        self.header.extend_from_slice(&input[..input.len().min(HEADER_AT_MOST - before)]);
        let Some((frame, len)) = parse(&self.header)? else {
            *input = &input[self.header.len() - before..];
            return Ok(None);
        };
        // What had come before was no header.
        *input = &input[len - before..];
        self.header.clear();
        match (frame.opcode, self.message.is_some()) {
            (OpCode::Data(Data::Continue), true) | (OpCode::Control(_), _) => {}
            (OpCode::Data(Data::Continue), false) => return garbage("a continuation of no message"),
            (OpCode::Data(_), true) => return garbage("a message within another one"),
            (OpCode::Data(kind), false) => {
                self.message = Some(Message { is_text: kind == Data::Text, begun: false });
            }
        }
        Ok(Some(frame))
    }
}

/// A frame's header and its length, if it is there as a whole.
#[inline]
fn parse(bytes: &[u8]) -> Result<Option<(Frame, usize)>, Failure> {
    let mut cursor = Cursor::new(bytes);
    let (header, left) = match FrameHeader::parse(&mut cursor) {
        Ok(Some(parsed)) => parsed,
        Ok(None) => return Ok(None),
        Err(error) => return garbage(&error.to_string()),
    };
    let len = cursor.position() as usize;
    if header.mask.is_some() {
        return garbage("a frame with a mask, from a server");
    }
    if header.rsv1 || header.rsv2 || header.rsv3 {
        return garbage("a frame of an extension that was not agreed on");
    }
    if left >= 1 << 63 || header.len(left) != len {
        return garbage("a frame whose length is not written in the shortest way");
    }
    let is_control = matches!(header.opcode, OpCode::Control(_));
    if is_control && (!header.is_final || left > CONTROL_AT_MOST as u64) {
        return garbage("a control frame that is fragmented or longer than 125 bytes");
    }
    Ok(Some((Frame { opcode: header.opcode, is_final: header.is_final, left }, len)))
}

fn garbage<T>(what: &str) -> Result<T, Failure> {
    Err(Failure::new(Cause::Garbage, what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Messages, as whether they are text and their content, and control frames, from bytes that come in parts; at
    /// last, whether more has to come.
    fn read(bytes: &[u8], mut parts: impl Iterator<Item = usize>) -> Result<Vec<String>, Failure> {
        let (mut decoder, mut all, mut message, mut at) = (Decoder::default(), Vec::new(), Vec::new(), 0);
        while at < bytes.len() {
            let end = bytes.len().min(at + parts.next().unwrap_or(bytes.len()).max(1));
            let mut input = &bytes[at..end];
            while let Some(part) = decoder.next(&mut input)? {
                match part {
                    Part::Data { is_text, first, last, bytes } => {
                        assert_eq!(first, message.is_empty());
                        message.push(bytes.to_vec());
                        if last {
                            all.push(format!("{is_text} {:?}", message.concat()));
                            message.clear();
                        }
                    }
                    other => all.push(format!("{other:?}")),
                }
            }
            assert!(input.is_empty());
            at = end;
        }
        if decoder.0.is_some() {
            all.push("more".to_owned());
        }
        Ok(all)
    }

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first];
        match payload.len() {
            len @ 0..126 => bytes.push(len as u8),
            len @ 126..65536 => bytes.extend([&[126][..], &(len as u16).to_be_bytes()].concat()),
            len => bytes.extend([&[127][..], &(len as u64).to_be_bytes()].concat()),
        }
        [&bytes[..], payload].concat()
    }

    #[test]
    fn messages_and_control_frames_come_out() {
        let bytes = [
            frame(0x81, b"a"),
            frame(0x02, b"b"),
            frame(0x89, b"ping"),
            frame(0x00, b""),
            frame(0x80, b"c"),
            frame(0x8a, b""),
            frame(0x82, b""),
            frame(0x88, &[3, 232]),
        ]
        .concat();
        let expected = [
            "true [97]",
            "Ping([112, 105, 110, 103])",
            "false [98, 99]",
            "Pong",
            "false []",
            "Close([3, 232])",
        ];
        assert_eq!(read(&bytes, std::iter::empty()).unwrap(), expected);
    }

    #[test]
    fn what_a_server_may_not_send_is_garbage() {
        for bytes in [
            &[0x81, 0x81, 1, 2, 3, 4, 5][..],
            &[0xc1, 0],
            &[0x83, 0],
            &[0x81, 126, 0, 1],
            &[0x81, 127, 0, 0, 0, 0, 0, 0, 0, 1],
            &[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0],
            &[0x09, 0],
            &[0x89, 126, 0, 126],
            &[0x80, 0],
            &[0x01, 0, 0x81, 0],
        ] {
            let failure = read(bytes, std::iter::empty()).unwrap_err();
            assert_eq!(failure.cause, Cause::Garbage, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn parts_change_nothing(
            messages in prop::collection::vec((any::<bool>(), prop_oneof![0_usize..200, 60_000_usize..70_000], 1_usize..4), 0..5),
            parts in prop::collection::vec(prop_oneof![1_usize..12, 1_usize..70_000], 0..40),
        ) {
            let mut bytes = Vec::new();
            for (is_text, len, frames) in messages {
                let content: Vec<u8> = (0..len).map(|at| at as u8).collect();
                for (number, part) in content.chunks((len / frames).max(1)).enumerate() {
                    let opcode = match (number, is_text) { (0, true) => 1, (0, false) => 2, _ => 0 };
                    bytes.extend(frame(opcode, part));
                    bytes.extend(frame(0x89, b"!"));
                }
                bytes.extend(frame(if len == 0 { 0x82 } else { 0x80 }, b"end"));
            }
            let whole = read(&bytes, std::iter::empty()).unwrap();
            prop_assert_eq!(read(&bytes, parts.into_iter()).unwrap(), whole);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, parts: Vec<u8>) {
            let _ = read(&bytes, parts.into_iter().map(usize::from));
        }
    }
}
