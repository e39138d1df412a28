//! WebSocket, as a client of a load test speaks it: echoes, connections that stand, and messages that a server gives
//! to many. It reads what servers send with tungstenite's frame header and never with lakh's parser.

mod decoder;
mod handshake;
mod marker;
mod publisher;

use super::{Answer, Companion, Failure, Pattern, Protocol, Sink, Window, window::Arrival};
use crate::{
    broadcast::{Published, Received, Receivers},
    engine::{Local, Nanos},
    plan::Plan,
    stats::Cause,
    template::{Template, Values},
};
use decoder::{Decoder, Part};
use handshake::{Handshake, Request};
use marker::Marker;
use std::{cell::RefCell, rc::Rc, sync::Arc};
use tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Control, Data, OpCode},
};

/// A marker is looked for in so many bytes of a message.
const MARKER_WITHIN: usize = 1024;
/// Text of a reason for closing that is kept as an example.
const REASON_AT_MOST: usize = 60;

pub(crate) struct Ws {
    request: Request,
    pattern: Pattern,
    /// Sent first on every socket.
    open: Option<Template>,
    /// Those of the next handshake.
    values: RefCell<Values>,
    ping_every: Option<Nanos>,
    /// What is known of the publisher, if there is one.
    published: Option<Arc<Published>>,
    /// Tells this run's messages from others'.
    run: u32,
    receivers: RefCell<Receivers>,
}

/// What one WebSocket keeps.
#[derive(Debug, Default)]
pub(crate) struct Session {
    handshake: Option<Box<Handshake>>,
    decoder: Decoder,
    /// The message that is being read, if it did not come as a whole.
    reading: Option<Box<Reading>>,
    /// Messages that were sent to be echoed, and those that came back.
    sent: u32,
    echoed: u32,
    /// Messages that had been published when it began to receive.
    before: u32,
    window: Window,
    /// The publisher's own.
    is_publisher: bool,
    awaits_pong: bool,
}

/// Of a message, what is needed at its end.
#[derive(Debug, Default)]
struct Reading {
    /// Bytes that have come.
    len: usize,
    differs: bool,
    /// The beginning of a text.
    head: Vec<u8>,
}

impl Ws {
    /// `run` is the same on all shards, and `published`, if anything is to be published; `values` are this shard's.
    pub(crate) fn new(plan: &Plan, values: Values, published: Option<Arc<Published>>, run: u32) -> Self {
        Ws {
            request: Request::new(&plan.target, &plan.http),
            pattern: Pattern::new(plan.size),
            open: plan.ws.open.clone(),
            values: RefCell::new(values),
            ping_every: plan.ws.ping.map(|every| crate::engine::nanos(every).max(1)),
            published,
            run,
            receivers: RefCell::default(),
        }
    }

    /// Takes part of a message.
    fn data(&self, session: &mut Session, part: Part<'_>, sink: &mut Sink<'_>) {
        let Part::Data { is_text, first, last, bytes } = part else { return };
        if first && last {
            // The common case, without a box.
            let found = is_text && self.receives(session) && self.text(session, bytes, sink.now);
            if !found {
                let differs =
                    bytes.len() != self.pattern.len() || !self.pattern.matches(session.echoed, 0, bytes);
                self.echo(session, differs, sink);
            }
            return;
        }
        let reading = session.reading.get_or_insert_default();
        reading.differs |= !self.pattern.matches(session.echoed, reading.len, bytes);
        reading.len += bytes.len();
        if is_text {
            let room = MARKER_WITHIN - reading.head.len();
            reading.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
        if last && let Some(reading) = session.reading.take() {
            let found = is_text && self.receives(session) && self.text(session, &reading.head, sink.now);
            if !found {
                self.echo(session, reading.differs || reading.len != self.pattern.len(), sink);
            }
        }
    }

    fn receives(&self, session: &Session) -> bool {
        self.published.is_some() && !session.is_publisher
    }

    /// Takes a text; false if it is none of this run's broadcasts.
    fn text(&self, session: &mut Session, text: &[u8], now: Nanos) -> bool {
        let Some(marker) = Marker::find(&text[..text.len().min(MARKER_WITHIN)]) else { return false };
        let published = self.published.as_ref().map_or(0, |published| published.count());
        if marker.run != self.run || marker.number >= published {
            return false;
        }
        let mut receivers = self.receivers.borrow_mut();
        if marker.number < session.before {
            // It was on its way when this one came, and may have come to it or not.
            return true;
        }
        match session.window.take(marker.number) {
            Arrival::Newest => {}
            Arrival::Late => receivers.reordered(),
            Arrival::Again => {
                receivers.duplicate();
                return true;
            }
        }
        receivers.receive(marker.number, now.saturating_sub(marker.sent));
        true
    }

    /// A message came that is no broadcast: an echo, if one is awaited; servers may send others as they like.
    fn echo(&self, session: &mut Session, differs: bool, sink: &mut Sink<'_>) {
        if session.echoed == session.sent || session.is_publisher {
            return;
        }
        session.echoed = session.echoed.wrapping_add(1);
        sink.answers.push(if differs { Answer::Bad(0, Cause::Body) } else { Answer::Good(0) });
    }
}

impl Protocol for Ws {
    type Session = Session;

