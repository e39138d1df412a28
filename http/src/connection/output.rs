//! Sending what was written.

use super::{Driver, Step};
use lakh_net::{TcpStream, sys::send_with_more_to_come};
use std::{io, task::Poll};

/// Buffers for unsent output that have grown beyond this are freed, not kept.
const KEEP_AT_MOST: usize = 256 * 1024;

impl Driver<'_, '_> {
    /// Sends the shard's output buffer; what the kernel does not take is kept as unsent.
    /// True if nothing is unsent.
    #[inline]
    pub(super) fn flush(&mut self) -> io::Result<bool> {
        self.flush_by(TcpStream::try_write)
    }

    /// The same, for what a file follows at once: its first bytes share a segment with the head.
    pub(super) fn flush_with_more_to_come(&mut self) -> io::Result<bool> {
        self.flush_by(send_with_more_to_come)
    }

    #[inline]
    fn flush_by(&mut self, write: impl Fn(&TcpStream, &[u8]) -> io::Result<usize>) -> io::Result<bool> {
        if self.scratch.output.is_empty() {
            return Ok(self.connection.active.as_ref().is_none_or(|active| active.unsent.is_empty()));
        }
        let unsent = self.connection.active.as_ref().is_some_and(|active| !active.unsent.is_empty());
        let sent = if unsent {
            0
        } else {
            match write(self.stream, &self.scratch.output) {
                Ok(sent) => sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(error) => return Err(error),
            }
        };
        self.bytes += sent;
        let all = sent == self.scratch.output.len();
        if !all {
            let output = std::mem::take(&mut self.scratch.output);
            self.active().unsent.extend_from_slice(&output[sent..]);
            self.scratch.output = output;
        }
        self.clear_output();
        Ok(all)
    }

    pub(super) fn clear_output(&mut self) {
        self.scratch.output.clear();
        self.scratch.output.shrink_to(KEEP_AT_MOST);
    }

    /// Goes on with what the kernel did not take before.
    pub(super) fn send_unsent(&mut self) -> Step {
        let now = self.service.now();
        let Some(active) = &mut self.connection.active else { return Step::Again };
        match self.stream.poll_write(self.cx, &active.unsent[active.sent..]) {
            Poll::Ready(Ok(0) | Err(_)) => Step::Close,
            Poll::Ready(Ok(n)) => {
                self.bytes += n;
                active.pace.moved(now, n, self.service.limits());
                active.sent += n;
                if active.sent == active.unsent.len() {
                    active.unsent = Vec::new();
                    active.sent = 0;
                }
                Step::Again
            }
            Poll::Pending => {
                if let Some(exchange) = &mut active.exchange {
                    exchange.pause_body();
                }
                self.wait_for_peer()
            }
        }
    }

    /// The kernel's buffer is full: the peer has to read, and at the least rate.
    pub(super) fn wait_for_peer(&mut self) -> Step {
        let now = self.service.now();
        if !self.active().pace.is_waiting() {
            self.active().queued = self.queued();
        }
        let deadline = self.active().pace.wait(now);
        self.wait_until(deadline).or_else(|| self.wait_on(now)).unwrap_or_else(|| {
            self.service.count_slow_reader();
            Step::Close
        })
    }

    /// The time is over, but the kernel may just not have said that the peer reads: a full buffer
    /// counts as writable only when a third of it, which may be more than a megabyte, is free again.
    fn wait_on(&mut self, now: u32) -> Option<Step> {
        let (queued, limits) = (self.queued(), self.service.limits());
        let active = self.active();
        let taken = active.queued.saturating_sub(queued);
        active.queued = queued;
        active.pace.moved(now, taken, limits);
        let deadline = active.pace.wait(now);
        // Nothing but the rest of the current second: it has not even kept to the rate.
        if deadline <= now.saturating_add(1) { None } else { self.wait_until(deadline) }
    }

    /// Bytes that the peer has not acknowledged; where the system does not tell, none.
    fn queued(&self) -> usize {
        self.stream.send_queue().unwrap_or(0)
    }
}
