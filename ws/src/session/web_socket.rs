//! Connections that a future receives from.

use super::{Received, Session};
use crate::{
    CloseInfo, Message, SendError, Socket,
    local::Local,
    proto::CloseCode,
    socket::{Flag, Phase, SendFuture},
};
use bytes::Bytes;
use std::{
    fmt,
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

/// A connection, for the one who receives from it.
///
/// It is closed when this is dropped, with 1000, or with 1011 if that happens in a panic. One message is read ahead, and
/// the next one when that has been received: a handler that is busy slows its peer down and nobody else. Pings are
/// answered, and the peer's end is noticed, as far as is read.
///
/// ```
/// use lakh_http::App;
/// use lakh_ws::{WebSocket, WebSocketRoutes};
///
/// async fn echo(mut socket: WebSocket) {
///     while let Some(message) = socket.recv().await {
///         if socket.send(message).await.is_err() {
///             break;
///         }
///     }
/// }
///
/// let app = App::new().ws("/echo", echo);
/// ```
pub struct WebSocket(Socket);

impl WebSocket {
    pub(crate) fn new(socket: Socket) -> Self {
        WebSocket(socket)
    }

    /// The next message; `None` once the connection is closing or has broken off
    /// ([`WebSocket::close_info`] says why).
    ///
    /// Cancel safe: a dropped future has taken no message.
    pub fn recv(&mut self) -> RecvFuture<'_> {
        RecvFuture(self)
    }

    /// Ready with what [`WebSocket::recv`] gives.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        if let Some(message) = self.take_message() {
            return Poll::Ready(Some(message));
        }
        if !self.0.is_open() {
            return Poll::Ready(None);
        }
        let is_news = !self.0.0.flags.replace(Flag::Receiving, true);
        self.wait(cx);
        if is_news {
            self.0.wake();
        }
        Poll::Pending
    }

    /// As [`WebSocket::recv`], and tells of pongs as well: the answers to [`WebSocket::ping`]. A pong may be told before
    /// messages that came ahead of it; of several that nobody has received, the last is. They are kept from the first of these
    /// calls on, or of [`WebSocket::ping`].
    ///
    /// ```
    /// use lakh_ws::{SocketEvent, WebSocket};
    ///
    /// async fn measure(mut socket: WebSocket) {
    ///     let begun = std::time::Instant::now();
    ///     let _ = socket.ping("how far");
    ///     while let Some(event) = socket.recv_event().await {
    ///         match event {
    ///             SocketEvent::Pong(_) => println!("there and back: {:?}", begun.elapsed()),
    ///             SocketEvent::Message(message) => println!("{message:?}"),
    ///             _ => {}
    ///         }
    ///     }
    /// }
    /// ```
    ///
    /// Cancel safe: a dropped future has taken nothing.
    pub async fn recv_event(&mut self) -> Option<SocketEvent> {
        poll_fn(|cx| self.poll_recv_event(cx)).await
    }

    /// Ready with what [`WebSocket::recv_event`] gives.
    pub fn poll_recv_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<SocketEvent>> {
        self.0.0.flags.set(Flag::Pongs, true);
        let pong = self.0.peek(|extra| extra.take_control(|waiting| &mut waiting.pong)).flatten();
        if let Some(payload) = pong {
            return Poll::Ready(Some(SocketEvent::Pong(Vec::from(payload).into())));
        }
        self.poll_recv(cx).map(|message| message.map(SocketEvent::Message))
    }

    /// See [`Socket::ping`]. The answer is told by [`WebSocket::recv_event`].
    ///
    /// # Errors
    /// As [`Socket::ping`].
    pub fn ping(&self, payload: impl AsRef<[u8]>) -> Result<(), SendError> {
        self.0.0.flags.set(Flag::Pongs, true);
        self.0.ping(payload)
    }

    fn take_message(&self) -> Option<Message> {
        if self.0.is_driven()
            && let Some(message) = Local::with(|local| local.inbox.take())
        {
            return Some(message);
        }
        let message = self.0.peek(|extra| extra.inbox.take()).flatten()?;
        // There is room for the next one.
        self.0.wake();
        Some(*message)
    }

    /// Lets the driver tell what happens next. Its own task is polled then anyway.
    fn wait(&self, cx: &Context<'_>) {
        // Whoever waited before does so no longer.
        let receiver = self.0.take_receiver();
        if !(self.0.is_driven() && self.0.0.task.is_set_to(cx)) {
            receiver.set(cx);
            self.0.with_extra(|extra| extra.receiver = receiver);
        }
    }

    /// Sends a message once there is room for it in the connection's queue.
    ///
    /// Cancel safe: a dropped future has sent nothing.
    ///
    /// # Errors
    /// [`SendError::Closed`] if the connection is closing or has broken off.
    pub fn send(&self, message: impl Into<Message>) -> SendFuture<'_> {
        self.0.send_wait(message)
    }

    /// Closes the connection, and waits for the peer to answer.
    ///
    /// See [`Socket::close`]. Cancel safe: the connection is closed all the same.
    pub async fn close(self, code: CloseCode, reason: &str) {
        self.0.close(code, reason);
        poll_fn(|cx| {
            if self.0.phase() >= Phase::Ending {
                return Poll::Ready(());
            }
            self.wait(cx);
            Poll::Pending
        })
        .await;
    }

    /// A handle for others on this shard: to send, to subscribe, to close.
    pub fn socket(&self) -> &Socket {
        &self.0
    }

    /// See [`Socket::protocol`].
    pub fn protocol(&self) -> Option<&str> {
        self.0.protocol()
    }

    /// See [`Socket::peer_addr`].
    ///
    /// # Errors
    /// As [`Socket::peer_addr`].
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr()
    }

    /// How the connection has ended, or is about to; `None` while it is open.
    pub fn close_info(&self) -> Option<CloseInfo> {
        self.0.close_info()
    }
}

