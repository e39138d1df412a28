//! Futures with a name.
#![allow(unsafe_code)]

use crate::{
    shard::{self, WorkGuard},
    watchdog::WorkName,
};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// A future under a name, which the watchdog tells if it blocks its shard. As cancel safe as `future`.
///
/// ```
/// # lakh_core::block_on(async {
/// lakh_core::spawn_detached(lakh_core::named(lakh_core::WorkName::new("compaction"), async {
///     // ...
/// }));
/// # }).unwrap();
/// ```
pub fn named<F: Future>(name: WorkName, future: F) -> Named<F> {
    Named { name, future, guard: None }
}

/// The future of [`named`].
#[must_use = "futures do nothing unless polled"]
pub struct Named<F> {
    name: WorkName,
    future: F,
    // Dropped last: until then the future's work is in flight.
    guard: Option<WorkGuard>,
}

impl<F> Named<F> {
    /// Counts as work in flight as long as it lives; see [`Shard::guard`](crate::Shard::guard).
    pub fn guarded(mut self, guard: WorkGuard) -> Self {
        self.guard = Some(guard);
        self
    }
}

impl<F: Future> Future for Named<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        // SAFETY: nothing is moved out of it. (A `&self`, as `self.name` would make, reads all of it, and with it
        // what the future may hold a reference of its own to.)
        let this = unsafe { self.get_unchecked_mut() };
        let around = replace_work(this.name);
        if around == WorkName::NONE {
            let guarded = this.guard.is_some();
            shard::try_with(|shard| shard.tasks().name_polled(this.name, guarded));
        }
        // SAFETY: `future` is pinned with its struct: nothing moves it out of there, there is no `Drop` that
        // could, and `Named` is `Unpin` only if it is.
        let future = unsafe { Pin::new_unchecked(&mut this.future) };
        let outcome = future.poll(cx);
        replace_work(around);
        outcome
    }
}

/// Without a shard there is nobody to tell.
fn replace_work(name: WorkName) -> WorkName {
    let replaced = shard::try_with(|shard| {
        let before = shard.work();
        shard.set_work(name);
        before
    });
    replaced.unwrap_or_default()
}

impl<F> fmt::Debug for Named<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Named").field(&self.name).finish()
    }
}
