//! What waits for a peer to take it.

use crate::{local::Local, topics::Frame};
use bytes::Bytes;
use std::{collections::VecDeque, io::IoSlice, rc::Rc};

/// Frames of a few bytes are put together up to this.
const JOIN_UP_TO: usize = 16 * 1024;
/// Pieces that are given to the kernel in one call.
const PIECES: usize = 64;

/// Frames that the kernel has not taken yet, in their order. There is one as long as there are any.
#[derive(Default)]
pub(crate) struct Outgoing {
    pieces: VecDeque<Piece>,
    /// Bytes of the first piece that are sent.
    sent: usize,
    /// Bytes that are not.
    bytes: usize,
    /// The shard's second in which the peer last took something.
    pub(crate) since: u32,
}

enum Piece {
    /// Frames of this socket's own.
    Own(Vec<u8>),
    /// A long payload of its own.
    Shared(Bytes),
    /// A topic's, which all of its subscribers share.
    Topic(Rc<Frame>, bool),
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Piece::Own(bytes) => bytes,
            Piece::Shared(bytes) => bytes,
            Piece::Topic(frame, deflated) => frame.bytes(*deflated),
        }
    }
}

impl Outgoing {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    fn count(&mut self, bytes: usize) {
        self.bytes += bytes;
        Local::with(|local| local.count_queued(bytes));
    }

    /// Lets `write` append frames to the last ones.
    pub(crate) fn append(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let before = match self.pieces.back_mut() {
            Some(Piece::Own(last)) if last.len() < JOIN_UP_TO => last.len(),
            _ => {
                self.pieces.push_back(Piece::Own(Vec::new()));
                0
            }
        };
        if let Some(Piece::Own(last)) = self.pieces.back_mut() {
            write(last);
            let more = last.len() - before;
            self.count(more);
        }
    }

    pub(crate) fn push_payload(&mut self, payload: Bytes) {
        self.count(payload.len());
        self.pieces.push_back(Piece::Shared(payload));
    }

    pub(crate) fn push_frame(&mut self, frame: Rc<Frame>, deflated: bool) {
        self.count(frame.bytes(deflated).len());
        self.pieces.push_back(Piece::Topic(frame, deflated));
    }

    /// Forgets the messages of `frame`'s topic of which nothing is sent yet.
    pub(crate) fn forget_topic(&mut self, frame: &Frame) {
        self.forget_frames(|old| old.is_of_same_topic(frame));
    }

    /// Forgets the messages of all topics of which nothing is sent yet. What is the socket's own stays: its pieces
    /// may begin within a frame.
    pub(crate) fn forget_topics(&mut self) {
        self.forget_frames(|_| true);
    }

    fn forget_frames(&mut self, is_old: impl Fn(&Frame) -> bool) {
        let (sent, mut at, mut gone) = (self.sent, 0, 0);
        self.pieces.retain(|piece| {
            let is_begun = at == 0 && sent > 0;
            at += 1;
            match piece {
                Piece::Topic(old, deflated) if !is_begun && is_old(old) => {
                    gone += old.bytes(*deflated).len();
                    false
                }
                _ => true,
            }
        });
        self.forget(gone);
    }

    fn forget(&mut self, bytes: usize) {
        self.bytes -= bytes;
        Local::with(|local| local.count_gone(bytes));
    }

    /// Hands the first pieces to `write`, which says how many bytes it took.
    pub(crate) fn write<T>(&mut self, write: impl FnOnce(&[IoSlice<'_>]) -> T) -> T {
        if let [Some(first), None] = [self.pieces.front(), self.pieces.get(1)] {
            return write(&[IoSlice::new(&first.bytes()[self.sent..])]);
        }
        let mut slices = [IoSlice::new(&[]); PIECES];
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            let from = if count == 0 { self.sent } else { 0 };
            *slice = IoSlice::new(&piece.bytes()[from..]);
            count += 1;
        }
        write(&slices[..count])
    }

    /// The kernel has taken the first `taken` bytes.
    pub(crate) fn advance(&mut self, taken: usize, now: u32) {
        self.since = now;
        self.forget(taken);
        let mut left = self.sent + taken;
        while let Some(first) = self.pieces.front() {
            let len = first.bytes().len();
            if left < len {
                break;
            }
            left -= len;
            self.pieces.pop_front();
        }
        self.sent = left;
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        let bytes = self.bytes;
        if bytes > 0 {
            Local::try_with(|local| local.count_gone(bytes));
        }
    }
}
