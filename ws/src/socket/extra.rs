//! What few sockets have at a time.

use super::{CloseInfo, Outgoing};
use crate::{
    Message,
    local::{LEVEL, Local},
    pace::Pace,
    proto::{
        Decoder,
        deflate::{Compressor, Deflate, Inflater},
    },
};
use bytes::BytesMut;
use lakh_core::{WaitSlot, Wakers};

/// All of a socket that is not there while it is idle.
#[derive(Default)]
pub(crate) struct Extra {
    /// What the peer has not taken yet.
    pub(crate) out: Option<Box<Outgoing>>,
    /// Who waits for room to send.
    pub(crate) room: Option<Box<Room>>,
    pub(crate) incoming: Incoming,
    /// Read, and not decoded since nobody receives.
    pub(crate) input: BytesMut,
    /// Decoded, and not received yet.
    pub(crate) inbox: Option<Box<Message>>,
    /// Bytes of these three, as the shard has counted them.
    pub(crate) held: u32,
    /// Who receives, if that is another task than the connection's.
    pub(crate) receiver: WaitSlot,
    /// Contexts of its own.
    pub(crate) deflate: Option<Box<Dedicated>>,
    pub(crate) close: Option<Box<CloseInfo>>,
    pub(crate) controls: Option<Box<Controls>>,
}

const _: () = assert!(size_of::<Extra>() <= 104);

/// Control frames that wait.
#[derive(Default)]
pub(crate) struct Controls {
    /// The peer's last ping, if it has to wait for its answer; those before it need none (RFC 6455, 5.5.3).
    pub(crate) unanswered: Option<Box<[u8]>>,
    /// The last pong that is not received yet.
    pub(crate) pong: Option<Box<[u8]>>,
}

/// Half a message.
#[derive(Default)]
pub(crate) struct Incoming {
    pub(crate) decoder: Decoder,
    /// How fast its peer sends the rest.
    pub(crate) pace: Pace,
}

/// Futures that wait for room to send.
#[derive(Default)]
pub(crate) struct Room {
    pub(crate) wakers: Wakers,
    /// How many have a key, be they woken or not: as long as there is one, keys have to be told apart by this.
    pub(crate) keys: usize,
}

/// Contexts that are taken over from message to message.
pub(crate) struct Dedicated {
    pub(crate) compressor: Option<Compressor>,
    pub(crate) inflater: Option<Inflater>,
}

impl Dedicated {
    /// `None` if none is.
    pub(crate) fn new(agreed: Deflate) -> Option<Self> {
        let (send, receive) = (agreed.send, agreed.receive);
        (send.takeover || receive.takeover).then(|| Dedicated {
            compressor: (send.takeover && agreed.compresses()).then(|| Compressor::new(LEVEL, send)),
            inflater: receive.takeover.then(|| Inflater::new(receive)),
        })
    }
}

impl Extra {
    /// Whether there is anything in it.
    pub(crate) fn is_needed(&self) -> bool {
        self.out.is_some()
            || self.room.is_some()
            || !self.incoming.decoder.is_idle()
            || !self.input.is_empty()
            || self.inbox.is_some()
            || self.receiver.is_set()
            || self.deflate.is_some()
            || self.close.is_some()
            || self.controls.is_some()
    }

    /// Takes one of the control frames that wait.
    pub(crate) fn take_control(
        &mut self,
        which: impl FnOnce(&mut Controls) -> &mut Option<Box<[u8]>>,
    ) -> Option<Box<[u8]>> {
        let taken = which(self.controls.as_deref_mut()?).take();
        self.controls.take_if(|left| left.unanswered.is_none() && left.pong.is_none());
        taken
    }

    /// Counts for the shard what has come and is not received. If it has changed, says what all
    /// sockets hold, or 0 if this one holds less.
    #[inline]
    pub(crate) fn count_held(&mut self) -> Option<usize> {
        let held = self.incoming.decoder.memory()
            + self.input.len()
            + self.inbox.as_ref().map_or(0, |message| message.len());
        let held = u32::try_from(held).unwrap_or(u32::MAX);
        let before = std::mem::replace(&mut self.held, held);
        if held == before {
            return None;
        }
        let all = Local::with(|local| local.count_held(held as usize, before as usize));
        Some(if held > before { all } else { 0 })
    }
}

impl Drop for Extra {
    fn drop(&mut self) {
        if self.held > 0 {
            Local::try_with(|local| {
                local.count_held(0, self.held as usize);
            });
        }
    }
}
