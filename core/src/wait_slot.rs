//! A place for one who waits.

use crate::{shard, task::Waiter};
use std::{cell::Cell, fmt, task::Context};

/// Who waits for something on this shard, in four bytes: nobody, or one waker.
///
/// A task of the shard is kept by its number, so that nothing is cloned or allocated. It belongs to the shard
/// where it was set first.
///
/// ```
/// use lakh_core::WaitSlot;
/// use std::{cell::Cell, future::poll_fn, rc::Rc, task::Poll};
///
/// # lakh_core::block_on(async {
/// let door = Rc::new((Cell::new(false), WaitSlot::new()));
/// let opener = Rc::clone(&door);
/// lakh_core::spawn_detached(async move {
///     opener.0.set(true);
///     opener.1.wake();
/// });
/// poll_fn(|cx| {
///     if door.0.get() {
///         return Poll::Ready(());
///     }
///     door.1.set(cx);
///     Poll::Pending
/// })
/// .await;
/// # }).unwrap();
/// ```
#[derive(Default)]
pub struct WaitSlot(Cell<Waiter>);

impl WaitSlot {
    /// Nobody waits.
    pub const fn new() -> Self {
        WaitSlot(Cell::new(Waiter::NONE))
    }

    /// Lets whoever is polled with `cx` wait, in the place of who waited before.
    ///
    /// # Panics
    /// Outside a shard.
    #[inline]
    pub fn set(&self, cx: &Context<'_>) {
        shard::with(|shard| {
            let waiter = shard.waiters().replace(shard.tasks(), self.0.take(), cx.waker());
            self.0.set(waiter);
        });
    }

    /// Wakes who waits, and forgets it.
    #[inline]
    pub fn wake(&self) {
        let waiter = self.0.take();
        if waiter != Waiter::NONE {
            shard::try_with(|shard| shard.waiters().wake(shard.tasks(), waiter));
        }
    }

    /// Whether somebody waits.
    #[inline]
    pub fn is_set(&self) -> bool {
        self.0.get() != Waiter::NONE
    }

    /// Whether the one who waits is the task that is being polled with `cx`.
    #[inline]
    pub fn is_set_to(&self, cx: &Context<'_>) -> bool {
        shard::try_with(|shard| self.0.get().is_task(shard.tasks().polled_by(cx.waker()))).unwrap_or(false)
    }
}

impl Drop for WaitSlot {
    fn drop(&mut self) {
        let waiter = self.0.take();
        if waiter != Waiter::NONE {
            shard::try_with(|shard| shard.waiters().release(shard.tasks(), waiter));
        }
    }
}

impl fmt::Debug for WaitSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitSlot").field("is_set", &self.is_set()).finish()
    }
}
