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

    /// The waiter to store in place of `old` so that `waker` is woken.
    #[inline]
    pub(crate) fn replace(&self, tasks: &Tasks, old: Waiter, waker: &Waker) -> Waiter {
        if let Some(index) = tasks.polled_by(waker) {
            self.release(old);
            return Waiter::task(index);
        }
        if let Some(index) = old.foreign_index()
            && self.foreign.borrow().get(index).is_some_and(|kept| kept.will_wake(waker))
        {
            return old;
        }
        self.release(old);
        let waker = waker.clone();
        Waiter::foreign(self.foreign.borrow_mut().insert(waker))
    }

    /// Forgets a waiter that was stored.
    #[inline]
    pub(crate) fn release(&self, waiter: Waiter) {
        if let Some(index) = waiter.foreign_index() {
            let waker = self.foreign.borrow_mut().remove(index);
            drop(waker);
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
                    waker.wake();
                }
            }
        }
    }

    pub(crate) fn clear(&self) {
        let wakers = std::mem::replace(&mut *self.foreign.borrow_mut(), Slab::new());
        drop(wakers);
    }
}
