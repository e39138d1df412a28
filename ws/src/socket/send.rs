//! Sending.

use super::{Flag, Outgoing, Phase, Socket};
use crate::{
    CloseInfo, Message, Payload, SlowConsumer,
    local::Local,
    pace::Pace,
    proto::{
        CloseCode, FrameHead, Opcode, Role,
        deflate::{Compressor, Deflate},
        encode,
        frame::MAX_CONTROL_PAYLOAD,
    },
    topics::{Frame, PLACE, WINDOW_BITS},
};
use bytes::Bytes;
use lakh_core::WakerKey;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

/// What is sent in one poll is given to the kernel in pieces of about this size.
const SPILL_AT: usize = 64 * 1024;
/// Longer payloads are sent from where they are, if that is memory of their own.
const COPY_UP_TO: usize = 16 * 1024;

/// Why a message was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The connection is closing or closed.
    Closed,
    /// As many bytes wait for the peer, or for all peers of the shard, as may; see
    /// [`Config::queue`](crate::Config::queue).
    Full,
    /// A ping has 125 bytes at most (RFC 6455, 5.5).
    TooLong,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendError::Closed => "the connection is closed",
            SendError::Full => "too much waits for the peer already",
            SendError::TooLong => "a ping has 125 bytes at most",
        })
    }
}

impl std::error::Error for SendError {}

