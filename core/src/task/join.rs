//! The result of a spawned task.

use crate::unwind;
use std::{
    cell::RefCell,
    error, fmt,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

/// Waits for a task and gives its result; dropping it leaves the task running.
///
/// Cancel safe: the result stays until it is taken.
///
/// ```
/// # lakh_core::block_on(async {
/// let task = lakh_core::spawn(async { 6 * 7 });
/// assert_eq!(task.await.unwrap(), 42);
/// # }).unwrap();
/// ```
#[must_use = "use spawn_detached for a task whose result nobody wants"]
pub struct JoinHandle<T> {
    state: Rc<RefCell<State<T>>>,
}

struct State<T> {
    outcome: Option<Result<T, JoinError>>,
    waiting: Option<Waker>,
    /// Of the task, to be woken when it is aborted.
    task: Option<Waker>,
    aborted: bool,
    finished: bool,
}

impl<T> JoinHandle<T> {
    /// Ends the task at its next await point; its result becomes a [`JoinError`].
    /// Nothing happens if it has finished.
    pub fn abort(&self) {
        let waker = {
            let mut state = self.state.borrow_mut();
            state.aborted = true;
            state.task.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether the task has ended, in whatever way.
    pub fn is_finished(&self) -> bool {
        self.state.borrow().finished
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.state.borrow_mut();
        match state.outcome.take() {
            Some(outcome) => return Poll::Ready(outcome),
            None if state.finished => return Poll::Ready(Err(JoinError(Cause::Lost))),
            None if state.waiting.as_ref().is_some_and(|old| old.will_wake(cx.waker())) => {
                return Poll::Pending;
            }
            None => drop(state),
        }
        // Wakers are cloned and dropped with nothing borrowed: that may be code of the user.
        let waker = cx.waker().clone();
        let old = self.state.borrow_mut().waiting.replace(waker);
        drop(old);
        Poll::Pending
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("finished", &self.is_finished()).finish()
    }
}

/// Why a task gave no result: it panicked, was aborted, or its shard stopped.
#[derive(Debug)]
pub struct JoinError(Cause);

#[derive(Debug)]
enum Cause {
    Aborted,
    /// Dropped without a result: a panic, or the end of the shard.
    Lost,
}

impl JoinError {
    /// True if [`JoinHandle::abort`] ended the task.
    pub fn is_aborted(&self) -> bool {
        matches!(self.0, Cause::Aborted)
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Cause::Aborted => "the task was aborted",
            Cause::Lost => "the task panicked, or its shard stopped",
        })
    }
}

impl error::Error for JoinError {}

/// Wraps `future` so that its result reaches the handle.
pub(crate) fn joinable<F: Future>(future: F) -> (impl Future<Output = ()>, JoinHandle<F::Output>) {
    let state = Rc::new(RefCell::new(State {
        outcome: None,
        waiting: None,
        task: None,
        aborted: false,
        finished: false,
    }));
    let handle = JoinHandle { state: Rc::clone(&state) };
    let report = Report(state);
    let task = async move {
        let mut future = std::pin::pin!(future);
        let outcome = std::future::poll_fn(|cx| {
            {
                let mut state = report.0.borrow_mut();
                if state.aborted {
                    return Poll::Ready(Err(JoinError(Cause::Aborted)));
                }
                if !state.task.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                    state.task = Some(cx.waker().clone());
                }
            }
            future.as_mut().poll(cx).map(Ok)
        })
        .await;
        report.0.borrow_mut().outcome = Some(outcome);
    };
    (task, handle)
}

/// Tells the handle when the task ends, by whatever way.
struct Report<T>(Rc<RefCell<State<T>>>);

impl<T> Drop for Report<T> {
    fn drop(&mut self) {
        let (waiting, task) = {
            let mut state = self.0.borrow_mut();
            state.finished = true;
            if state.outcome.is_none() {
                state.outcome = Some(Err(JoinError(Cause::Lost)));
            }
            (state.waiting.take(), state.task.take())
        };
        drop(task);
        if let Some(waker) = waiting {
            // Perhaps while a panic unwinds: a second one would end the process.
            unwind::catch(|| waker.wake());
        }
    }
}
