//! Blocking work by the paved path: few functions, one error.

use crate::{
    pool::{Job, Lane, MapChunks, PoolFull, RunError},
    shard,
};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// Runs code that blocks on the pool (its [`Lane::USER`]), and gives what it returns. It is queued at once,
/// before the first poll.
///
/// For work of another kind there are other lanes ([`blocking_on`]): what computes for long belongs on [`Lane::CPU`].
///
/// # Errors
/// The future's: the lane is full (shed load: HTTP answers 503), the pool has shut down, or `work` panicked.
///
/// # Cancel safety
/// Dropping the future takes queued work back: it never runs. Work that is running runs on, and its result
/// is dropped.
///
/// # Panics
/// Outside a shard.
///
/// ```
/// # lakh_core::block_on(async {
/// let name = lakh_core::blocking(|| std::fs::read_to_string("/etc/hostname")).await?;
/// # let _ = name;
/// # Ok::<(), lakh_core::pool::RunError>(())
/// # }).unwrap().unwrap();
/// ```
#[track_caller]
pub fn blocking<T, F>(work: F) -> Blocking<T>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    blocking_on(Lane::USER, work)
}

/// As [`blocking`], on a lane of one's choice: [`Lane::CPU`] for what computes, or one that was
/// [added](crate::pool::PoolConfig::add_lane), with workers and a limit of its own, for a database, say.
///
/// # Errors
/// As [`blocking`].
///
/// # Cancel safety
/// As [`blocking`].
///
/// # Panics
/// Outside a shard.
///
/// ```
/// use lakh_core::{Runtime, blocking_on, pool::{Kind, LaneConfig, PoolConfig}};
///
/// let mut config = PoolConfig::new(2);
/// let database = config.add_lane("database", LaneConfig::new(Kind::Io).cap(1).queue_limit(64));
/// let runtime = Runtime::builder().shards(1).pool(config).start(|_| Ok(()))?;
/// # let (tell, told) = std::sync::mpsc::channel();
/// runtime.shards().next().unwrap().spawn_on(move || async move {
///     let rows = blocking_on(database, || 3).await;
/// #   tell.send(rows).unwrap();
/// })?;
/// # assert_eq!(told.recv()??, 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[track_caller]
pub fn blocking_on<T, F>(lane: Lane, work: F) -> Blocking<T>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let job = shard::with(|shard| shard.pool().run(lane, work));
    Blocking(job.map_err(Some))
}

/// Computes on the pool's [`Lane::CPU`]: calls `work` for every `length` elements of `data`, on all of the lane's workers,
/// and gives the results in the order of the elements. As [`Pool::map_chunks`](crate::Pool::map_chunks), which says more.
///
/// # Errors
/// The future's: the lane is full or the pool has shut down, or `work` panicked.
///
/// # Cancel safety
/// Dropping the future takes back all chunks that have not begun.
///
/// # Panics
/// Outside a shard.
///
/// ```
/// # lakh_core::block_on(async {
/// let text: Vec<u8> = b"Lakh ".repeat(100_000);
/// let found = lakh_core::map_chunks(text, 64 * 1024, |part| part.iter().filter(|byte| **byte == b'L').count()).await?;
/// assert_eq!(found.iter().sum::<usize>(), 100_000);
/// # Ok::<(), lakh_core::pool::RunError>(())
/// # }).unwrap().unwrap();
/// ```
#[track_caller]
pub fn map_chunks<D, T, R, F>(data: D, length: usize, work: F) -> MapChunks<R>
where
    D: AsRef<[T]> + Send + Sync + 'static,
    T: 'static,
    R: Send + 'static,
    F: Fn(&[T]) -> R + Send + Sync + 'static,
{
    shard::with(|shard| shard.pool().map_chunks(Lane::CPU, data, length, work))
}

/// The future of [`blocking`] and [`blocking_on`].
#[must_use = "dropping it takes the work back"]
pub struct Blocking<T>(Result<Job<T>, Option<PoolFull>>);

impl<T> Future for Blocking<T> {
    type Output = Result<T, RunError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Ok(job) => Pin::new(job).poll(cx).map_err(RunError::from),
            Err(refused) => {
                let refused = refused.take().expect("`Blocking` polled after it was ready");
                Poll::Ready(Err(refused.into()))
            }
        }
    }
}

impl<T> fmt::Debug for Blocking<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Blocking").field(&self.0).finish()
    }
}