impl Socket {
    /// Sends a message, or queues it if the peer does not take it at once.
    ///
    /// ```
    /// use lakh_ws::{Callbacks, Payload, Socket};
    ///
    /// struct Echo;
    ///
    /// impl Callbacks for Echo {
    ///     fn on_message(&mut self, socket: &Socket, message: Payload<'_>) {
    ///         // A peer that sends and does not read has its queue full, and gets no answer.
    ///         let _ = socket.send(message);
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// [`SendError::Closed`] or [`SendError::Full`]; the message is not sent then.
    #[inline]
    pub fn send<'a>(&self, message: impl Into<Payload<'a>>) -> Result<(), SendError> {
        let payload = message.into();
        self.settle_topic();
        let checked = self.check();
        match checked {
            Ok(()) => self.write(payload),
            Err(SendError::Full) => self.0.flags.set(Flag::Refused, true),
            Err(_) => {}
        }
        checked
    }

    /// Sends a ping, which the peer answers with a pong of the same payload, behind all that it has been sent before:
    /// [`Callbacks::on_pong`](crate::Callbacks::on_pong) and [`WebSocket::recv_event`](crate::WebSocket::recv_event) tell
    /// of it. To keep connections alive and to notice those that are dead, none is needed: see
    /// [`Config::idle_timeout`](crate::Config::idle_timeout). Of several pings that wait, a peer may answer the last alone
    /// (RFC 6455, 5.5.3).
    ///
    /// The answer to an empty ping is told to nobody, since those that are sent without being asked for are empty.
    ///
    /// # Errors
    /// [`SendError::TooLong`] for more than 125 bytes; as [`Socket::send`].
    pub fn ping(&self, payload: impl AsRef<[u8]>) -> Result<(), SendError> {
        let payload = payload.as_ref();
        if payload.len() > MAX_CONTROL_PAYLOAD {
            return Err(SendError::TooLong);
        }
        self.settle_topic();
        let checked = self.check();
        match checked {
            Ok(()) => self.write_control(Opcode::Ping, payload),
            Err(SendError::Full) => self.0.flags.set(Flag::Refused, true),
            Err(_) => {}
        }
        checked
    }

    /// Sends a message once there is room for it. A long one in memory of its own is not copied.
    ///
    /// Cancel safe: a future that is dropped has sent nothing.
    ///
    /// # Errors
    /// [`SendError::Closed`].
    pub fn send_wait(&self, message: impl Into<Message>) -> SendFuture<'_> {
        SendFuture { socket: self, message: Some(message.into()), place: None }
    }

    /// Whether a message can be sent now.
    #[inline]
    fn check(&self) -> Result<(), SendError> {
        if !self.is_open() {
            return Err(SendError::Closed);
        }
        if self.has_queue() && !self.has_room() {
            return Err(SendError::Full);
        }
        Ok(())
    }

    pub(crate) fn has_room(&self) -> bool {
        let queued = self.queued();
        let config = &self.0.terms.config;
        queued == 0 || queued < config.queue && Local::with(|local| local.queued.get()) < config.shard_queue
    }

    fn write(&self, payload: Payload<'_>) {
        self.count_sent(1);
        let opcode = if payload.is_text() { Opcode::Text } else { Opcode::Binary };
        let bytes = payload.as_bytes();
        if self.compresses(bytes.len()) && self.write_compressed(opcode, bytes) {
            return;
        }
        self.write_with(bytes.len(), |out, key| match key {
            Some(key) => encode::write_masked(out, opcode, bytes, key),
            None => encode::write(out, opcode, bytes),
        });
    }

    /// Writes a message that need not be copied.
    fn write_message(&self, message: &Message) {
        let payload = Payload::from(message);
        let len = payload.as_bytes().len();
        let is_copied = len <= COPY_UP_TO || self.compresses(len) || self.0.terms.role == Role::Client;
        if is_copied {
            return self.write(payload);
        }
        let opcode = if payload.is_text() { Opcode::Text } else { Opcode::Binary };
        let bytes = match message {
            Message::Text(text) => Bytes::from(text.clone()),
            Message::Binary(bytes) => bytes.clone(),
        };
        self.count_sent(1);
        self.spill();
        self.with_extra(|extra| {
            let out = extra.out.get_or_insert_with(queue);
            out.append(|out| out.extend_from_slice(&FrameHead::new(opcode, bytes.len()).encode()));
            out.push_payload(bytes);
        });
        self.wake();
    }

    #[inline]
    pub(crate) fn count_sent(&self, messages: u64) {
        if let Some(counter) = &self.0.terms.counter {
            counter.sent(messages);
        }
    }

    fn compresses(&self, len: usize) -> bool {
        self.0.terms.deflate.is_some_and(|deflate| deflate.compresses())
            && len >= self.0.terms.config.compress_from
    }

    /// Writes a message compressed; false if that failed, or made it longer.
    fn write_compressed(&self, opcode: Opcode, payload: &[u8]) -> bool {
        let Some(deflate) = self.0.terms.deflate else { return false };
        let mut buffer = Local::with(Local::take_buffer);
        let compressed = if deflate.send.takeover {
            self.peek(|extra| {
                let own = extra.deflate.as_mut().and_then(|own| own.compressor.as_mut());
                own.is_some_and(|own| own.compress(payload, &mut buffer).is_ok())
            })
        } else {
            Some(Local::with(|local| {
                let mut shared = local.compress.borrow_mut();
                let compressor: &mut Compressor = shared.compressor(deflate.send.window_bits);
                compressor.compress(payload, &mut buffer).is_ok()
            }))
        };
        // A context that is taken over has the message in it: the peer needs it too.
        let is_worth_it = compressed == Some(true) && (deflate.send.takeover || buffer.len() < payload.len());
        if is_worth_it {
            let head = FrameHead { compressed: true, ..FrameHead::new(opcode, buffer.len()) };
            self.write_with(buffer.len(), |out, mask| {
                encode::write_frame(out, FrameHead { mask, ..head }, &buffer);
            });
        }
        Local::with(|local| local.return_buffer(buffer));
        is_worth_it
    }

    /// Lets `write` append a frame behind everything that is to be sent.
    #[inline]
    pub(super) fn write_with(&self, len: usize, write: impl FnOnce(&mut Vec<u8>, Option<[u8; 4]>)) {
        let key = self.mask_key();
        if self.is_driven() && !self.has_queue() {
            let is_full = Local::with(|local| {
                let mut output = local.output.borrow_mut();
                write(&mut output, key);
                output.len() >= SPILL_AT
            });
            if is_full {
                self.spill();
            }
            return;
        }
        self.with_extra(|extra| {
            let out = extra.out.get_or_insert_with(queue);
            if len > COPY_UP_TO {
                let mut frame = Vec::with_capacity(len + crate::proto::frame::MAX_HEAD);
                write(&mut frame, key);
                out.push_payload(frame.into());
            } else {
                out.append(|out| write(out, key));
            }
        });
        self.wake();
    }

    /// Moves what was sent in this poll to the socket's own queue, where it counts.
    fn spill(&self) {
        if !self.is_driven() {
            return;
        }
        let output = Local::with(|local| std::mem::take(&mut *local.output.borrow_mut()));
        if !output.is_empty() {
            self.queue_bytes(output.into());
        }
    }

    /// Queues frames, or the rest of some, in memory of their own.
    pub(crate) fn queue_bytes(&self, bytes: Bytes) {
        self.with_extra(|extra| extra.out.get_or_insert_with(queue).push_payload(bytes));
    }

    /// Whether it gets this topic's messages compressed.
    pub(crate) fn takes_deflated(&self, frame: &Frame) -> bool {
        let takes = |deflate: Deflate| !deflate.send.takeover && deflate.send.window_bits >= WINDOW_BITS;
        frame.is_deflated() && self.0.terms.deflate.is_some_and(takes)
    }

    /// Queues `count` messages of a topic, of which `last` is the last, or does what the route does with slow consumers. How
    /// many of them are queued: all, the last, or none.
    pub(crate) fn deliver(&self, frames: &Rc<Frame>, last: &Rc<Frame>, count: u64) -> u64 {
        if !self.is_open() {
            return 0;
        }
        let queued = if self.push_frame(frames) {
            count
        } else {
            u64::from(self.0.terms.config.slow_consumer == SlowConsumer::KeepLatest && self.push_latest(last))
        };
        if queued > 0 {
            self.count_sent(queued);
            self.wake();
        } else {
            self.miss_messages();
        }
        queued
    }

    /// It misses messages of a topic: does what the route does with slow consumers.
    pub(crate) fn miss_messages(&self) {
        if self.is_open() && self.0.terms.config.slow_consumer == SlowConsumer::Close {
            self.peek(|extra| extra.out.as_mut().map(|out| out.forget_topics()));
            let info = CloseInfo { code: CloseCode::Again, reason: "too slow".to_owned(), by_peer: false };
            self.begin_close(info, Phase::Closing);
        }
    }

    /// Queues a topic's messages if there is room for them.
    fn push_frame(&self, frame: &Rc<Frame>) -> bool {
        let config = &self.0.terms.config;
        let deflated = self.takes_deflated(frame);
        self.spill();
        let queued = self.peek(|extra| extra.out.as_ref().map_or(0, |out| out.cost())).unwrap_or(0);
        let fits = queued == 0 || queued + frame.bytes(deflated).len() + PLACE <= config.queue;
        let of_shard = Local::with(|local| local.queued.get());
        let has_room = fits && of_shard + frame.cost() <= config.shard_queue;
        if has_room {
            self.with_extra(|extra| {
                extra.out.get_or_insert_with(queue).push_frame(Rc::clone(frame), deflated);
            });
        }
        has_room
    }

    /// Queues a topic's message in place of those that wait, if it takes no more than they do, or as one's own messages
    /// may: when less waits than may, the last one may go beyond it. One that is half sent keeps no other one from its
    /// place. Without room, those that wait stay.
    fn push_latest(&self, frame: &Rc<Frame>) -> bool {
        let config = &self.0.terms.config;
        let deflated = self.takes_deflated(frame);
        let of_shard = Local::with(|local| local.queued.get());
        let replace = |out: &mut Box<Outgoing>| {
            let (begun, waiting) = out.bytes_of_topic(frame);
            let others = out.bytes() - begun - waiting;
            let is_last = others < config.queue && of_shard + frame.cost() <= config.shard_queue;
            let has_room = is_last || frame.bytes(deflated).len() <= waiting;
            if has_room {
                out.forget_topic(frame);
                out.push_frame(Rc::clone(frame), deflated);
            }
            has_room
        };
        self.peek(|extra| extra.out.as_mut().is_some_and(replace)).unwrap_or(false)
    }

    /// Queues a topic's messages, of which the first bytes are sent already, where nothing else waits.
    pub(crate) fn queue_begun(&self, frame: Rc<Frame>, deflated: bool, sent: usize) {
        self.with_extra(|extra| {
            let out = extra.out.get_or_insert_with(queue);
            out.push_frame(frame, deflated);
            out.advance(sent);
        });
        self.wake();
    }

    /// Wakes who waits for room.
    pub(crate) fn wake_senders(&self) {
        let waiting = self.peek(|extra| extra.room.as_mut().map(|room| room.wakers.take())).flatten();
        waiting.into_iter().flatten().for_each(Waker::wake);
    }
}

