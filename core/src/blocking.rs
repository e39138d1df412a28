//! Blocking work by the paved path: one function, one error.

use crate::{
    pool::{Job, JobError, Lane, PoolFull},
    shard,
};
use std::{
    error, fmt,
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
/// # Ok::<(), lakh_core::BlockingError>(())
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

/// As [`blocking`], on another lane of the pool: one of your own
/// ([`PoolConfig::add_lane`](crate::pool::PoolConfig::add_lane)), or [`Lane::CPU`] for what computes.
///
/// # Errors, cancel safety, panics
/// As [`blocking`]. A lane that the pool does not have is an error, too.
///
/// ```
/// use lakh_core::{blocking_on, pool::Lane};
///
/// # lakh_core::block_on(async {
/// let sum = blocking_on(Lane::CPU, || (0..1_000_000u64).sum::<u64>()).await?;
/// assert_eq!(sum, 499_999_500_000);
/// # Ok::<(), lakh_core::BlockingError>(())
/// # }).unwrap().unwrap();
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

/// The future of [`blocking`] and [`blocking_on`].
#[must_use = "dropping it takes the work back"]
pub struct Blocking<T>(Result<Job<T>, Option<PoolFull>>);

impl<T> Future for Blocking<T> {
    type Output = Result<T, BlockingError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Ok(job) => {
                Pin::new(job).poll(cx).map(|done| done.map_err(|lost| BlockingError(Cause::Lost(lost))))
            }
            Err(refused) => {
                let refused = refused.take().expect("`Blocking` polled after it was ready");
                Poll::Ready(Err(BlockingError(Cause::Refused(refused))))
            }
        }
    }
}

impl<T> fmt::Debug for Blocking<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Blocking").field(&self.0).finish()
    }
}

/// Why [`blocking`] work gave no result.
#[derive(Debug, Clone)]
pub struct BlockingError(Cause);

#[derive(Debug, Clone)]
enum Cause {
    Refused(PoolFull),
    Lost(JobError),
}

impl BlockingError {
    /// The lane was full, and the work never ran: later may go better.
    pub fn is_full(&self) -> bool {
        matches!(&self.0, Cause::Refused(refused) if refused.is_full())
    }

    /// The pool has shut down, and the work never ran.
    pub fn is_shutdown(&self) -> bool {
        match &self.0 {
            Cause::Refused(refused) => refused.is_shutdown(),
            Cause::Lost(lost) => lost.is_shutdown(),
        }
    }

    /// The work panicked.
    pub fn is_panicked(&self) -> bool {
        matches!(&self.0, Cause::Lost(lost) if lost.is_panicked())
    }

    /// What the work panicked with, if that was a text.
    pub fn panic_message(&self) -> Option<&str> {
        match &self.0 {
            Cause::Refused(_) => None,
            Cause::Lost(lost) => lost.panic_message(),
        }
    }
}

impl fmt::Display for BlockingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Cause::Refused(refused) => refused.fmt(f),
            Cause::Lost(lost) => lost.fmt(f),
        }
    }
}

impl error::Error for BlockingError {}
