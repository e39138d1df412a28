//! One job: the closure on its way to a worker, and its result on the way back.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::error::JobError;
use super::lane::Lane;
use super::queue::Key;
use super::shared::Shared;
use crate::sync::{AtomicU64, Mutex, MutexGuard, Ordering};

/// What one step of a job that runs in steps says, see [`Pool::run_steps`](super::Pool::run_steps).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<T> {
    /// There is more to do: call again, after the others that wait.
    Again,
    /// That was all; this is the result.
    Done(T),
}

/// The result of a job of the pool, to be awaited on any thread.
///
/// Resolves to what the job returned, or to a [`JobError`] if it panicked or the pool shut down
/// before it was done. Panics if polled again after that.
///
/// # Cancel safety
///
/// Dropping it takes a queued job back: it never runs, and its closure is dropped at once. A job
/// that is running runs on and its result is dropped on the worker; one that runs in steps ends
/// after the current step. [`detach`](Job::detach) lets go without taking back.
///
/// ```
/// use lakh_core::pool::{Lane, Pool, PoolConfig};
///
/// # lakh_core::block_on(async {
/// let pool = Pool::new(PoolConfig::new(1))?;
/// let sum: u64 = pool.run(Lane::CPU, || (1..=100).sum())?.await?;
/// assert_eq!(sum, 5050);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?.unwrap();
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "dropping a job takes it back; `detach` lets it run unattended"]
pub struct Job<T> {
    /// `None` once the result was handed out, or after `detach`.
    pending: Option<Pending<T>>,
}

struct Pending<T> {
    slot: Arc<dyn Slot<T>>,
    shared: Arc<Shared>,
}

impl<T> Job<T> {
    /// Lets the job run without anyone waiting for it; its result is dropped.
    pub fn detach(mut self) {
        self.pending = None;
    }
}

impl<T> Future for Job<T> {
    type Output = Result<T, JobError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let pending = self.pending.as_ref().expect("`Job` polled after it was ready");
        let outcome = pending.slot.poll(cx.waker());
        if outcome.is_ready() {
            self.pending = None;
        }
        outcome
    }
}

impl<T> Drop for Job<T> {
    fn drop(&mut self) {
        if let Some(pending) = self.pending.take()
            && pending.slot.abandon()
        {
            pending.shared.cancel(pending.slot.ticket());
        }
    }
}

impl<T> fmt::Debug for Job<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("pending", &self.pending.is_some()).finish()
    }
}

/// Makes both ends of a job: what the queue holds, and what the caller waits on.
pub(super) fn new_job<T, F>(shared: &Arc<Shared>, lane: Lane, group: Key, step: F) -> (Arc<dyn Work>, Job<T>)
where
    T: Send + 'static,
    F: FnMut() -> Step<T> + Send + 'static,
{
    let ticket = Ticket { lane, group, sequence: AtomicU64::new(NOT_QUEUED) };
    let cell = Mutex::new(Cell { stage: Stage::Waiting(step), abandoned: false, waiter: None });
    let task = Arc::new(Task { ticket, cell });
    let slot = Arc::clone(&task);
    let shared = Arc::clone(shared);
    (task, Job { pending: Some(Pending { slot, shared }) })
}

/// Where a job stands in the queue of its lane.
pub(super) struct Ticket {
    pub(super) lane: Lane,
    pub(super) group: Key,
    /// Its sequence number while it is queued, else [`NOT_QUEUED`]. Read and written only under
    /// the pool's lock, which orders it.
    sequence: AtomicU64,
}

const NOT_QUEUED: u64 = u64::MAX;

impl Ticket {
    pub(super) fn queued_as(&self, sequence: u64) {
        self.sequence.store(sequence, Ordering::Relaxed);
    }

    pub(super) fn unqueued(&self) {
        self.sequence.store(NOT_QUEUED, Ordering::Relaxed);
    }

    pub(super) fn sequence(&self) -> Option<u64> {
        Some(self.sequence.load(Ordering::Relaxed)).filter(|&sequence| sequence != NOT_QUEUED)
    }
}

