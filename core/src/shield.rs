//! Work that goes on when nobody waits for it any more.

use crate::{
    shard,
    task::{JoinHandle, named},
};
use std::future::Future;

/// Runs `future` to its end, also if whoever waits for it gives up: it becomes a task of its own at once,
/// and the handle only waits.
///
/// A future that is dropped ends at the await point that it has come to. That is what happens to a handler
/// whose client has gone, to the loser of a race, and to what [`timeout`](crate::timeout) cuts off. Between
/// steps that belong together, such as taking an order and charging for it, put them into one shield:
///
/// ```
/// # lakh_core::block_on(async {
/// # use std::{cell::Cell, rc::Rc, time::Duration};
/// # let charged = Rc::new(Cell::new(false));
/// # let seen = Rc::clone(&charged);
/// # let take_order = async || lakh_core::sleep(Duration::from_millis(5)).await;
/// # let charge = async move || charged.set(true);
/// let order = lakh_core::shield(async move {
///     take_order().await;
///     charge().await;
/// });
/// // Whoever waits is gone long before the order is through, and that goes on all the same.
/// assert!(lakh_core::timeout(Duration::from_micros(1), order).await.is_err());
/// # while !seen.get() { lakh_core::yield_now().await }
/// # }).unwrap();
/// ```
///
/// It counts as work in flight ([`Shard::guard`](crate::Shard::guard)): a drain waits for it, up to its
/// deadline. What the deadline, [`stop`](crate::ShardHandle::stop) or the end of the process cuts off is cut
/// all the same, so what must not be lost belongs into a transaction. The watchdog knows the task by the name of the one that
/// has called this. Waiting for the handle is cancel safe.
///
/// # Errors
/// The handle's: the future panicked, or [`abort`](JoinHandle::abort) was called.
///
/// # Panics
/// Outside a shard.
#[track_caller]
pub fn shield<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    shard::with(|shard| shard.spawn(named(shard.work(), future).guarded(shard.guard())))
}