    fn open(&self, session: &mut Session, out: &mut Vec<u8>) {
        let mut values = self.values.borrow_mut();
        let handshake = if session.is_publisher {
            // As the first of the sockets, beside which it stands.
            values.with_number(0, |values| self.request.append(values, out))
        } else {
            let handshake = self.request.append(&mut values, out);
            values.advance();
            handshake
        };
        session.handshake = Some(Box::new(handshake));
    }

    #[inline]
    fn request(&self, session: &mut Session, out: &mut Vec<u8>) {
        let mask = begin_frame(OpCode::Data(Data::Binary), self.pattern.len(), out);
        let from = out.len();
        self.pattern.append(session.sent, out);
        apply(mask, &mut out[from..]);
        session.sent = session.sent.wrapping_add(1);
    }

    fn receive(&self, session: &mut Session, mut input: &[u8], sink: &mut Sink<'_>) -> Result<(), Failure> {
        if let Some(handshake) = &mut session.handshake {
            let Some(used) = handshake.receive(input)? else { return Ok(()) };
            let number = handshake.number;
            session.handshake = None;
            sink.stands = true;
            input = &input[used..];
            if let Some(message) = &self.open {
                let mask = begin_frame(OpCode::Data(Data::Text), message.length(number), sink.out);
                let from = sink.out.len();
                let mut values = self.values.borrow_mut();
                values.with_number(number, |values| message.render(values, sink.out));
                apply(mask, &mut sink.out[from..]);
            }
        }
        while let Some(part) = session.decoder.next(&mut input)? {
            match part {
                Part::Data { .. } => self.data(session, part, sink),
                Part::Ping(payload) => append_frame(OpCode::Control(Control::Pong), &payload, sink.out),
                Part::Pong => session.awaits_pong = false,
                Part::Close(payload) => {
                    append_frame(OpCode::Control(Control::Close), &payload, sink.out);
                    return Err(closed(&payload));
                }
            }
        }
        Ok(())
    }

    fn end(&self, _: &mut Session, _: &mut Sink<'_>) {}

    fn stood(&self, session: &mut Session) {
        if let Some(published) = &self.published {
            session.before = published.count();
            self.receivers.borrow_mut().join(session.before);
        }
    }

    fn left(&self, session: &mut Session) {
        if let Some(published) = &self.published {
            self.receivers.borrow_mut().leave(session.before, published.count());
        }
    }

    fn ping_every(&self) -> Option<Nanos> {
        self.ping_every
    }

    fn ping(&self, session: &mut Session, out: &mut Vec<u8>) -> Result<(), Failure> {
        if session.awaits_pong {
            return Err(Failure::new(Cause::Timeout, "no pong before the next ping"));
        }
        session.awaits_pong = true;
        append_frame(OpCode::Control(Control::Ping), b"", out);
        Ok(())
    }

    fn received(&self) -> Option<Received> {
        let published = self.published.as_ref()?;
        Some(self.receivers.borrow_mut().tell(published.count()))
    }

    fn take_back(&self, told: Received) {
        self.receivers.borrow_mut().take_back(told);
    }

    fn companion(local: &Rc<Local<Self>>) -> Option<Companion> {
        let published = local.protocol.published.as_ref().filter(|_| local.is_first())?;
        Some(Box::pin(publisher::publish(Rc::clone(local), Arc::clone(published))))
    }
}

/// Appends a frame of a client, with a mask.
fn append_frame(opcode: OpCode, payload: &[u8], out: &mut Vec<u8>) {
    let mask = begin_frame(opcode, payload.len(), out);
    let from = out.len();
    out.extend_from_slice(payload);
    apply(mask, &mut out[from..]);
}

/// Appends a frame's header; its mask.
#[inline]
fn begin_frame(opcode: OpCode, len: usize, out: &mut Vec<u8>) -> [u8; 4] {
    let mask = fastrand::u32(..).to_ne_bytes();
    let header = FrameHeader { opcode, mask: Some(mask), ..FrameHeader::default() };
    header.format(len as u64, out).expect("a vector takes every byte");
    mask
}

#[inline]
fn apply(mask: [u8; 4], bytes: &mut [u8]) {
    let mask_twice = u64::from_ne_bytes([mask, mask].concat().try_into().expect("eight bytes"));
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ mask_twice).to_ne_bytes();
    }
    rest.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
}

/// What a Close frame says.
fn closed(payload: &[u8]) -> Failure {
    let mut text = "the server closed the WebSocket".to_owned();
    let mut is_orderly = payload.is_empty();
    if let Some((code, reason)) = payload.split_first_chunk::<2>() {
        let code = u16::from_be_bytes(*code);
        let reason: String = String::from_utf8_lossy(reason).chars().take(REASON_AT_MOST).collect();
        text.push_str(format!(": {code} {reason}").trim_end());
        is_orderly = matches!(code, 1000 | 1001);
    }
    Failure { is_orderly, ..Failure::new(Cause::Closed, text) }
}
