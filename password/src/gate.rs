//! Who may hash now: so much memory at once, and so many who wait or are at work.

use crate::Error;
use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
};

/// In order of arrival: who asks for little does not overtake who asks for much, or the latter would never come.
pub(crate) struct Gate {
    memory: u64,
    limit: usize,
    /// Hashes, ever.
    computed: AtomicU64,
    state: Mutex<State>,
}

struct State {
    free: u64,
    /// Those who are in.
    permits: usize,
    waiting: VecDeque<Waiting>,
    next: u64,
}

struct Waiting {
    number: u64,
    waker: Waker,
}

impl Gate {
    /// `memory`: bytes; `limit`: how many may be in or wait.
    pub(crate) fn new(memory: u64, limit: usize) -> Gate {
        let state = State { free: memory, permits: 0, waiting: VecDeque::new(), next: 0 };
        Gate { memory, limit, computed: AtomicU64::new(0), state: Mutex::new(state) }
    }

    pub(crate) fn memory(&self) -> u64 {
        self.memory
    }

    pub(crate) fn computed(&self) -> u64 {
        self.computed.load(Ordering::Relaxed)
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Waits for its turn and so many bytes. Dropping the future leaves the line.
    pub(crate) fn enter(self: &Arc<Gate>, bytes: u64) -> Enter {
        Enter { gate: Arc::clone(self), bytes, number: None }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The first in line, to be woken when the lock is gone: it looks for itself.
    fn first(&self) -> Option<Waker> {
        self.waiting.front().map(|waiting| waiting.waker.clone())
    }
}

/// See [`Gate::enter`].
pub(crate) struct Enter {
    gate: Arc<Gate>,
    bytes: u64,
    number: Option<u64>,
}

impl Future for Enter {
    type Output = Result<Permit, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Cloned and dropped without the lock: both are the executor's code.
        let mut waker = cx.waker().clone();
        let gate = Arc::clone(&self.gate);
        let mut state = gate.lock();
        let is_first = state.waiting.front().is_none_or(|first| Some(first.number) == self.number);
        if is_first && self.bytes <= state.free && state.permits < gate.limit {
            let left = self.number.take().and_then(|_| state.waiting.pop_front());
            state.free -= self.bytes;
            state.permits += 1;
            let next = state.first();
            drop(state);
            drop(left);
            next.into_iter().for_each(Waker::wake);
            return Poll::Ready(Ok(Permit { gate, bytes: self.bytes }));
        }
        match self.number {
            Some(number) => {
                let mine = state.waiting.iter_mut().find(|waiting| waiting.number == number);
                mine.into_iter().for_each(|mine| std::mem::swap(&mut mine.waker, &mut waker));
            }
            None if state.permits + state.waiting.len() >= gate.limit => {
                return Poll::Ready(Err(Error::full(gate.limit)));
            }
            None => {
                let number = state.next;
                state.next += 1;
                self.number = Some(number);
                state.waiting.push_back(Waiting { number, waker });
                return Poll::Pending;
            }
        }
        drop(state);
        drop(waker);
        Poll::Pending
    }
}

impl Drop for Enter {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let mut state = self.gate.lock();
        let place = state.waiting.iter().position(|waiting| waiting.number == number);
        let left = place.and_then(|place| state.waiting.remove(place));
        let next = state.first();
        drop(state);
        drop(left);
        next.into_iter().for_each(Waker::wake);
    }
}

/// A place inside, and memory; given back by dropping it, on any thread.
pub(crate) struct Permit {
    gate: Arc<Gate>,
    bytes: u64,
}

impl Permit {
    /// A hash is computed: said by what computes it.
    pub(crate) fn count(&self) {
        self.gate.computed.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.gate.lock();
        state.free += self.bytes;
        state.permits -= 1;
        let next = state.first();
        drop(state);
        next.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn poll(enter: &mut Enter, count: &Arc<Count>) -> Poll<Result<Permit, Error>> {
        let waker = Waker::from(Arc::clone(count));
        Pin::new(enter).poll(&mut Context::from_waker(&waker))
    }

    fn entered(enter: &mut Enter) -> Permit {
        match poll(enter, &Arc::default()) {
            Poll::Ready(Ok(permit)) => permit,
            _ => panic!("it has to wait"),
        }
    }

    /// Free memory, permits given, and how many wait.
    fn left(gate: &Gate) -> (u64, usize, usize) {
        let state = gate.lock();
        (state.free, state.permits, state.waiting.len())
    }

    #[test]
    fn memory_is_lent_and_waited_for_in_order() {
        let gate = Arc::new(Gate::new(10, 9));
        let first = entered(&mut gate.enter(6));
        let (mut large, mut small) = (gate.enter(10), gate.enter(1));
        let (woken, small_woken) = (Arc::default(), Arc::default());
        assert!(poll(&mut large, &woken).is_pending());
        assert!(poll(&mut small, &small_woken).is_pending(), "it does not overtake");
        drop(first);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        let large = entered(&mut large);
        assert!(poll(&mut small, &small_woken).is_pending());
        drop(large);
        drop(entered(&mut small));
        assert_eq!(left(&gate), (10, 0, 0));
    }

    #[test]
    fn who_leaves_the_line_lets_the_next_one_look() {
        let gate = Arc::new(Gate::new(10, 9));
        let first = entered(&mut gate.enter(6));
        let (mut large, mut small) = (gate.enter(10), gate.enter(1));
        let woken = Arc::default();
        assert!(poll(&mut large, &Arc::default()).is_pending());
        assert!(poll(&mut small, &woken).is_pending());
        drop(large);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        drop((entered(&mut small), first));
        assert_eq!(left(&gate), (10, 0, 0));
    }

    #[test]
    fn more_than_the_limit_are_refused_at_once() {
        let gate = Arc::new(Gate::new(10, 2));
        let first = entered(&mut gate.enter(10));
        let mut second = gate.enter(1);
        assert!(poll(&mut second, &Arc::default()).is_pending());
        let mut third = gate.enter(1);
        assert!(matches!(poll(&mut third, &Arc::default()), Poll::Ready(Err(error)) if error.is_full()));
        drop((first, second));
        drop(entered(&mut gate.enter(10)));
    }
}
