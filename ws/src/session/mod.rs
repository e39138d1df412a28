//! What uses a connection: callbacks, or a future that receives.

mod callbacks;
mod forward;
mod web_socket;

use crate::{Message, Payload, Socket};
pub(crate) use callbacks::CallbackSession;
pub use callbacks::Callbacks;
pub(crate) use forward::ForwardSession;
use std::{
    borrow::Cow,
    pin::Pin,
    task::{Context, Poll},
};
pub use web_socket::{RecvFuture, SocketEvent, WebSocket};

/// The user's side of a connection, as its driver sees it.
pub(crate) trait Session {
    /// The connection is open; called before all others.
    fn open(self: Pin<&mut Self>, socket: &Socket, cx: &mut Context<'_>) -> Poll<()> {
        self.poll(socket, cx)
    }

    /// Lets it do what it does by itself. Ready once it is over; then it is not asked again.
    fn poll(self: Pin<&mut Self>, socket: &Socket, cx: &mut Context<'_>) -> Poll<()>;

    /// Gives it a message, and lets it go on.
    fn message(
        self: Pin<&mut Self>,
        socket: &Socket,
        cx: &mut Context<'_>,
        message: Received<'_>,
    ) -> Poll<()>;

    /// Tells it of a pong, and lets it go on.
    fn pong(self: Pin<&mut Self>, socket: &Socket, cx: &mut Context<'_>, payload: &[u8]) -> Poll<()>;

    /// Whether it takes a message now.
    fn wants(&self, socket: &Socket) -> bool;

    /// Tells it that no message comes any more. Ready once it is over.
    fn closed(self: Pin<&mut Self>, socket: &Socket, cx: &mut Context<'_>) -> Poll<()>;
}

/// A message as the decoder gives it.
pub(crate) enum Received<'a> {
    Text(Cow<'a, str>),
    Binary(Cow<'a, [u8]>),
}

impl Received<'_> {
    #[inline]
    fn payload(&self) -> Payload<'_> {
        match self {
            Received::Text(text) => Payload::Text(text),
            Received::Binary(bytes) => Payload::Binary(bytes),
        }
    }

    /// The message in memory of its own.
    pub(crate) fn into_message(self) -> Message {
        match self {
            Received::Text(Cow::Owned(text)) => text.into(),
            Received::Binary(Cow::Owned(bytes)) => bytes.into(),
            borrowed => borrowed.payload().into(),
        }
    }
}
