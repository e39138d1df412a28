//! Connections without a future of their own.

use super::{Received, Session};
use crate::{CloseInfo, Payload, Socket};
use std::{
    pin::Pin,
    task::{Context, Poll},
};

/// What happens on one connection, told as it happens: for services with the largest numbers of connections, since an
/// idle one has nothing but these values in memory.
///
/// Nothing in here may block or wait. A call that panics closes its connection with 1011.
///
/// ```
/// use lakh_ws::{Callbacks, CloseInfo, Payload, Socket};
///
/// struct Counting {
///     messages: u64,
/// }
///
/// impl Callbacks for Counting {
///     fn on_open(&mut self, socket: &Socket) {
///         let _ = socket.send("welcome");
///     }
///
///     fn on_message(&mut self, socket: &Socket, _: Payload<'_>) {
///         self.messages += 1;
///         let _ = socket.send(&format!("{} so far", self.messages));
///     }
///
///     fn on_close(&mut self, _: &Socket, info: &CloseInfo) {
///         println!("{} messages, then {}", self.messages, info.code);
///     }
/// }
/// ```
pub trait Callbacks: 'static {
    /// The connection is open.
    fn on_open(&mut self, _socket: &Socket) {}

    /// A message has come.
    fn on_message(&mut self, socket: &Socket, message: Payload<'_>);

    /// The peer has answered a [`ping`](Socket::ping) with its payload, or sent such a pong unasked. The answers to the
    /// pings that are sent without being asked for, which are empty, are not told.
    fn on_pong(&mut self, _socket: &Socket, _payload: &[u8]) {}

    /// The peer has taken all that was queued for it: a sender that was told [`Full`](crate::SendError::Full) may go
    /// on.
    fn on_room(&mut self, _socket: &Socket) {}

    /// The connection is closing or has broken off; nothing more is told. What is left when its shard ends is dropped
    /// untold.
    fn on_close(&mut self, _socket: &Socket, _info: &CloseInfo) {}
}

/// The session of callbacks: no larger than they are.
pub(crate) struct CallbackSession<C>(pub(crate) C);

impl<C: Callbacks> CallbackSession<C> {
    #[inline]
    fn tell_room(&mut self, socket: &Socket) {
        if socket.take_room() {
            self.0.on_room(socket);
        }
    }
}

/// Callbacks are never pinned.
impl<C> Unpin for CallbackSession<C> {}

impl<C: Callbacks> Session for CallbackSession<C> {
    fn open(mut self: Pin<&mut Self>, socket: &Socket, _: &mut Context<'_>) -> Poll<()> {
        self.0.on_open(socket);
        Poll::Pending
    }

    fn poll(mut self: Pin<&mut Self>, socket: &Socket, _: &mut Context<'_>) -> Poll<()> {
        self.tell_room(socket);
        Poll::Pending
    }

    #[inline]
    fn message(
        mut self: Pin<&mut Self>,
        socket: &Socket,
        _: &mut Context<'_>,
        message: Received<'_>,
    ) -> Poll<()> {
        self.tell_room(socket);
        self.0.on_message(socket, message.payload());
        Poll::Pending
    }

    fn pong(mut self: Pin<&mut Self>, socket: &Socket, _: &mut Context<'_>, payload: &[u8]) -> Poll<()> {
        self.0.on_pong(socket, payload);
        Poll::Pending
    }

    #[inline]
    fn wants(&self, _: &Socket) -> bool {
        true
    }

    fn closed(mut self: Pin<&mut Self>, socket: &Socket, _: &mut Context<'_>) -> Poll<()> {
        if let Some(info) = socket.close_info() {
            self.0.on_close(socket, &info);
        }
        Poll::Ready(())
    }
}
