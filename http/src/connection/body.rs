//! The body of the request in progress, on its way from the socket.

use crate::{
    body::{BodyCell, BodyError, BodyFault},
    limits::{Limits, Pace},
    proto::{BodyLength, ChunkedDecoder, ParsedHead, parse_trailers},
};
use bytes::{Bytes, BytesMut};
use std::{ops::Range, rc::Rc};

/// Bytes of an unread body that are skipped to keep the connection; beyond it, closing is cheaper.
const SKIP_AT_MOST: u64 = 256 * 1024;

/// Where a request's body ends, and who reads it.
pub(crate) struct IncomingBody {
    rest: Rest,
    /// Bytes of the body so far.
    taken: u64,
    /// Of its route.
    limits: Rc<Limits>,
    cell: Option<Rc<BodyCell>>,
    /// How fast the peer sends when it is asked to.
    pub(crate) pace: Pace,
    /// The peer waits for `100 Continue` before it sends the body.
    pub(crate) expects_continue: bool,
}

enum Rest {
    Bytes(u64),
    Chunks {
        decoder: ChunkedDecoder,
        /// Lines of the trailer section, if someone may read them; the limits bound them.
        trailers: Vec<u8>,
    },
    Nothing,
    /// It cannot be told where the body ends, or it is not waited for: the connection ends with the answer.
    Failed(BodyFault),
}

