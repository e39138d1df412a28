//! A topic's message as it is sent.

use crate::{
    Message, Payload,
    local::Local,
    proto::{FrameHead, Opcode, encode},
};
use bytes::Bytes;
use std::{cell::Cell, rc::Rc};

/// Shorter messages are not compressed.
const COMPRESS_FROM: usize = 64;
/// About what a message takes beside its bytes: the [`Frame`] and its counts, its place in a topic's list, what counts the
/// owners of the bytes, and what the allocator adds.
const BESIDE: usize = 192;
/// The window that messages are compressed with: sockets with a smaller one get them as they are.
pub(crate) const WINDOW_BITS: u8 = 15;

/// A message's frame, or several in a row; a message's is made once for all shards.
#[derive(Clone, Debug)]
pub(super) struct Encoded {
    plain: Bytes,
    deflated: Option<Bytes>,
}

impl Encoded {
    pub(super) fn new(message: &Message, compress: bool) -> Self {
        let payload = Payload::from(message);
        let opcode = if payload.is_text() { Opcode::Text } else { Opcode::Binary };
        let bytes = payload.as_bytes();
        let mut plain = Vec::with_capacity(bytes.len() + crate::proto::frame::MAX_HEAD);
        encode::write(&mut plain, opcode, bytes);
        let deflated =
            if compress && bytes.len() >= COMPRESS_FROM { compressed(opcode, bytes) } else { None };
        Encoded { plain: plain.into(), deflated }
    }

    /// Bytes of memory, with those of its place in a list.
    pub(super) fn memory(&self) -> usize {
        BESIDE + self.plain.len() + self.deflated.as_ref().map_or(0, Bytes::len)
    }
}

/// `None` if it is no shorter.
fn compressed(opcode: Opcode, payload: &[u8]) -> Option<Bytes> {
    let mut buffer = Local::with(Local::take_buffer);
    let result = Local::with(|local| {
        local.compress.borrow_mut().compressor(WINDOW_BITS).compress(payload, &mut buffer)
    });
    let frame = (result.is_ok() && buffer.len() < payload.len()).then(|| {
        let mut frame = Vec::with_capacity(buffer.len() + crate::proto::frame::MAX_HEAD);
        let head = FrameHead { compressed: true, ..FrameHead::new(opcode, buffer.len()) };
        encode::write_frame(&mut frame, head, &buffer);
        Bytes::from(frame)
    });
    Local::with(|local| local.return_buffer(buffer));
    frame
}

/// Messages for the subscribers on one shard, which share them without counting across threads.
pub(crate) struct Frame {
    /// The topic's number on this shard.
    topic: u64,
    encoded: Encoded,
    /// In how many queues it is.
    queues: Cell<usize>,
}

impl Frame {
    pub(super) fn new(topic: u64, encoded: Encoded) -> Rc<Self> {
        Rc::new(Frame { topic, encoded, queues: Cell::new(0) })
    }

    /// Several of one topic in one piece; `None` of none.
    pub(super) fn join(all: &[Rc<Frame>]) -> Option<Rc<Self>> {
        let (first, others) = all.split_first()?;
        if others.is_empty() {
            return Some(Rc::clone(first));
        }
        let join = |deflated| {
            let pieces: Vec<&[u8]> = all.iter().map(|one| one.bytes(deflated)).collect();
            Bytes::from(pieces.concat())
        };
        let deflated = all.iter().any(|one| one.is_deflated()).then(|| join(true));
        Some(Frame::new(first.topic, Encoded { plain: join(false), deflated }))
    }

    #[inline]
    pub(crate) fn bytes(&self, deflated: bool) -> &[u8] {
        match &self.encoded.deflated {
            Some(bytes) if deflated => bytes,
            _ => &self.encoded.plain,
        }
    }

    pub(crate) fn is_deflated(&self) -> bool {
        self.encoded.deflated.is_some()
    }

    /// Bytes of the frames as they are.
    pub(super) fn len(&self) -> usize {
        self.encoded.plain.len()
    }

    /// Bytes of memory.
    pub(super) fn memory(&self) -> usize {
        self.encoded.memory()
    }

    /// Bytes of memory that one more queue with it takes.
    pub(crate) fn cost(&self) -> usize {
        PLACE + if self.queues.get() == 0 { self.memory() } else { 0 }
    }
}

/// What a place in a queue takes (`Piece` of `outgoing.rs`).
pub(crate) const PLACE: usize = 40;

/// A frame in a queue. The shard counts its bytes once, in however many queues it is.
pub(crate) struct QueuedFrame {
    frame: Rc<Frame>,
    deflated: bool,
}

impl QueuedFrame {
    pub(crate) fn new(frame: Rc<Frame>, deflated: bool) -> Self {
        Local::with(|local| local.count_queued(frame.cost()));
        frame.queues.set(frame.queues.get() + 1);
        QueuedFrame { frame, deflated }
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        self.frame.bytes(self.deflated)
    }

    pub(crate) fn is_of_same_topic(&self, other: &Frame) -> bool {
        self.frame.topic == other.topic
    }
}

impl Drop for QueuedFrame {
    fn drop(&mut self) {
        self.frame.queues.set(self.frame.queues.get() - 1);
        Local::try_with(|local| local.count_gone(self.frame.cost()));
    }
}