fn queue() -> Box<Outgoing> {
    let mut out = Local::with(Local::take_queue);
    out.pace = Pace::default();
    out
}

/// The future of [`Socket::send_wait`].
#[must_use = "futures do nothing unless polled"]
pub struct SendFuture<'a> {
    socket: &'a Socket,
    message: Option<Message>,
    place: Option<WakerKey>,
}

impl SendFuture<'_> {
    fn leave(&mut self) {
        if let Some(key) = self.place.take() {
            let waker = self.socket.peek(|extra| {
                let room = extra.room.as_mut()?;
                room.keys -= 1;
                let waker = room.wakers.remove(key);
                extra.room.take_if(|room| room.keys == 0);
                waker
            });
            drop(waker);
        }
    }
}

impl Future for SendFuture<'_> {
    type Output = Result<(), SendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.leave();
        self.socket.settle_topic();
        match self.socket.check() {
            Ok(()) => {
                if let Some(message) = self.message.take() {
                    self.socket.write_message(&message);
                }
                Poll::Ready(Ok(()))
            }
            Err(SendError::Full) => {
                let waker = cx.waker().clone();
                let key = self.socket.with_extra(|extra| {
                    let room = extra.room.get_or_insert_default();
                    room.keys += 1;
                    room.wakers.insert(waker)
                });
                self.place = Some(key);
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl Drop for SendFuture<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl fmt::Debug for SendFuture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendFuture").finish_non_exhaustive()
    }
}
