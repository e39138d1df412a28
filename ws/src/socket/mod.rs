//! One end of a WebSocket: what its owner, its driver and its topics share.

mod extra;
mod flags;
mod outgoing;
mod send;
mod terms;

use crate::{
    local::Local,
    proto::{
        CloseCode, Opcode, Role,
        encode::{self, ClosePayload},
    },
    topics::Subscriptions,
};
use bytes::BytesMut;
pub(crate) use extra::{Dedicated, Extra, Incoming};
pub(crate) use flags::{Flag, Flags};
use lakh_core::WaitSlot;
use lakh_net::TcpStream;
pub(crate) use outgoing::Outgoing;
pub use send::{SendError, SendFuture};
use std::{
    cell::Cell,
    fmt,
    hash::{Hash, Hasher},
    io,
    net::SocketAddr,
    rc::Rc,
};
pub(crate) use terms::{Route, Terms};

/// Bytes that a socket may hold of what has come, however much the others do.
const SMALL: u32 = 1024;

/// A handle of one connection, for its shard: to send, to subscribe, to close. A clone is the same connection, and equal
/// to it: handles may be kept in a set.
///
/// It does not keep the connection open; when that is over, sending fails.
#[derive(Clone)]
pub struct Socket(pub(crate) Rc<Shared>);

/// What an idle connection has, beside its [`Connection`](crate::connection::Connection).
pub(crate) struct Shared {
    pub(crate) terms: Rc<Terms>,
    extra: Cell<Option<Box<Extra>>>,
    /// Not in there, since subscribers are as many as there are idle sockets.
    pub(crate) subscriptions: Cell<Option<Box<Subscriptions>>>,
    /// Gone once the connection is, whoever holds the socket.
    stream: Cell<Option<TcpStream>>,
    /// The connection's task.
    pub(crate) task: WaitSlot,
    /// The shard's second of the last sign of life, or of what the phase waits for.
    pub(crate) mark: Cell<u32>,
    phase: Cell<Phase>,
    pub(crate) flags: Flags,
}

// The budget of an idle connection; see ARCHITECTURE.md for the sum. (mio's sockets are larger in debug builds.)
const _: () = assert!(cfg!(debug_assertions) || size_of::<Shared>() <= 48);

/// How far a connection's life has gone. Only ever grows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Phase {
    Open,
    /// As open, until its shard's drain comes to it.
    Draining,
    /// Our close frame is sent or queued.
    Closing,
    /// The time runs in which the peer's has to come, once nothing is queued.
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

impl Socket {
    /// `read` has been read already.
    pub(crate) fn new(terms: Rc<Terms>, stream: TcpStream, read: &[u8]) -> Self {
        let contexts = terms.deflate.and_then(Dedicated::new);
        let socket = Socket(Rc::new(Shared {
            terms,
            extra: Cell::new(None),
            subscriptions: Cell::new(None),
            stream: Cell::new(Some(stream)),
            task: WaitSlot::new(),
            mark: Cell::new(lakh_core::with(lakh_core::Shard::coarse_now)),
            phase: Cell::new(Phase::Open),
            flags: Flags::default(),
        }));
        if !read.is_empty() || contexts.is_some() {
            socket.with_extra(|extra| {
                extra.input = read.into();
                extra.deflate = contexts.map(Box::new);
            });
        }
        socket
    }

    /// The subprotocol that was agreed on.
    pub fn protocol(&self) -> Option<&str> {
        let terms = &self.0.terms;
        Some(terms.config.protocols.get(terms.protocol?)?.as_str())
    }

