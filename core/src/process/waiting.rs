//! Where a process is no descriptor, a thread waits for its end.

use super::imp::has_ended;
use crate::sys::process::wait_until_ended;
use rustix::process::Pid;
use std::{
    io,
    process::Child,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    thread,
};

/// It calls one function of the system.
const STACK: usize = 128 * 1024;

/// One child's thread, and who waits for it.
#[derive(Default)]
pub(super) struct Waiting(Mutex<State>);

#[derive(Default)]
struct State {
    has_ended: bool,
    waker: Option<Waker>,
    /// Left by who does not wait any more: the thread reaps it.
    orphan: Option<Child>,
}

impl Waiting {
    pub(super) fn start(child: &Child) -> io::Result<Arc<Self>> {
        let waiting = Arc::new(Waiting::default());
        let (shared, pid) = (Arc::clone(&waiting), Pid::from_child(child));
        let body = move || {
            // An error says that it is reaped already.
            let _ = wait_until_ended(pid);
            shared.ended();
        };
        thread::Builder::new().name("lakh-wait".to_owned()).stack_size(STACK).spawn(body)?;
        Ok(waiting)
    }

    pub(super) fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        let waker = cx.waker().clone();
        let mut state = self.lock();
        if state.has_ended {
            return Poll::Ready(());
        }
        let old = state.waker.replace(waker);
        drop(state);
        drop(old);
        Poll::Pending
    }

    pub(super) fn adopt(&self, mut child: Child) {
        let mut state = self.lock();
        if state.has_ended {
            has_ended(&mut child);
        } else {
            state.orphan = Some(child);
        }
    }

    fn ended(&self) {
        let mut state = self.lock();
        state.has_ended = true;
        let (waker, orphan) = (state.waker.take(), state.orphan.take());
        drop(state);
        if let Some(mut orphan) = orphan {
            has_ended(&mut orphan);
        }
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
