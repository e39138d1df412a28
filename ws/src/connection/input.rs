//! Reading: from bytes to the session's messages.

use super::{Connection, Step, Turn, output::HIGH_WATER};
use crate::{
    CloseInfo,
    local::Local,
    pace::Pace,
    proto::{CloseCode, CloseFrame, Event, Opcode, ProtocolError},
    session::Received,
    socket::{Flag, Phase},
};
use bytes::{Buf, BytesMut};
use std::{rc::Rc, task::Poll};

impl Connection {
    /// Takes what was read and kept, or reads. An error says why the connection is over.
    #[inline]
    pub(super) fn receive(
        &mut self,
        turn: &mut Turn<'_, '_>,
        input: &mut [u8],
    ) -> Poll<Result<(), &'static str>> {
        if let Some(mut kept) = self.take_kept() {
            let taken = self.take(turn, &mut kept);
            kept.advance(taken);
            self.keep(kept);
            self.check_room(turn);
            return Poll::Ready(Ok(()));
        }
        let read = self.socket.with_stream(|stream| stream.poll_read(turn.cx, input));
        match read.unwrap_or(Poll::Pending) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(0)) => Poll::Ready(Err("the peer has gone without a close frame")),
            Poll::Ready(Err(_)) => Poll::Ready(Err("the connection broke off")),
            Poll::Ready(Ok(n)) => {
                turn.heard = true;
                let taken = self.take(turn, &mut input[..n]);
                if taken < n {
                    self.keep(BytesMut::from(&input[taken..n]));
                }
                self.check_room(turn);
                Poll::Ready(Ok(()))
            }
        }
    }

    fn take_kept(&self) -> Option<BytesMut> {
        let kept = self.socket.peek(|extra| std::mem::take(&mut extra.input));
        kept.filter(|kept| !kept.is_empty())
    }

    fn keep(&self, rest: BytesMut) {
        if !rest.is_empty() {
            self.socket.with_extra(|extra| extra.input = rest);
        }
    }

    /// Takes the messages out of `bytes` as long as somebody wants them, and says how many bytes are done with.
    fn take(&mut self, turn: &mut Turn<'_, '_>, bytes: &mut [u8]) -> usize {
        let incoming = self.socket.peek(|extra| std::mem::take(&mut extra.incoming));
        let mut incoming = incoming.unwrap_or_default();
        let (mut is_same, received) = (!incoming.decoder.is_idle(), incoming.decoder.received());
        let terms = Rc::clone(&self.socket.0.terms);
        let mut at = 0;
        while at < bytes.len() && self.receives() {
            match incoming.decoder.decode(&mut bytes[at..], &terms.rules) {
                Ok(decoded) => {
                    at += decoded.consumed;
                    turn.frames += 1;
                    is_same &= !incoming.decoder.is_idle();
                    if let Some(event) = decoded.event {
                        self.handle(turn, event);
                    }
                }
                Err(error) => {
                    self.fail(turn, error);
                    break;
                }
            }
        }
        if self.socket.phase() >= Phase::Ending {
            return bytes.len(); // nothing that comes now means anything
        }
        if !incoming.decoder.is_idle() {
            if is_same {
                let more = incoming.decoder.received().saturating_sub(received);
                incoming.pace.moved(turn.now, more, self.measure_of_reading());
            } else {
                incoming.pace = Pace::default(); // another message
            }
            self.socket.with_extra(|extra| extra.incoming = incoming);
        }
        at
    }

    /// Whoever has just sent more than there is room for on the shard comes again later.
    #[inline]
    fn check_room(&mut self, turn: &Turn<'_, '_>) {
        if self.socket.0.flags.is_set(Flag::Crowded) && self.socket.is_open() {
            if let Some(counter) = &self.socket.0.terms.counter {
                counter.crowded();
            }
            self.socket.peek(|extra| extra.inbox = None);
            self.give_up(turn, CloseCode::Again, "no room for the message");
        }
    }

    #[inline]
    fn handle(&mut self, turn: &mut Turn<'_, '_>, event: Event<'_>) {
        match event {
            Event::Text(text) => self.give(turn, Received::Text(text)),
            Event::Binary(bytes) => self.give(turn, Received::Binary(bytes)),
            Event::Compressed { text, payload } => self.inflate(turn, text, &payload),
            Event::Ping(payload) => self.answer_ping(&payload),
            Event::Pong(payload) => self.pong(turn, &payload),
            Event::Close(frame) => self.peer_closes(turn, &frame),
        }
    }

    fn answer_ping(&self, payload: &[u8]) {
        if !self.socket.is_open() {
            return;
        }
        self.socket.settle_topic();
        if self.socket.queued() < HIGH_WATER {
            self.socket.write_control(Opcode::Pong, payload);
        } else {
            // A client reads on, whatever waits for the server: answers must not pile up.
            self.socket
                .with_extra(|extra| extra.controls.get_or_insert_default().unanswered = Some(payload.into()));
        }
    }

    /// Tells of the answer to a ping of the user's; those to ours are empty.
    fn pong(&mut self, turn: &mut Turn<'_, '_>, payload: &[u8]) {
        if self.socket.is_open() && !payload.is_empty() {
            self.with_session(turn, |session, socket, cx| session.pong(socket, cx, payload));
        }
    }

    #[inline]
    fn give(&mut self, turn: &mut Turn<'_, '_>, message: Received<'_>) {
        // Behind our own close frame nobody wants it.
        if !self.socket.is_open() {
            return;
        }
        if let Some(counter) = &self.socket.0.terms.counter {
            counter.received();
        }
        self.with_session(turn, |session, socket, cx| session.message(socket, cx, message));
    }

    fn peer_closes(&mut self, turn: &Turn<'_, '_>, frame: &CloseFrame<'_>) {
        self.socket.0.mark.set(turn.now);
        if self.socket.is_open() {
            let info = CloseInfo { code: frame.code, reason: frame.reason.to_string(), by_peer: true };
            self.socket.answer_close(info);
        }
        self.socket.leave_topics();
        self.socket.advance(Phase::Ending);
    }

    #[cold]
    fn fail(&mut self, turn: &Turn<'_, '_>, error: ProtocolError) {
        self.give_up(turn, error.close_code(), error.reason());
    }

    /// Closes, and reads no message any more.
    #[cold]
    pub(super) fn give_up(&mut self, turn: &Turn<'_, '_>, code: CloseCode, reason: &str) {
        self.socket.0.mark.set(turn.now);
        if self.socket.is_open() {
            let info = CloseInfo { code, reason: reason.to_owned(), by_peer: false };
            self.socket.begin_close(info, Phase::Ending);
        }
        self.socket.leave_topics();
        self.socket.drop_input();
        self.socket.advance(Phase::Ending);
    }

    fn inflate(&mut self, turn: &mut Turn<'_, '_>, text: bool, payload: &[u8]) {
        let limit = self.socket.0.terms.config.max_message;
        let socket = self.socket.clone();
        let own = socket.peek(|extra| extra.deflate.as_mut().and_then(|own| own.inflater.take()));
        let mut own = own.flatten();
        let mut buffer = Local::with(Local::take_buffer);
        // Nobody else inflates while the session has its turn.
        Local::with(|local| {
            let mut shared = local.inflate.borrow_mut();
            let inflater = own.as_mut().unwrap_or_else(|| shared.inflater());
            match inflater.message(text, payload, limit, &mut buffer) {
                Ok(Event::Text(text)) => self.give(turn, Received::Text(text)),
                Ok(Event::Binary(bytes)) => self.give(turn, Received::Binary(bytes)),
                Ok(_) => {}
                Err(error) => self.fail(turn, error),
            }
        });
        if let Some(own) = own {
            socket.peek(|extra| {
                if let Some(contexts) = &mut extra.deflate {
                    contexts.inflater = Some(own);
                }
            });
        }
        Local::with(|local| local.return_buffer(buffer));
    }

    /// Reads and drops what still comes, up to the peer's end.
    pub(super) fn linger(&mut self, turn: &mut Turn<'_, '_>, input: &mut [u8]) -> Poll<Step> {
        let read = self.socket.with_stream(|stream| stream.poll_read(turn.cx, input));
        match read.unwrap_or(Poll::Pending) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(n)) if n > 0 => Poll::Ready(Step::Again),
            Poll::Ready(_) => Poll::Ready(self.end()),
        }
    }
}
