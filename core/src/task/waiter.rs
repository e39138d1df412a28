//! Who waits for a source or a timer, in four bytes.

use super::Tasks;
use crate::slab::Slab;
use std::{cell::RefCell, task::Waker};

/// Who waits for something on this shard, in four bytes: nobody, a task of the shard by its index,
/// or a waker that is not a task's own (one of a combinator, say), kept in a table of the shard.
///
/// An idle connection waits for its socket and its deadline; a [`Waker`] for each would take 16
/// bytes and a reference count.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Waiter(u32);

impl Waiter {
    /// Nobody waits.
    pub const NONE: Waiter = Waiter(0);

    fn task(index: u32) -> Self {
        Waiter((index + 1) << 1)
    }

    fn foreign(index: u32) -> Self {
        Waiter((index + 1) << 1 | 1)
    }

    /// Whether it is this task of the shard.
    #[inline]
    pub(crate) fn is_task(self, index: Option<u32>) -> bool {
        index.is_some_and(|index| self == Waiter::task(index))
    }

    /// The task of the shard that waits.
    pub(crate) fn task_index(self) -> Option<u32> {
        (self.0 & 1 == 0).then(|| (self.0 >> 1).checked_sub(1)).flatten()
    }

    fn foreign_index(self) -> Option<u32> {
        (self.0 & 1 == 1).then(|| (self.0 >> 1) - 1)
    }
}

/// The wakers that are not a task's own.
pub(crate) struct Waiters {
    foreign: RefCell<Slab<Waker>>,
}

impl Waiters {
    pub(crate) fn new() -> Self {
        Waiters { foreign: RefCell::new(Slab::new()) }
    }

    /// The waiter to store so that `waker` is woken, in place of `old`, which the caller has taken
    /// out of where it was stored: wakers are cloned and dropped in here, which runs code of the
    /// user, and no one else may find `old` meanwhile.
    #[inline]
    pub(crate) fn replace(&self, tasks: &Tasks, old: Waiter, waker: &Waker) -> Waiter {
        if let Some(index) = tasks.polled_by(waker) {
            self.release(tasks, old);
            return Waiter::task(index);
        }
        if let Some(index) = old.foreign_index()
            && self.foreign.borrow().get(index).is_some_and(|kept| kept.will_wake(waker))
        {
            return old;
        }
        self.release(tasks, old);
        let waker = waker.clone();
        Waiter::foreign(self.foreign.borrow_mut().insert(waker))
    }

    /// Forgets a waiter that was stored.
    #[inline]
    pub(crate) fn release(&self, tasks: &Tasks, waiter: Waiter) {
        if let Some(index) = waiter.foreign_index() {
            let waker = self.foreign.borrow_mut().remove(index);
            tasks.guarded(|| drop(waker));
        }
    }

    /// Wakes a waiter that is no longer stored anywhere.
    #[inline]
    pub(crate) fn wake(&self, tasks: &Tasks, waiter: Waiter) {
        if waiter == Waiter::NONE {
            return;
        }
        match waiter.foreign_index() {
            None => tasks.wake((waiter.0 >> 1) - 1),
            Some(index) => {
                let waker = self.foreign.borrow_mut().remove(index);
                if let Some(waker) = waker {
                    tasks.guarded(|| waker.wake());
                }
            }
        }
    }

    pub(crate) fn clear(&self, tasks: &Tasks) {
        let wakers = std::mem::replace(&mut *self.foreign.borrow_mut(), Slab::new());
        tasks.guarded(|| drop(wakers));
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::Wake,
    };

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    struct Panics;

    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("on purpose: a waker that panics when it is woken");
        }
    }

    struct PanicsWhenDropped;

    impl Wake for PanicsWhenDropped {
        fn wake(self: Arc<Self>) {}
    }

    impl Drop for PanicsWhenDropped {
        fn drop(&mut self) {
            panic!("on purpose: a waker that panics when it is dropped");
        }
    }

    #[test]
    fn a_foreign_waker_is_woken_once_and_let_go() {
        let (tasks, waiters) = (Tasks::new(crate::shard::Remote::detached()), Waiters::new());
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let waiter = waiters.replace(&tasks, Waiter::NONE, &waker);
        drop(waker);
        waiters.wake(&tasks, waiter);
        waiters.wake(&tasks, Waiter::NONE);
        assert_eq!((count.0.load(Ordering::Relaxed), Arc::strong_count(&count)), (1, 1));
        assert_eq!(waiters.foreign.borrow().len(), 0);
    }

    #[test]
    fn the_same_foreign_waker_keeps_its_place() {
        let (tasks, waiters) = (Tasks::new(crate::shard::Remote::detached()), Waiters::new());
        let waker = Waker::from(Arc::new(Count::default()));
        let other = Waker::from(Arc::new(Count::default()));
        let first = waiters.replace(&tasks, Waiter::NONE, &waker);
        assert_eq!(waiters.replace(&tasks, first, &waker), first);
        let second = waiters.replace(&tasks, first, &other);
        assert_eq!(waiters.foreign.borrow().len(), 1, "the old one was let go");
        waiters.release(&tasks, second);
        assert_eq!(waiters.foreign.borrow().len(), 0);
    }

    #[test]
    fn the_noop_waker_is_no_task() {
        let (tasks, waiters) = (Tasks::new(crate::shard::Remote::detached()), Waiters::new());
        let waiter = waiters.replace(&tasks, Waiter::NONE, Waker::noop());
        assert!(waiter.foreign_index().is_some());
        waiters.clear(&tasks);
    }

    #[test]
    fn a_waker_that_panics_is_counted_and_harms_nobody() {
        let (tasks, waiters) = (Tasks::new(crate::shard::Remote::detached()), Waiters::new());
        let store = |waker: Waker| {
            let waiter = waiters.replace(&tasks, Waiter::NONE, &waker);
            drop(waker);
            waiter
        };
        let woken = store(Waker::from(Arc::new(Panics)));
        let released = store(Waker::from(Arc::new(PanicsWhenDropped)));
        store(Waker::from(Arc::new(PanicsWhenDropped)));
        waiters.wake(&tasks, woken);
        waiters.release(&tasks, released);
        waiters.clear(&tasks);
        assert_eq!(waiters.foreign.borrow().len(), 0);
        assert_eq!(tasks.panicked(), 3);
    }
}