    /// The other end's address. Behind a proxy it is the proxy's; the client's is then what the handler's parameter
    /// [`ClientAddr`](lakh_http::extract::ClientAddr) says.
    ///
    /// # Errors
    /// `NotConnected` once the connection is over; those of getpeername(2).
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.with_stream(TcpStream::peer_addr).unwrap_or_else(|| Err(io::ErrorKind::NotConnected.into()))
    }

    /// Whether messages can still be sent: neither end has begun to close.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.phase() <= Phase::Draining
    }

    /// Bytes that wait for the peer to take them, beside what the kernel holds.
    pub fn queued(&self) -> usize {
        if !self.has_queue() {
            return 0;
        }
        self.peek(|extra| extra.out.as_ref().map_or(0, |out| out.bytes())).unwrap_or(0)
    }

    /// How the connection has ended, or is about to; `None` while it is open.
    pub fn close_info(&self) -> Option<CloseInfo> {
        self.peek(|extra| extra.close.as_deref().cloned()).flatten()
    }

    pub(crate) fn close_code(&self) -> Option<CloseCode> {
        self.peek(|extra| extra.close.as_ref().map(|close| close.code)).flatten()
    }

    /// Begins to close: what is queued is sent, then the close frame; then the peer's answer is awaited for
    /// [`Config::close_timeout`](crate::Config::close_timeout). Messages that come meanwhile are dropped. The second call
    /// and those after it do nothing.
    ///
    /// A `code` that may not be sent (RFC 6455, 7.4) is sent as 1002, 1005 as none; a reason of more than 123 bytes
    /// is cut.
    pub fn close(&self, code: CloseCode, reason: &str) {
        self.settle_topic();
        if self.is_open() {
            let code = encode::sent_as(code);
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
        self.settle_topic();
        self.write_control(Opcode::Close, &ClosePayload::new(info.code, ""));
        self.note_close(info);
    }

    /// The connection is over: nothing is sent any more, and nobody waits for that.
    pub(crate) fn drop_queue(&self) {
        self.peek(|extra| {
            extra.out = None;
            extra.incoming = Incoming::default();
            extra.input = BytesMut::new();
            extra.deflate = None;
            extra.take_control(|waiting| &mut waiting.unanswered);
        });
        self.leave_topics();
        self.wake_senders();
        self.wake_receiver();
    }

    /// Drops what has come and is no whole message.
    pub(crate) fn drop_input(&self) {
        self.peek(|extra| {
            extra.incoming = Incoming::default();
            extra.input = BytesMut::new();
        });
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

    /// Says that the connection's task is being polled, or is no longer.
    #[inline]
    pub(crate) fn set_driven(&self, driven: bool) {
        self.0.flags.set(Flag::Driven, driven);
    }

    #[inline]
    pub(crate) fn is_driven(&self) -> bool {
        self.0.flags.is_set(Flag::Driven)
    }

    /// Whether its session is about to be polled for the first time.
    pub(crate) fn first_poll(&self) -> bool {
        !self.0.flags.replace(Flag::Polled, true)
    }

    /// Whether there is room again for who was refused.
    pub(crate) fn take_room(&self) -> bool {
        self.0.flags.is_set(Flag::Refused) && !self.has_queue() && self.0.flags.replace(Flag::Refused, false)
    }

    /// Wakes the receiver if it is another task than the connection's, and says whether it is.
    pub(crate) fn wake_receiver(&self) -> bool {
        let receiver = self.take_receiver();
        let is_other = receiver.is_set();
        receiver.wake();
        is_other
    }

    /// Who receives, if that is another task than the connection's, which waits no longer.
    pub(crate) fn take_receiver(&self) -> WaitSlot {
        self.peek(|extra| std::mem::take(&mut extra.receiver)).unwrap_or_default()
    }

    /// Keeps a pong for whoever receives; false if nobody wants it. One that has not been received yet is forgotten.
    pub(crate) fn keep_pong(&self, payload: &[u8]) -> bool {
        let is_wanted = self.0.flags.is_set(Flag::Pongs) && !self.0.flags.is_set(Flag::Deserted);
        if is_wanted {
            self.with_extra(|extra| extra.controls.get_or_insert_default().pong = Some(payload.into()));
        }
        is_wanted
    }

    /// Whether a message is wanted: one is asked for, or none is waiting. So what a peer sends beside messages is read
    /// though nobody receives: that it is alive, that it closes, its pings.
    #[inline]
    pub(crate) fn wants_message(&self) -> bool {
        self.0.flags.is_set(Flag::Receiving) || !self.peek(|extra| extra.inbox.is_some()).unwrap_or(false)
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
        self.keep_extra(extra);
        value
    }

    /// Of its own, so that looking at what is not there stays short wherever that is done.
    #[inline(never)]
    fn keep_extra(&self, mut extra: Box<Extra>) {
        self.0.flags.set(Flag::Queue, extra.out.is_some());
        self.0.flags.set(Flag::Half, !extra.incoming.decoder.is_idle());
        if let Some(of_shard) = extra.count_held() {
            let is_much = extra.held > SMALL && of_shard > self.0.terms.config.shard_inbox;
            self.0.flags.set(Flag::Crowded, is_much);
        }
        if extra.is_needed() {
            self.0.extra.set(Some(extra));
        }
    }

    /// Whether something waits for the peer to take it.
    #[inline]
    pub(crate) fn has_queue(&self) -> bool {
        self.0.flags.is_set(Flag::Queue)
    }

    #[inline]
    pub(crate) fn has_one_topic(&self) -> bool {
        self.0.flags.is_set(Flag::OneTopic)
    }

    /// Calls `f` with the connection's stream, if it is still there. `f` runs nobody else's code.
    #[inline]
    pub(crate) fn with_stream<R>(&self, f: impl FnOnce(&TcpStream) -> R) -> Option<R> {
        let stream = self.0.stream.take()?;
        let value = f(&stream);
        self.0.stream.set(Some(stream));
        Some(value)
    }

    /// Closes the connection's descriptor.
    pub(crate) fn drop_stream(&self) {
        self.0.stream.set(None);
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

impl PartialEq for Socket {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Socket {}

impl Hash for Socket {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Rc::as_ptr(&self.0).hash(state);
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("phase", &self.phase()).field("queued", &self.queued()).finish()
    }
}
