//! Chunks as they come.

mod decode;
mod encode;

pub use decode::Decode;
pub use encode::Encode;

use crate::Error;
use lakh_core::pool::{Job, Lane};
use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

/// Rounds without a result, before others of the shard have their turn.
const ROUNDS: usize = 32;

/// An encoder or decoder, and the job that a worker of the pool does with it.
struct Worker<T, R> {
    state: Arc<Mutex<T>>,
    job: Option<Job<R>>,
}

impl<T: Send + 'static, R: Send + 'static> Worker<T, R> {
    fn new(state: T) -> Self {
        Worker { state: Arc::new(Mutex::new(state)), job: None }
    }

    /// What workers have while they have a job.
    fn state(&self) -> MutexGuard<'_, T> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands the work to the cpu lane. False if that is full.
    fn hand_over(&mut self, work: impl FnOnce(&mut T) -> R + Send + 'static) -> Result<bool, Error> {
        let state = Arc::clone(&self.state);
        let job = move || work(&mut state.lock().unwrap_or_else(PoisonError::into_inner));
        match lakh_core::with(|shard| shard.pool().run(Lane::CPU, job)) {
            Ok(job) => self.job = Some(job),
            Err(refused) if refused.is_full() => return Ok(false),
            Err(refused) => return Err(refused.into()),
        }
        Ok(true)
    }

    /// What a worker has done; `None` if none has anything to do.
    fn poll_job(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<R, Error>>> {
        let Some(job) = &mut self.job else { return Poll::Ready(None) };
        let result = ready!(Pin::new(job).poll(cx));
        self.job = None;
        Poll::Ready(Some(result.map_err(Error::from)))
    }
}
