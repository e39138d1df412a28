//! Connections that a future receives from.

use super::{Received, Session};
use crate::{
    CloseInfo, Message, Socket,
    local::Local,
    proto::CloseCode,
    socket::{Phase, SendError},
};
use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll},
};

/// A connection, for the one who receives from it.
///
/// It is closed when this is dropped, with 1000, or with 1011 if that happens in a panic. A message is read from the
/// connection when it is asked for, so a handler that is busy slows its peer down and nobody else; pings are answered
/// meanwhile as far as they are read.
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
    pub async fn recv(&mut self) -> Option<Message> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Ready with what [`WebSocket::recv`] gives.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        if let Some(message) = self.take_message() {
            return Poll::Ready(Some(message));
        }
        if !self.0.is_open() {
            return Poll::Ready(None);
        }
        self.0.0.receiving.set(true);
        self.wait(cx);
        Poll::Pending
    }

    fn take_message(&self) -> Option<Message> {
        if self.0.is_driven()
            && let Some(message) = Local::with(|local| local.inbox.take())
        {
            return Some(message);
        }
        if !self.0.has_extra() {
            return None;
        }
        let message = self.0.peek(|extra| extra.inbox.take()).flatten();
        message.map(|message| *message)
    }

    /// Lets the driver tell what happens next. Its own task is polled then anyway.
    fn wait(&self, cx: &Context<'_>) {
        if self.0.is_driven() && self.0.0.task.is_set_to(cx) {
            // Whoever waited before does so no longer.
            drop(self.0.peek(|extra| extra.receiver.take()));
            return;
        }
        self.0.with_extra(|extra| extra.receiver.get_or_insert_default().set(cx));
        self.0.wake();
    }

    /// Sends a message once there is room for it in the connection's queue.
    ///
    /// Cancel safe: a dropped future has sent nothing.
    ///
    /// # Errors
    /// [`SendError::Closed`] if the connection is closing or has broken off.
    pub async fn send(&self, message: impl Into<Message>) -> Result<(), SendError> {
        self.0.send_wait(message).await
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

    /// How the connection has ended, or is about to; `None` while it is open.
    pub fn close_info(&self) -> Option<CloseInfo> {
        self.0.close_info()
    }
}

impl Drop for WebSocket {
    fn drop(&mut self) {
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
    fn poll(self: Pin<&mut Self>, _: &Socket, cx: &mut Context<'_>) -> Poll<()> {
        Future::poll(self, cx)
    }

    fn message(
        self: Pin<&mut Self>,
        socket: &Socket,
        cx: &mut Context<'_>,
        message: Received<'_>,
    ) -> Poll<()> {
        let message = message.into_message();
        if !socket.0.receiving.replace(false) || (socket.has_extra() && tell_receiver(socket)) {
            socket.with_extra(|extra| extra.inbox = Some(Box::new(message)));
            // What else it waits for may have happened, too.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Local::with(|local| local.inbox.set(Some(message)));
        let ended = Future::poll(self, cx);
        // It no longer asks for it, or was dropped.
        if let Some(message) = Local::with(|local| local.inbox.take()) {
            socket.with_extra(|extra| extra.inbox = Some(Box::new(message)));
        }
        ended
    }

    #[inline]
    fn wants(&self, socket: &Socket) -> bool {
        takes_message(socket)
    }

    fn closed(self: Pin<&mut Self>, socket: &Socket, cx: &mut Context<'_>) -> Poll<()> {
        tell_receiver(socket);
        Future::poll(self, cx)
    }
}

/// In place of a handler that is over, and has left its [`WebSocket`] to another task.
pub(crate) struct Elsewhere;

impl Session for Elsewhere {
    fn poll(self: Pin<&mut Self>, _: &Socket, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    fn message(
        self: Pin<&mut Self>,
        socket: &Socket,
        _: &mut Context<'_>,
        message: Received<'_>,
    ) -> Poll<()> {
        socket.0.receiving.set(false);
        let message = Box::new(message.into_message());
        socket.with_extra(|extra| extra.inbox = Some(message));
        tell_receiver(socket);
        Poll::Pending
    }

    fn wants(&self, socket: &Socket) -> bool {
        takes_message(socket)
    }

    fn closed(self: Pin<&mut Self>, socket: &Socket, _: &mut Context<'_>) -> Poll<()> {
        tell_receiver(socket);
        Poll::Ready(())
    }
}

/// Whether a message is asked for, or can wait for that. Reading up to the next message lets pings, pongs and close
/// frames be seen though nobody receives.
#[inline]
fn takes_message(socket: &Socket) -> bool {
    socket.0.receiving.get()
        || !socket.has_extra()
        || socket.peek(|extra| extra.inbox.is_none()) == Some(true)
}

/// Wakes the receiver if it is another task than the connection's.
fn tell_receiver(socket: &Socket) -> bool {
    let receiver = socket.peek(|extra| extra.receiver.take()).flatten();
    receiver.inspect(|receiver| receiver.wake()).is_some()
}
