//! What all threads of a run know of the one that publishes.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
};

/// One for a run.
#[derive(Default)]
pub(crate) struct Published {
    /// When publishing begins and ends, in nanoseconds of the run; 0 while it is not known.
    from: AtomicU64,
    until: AtomicU64,
    count: AtomicU32,
    ended: AtomicBool,
    publisher: Mutex<Option<Waker>>,
}

impl Published {
    /// Lets publishing begin.
    pub(crate) fn begin(&self, from: u64, until: u64) {
        self.until.store(until, Ordering::Release);
        self.from.store(from.max(1), Ordering::Release);
        let publisher = self.publisher.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = publisher {
            waker.wake();
        }
    }

    /// From when on and until when, once that is known.
    pub(crate) fn poll_begin(&self, cx: &Context<'_>) -> Poll<(u64, u64)> {
        *self.publisher.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        match self.from.load(Ordering::Acquire) {
            0 => Poll::Pending,
            from => Poll::Ready((from, self.until.load(Ordering::Acquire))),
        }
    }

    /// Messages so far, which is the number of the next one.
    pub(crate) fn count(&self) -> u32 {
        self.count.load(Ordering::Acquire)
    }

    /// One more: before it is sent, so that nobody receives what has not been published.
    pub(crate) fn add(&self) {
        self.count.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// No more follow.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }
}
