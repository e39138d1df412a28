//! One end of a WebSocket: what its owner, its driver and its topics share.

mod extra;
mod outgoing;
mod send;

use crate::{
    Config,
    local::Local,
    proto::{
        CloseCode, Opcode, Role, Rules,
        deflate::Deflate,
        encode::{self, ClosePayload},
    },
};
pub(crate) use extra::{Dedicated, Extra};
use lakh_core::WaitSlot;
pub(crate) use outgoing::Outgoing;
pub use send::{Send, SendError};
use std::{cell::Cell, fmt, rc::Rc};

/// A handle of one connection, for its shard: to send, to subscribe, to close. A clone is the same connection.
///
/// It does not keep the connection open; when that is over, sending fails.
#[derive(Clone)]
pub struct Socket(pub(crate) Rc<Shared>);

/// What an idle connection has, beside its [`Connection`](crate::connection::Connection).
pub(crate) struct Shared {
    pub(crate) terms: Rc<Terms>,
    extra: Cell<Option<Box<Extra>>>,
    /// The connection's task.
    pub(crate) task: WaitSlot,
    pub(crate) deflate: Option<Deflate>,
    phase: Cell<Phase>,
    /// Its task is being polled: what it sends now leaves at the end of that.
    driven: Cell<bool>,
    /// Somebody wants the next message.
    pub(crate) receiving: Cell<bool>,
    /// Its session has been told that it is open.
    polled: Cell<bool>,
    /// A send was refused for want of room.
    pub(crate) refused: Cell<bool>,
    /// A ping is sent, and nothing has come since.
    pub(crate) pinged: Cell<bool>,
    /// Its session knows that no message comes any more.
    pub(crate) told: Cell<bool>,
    /// Place of the subprotocol in the configuration.
    protocol: u8,
}

const _: () = assert!(size_of::<Shared>() <= 32);
const NO_PROTOCOL: u8 = u8::MAX;

/// What all connections of a route have in common on a shard.
pub(crate) struct Terms {
    pub(crate) config: Config,
    pub(crate) role: Role,
    /// Without compression, and with it.
    rules: [Rules; 2],
    pub(crate) topics: Option<Rc<crate::topics::LocalTopics>>,
}

/// How far a connection's life has gone. Only ever grows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Phase {
    Open,
    /// Our close frame is sent or queued.
    Closing,
    /// The time runs in which the peer's has to come.
    Awaiting,
    /// Everything is said: what is queued is sent.
    Ending,
    /// Our side is closed: what still comes is dropped, so that the peer can read our last words before the reset
    /// that unread bytes would cause.
    Lingering,
    /// There is no connection any more.
    Over,
}

/// How a connection has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseInfo {
    /// The code that was sent first, by whichever end: 1005 if it was none, 1006 if the connection broke off
    /// ([`CloseCode::Abnormal`]).
    pub code: CloseCode,
    /// In words; mostly empty.
    pub reason: String,
    /// Whether the peer was first.
    pub by_peer: bool,
}

impl Terms {
    pub(crate) fn new(
        config: Config,
        role: Role,
        topics: Option<Rc<crate::topics::LocalTopics>>,
    ) -> Rc<Self> {
        let base = if role == Role::Server { Rules::server() } else { Rules::client() };
        let rules = [config.rules(base.clone(), false), config.rules(base, true)];
        Rc::new(Terms { config, role, rules, topics })
    }
}

impl Socket {
    pub(crate) fn new(terms: &Rc<Terms>, deflate: Option<Deflate>, protocol: Option<usize>) -> Self {
        let protocol = protocol.and_then(|at| u8::try_from(at).ok()).unwrap_or(NO_PROTOCOL);
        Socket(Rc::new(Shared {
            terms: Rc::clone(terms),
            extra: Cell::new(None),
            task: WaitSlot::new(),
            deflate,
            phase: Cell::new(Phase::Open),
            driven: Cell::new(false),
            receiving: Cell::new(false),
            polled: Cell::new(false),
            refused: Cell::new(false),
            pinged: Cell::new(false),
            told: Cell::new(false),
            protocol,
        }))
    }

    /// The subprotocol that was agreed on.
    pub fn protocol(&self) -> Option<&str> {
        self.0.terms.config.protocols.get(usize::from(self.0.protocol)).map(String::as_str)
    }

    /// Whether messages can still be sent: neither end has begun to close.
    pub fn is_open(&self) -> bool {
        self.phase() == Phase::Open
    }

    /// Bytes that wait for the peer to take them, beside what the kernel holds.
    pub fn queued(&self) -> usize {
        self.peek(|extra| extra.out.as_ref().map_or(0, |out| out.bytes())).unwrap_or(0)
    }

    /// How the connection has ended, or is about to; `None` while it is open.
    pub fn close_info(&self) -> Option<CloseInfo> {
        self.peek(|extra| extra.close.as_deref().cloned()).flatten()
    }

