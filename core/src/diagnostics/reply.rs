//! A shard's answer, for a task that waits for it or a thread that does.

use super::Page;
use crate::shard::SendError;
use std::{
    error, fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Condvar, Mutex, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

/// The future of [`Diagnostics::inspect`](super::Diagnostics::inspect); any executor may poll it. Cancel safe.
#[derive(Debug)]
#[must_use = "the shard is asked, and nobody hears the answer"]
pub struct Answer(Arc<Place>);

#[derive(Debug)]
struct Place {
    state: Mutex<State>,
    given: Condvar,
}

#[derive(Debug)]
enum State {
    Asked(Option<Waker>),
    Given(Result<Page, InspectError>),
    Taken,
}

impl Answer {
    pub(super) fn failed(error: InspectError) -> Self {
        Answer(Place::new(State::Given(Err(error))))
    }

    /// The answer, and where it is given.
    pub(super) fn asked() -> (Answer, Reply) {
        let place = Place::new(State::Asked(None));
        (Answer(Arc::clone(&place)), Reply(place))
    }

    /// Blocks the calling thread until the shard has answered; `None` if it has not within `limit`. Not for a shard,
    /// which would wait for itself.
    pub fn wait(self, limit: Duration) -> Option<Result<Page, InspectError>> {
        let deadline = Instant::now().checked_add(limit);
        let mut state = self.0.lock();
        loop {
            if let Some(result) = state.take() {
                return Some(result);
            }
            let left = deadline.map_or(limit, |deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return None;
            }
            let waited = self.0.given.wait_timeout(state, left);
            state = waited.map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state);
        }
    }
}

impl Future for Answer {
    type Output = Result<Page, InspectError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Cloned and dropped with nothing locked: wakers may be code of the user.
        let waker = cx.waker().clone();
        let mut state = self.0.lock();
        if let Some(result) = state.take() {
            return Poll::Ready(result);
        }
        let old = match &mut *state {
            State::Asked(place) => place.replace(waker),
            _ => panic!("polled after the answer was given"),
        };
        drop(state);
        drop(old);
        Poll::Pending
    }
}

impl State {
    fn take(&mut self) -> Option<Result<Page, InspectError>> {
        match std::mem::replace(self, State::Taken) {
            State::Given(result) => Some(result),
            other => {
                *self = other;
                None
            }
        }
    }
}

impl Place {
    fn new(state: State) -> Arc<Self> {
        Arc::new(Place { state: Mutex::new(state), given: Condvar::new() })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give(&self, result: Result<Page, InspectError>) {
        let waker = {
            let mut state = self.lock();
            match &mut *state {
                State::Asked(waker) => {
                    let waker = waker.take();
                    *state = State::Given(result);
                    waker
                }
                _ => return,
            }
        };
        self.given.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Where an answer is given; dropped without one, the shard has ended.
pub(super) struct Reply(Arc<Place>);

impl Reply {
    /// Whether anybody still waits for it.
    pub(super) fn is_awaited(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    pub(super) fn give(self, result: Result<Page, InspectError>) {
        self.0.give(result);
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.0.give(Err(InspectError(Why::Ended)));
    }
}

/// Why a shard was not inspected.
#[derive(Debug)]
pub struct InspectError(Why);

#[derive(Debug)]
enum Why {
    NoShard(usize),
    Full,
    Ended,
}

impl InspectError {
    pub(super) fn no_shard(shard: usize) -> Self {
        InspectError(Why::NoShard(shard))
    }

    /// There is no shard of this number.
    pub fn is_no_shard(&self) -> bool {
        matches!(self.0, Why::NoShard(_))
    }

    /// The shard's mailbox was full; later it may not be.
    pub fn is_full(&self) -> bool {
        matches!(self.0, Why::Full)
    }

    /// The shard has ended.
    pub fn is_ended(&self) -> bool {
        matches!(self.0, Why::Ended)
    }
}

impl From<SendError> for InspectError {
    fn from(error: SendError) -> Self {
        InspectError(if error.is_full() { Why::Full } else { Why::Ended })
    }
}

impl fmt::Display for InspectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Why::NoShard(shard) => write!(f, "there is no shard {shard}"),
            Why::Full => f.write_str("the shard's mailbox is full"),
            Why::Ended => f.write_str("the shard has ended"),
        }
    }
}

impl error::Error for InspectError {}
