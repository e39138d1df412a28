//! What wakes the watchdog when a shard turns again after a quiet time.

use crate::sync::{AtomicBool, Ordering::Relaxed};
use std::{
    sync::OnceLock,
    thread::{self, Thread},
};

/// Rung by shards, heard by the watchdog's thread.
///
/// There are no fences. The watchdog listens for one interval before it sleeps and looks at the shards once
/// more in between: what a shard has written before it did not see the watchdog listening has arrived by
/// then, since that takes nanoseconds.
#[derive(Default)]
pub(crate) struct Bell {
    listening: AtomicBool,
    ended: AtomicBool,
    thread: OnceLock<Thread>,
}

impl Bell {
    /// Says who is woken.
    pub(super) fn belongs_to(&self, thread: Thread) {
        // Once: a bell has one watchdog.
        let _ = self.thread.set(thread);
        self.wake();
    }

    /// By a shard that begins a turn: one load, mostly.
    #[inline]
    pub(super) fn ring(&self) {
        if self.listening.load(Relaxed) {
            self.answer();
        }
    }

    #[cold]
    fn answer(&self) {
        self.listening.store(false, Relaxed);
        self.wake();
    }

    fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    pub(super) fn listen(&self, listening: bool) {
        self.listening.store(listening, Relaxed);
    }

    pub(super) fn is_listening(&self) -> bool {
        self.listening.load(Relaxed)
    }

    /// By the watchdog: until somebody rings.
    pub(super) fn sleep(&self) {
        while self.is_listening() && !self.has_ended() {
            thread::park();
        }
    }

    pub(super) fn end(&self) {
        self.ended.store(true, Relaxed);
        self.wake();
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Relaxed)
    }
}
