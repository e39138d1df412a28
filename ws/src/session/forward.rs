//! Connections whose user is another task.

use super::{Received, Session};
use crate::{Socket, socket::Flag};
use std::{
    pin::Pin,
    task::{Context, Poll},
};

/// The session of a client's connection, and of one whose handler is over and has left its
/// [`WebSocket`](crate::WebSocket) to another task: it keeps one message for whoever holds that, and wakes who waits for
/// it. That the `WebSocket` is gone it need not know, since that closes the connection.
pub(crate) struct ForwardSession;

impl Session for ForwardSession {
    fn poll(self: Pin<&mut Self>, socket: &Socket, _: &mut Context<'_>) -> Poll<()> {
        socket.take_room(); // nobody is told of it
        Poll::Pending
    }

    fn message(
        self: Pin<&mut Self>,
        socket: &Socket,
        _: &mut Context<'_>,
        message: Received<'_>,
    ) -> Poll<()> {
        socket.0.flags.set(Flag::Receiving, false);
        let message = Box::new(message.into_message());
        socket.with_extra(|extra| extra.inbox = Some(message));
        socket.wake_receiver();
        Poll::Pending
    }

    fn pong(self: Pin<&mut Self>, socket: &Socket, _: &mut Context<'_>, payload: &[u8]) -> Poll<()> {
        if socket.keep_pong(payload) {
            socket.wake_receiver();
        }
        Poll::Pending
    }

    fn wants(&self, socket: &Socket) -> bool {
        socket.wants_message()
    }

    fn closed(self: Pin<&mut Self>, socket: &Socket, _: &mut Context<'_>) -> Poll<()> {
        socket.wake_receiver();
        Poll::Ready(())
    }
}
