//! What waits for a peer to take it.

use crate::{
    local::Local,
    pace::Pace,
    topics::{Frame, PLACE, QueuedFrame},
};
use bytes::Bytes;
use std::{collections::VecDeque, io::IoSlice, rc::Rc};

/// Frames of a few bytes are put together up to this.
const JOIN_UP_TO: usize = 16 * 1024;
/// Pieces that are given to the kernel in one call.
const PIECES: usize = 64;
/// An empty queue that has room for more pieces than this is not kept.
const KEPT_PIECES: usize = 64;

/// Frames that the kernel has not taken yet, in their order. There is one as long as there are any.
#[derive(Default)]
pub(crate) struct Outgoing {
    pieces: VecDeque<Piece>,
    /// Bytes of the first piece that are sent.
    sent: usize,
    /// Bytes that are not.
    bytes: usize,
    /// How fast the peer takes them.
    pub(crate) pace: Pace,
    /// Bytes that the kernel has of it and the peer has not, when that was last looked at; `None` if more has gone there
    /// since.
    pub(crate) in_kernel: Option<usize>,
}

enum Piece {
    /// Frames of this socket's own.
    Own(Vec<u8>),
    /// A long payload of its own.
    Shared(Bytes),
    /// A topic's, which all of its subscribers share.
    Topic(QueuedFrame),
}

const _: () = assert!(size_of::<Piece>() <= PLACE);

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Piece::Own(bytes) => bytes,
            Piece::Shared(bytes) => bytes,
            Piece::Topic(frame) => frame.bytes(),
        }
    }

    /// Bytes that no other queue holds; a topic's frames count themselves.
    fn own_bytes(&self) -> usize {
        match self {
            Piece::Own(bytes) => bytes.len(),
            Piece::Shared(bytes) => bytes.len(),
            Piece::Topic(_) => 0,
        }
    }
}

impl Outgoing {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// As [`Outgoing::bytes`], with those of the places that they take.
    pub(crate) fn cost(&self) -> usize {
        self.bytes + self.pieces.len() * PLACE
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Whether it is worth keeping for the next one who needs a queue.
    pub(crate) fn is_small(&self) -> bool {
        self.pieces.capacity() <= KEPT_PIECES
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
        let frame = QueuedFrame::new(frame, deflated);
        self.bytes += frame.bytes().len();
        self.pieces.push_back(Piece::Topic(frame));
    }

    /// Bytes that are left of the message of `frame`'s topic that is half sent, and those of the messages of which nothing
    /// is.
    pub(crate) fn bytes_of_topic(&self, frame: &Frame) -> (usize, usize) {
        let of_topic = |piece: &Piece| match piece {
            Piece::Topic(old) if old.is_of_same_topic(frame) => old.bytes().len(),
            _ => 0,
        };
        let is_begun = self.sent > 0;
        let begun = self.pieces.front().filter(|_| is_begun).map_or(0, of_topic);
        let waiting = self.pieces.iter().skip(usize::from(is_begun)).map(of_topic).sum();
        (begun.saturating_sub(self.sent), waiting)
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

    fn forget_frames(&mut self, is_old: impl Fn(&QueuedFrame) -> bool) {
        let (sent, mut at, mut gone) = (self.sent, 0, 0);
        self.pieces.retain(|piece| {
            let is_begun = at == 0 && sent > 0;
            at += 1;
            match piece {
                Piece::Topic(old) if !is_begun && is_old(old) => {
                    gone += old.bytes().len();
                    false
                }
                _ => true,
            }
        });
        self.bytes -= gone;
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
    pub(crate) fn advance(&mut self, taken: usize) {
        self.in_kernel = None;
        self.bytes -= taken;
        let mut left = self.sent + taken;
        while let Some(first) = self.pieces.front() {
            let len = first.bytes().len();
            if left < len {
                break;
            }
            left -= len;
            let gone = first.own_bytes();
            self.pieces.pop_front();
            Local::with(|local| local.count_gone(gone));
        }
        self.sent = left;
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        let bytes = self.pieces.iter().map(Piece::own_bytes).sum();
        Local::try_with(|local| local.count_gone(bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_has_held_much_is_not_kept_and_all_is_counted_back() {
        let counted = || Local::with(|local| local.queued.get());
        let mut out = Outgoing::default();
        assert!(out.is_small());
        for _ in 0..100 {
            out.push_payload(Bytes::from_static(b"long"));
            out.append(|own| own.extend_from_slice(b"own"));
        }
        assert_eq!((out.bytes(), counted()), (700, 700));
        out.advance(5);
        assert_eq!((out.bytes(), counted()), (695, 696), "half a piece takes its memory");
        out.advance(690);
        out.write(|rest| assert_eq!(rest.iter().map(|piece| piece.len()).sum::<usize>(), 5));
        out.advance(5);
        assert!(out.is_empty() && !out.is_small());
        assert_eq!(counted(), 0);
        out.push_payload(Bytes::from_static(b"dropped"));
        drop(out);
        assert_eq!(counted(), 0);
    }
}
