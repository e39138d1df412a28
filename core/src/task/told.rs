//! What a task can be asked: its name, and what it is at.
#![allow(unsafe_code)]

use crate::diagnostics::{Activity, Inspect};
use std::{
    any::type_name,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
};

/// A task as its shard keeps it. To be able to ask it costs a place in the table of its type's functions, and nothing
/// for each task.
pub(crate) trait Task {
    fn poll_task(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()>;

    /// What it is at; not called while it is polled.
    fn activity(&self) -> Activity;
}

pub(crate) type BoxTask = Pin<Box<dyn Task>>;

/// Puts a future into the form of a task, whose name is that of the type `Named`.
pub(crate) fn boxed<Named: 'static>(future: impl Future<Output = ()> + 'static) -> BoxTask {
    Box::pin(Plain { future, name: PhantomData::<fn() -> Named> })
}

/// As [`boxed`], for one that tells of itself.
pub(crate) fn boxed_teller(future: impl Future<Output = ()> + Inspect + 'static) -> BoxTask {
    Box::pin(Teller(future))
}

struct Plain<F, Named> {
    future: F,
    name: PhantomData<fn() -> Named>,
}

impl<F: Future<Output = ()>, Named> Task for Plain<F, Named> {
    #[inline]
    fn poll_task(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // SAFETY: `future` is pinned with its struct: nothing moves it out of there, there is no `Drop` that could,
        // and `Plain` is `Unpin` only if it is.
        unsafe { self.map_unchecked_mut(|task| &mut task.future) }.poll(cx)
    }

    fn activity(&self) -> Activity {
        Activity { name: type_name::<Named>(), ..Activity::default() }
    }
}

struct Teller<F>(F);

impl<F: Future<Output = ()> + Inspect> Task for Teller<F> {
    #[inline]
    fn poll_task(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // SAFETY: as above.
        unsafe { self.map_unchecked_mut(|task| &mut task.0) }.poll(cx)
    }

    fn activity(&self) -> Activity {
        self.0.inspect()
    }
}
