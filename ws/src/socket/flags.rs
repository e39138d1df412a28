//! What is true of a socket, a bit for each.

use std::cell::Cell;

/// One of the bits.
#[derive(Clone, Copy)]
#[repr(u16)]
pub(crate) enum Flag {
    /// Its task is being polled: what it sends now leaves at the end of that.
    Driven = 1,
    /// Somebody wants the next message.
    Receiving = 2,
    /// Its session has been polled.
    Polled = 4,
    /// A send was refused for want of room.
    Refused = 8,
    /// A ping is sent, and nothing has come since.
    Pinged = 16,
    /// Its session knows that no message comes any more.
    Told = 32,
    /// Something waits for the peer to take it.
    Queue = 64,
    /// It is subscribed to one topic, and no other.
    OneTopic = 128,
    /// Half a message has come.
    Half = 256,
    /// What it holds has grown, and with it what the shard does, beyond what may be.
    Crowded = 512,
    /// Its `WebSocket` is gone: nobody takes a message.
    Deserted = 1024,
    /// Whoever receives wants to be told of pongs.
    Pongs = 2048,
}

/// All of them.
#[derive(Default)]
pub(crate) struct Flags(Cell<u16>);

impl Flags {
    #[inline]
    pub(crate) fn is_set(&self, flag: Flag) -> bool {
        self.0.get() & flag as u16 != 0
    }

    #[inline]
    pub(crate) fn set(&self, flag: Flag, value: bool) {
        let others = self.0.get() & !(flag as u16);
        self.0.set(if value { others | flag as u16 } else { others });
    }

    /// Sets it, and gives what it was.
    #[inline]
    pub(crate) fn replace(&self, flag: Flag, value: bool) -> bool {
        let before = self.is_set(flag);
        self.set(flag, value);
        before
    }
}
