//! What a decoder keeps while something is on its way.
use super::{Content, Found, take_whole};
use crate::proto::error::{Kind, ProtocolError};
use crate::proto::frame::{FrameHead, MAX_HEAD, Opcode, Rules};
use crate::proto::mask;
use crate::proto::utf8::Utf8;

/// A half head, a frame whose payload is coming, a message whose frames are coming: any of them, or two.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) phase: Phase,
    /// The bytes of a head that is not all there.
    head: [u8; MAX_HEAD],
    head_len: u8,
    /// Whose payload is coming: its length is what is still to come, its mask the key for that.
    frame: FrameHead,
    /// The payload of a control frame in pieces, at most 125 bytes.
    control: Vec<u8>,
    message: Option<Message>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Phase {
    /// Between frames, or within a head.
    Head,
    /// Within a payload.
    Payload,
    /// The peer sent its last frame.
    Closed,
    /// The peer's bytes make no sense any more.
    Failed(ProtocolError),
}

/// A message that is not all there.
#[derive(Debug)]
struct Message {
    opcode: Opcode,
    compressed: bool,
    bytes: Vec<u8>,
    /// So that text which cannot become valid ends the connection before it has all come. At the end all of it is
    /// validated once more, since a `String` is to be had in no other way without `unsafe`.
    utf8: Utf8,
}

const _: () = assert!(size_of::<Progress>() <= 112);

impl Default for Progress {
    fn default() -> Self {
        Progress::ended(Phase::Head)
    }
}

impl Progress {
    pub(super) fn ended(phase: Phase) -> Self {
        Progress {
            phase,
            head: [0; MAX_HEAD],
            head_len: 0,
            frame: FrameHead::new(Opcode::Close, 0),
            control: Vec::new(),
            message: None,
        }
    }

    /// Whether nothing is on its way any more.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Head) && self.head_len == 0 && self.message.is_none()
    }

    /// Bytes of the message that is on its way.
    pub(super) fn received(&self) -> usize {
        self.message.as_ref().map_or(0, |message| message.bytes.len())
    }

    /// Bytes of memory that payloads take up.
    pub(super) fn buffered(&self) -> usize {
        self.control.capacity() + self.message.as_ref().map_or(0, |message| message.bytes.capacity())
    }

    pub(super) fn take_head(
        &mut self,
        input: &mut [u8],
        rules: &Rules,
    ) -> Result<(usize, Found), ProtocolError> {
        let within_message = self.message.is_some();
        if self.head_len == 0
            && let Some((head, head_len)) = FrameHead::parse(input, rules, within_message)?
        {
            return self.begin_frame(head, head_len, input, rules);
        }
        for used in 0..input.len() {
            self.head[usize::from(self.head_len)] = input[used];
            self.head_len += 1;
            let bytes = &self.head[..usize::from(self.head_len)];
            if let Some((head, _)) = FrameHead::parse(bytes, rules, within_message)? {
                self.head_len = 0;
                return self.begin_frame(head, used + 1, input, rules);
            }
        }
        Ok((input.len(), Found::Nothing))
    }

    /// Takes what is there of the frame whose head ends at `from`.
    fn begin_frame(
        &mut self,
        head: FrameHead,
        from: usize,
        input: &mut [u8],
        rules: &Rules,
    ) -> Result<(usize, Found), ProtocolError> {
        if let Some(found) = take_whole(&head, from, input) {
            return Ok((from + head.len as usize, found));
        }
        if !head.opcode.is_control() {
            let message = self.message.get_or_insert_with(|| Message::new(&head));
            if head.len > rules.max_message.saturating_sub(message.bytes.len()) as u64 {
                return Err(ProtocolError(Kind::MessageTooLarge));
            }
        }
        self.frame = head;
        self.phase = Phase::Payload;
        let (used, found) = self.take_payload(&mut input[from..])?;
        Ok((from + used, found))
    }

    pub(super) fn take_payload(&mut self, input: &mut [u8]) -> Result<(usize, Found), ProtocolError> {
        let taken = usize::try_from(self.frame.len).map_or(input.len(), |len| len.min(input.len()));
        let piece = &mut input[..taken];
        if let Some(key) = &mut self.frame.mask {
            mask::apply(piece, *key);
            *key = mask::rotate(*key, taken);
        }
        self.frame.len -= taken as u64;
        let is_control = self.frame.opcode.is_control();
        if is_control {
            self.control.extend_from_slice(piece);
        } else if let Some(message) = &mut self.message {
            message.push(piece, self.frame.fin.then_some(self.frame.len))?;
        }
        if self.frame.len > 0 {
            return Ok((taken, Found::Nothing));
        }
        self.phase = Phase::Head;
        let found = if is_control { self.end_control() } else { self.end_fragment() };
        Ok((taken, found))
    }

    fn end_control(&mut self) -> Found {
        let content = Content { opcode: self.frame.opcode, compressed: false };
        Found::Collected(content, std::mem::take(&mut self.control))
    }

    fn end_fragment(&mut self) -> Found {
        let Some(message) = self.message.take_if(|_| self.frame.fin) else { return Found::Nothing };
        let content = Content { opcode: message.opcode, compressed: message.compressed };
        Found::Collected(content, message.bytes)
    }
}

impl Message {
    fn new(head: &FrameHead) -> Self {
        let (opcode, compressed) = (head.opcode, head.compressed);
        Message { opcode, compressed, bytes: Vec::new(), utf8: Utf8::default() }
    }

    /// Adds a piece. `to_come` is what the message's last frame still has.
    fn push(&mut self, piece: &[u8], to_come: Option<u64>) -> Result<(), ProtocolError> {
        if self.opcode == Opcode::Text && !self.compressed {
            self.utf8.push(piece)?;
        }
        let len = self.bytes.len() + piece.len();
        if len > self.bytes.capacity() {
            // Twice what has come, whatever is announced, and not more than that.
            let to_come = to_come.and_then(|to_come| usize::try_from(to_come).ok());
            let ahead = to_come.map_or(len, |to_come| to_come.min(len));
            self.bytes.reserve_exact(piece.len() + ahead);
        }
        self.bytes.extend_from_slice(piece);
        Ok(())
    }
}