/// What [`WebSocket::recv_event`] gives.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SocketEvent {
    /// A message.
    Message(Message),
    /// A pong that has this payload.
    Pong(Bytes),
}

/// The future of [`WebSocket::recv`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct RecvFuture<'a>(&'a mut WebSocket);

impl Future for RecvFuture<'_> {
    type Output = Option<Message>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.0.poll_recv(cx)
    }
}

impl Drop for WebSocket {
    fn drop(&mut self) {
        self.0.0.flags.set(Flag::Deserted, true);
        self.0.peek(|extra| extra.inbox = None);
        if std::thread::panicking() {
            self.0.close(CloseCode::Error, "");
        } else {
            self.0.close(CloseCode::Normal, "");
        }
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WebSocket").field(&self.0).finish()
    }
}

/// A handler's future.
impl<F: Future<Output = ()>> Session for F {
    fn poll(self: Pin<&mut Self>, socket: &Socket, cx: &mut Context<'_>) -> Poll<()> {
        socket.take_room(); // it is told of none
        Future::poll(self, cx)
    }

    fn message(
        self: Pin<&mut Self>,
        socket: &Socket,
        cx: &mut Context<'_>,
        message: Received<'_>,
    ) -> Poll<()> {
        let message = message.into_message();
        if !socket.0.flags.replace(Flag::Receiving, false) || socket.wake_receiver() {
            socket.with_extra(|extra| extra.inbox = Some(Box::new(message)));
            // What else it waits for may have happened, too.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Local::with(|local| local.inbox.set(Some(message)));
        let ended = Future::poll(self, cx);
        // It no longer asks for it.
        if let Some(message) = Local::with(|local| local.inbox.take())
            && !socket.0.flags.is_set(Flag::Deserted)
        {
            socket.with_extra(|extra| extra.inbox = Some(Box::new(message)));
        }
        ended
    }

    fn pong(self: Pin<&mut Self>, socket: &Socket, cx: &mut Context<'_>, payload: &[u8]) -> Poll<()> {
        if !socket.keep_pong(payload) || socket.wake_receiver() {
            return Poll::Pending;
        }
        Future::poll(self, cx)
    }

    #[inline]
    fn wants(&self, socket: &Socket) -> bool {
        socket.wants_message()
    }

    fn closed(self: Pin<&mut Self>, socket: &Socket, cx: &mut Context<'_>) -> Poll<()> {
        socket.wake_receiver();
        Future::poll(self, cx)
    }
}
