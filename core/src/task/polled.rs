//! The waker that a task is polled with.
//!
//! Most tasks are connections, and most of those never give a waker away: what they wait for knows
//! them by their index ([`Waiter`](super::Waiter)). So the waker of a poll lives on the stack and
//! costs nothing; the [`Link`] that wakers share is made when the first one is cloned.
#![allow(unsafe_code)]

use super::{Link, TaskRef};
use crate::shard::{self, Remote};
use std::{
    marker::PhantomData,
    mem::ManuallyDrop,
    ops::Deref,
    sync::{Arc, OnceLock},
    task::{RawWaker, RawWakerVTable, Waker},
};

/// A task while it is polled.
pub(super) struct Polled<'a> {
    index: u32,
    remote: &'a Arc<Remote>,
    link: OnceLock<Arc<Link<TaskRef>>>,
}

impl<'a> Polled<'a> {
    pub(super) fn new(index: u32, remote: &'a Arc<Remote>, link: Option<Arc<Link<TaskRef>>>) -> Self {
        Polled { index, remote, link: link.map_or_else(OnceLock::new, OnceLock::from) }
    }

    /// The waker for the poll.
    pub(super) fn waker(&self) -> PollWaker<'_> {
        let raw = RawWaker::new((&raw const *self).cast(), &VTABLE);
        // SAFETY: the functions of `VTABLE` keep the contract of `RawWaker` as long as `self` lives
        // where it is, which the borrow in `PollWaker` sees to; they only use it by shared
        // reference, and it is `Sync`.
        PollWaker { waker: ManuallyDrop::new(unsafe { Waker::from_raw(raw) }), polled: PhantomData }
    }

    /// What wakers share, if any was cloned.
    pub(super) fn into_link(self) -> Option<Arc<Link<TaskRef>>> {
        self.link.into_inner()
    }

    fn link(&self) -> &Arc<Link<TaskRef>> {
        let task = || TaskRef { index: self.index, remote: Arc::clone(self.remote) };
        self.link.get_or_init(|| Link::new(task()))
    }

    fn wake(&self) {
        if !wake_at_home(self.index, self.remote) {
            self.remote.wake_task(self.link());
        }
    }
}

/// Wakes a task if this thread runs its shard.
pub(super) fn wake_at_home(index: u32, remote: &Arc<Remote>) -> bool {
    let woken = shard::try_with(|shard| {
        let home = Arc::ptr_eq(shard.remote(), remote);
        if home {
            shard.tasks().wake(index);
        }
        home
    });
    woken == Some(true)
}

/// A waker that must not outlive the [`Polled`] it was made of. Clones of it may.
pub(super) struct PollWaker<'a> {
    waker: ManuallyDrop<Waker>,
    polled: PhantomData<&'a Polled<'a>>,
}

impl Deref for PollWaker<'_> {
    type Target = Waker;

    fn deref(&self) -> &Waker {
        &self.waker
    }
}

/// For wakers whose data is a `Polled` that is borrowed: nothing is owned, so `drop` does nothing.
static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake, |_| {});

fn clone(data: *const ()) -> RawWaker {
    // SAFETY: as in `wake`.
    let polled = unsafe { &*data.cast::<Polled<'_>>() };
    let waker = ManuallyDrop::new(Waker::from(Arc::clone(polled.link())));
    RawWaker::new(waker.data(), waker.vtable())
}

fn wake(data: *const ()) {
    // SAFETY: `data` is the pointer given in `Polled::waker`, and the waker that holds it does not
    // outlive the `Polled` it points to.
    let polled = unsafe { &*data.cast::<Polled<'_>>() };
    polled.wake();
}

const _: () = {
    const fn is_sync<T: Sync>() {}
    is_sync::<Polled<'_>>();
};