/// The queue's view of a job. None of these may be called under the pool's lock, but `ticket`.
pub(super) trait Work: Send + Sync {
    fn ticket(&self) -> &Ticket;
    /// Runs one step; does not unwind. The outcome stays hidden until [`deliver`](Self::deliver).
    fn run(&self) -> Ran;
    /// Shows the outcome to the waiting task and wakes it.
    fn deliver(&self);
    /// Drops the closure of a job that is not running: the pool has shut down.
    fn refuse(&self);
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ran {
    Again,
    Finished,
    Panicked,
    /// The future is gone, and the closure with it.
    Cancelled,
}

/// The waiting task's view of a job.
trait Slot<T>: Send + Sync {
    fn ticket(&self) -> &Ticket;
    fn poll(&self, waker: &Waker) -> Poll<Result<T, JobError>>;
    /// Nobody waits any more. True if the job may still be queued.
    fn abandon(&self) -> bool;
}

/// One allocation holds the whole job.
struct Task<T, F> {
    ticket: Ticket,
    cell: Mutex<Cell<T, F>>,
}

struct Cell<T, F> {
    stage: Stage<T, F>,
    /// Set by the job's future, never unset.
    abandoned: bool,
    waiter: Option<Waker>,
}

enum Stage<T, F> {
    /// Queued, or in the hands of a worker that has not begun. Left by the worker, or by `refuse`.
    Waiting(F),
    /// A worker has the closure.
    Running,
    /// The worker has the outcome in store until it has done its accounts.
    Held(Result<T, JobError>),
    /// The future may take the outcome.
    Ready(Result<T, JobError>),
    /// Nothing is left.
    Over,
}

impl<T, F> Task<T, F> {
    fn cell(&self) -> MutexGuard<'_, Cell<T, F>> {
        self.cell.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Takes the closure to run it, unless nobody wants the result.
    fn begin(&self) -> Option<F> {
        let mut cell = self.cell();
        let next = if cell.abandoned { Stage::Over } else { Stage::Running };
        let abandoned = cell.abandoned;
        let stage = std::mem::replace(&mut cell.stage, next);
        drop(cell);
        match stage {
            Stage::Waiting(step) if !abandoned => Some(step),
            unwanted => {
                quietly(|| drop(unwanted));
                None
            }
        }
    }

    /// Keeps the closure for the next step, unless nobody wants the result.
    fn put_back(&self, step: F) -> Ran {
        let mut cell = self.cell();
        if !cell.abandoned {
            cell.stage = Stage::Waiting(step);
            return Ran::Again;
        }
        cell.stage = Stage::Over;
        drop(cell);
        quietly(|| drop(step));
        Ran::Cancelled
    }

    /// Moves an outcome to where the future finds it, and wakes the task that waits.
    fn show(cell: &mut Cell<T, F>, outcome: Result<T, JobError>) -> impl FnOnce() + use<T, F> {
        let unwanted = if cell.abandoned {
            cell.stage = Stage::Over;
            Some(outcome)
        } else {
            cell.stage = Stage::Ready(outcome);
            None
        };
        let waiter = cell.waiter.take();
        move || {
            if let Some(waker) = waiter {
                waker.wake();
            }
            drop(unwanted);
        }
    }
}

impl<T: Send, F: FnMut() -> Step<T> + Send> Work for Task<T, F> {
    fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    fn run(&self) -> Ran {
        let Some(mut step) = self.begin() else { return Ran::Cancelled };
        let (outcome, ran) = match catch_unwind(AssertUnwindSafe(&mut step)) {
            Ok(Step::Again) => return self.put_back(step),
            Ok(Step::Done(value)) => (Ok(value), Ran::Finished),
            Err(payload) => {
                let error = JobError::panicked(&*payload);
                quietly(|| drop(payload));
                (Err(error), Ran::Panicked)
            }
        };
        quietly(|| drop(step));
        self.cell().stage = Stage::Held(outcome);
        ran
    }

    fn deliver(&self) {
        let mut cell = self.cell();
        if let Stage::Held(outcome) = std::mem::replace(&mut cell.stage, Stage::Over) {
            let wake = Self::show(&mut cell, outcome);
            drop(cell);
            quietly(wake);
        }
    }

    fn refuse(&self) {
        let mut cell = self.cell();
        let stage = std::mem::replace(&mut cell.stage, Stage::Over);
        let wake = Self::show(&mut cell, Err(JobError::shutdown()));
        drop(cell);
        quietly(|| drop(stage));
        quietly(wake);
    }
}

impl<T: Send, F: Send> Slot<T> for Task<T, F> {
    fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    fn poll(&self, waker: &Waker) -> Poll<Result<T, JobError>> {
        let mut fresh = None;
        loop {
            let mut cell = self.cell();
            if let Stage::Ready(_) = cell.stage {
                let stage = std::mem::replace(&mut cell.stage, Stage::Over);
                let Stage::Ready(outcome) = stage else { unreachable!("seen under the same lock") };
                return Poll::Ready(outcome);
            }
            if cell.waiter.as_ref().is_some_and(|old| old.will_wake(waker)) {
                return Poll::Pending;
            }
            // Cloning and dropping a waker is code of the executor: not under the lock.
            if let Some(fresh) = fresh.take() {
                let old = cell.waiter.replace(fresh);
                drop(cell);
                drop(old);
                return Poll::Pending;
            }
            drop(cell);
            fresh = Some(waker.clone());
        }
    }

    fn abandon(&self) -> bool {
        let mut cell = self.cell();
        cell.abandoned = true;
        let waiter = cell.waiter.take();
        let queued = matches!(cell.stage, Stage::Waiting(_));
        let outcome = match cell.stage {
            Stage::Held(_) | Stage::Ready(_) => Some(std::mem::replace(&mut cell.stage, Stage::Over)),
            _ => None,
        };
        drop(cell);
        drop((waiter, outcome));
        queued
    }
}

/// Runs code of the user that has no one to panic to: the worker must live, and its books must
/// balance. The default panic hook has printed the message by then.
pub(super) fn quietly(run: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(run)) {
        // Dropping it might panic once more.
        std::mem::forget(payload);
    }
}
