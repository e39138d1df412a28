//! How the end of the shards is waited for.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

/// Counts threads down to zero; waited for by a thread or by a task.
pub(super) struct Countdown {
    state: Mutex<(usize, Option<Waker>)>,
    zero: Condvar,
}

impl Countdown {
    pub(super) fn new(count: usize) -> Self {
        Countdown { state: Mutex::new((count, None)), zero: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, (usize, Option<Waker>)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self) {
        self.lock().0 += 1;
    }

    pub(super) fn done(&self) {
        let waker = {
            let mut state = self.lock();
            state.0 -= 1;
            if state.0 > 0 {
                return;
            }
            state.1.take()
        };
        self.zero.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) fn wait(&self, limit: Duration) -> bool {
        let wait = self.zero.wait_timeout_while(self.lock(), limit, |state| state.0 > 0);
        wait.unwrap_or_else(PoisonError::into_inner).0.0 == 0
    }

    pub(super) fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.0 == 0 {
            return Poll::Ready(());
        }
        state.1 = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// Counts one down when it is dropped, however the thread ends.
pub(super) struct CountDownOnDrop(pub(super) Arc<Countdown>);

impl Drop for CountDownOnDrop {
    fn drop(&mut self) {
        self.0.done();
    }
}
