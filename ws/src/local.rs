//! What all sockets of a shard share: buffers for the time of a poll, compressors, keys.

use crate::{
    Message,
    proto::{MaskKeys, deflate::SharedDeflate},
    socket::Outgoing,
};
use std::cell::{Cell, RefCell};

/// Bytes read at once.
const READ_AT_ONCE: usize = 64 * 1024;
/// Empty queues that are kept for the next sockets that need one.
const SPARE_QUEUES: usize = 256;
/// zlib's own default.
pub(crate) const LEVEL: u8 = 6;
/// Buffers that have grown beyond this are not kept.
const KEEP_AT_MOST: usize = 256 * 1024;

thread_local! {
    static LOCAL: Local = Local::new();
}

/// One for each shard, which is a thread.
pub(crate) struct Local {
    input: Cell<Option<Box<[u8]>>>,
    /// What the socket that is being polled sends. Empty between two polls.
    pub(crate) output: RefCell<Vec<u8>>,
    /// A message for the handler that is about to be polled.
    pub(crate) inbox: Cell<Option<Message>>,
    pub(crate) compress: RefCell<SharedDeflate>,
    pub(crate) inflate: RefCell<SharedDeflate>,
    /// For what is compressed or inflated, while it is.
    buffer: Cell<Vec<u8>>,
    keys: RefCell<MaskKeys>,
    /// Bytes of memory that wait for peers.
    pub(crate) queued: Cell<usize>,
    /// Bytes that have come and that nobody has received.
    pub(crate) held: Cell<usize>,
    #[allow(clippy::vec_box)] // they go from box to box
    spare: RefCell<Vec<Box<Outgoing>>>,
    /// Topics that have something to give out.
    pub(crate) topics_waiting: Cell<usize>,
}

impl Local {
    fn new() -> Self {
        Local {
            input: Cell::new(None),
            output: RefCell::new(Vec::new()),
            inbox: Cell::new(None),
            compress: RefCell::new(SharedDeflate::new(LEVEL)),
            inflate: RefCell::new(SharedDeflate::new(LEVEL)),
            buffer: Cell::new(Vec::new()),
            keys: RefCell::new(MaskKeys::new()),
            queued: Cell::new(0),
            held: Cell::new(0),
            spare: RefCell::new(Vec::new()),
            topics_waiting: Cell::new(0),
        }
    }

    #[inline]
    pub(crate) fn with<R>(f: impl FnOnce(&Local) -> R) -> R {
        LOCAL.with(f)
    }

    /// For destructors, which may run when the thread has ended.
    pub(crate) fn try_with(f: impl FnOnce(&Local)) {
        let _ended = LOCAL.try_with(f);
    }

    pub(crate) fn take_input(&self) -> Box<[u8]> {
        self.input.take().unwrap_or_else(|| vec![0; READ_AT_ONCE].into_boxed_slice())
    }

    pub(crate) fn return_input(&self, input: Box<[u8]>) {
        self.input.set(Some(input));
    }

    /// An empty buffer, to be given back.
    pub(crate) fn take_buffer(&self) -> Vec<u8> {
        self.buffer.take()
    }

    pub(crate) fn return_buffer(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        if buffer.capacity() <= KEEP_AT_MOST {
            self.buffer.set(buffer);
        }
    }

    pub(crate) fn take_queue(&self) -> Box<Outgoing> {
        self.spare.borrow_mut().pop().unwrap_or_default()
    }

    /// Keeps an empty queue for the next one who needs it.
    pub(crate) fn return_queue(&self, queue: Box<Outgoing>) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE_QUEUES && queue.is_small() {
            spare.push(queue);
        }
    }

    /// A key that nobody can guess; without random bytes a process has other worries.
    pub(crate) fn next_key(&self) -> [u8; 4] {
        self.keys.borrow_mut().next_key().unwrap_or_default()
    }

    /// One socket holds so many bytes that have come, and held so many before; what all do now.
    pub(crate) fn count_held(&self, now: usize, before: usize) -> usize {
        let all = (self.held.get() + now).saturating_sub(before);
        self.held.set(all);
        all
    }

    pub(crate) fn count_queued(&self, more: usize) {
        self.queued.set(self.queued.get() + more);
    }

    pub(crate) fn count_gone(&self, fewer: usize) {
        self.queued.set(self.queued.get().saturating_sub(fewer));
    }
}