    /// Begins to close: what is queued is sent, then the close frame; the peer's answer is awaited for
    /// [`Config::close_timeout`]. Messages that come meanwhile are dropped. The second call and those after it do
    /// nothing.
    ///
    /// A `code` that may not be sent (RFC 6455, 7.4) is sent as 1002, 1005 as none; a reason of more than 123 bytes
    /// is cut.
    pub fn close(&self, code: CloseCode, reason: &str) {
        if self.is_open() {
            self.begin_close(CloseInfo { code, reason: reason.to_owned(), by_peer: false }, Phase::Closing);
        }
    }

    /// Sends the close frame, and notes how the connection ends.
    pub(crate) fn begin_close(&self, info: CloseInfo, phase: Phase) {
        self.write_control(Opcode::Close, &ClosePayload::new(info.code, &info.reason));
        self.note_close(info);
        self.advance(phase);
        self.wake();
    }

    /// Answers the peer's close frame with its code, and notes how the connection ends.
    pub(crate) fn answer_close(&self, info: CloseInfo) {
        self.write_control(Opcode::Close, &ClosePayload::new(info.code, ""));
        self.note_close(info);
    }

    /// Queues what the kernel has not taken of what was sent in this poll.
    pub(crate) fn queue_rest(&self, rest: &[u8]) {
        self.queue_bytes(rest.to_vec().into());
    }

    /// The connection is over: nothing is sent any more, and nobody waits for that.
    pub(crate) fn drop_queue(&self) {
        let subscriptions = self.peek(|extra| {
            extra.out = None;
            extra.input = Vec::new();
            extra.subscriptions.take()
        });
        drop(subscriptions);
        self.wake_senders();
    }

    /// Notes how the connection ends, unless that is noted already.
    pub(crate) fn note_close(&self, info: CloseInfo) {
        self.with_extra(|extra| extra.close.get_or_insert_with(|| Box::new(info)).code);
    }

    #[inline]
    pub(crate) fn phase(&self) -> Phase {
        self.0.phase.get()
    }

    pub(crate) fn advance(&self, phase: Phase) {
        self.0.phase.set(self.phase().max(phase));
    }

    #[inline]
    pub(crate) fn rules(&self) -> &Rules {
        &self.0.terms.rules[usize::from(self.0.deflate.is_some())]
    }

    /// Says that the connection's task is being polled, or is no longer.
    #[inline]
    pub(crate) fn set_driven(&self, driven: bool) {
        self.0.driven.set(driven);
    }

    #[inline]
    pub(crate) fn is_driven(&self) -> bool {
        self.0.driven.get()
    }

    /// Whether its session is about to be polled for the first time.
    pub(crate) fn first_poll(&self) -> bool {
        !self.0.polled.replace(true)
    }

    /// Whether there is room again for who was refused.
    pub(crate) fn take_room(&self) -> bool {
        self.0.refused.get() && self.queued() == 0 && self.0.refused.replace(false)
    }

    /// Lets the connection's task look for what has changed.
    #[inline]
    pub(crate) fn wake(&self) {
        if !self.is_driven() {
            self.0.task.wake();
        }
    }

    /// Calls `f` with the parts that few sockets have, if this one has any. `f` runs nobody else's code.
    #[inline]
    pub(crate) fn peek<R>(&self, f: impl FnOnce(&mut Extra) -> R) -> Option<R> {
        let extra = self.0.extra.take()?;
        Some(self.put_back(extra, f))
    }

    /// As [`Socket::peek`], and makes them first if there are none.
    pub(crate) fn with_extra<R>(&self, f: impl FnOnce(&mut Extra) -> R) -> R {
        let extra = self.0.extra.take().unwrap_or_default();
        self.put_back(extra, f)
    }

    #[inline]
    fn put_back<R>(&self, mut extra: Box<Extra>, f: impl FnOnce(&mut Extra) -> R) -> R {
        let value = f(&mut extra);
        if extra.is_needed() {
            self.0.extra.set(Some(extra));
        }
        value
    }

    #[inline]
    pub(crate) fn has_extra(&self) -> bool {
        let extra = self.0.extra.take();
        let is_some = extra.is_some();
        self.0.extra.set(extra);
        is_some
    }

    /// Queues a control frame behind everything else.
    pub(crate) fn write_control(&self, opcode: Opcode, payload: &[u8]) {
        self.write_with(payload.len(), |out, key| match key {
            Some(key) => encode::write_masked(out, opcode, payload, key),
            None => encode::write(out, opcode, payload),
        });
    }

    /// A key for the next frame, if we are the client.
    pub(crate) fn mask_key(&self) -> Option<[u8; 4]> {
        match self.0.terms.role {
            Role::Server => None,
            Role::Client => Some(Local::with(Local::next_key)),
        }
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("phase", &self.phase()).field("queued", &self.queued()).finish()
    }
}
