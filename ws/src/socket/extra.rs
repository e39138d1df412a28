//! What few sockets have at a time.

use super::{CloseInfo, Outgoing};
use crate::{
    Message,
    proto::{
        Decoder,
        deflate::{Compressor, Inflater},
    },
    topics::Subscriptions,
};
use lakh_core::{WaitSlot, Wakers};

/// All of a socket that is not there while it is idle.
#[derive(Default)]
pub(crate) struct Extra {
    /// What the peer has not taken yet.
    pub(crate) out: Option<Box<Outgoing>>,
    /// Who waits for room to send. Kept once it is there: keys are told apart by it.
    pub(crate) room: Option<Box<Wakers>>,
    /// Half a message.
    pub(crate) decoder: Decoder,
    /// Read, and not decoded since nobody receives.
    pub(crate) input: Vec<u8>,
    /// Decoded, and not received yet.
    pub(crate) inbox: Option<Box<Message>>,
    /// Who receives, if that is another task than the connection's.
    pub(crate) receiver: Option<Box<WaitSlot>>,
    pub(crate) subscriptions: Option<Box<Subscriptions>>,
    /// Contexts of its own.
    pub(crate) deflate: Option<Box<Dedicated>>,
    pub(crate) close: Option<Box<CloseInfo>>,
}

/// Contexts that are taken over from message to message.
#[derive(Default)]
pub(crate) struct Dedicated {
    pub(crate) compressor: Option<Compressor>,
    pub(crate) inflater: Option<Inflater>,
}

impl Extra {
    /// Whether there is anything in it.
    pub(crate) fn is_needed(&self) -> bool {
        self.out.is_some()
            || self.room.is_some()
            || !self.decoder.is_idle()
            || !self.input.is_empty()
            || self.inbox.is_some()
            || self.receiver.is_some()
            || self.subscriptions.is_some()
            || self.deflate.is_some()
            || self.close.is_some()
    }
}
