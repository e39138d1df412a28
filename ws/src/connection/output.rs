//! Writing: what was sent in this poll, or what is queued.

use super::{Connection, Turn};
use crate::{local::Local, proto::Opcode, socket::Flag};
use bytes::Bytes;
use std::{io, task::Poll};

/// A server reads nothing from a peer for whom so many bytes wait: who sends has to read as well. If the client did not
/// read either, both might wait for each other for ever.
pub(super) const HIGH_WATER: usize = 64 * 1024;

impl Connection {
    /// Gives everything that is to be sent to the kernel. True if it has taken all; if not, the task is woken when it
    /// takes more.
    #[inline]
    pub(super) fn flush(&mut self, turn: &mut Turn<'_, '_>) -> io::Result<bool> {
        // Either is empty: once anything is queued, everything is.
        if !Local::with(|local| local.output.borrow().is_empty()) {
            self.flush_output(turn)?;
        }
        if self.socket.has_queue() { self.flush_queue(turn) } else { Ok(true) }
    }

    fn flush_output(&mut self, turn: &mut Turn<'_, '_>) -> io::Result<()> {
        let mut output = Local::with(|local| std::mem::take(&mut *local.output.borrow_mut()));
        let written = self.socket.with_stream(|stream| stream.poll_write(turn.cx, &output));
        let taken = match written {
            Some(Poll::Ready(result)) => result,
            Some(Poll::Pending) => Ok(0),
            None => Ok(output.len()), // it goes nowhere
        };
        if let Ok(taken) = taken
            && taken < output.len()
        {
            self.socket.queue_bytes(Bytes::copy_from_slice(&output[taken..]));
        }
        output.clear();
        Local::with(|local| local.output.replace(output));
        taken.map(drop)
    }

    fn flush_queue(&mut self, turn: &mut Turn<'_, '_>) -> io::Result<bool> {
        let Some(mut out) = self.socket.peek(|extra| extra.out.take()).flatten() else { return Ok(true) };
        let mut result = Ok(());
        while !out.is_empty() {
            let written = self
                .socket
                .with_stream(|stream| out.write(|pieces| stream.poll_write_vectored(turn.cx, pieces)));
            match written {
                Some(Poll::Ready(Ok(taken))) => {
                    out.pace.moved(turn.now, taken, self.measure_of_writing());
                    out.advance(taken);
                }
                Some(Poll::Ready(Err(error))) => {
                    result = Err(error);
                    break;
                }
                Some(Poll::Pending) | None => break,
            }
        }
        let (is_done, left) = (out.is_empty(), out.bytes());
        if is_done {
            Local::with(|local| local.return_queue(out));
        } else {
            self.socket.with_extra(|extra| extra.out = Some(out));
        }
        // Woken without room they would only wait again, in this very task.
        if left < HIGH_WATER && self.socket.has_room() {
            self.socket.wake_senders();
        }
        if is_done && self.socket.0.flags.is_set(Flag::Refused) {
            // `on_room` is told by the next poll of the session.
            turn.session_polled = false;
            turn.cx.waker().wake_by_ref();
        }
        if result.is_ok()
            && left < HIGH_WATER
            && let Some(payload) =
                self.socket.peek(|extra| extra.take_control(|waiting| &mut waiting.unanswered)).flatten()
            && self.socket.is_open()
        {
            self.socket.write_control(Opcode::Pong, &payload);
            return self.flush(turn);
        }
        result.map(|()| is_done)
    }
}
