//! The protocols, as a client speaks them. None of them shares a parser with lakh's servers.

pub(crate) mod http;
mod pattern;
pub(crate) mod tcp;
pub(crate) mod udp;
mod window;
pub(crate) mod ws;

use crate::{
    broadcast::Received,
    engine::{Local, Nanos},
    stats::Cause,
};
use pattern::Pattern;
use std::{future::Future, pin::Pin, rc::Rc};
use window::Window;

/// What runs on a shard beside its connections.
pub(crate) type Companion = Pin<Box<dyn Future<Output = ()>>>;

/// What the engine runs: for each connection of a shard one future that makes it, uses it, and makes it anew.
pub(crate) trait Client: Sized + 'static {
    /// The future of a connection.
    type Connection: Future<Output = ()> + 'static;

    /// The connection of this number among all of the run.
    fn connection(local: Rc<Local<Self>>, number: usize) -> Self::Connection;

    /// What runs beside a shard's connections, if anything does.
    fn companion(_: &Rc<Local<Self>>) -> Option<Companion> {
        None
    }

    /// What has become of broadcasts on this shard, if the run has any.
    fn received(&self) -> Option<Received> {
        None
    }

    /// Takes back what [`Client::received`] gave, when nobody took it.
    fn take_back(&self, _: Received) {}
}

/// A protocol over a stream of bytes, as one shard speaks it: it makes the bytes of requests and reads those of
/// answers. It does no I/O and reads no clock; connecting, the pace of requests, timeouts and counting are the
/// engine's.
pub(crate) trait Protocol: Sized + 'static {
    /// What one connection keeps. There may be a million: rare state belongs into a box of its own.
    type Session: Default + 'static;

    /// Appends what opens a session on a connection that has just been made, a handshake; nothing if requests may
    /// follow at once. After something, the connection stands when [`Sink::stands`] is called.
    fn open(&self, session: &mut Self::Session, out: &mut Vec<u8>);

    /// Appends the next request.
    fn request(&self, session: &mut Self::Session, out: &mut Vec<u8>);

    /// Reads what has come; what is not complete, the session keeps.
    ///
    /// # Errors
    /// What came is not the protocol: the connection is closed, and all its requests have failed.
    fn receive(&self, session: &mut Self::Session, input: &[u8], sink: &mut Sink<'_>) -> Result<(), Failure>;

    /// The server sends no more: an answer that ends with the connection is complete now.
    fn end(&self, session: &mut Self::Session, sink: &mut Sink<'_>);

    /// The connection stands from now on.
    fn stood(&self, _: &mut Self::Session) {}

    /// A connection that stood is gone.
    fn left(&self, _: &mut Self::Session) {}

    /// How often a connection that stands is to show that it lives, in nanoseconds.
    fn ping_every(&self) -> Option<Nanos> {
        None
    }

    /// Appends what makes the server show it.
    ///
    /// # Errors
    /// It has not shown it since the last time.
    fn ping(&self, _: &mut Self::Session, _: &mut Vec<u8>) -> Result<(), Failure> {
        Ok(())
    }

    /// As [`Client::companion`].
    fn companion(_: &Rc<Local<Self>>) -> Option<Companion> {
        None
    }

    /// As [`Client::received`].
    fn received(&self) -> Option<Received> {
        None
    }

    /// As [`Client::take_back`].
    fn take_back(&self, _: Received) {}
}

/// Why a connection is given up, with an example in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) cause: Cause,
    pub(crate) example: String,
    /// A server that has nothing to complain of may end a connection so.
    pub(crate) is_orderly: bool,
}

impl Failure {
    pub(crate) fn new(cause: Cause, example: impl Into<String>) -> Self {
        Failure { cause, example: example.into(), is_orderly: false }
    }
}

/// What an answer was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// As expected; the first digit of its status, 0 if the protocol has none.
    Good(u8),
    /// It came, with this status class, and is not what was expected.
    Bad(u8, Cause),
}

/// Takes what a [`Protocol`] finds in the bytes that came.
pub(crate) struct Sink<'a> {
    /// The handshake is over.
    pub(crate) stands: bool,
    /// The server closes after what it has sent, or wants the client to.
    pub(crate) closes: bool,
    /// Answers to requests, the oldest request's first.
    pub(crate) answers: &'a mut Vec<Answer>,
    /// Bytes to send at once, which are no requests.
    pub(crate) out: &'a mut Vec<u8>,
    /// When it came.
    pub(crate) now: Nanos,
}