impl IncomingBody {
    /// `None` if there is no body, or an empty one.
    pub(crate) fn of<'a>(head: &ParsedHead, limits: impl FnOnce() -> &'a Rc<Limits>) -> Option<Self> {
        let rest = match head.body {
            BodyLength::None | BodyLength::Exactly(0) => return None,
            BodyLength::Exactly(length) => Rest::Bytes(length),
            BodyLength::Chunked => Rest::Chunks { decoder: ChunkedDecoder::default(), trailers: Vec::new() },
        };
        let limits = limits();
        Some(IncomingBody {
            rest,
            taken: 0,
            limits: Rc::clone(limits),
            cell: None,
            pace: Pace::new(limits),
            expects_continue: head.expect_continue,
        })
    }

    /// The length, if it was announced. Before anything is fed.
    pub(crate) fn length(&self) -> Option<u64> {
        match self.rest {
            Rest::Bytes(length) => Some(length),
            Rest::Chunks { .. } | Rest::Failed(_) => None,
            Rest::Nothing => Some(0),
        }
    }

    pub(crate) fn set_reader(&mut self, cell: Rc<BodyCell>) {
        self.cell = Some(cell);
    }

    /// From here on the body is skipped: its reader, if there is one, gets no more of it.
    pub(crate) fn detach_reader(&mut self) {
        if let Some(cell) = self.cell.take() {
            cell.finish(Err(BodyError(BodyFault::Lost)));
        }
    }

    pub(crate) fn reader(&self) -> Option<&Rc<BodyCell>> {
        self.cell.as_ref()
    }

    pub(crate) fn is_complete(&self) -> bool {
        matches!(self.rest, Rest::Nothing)
    }

    /// It is longer than its limit, and says so.
    pub(crate) fn is_announced_too_long(&self) -> bool {
        self.length().is_some_and(|length| length > self.limits.body)
    }

    /// The peer has sent `n` bytes.
    pub(crate) fn moved(&mut self, now: u32, n: usize) {
        self.pace.moved(now, n, &self.limits);
    }

    /// Whether someone holds the reading side of a body that may still come.
    pub(crate) fn is_held(&self) -> bool {
        !self.has_ended() && self.cell.as_ref().is_some_and(BodyCell::is_held)
    }

    fn has_ended(&self) -> bool {
        matches!(self.rest, Rest::Nothing | Rest::Failed(_))
    }

    /// Whether someone waits for bytes that are still to come. A reader that is dropped does not, though it
    /// has asked.
    pub(crate) fn is_wanted(&self) -> bool {
        self.is_held() && self.cell.as_ref().is_some_and(|cell| cell.is_wanted())
    }

    /// Whether what is left is little enough to be skipped.
    pub(crate) fn is_skippable(&self) -> bool {
        match self.rest {
            Rest::Bytes(left) => left <= SKIP_AT_MOST,
            Rest::Chunks { .. } => self.taken <= SKIP_AT_MOST,
            Rest::Nothing => true,
            Rest::Failed(_) => false,
        }
    }

    /// Takes the body's bytes from the front of `input` and hands them to the reader, if there is
    /// one. Gives the number of bytes that are done with.
    pub(crate) fn feed(&mut self, input: &[u8]) -> Result<usize, BodyFault> {
        if !input.is_empty() {
            self.expects_continue = false; // it did not wait
        }
        let result = match self.rest {
            Rest::Bytes(_) => Ok(self.feed_bytes(input)),
            Rest::Chunks { .. } => self.feed_chunks(input),
            Rest::Nothing => Ok(0),
            Rest::Failed(fault) => Err(fault),
        };
        match result {
            Err(fault) => self.fail(fault),
            Ok(_) if self.is_complete() => self.finish(Ok(())),
            Ok(_) => {}
        }
        result
    }

    fn feed_bytes(&mut self, input: &[u8]) -> usize {
        let Rest::Bytes(left) = &mut self.rest else { return 0 };
        let n = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
        *left -= n as u64;
        if *left == 0 {
            self.rest = Rest::Nothing;
        }
        self.taken += n as u64;
        if n > 0 {
            self.deliver(|| Bytes::copy_from_slice(&input[..n]));
        }
        n
    }

    fn feed_chunks(&mut self, input: &[u8]) -> Result<usize, BodyFault> {
        let is_held = self.cell.as_ref().is_some_and(BodyCell::is_held);
        let Rest::Chunks { decoder, trailers } = &mut self.rest else { return Ok(0) };
        let mut at = 0;
        let mut parts: Vec<Range<usize>> = Vec::new();
        let mut done = false;
        while at < input.len() && !done {
            let chunk = decoder.decode(&input[at..], &self.limits.chunks).map_err(BodyFault::from)?;
            self.taken += chunk.data.len() as u64;
            if self.taken > self.limits.body {
                return Err(BodyFault::TooLong);
            }
            if !chunk.data.is_empty() {
                parts.push(at + chunk.data.start..at + chunk.data.end);
            }
            if is_held {
                trailers.extend_from_slice(&input[at..][chunk.trailers]);
            }
            at += chunk.consumed;
            done = chunk.done;
        }
        if done {
            if let (Some(cell), false) = (&self.cell, trailers.is_empty()) {
                cell.set_trailers(parse_trailers(trailers));
            }
            self.rest = Rest::Nothing;
        }
        if !parts.is_empty() {
            self.deliver(|| {
                let mut all = BytesMut::with_capacity(parts.iter().map(Range::len).sum());
                parts.iter().for_each(|part| all.extend_from_slice(&input[part.clone()]));
                all.freeze()
            });
        }
        Ok(at)
    }

    fn deliver(&self, bytes: impl FnOnce() -> Bytes) {
        if let Some(cell) = self.cell.as_ref().filter(|cell| BodyCell::is_held(cell)) {
            cell.push(bytes());
        }
    }

    fn finish(&self, end: Result<(), BodyError>) {
        if let Some(cell) = &self.cell {
            cell.finish(end);
        }
    }

    /// Tells the reader that the rest will not come. Nothing more of the body is taken.
    pub(crate) fn fail(&mut self, fault: BodyFault) {
        self.rest = Rest::Failed(fault);
        self.finish(Err(BodyError(fault)));
    }
}

impl Drop for IncomingBody {
    fn drop(&mut self) {
        if !self.has_ended() {
            self.fail(BodyFault::Lost);
        }
    }
}
