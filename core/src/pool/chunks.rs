//! One computation, split over the workers of a lane.

use super::{Job, Lane, Pool, PoolFull, RunError, Step};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

impl Pool {
    /// Calls `work` for every `length` elements of `data` (at least 1; the last ones may be fewer), on as many workers
    /// as the lane may use, and gives the results in the order of the elements.
    ///
    /// There are no more jobs than workers. Each does one chunk and then goes to the end of the queue, so that other jobs
    /// of the lane have their turn after a chunk: make one worth a millisecond or so. Jobs that the lane does not take,
    /// or does not get to before the others have done everything, are done without.
    ///
    /// **Why `data` is not borrowed.** Threads that are waited for may borrow from the stack (`std::thread::scope`). A
    /// future may be dropped in the middle, or leaked, and then nobody waits: a worker would read what is gone. So the
    /// workers share what they own: a `Vec`, an `Arc<[T]>`, `Bytes`.
    ///
    /// # Errors
    ///
    /// The future's: the lane is full or the pool has shut down, or `work` panicked for one of the chunks (or `data` has
    /// become shorter).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes back all chunks that have not begun.
    ///
    /// ```
    /// use lakh_core::pool::{Lane, Pool, PoolConfig};
    ///
    /// # lakh_core::block_on(async {
    /// let pool = Pool::new(PoolConfig::new(2))?;
    /// let numbers: Vec<u64> = (1..=1_000_000).collect();
    /// let sums = pool.map_chunks(Lane::CPU, numbers, 100_000, |part| part.iter().sum::<u64>()).await?;
    /// assert_eq!((sums.len(), sums.iter().sum::<u64>()), (10, 500_000_500_000));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?.unwrap();
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn map_chunks<D, T, R, F>(&self, lane: Lane, data: D, length: usize, work: F) -> MapChunks<R>
    where
        D: AsRef<[T]> + Send + Sync + 'static,
        T: 'static,
        R: Send + 'static,
        F: Fn(&[T]) -> R + Send + Sync + 'static,
    {
        let length = length.max(1);
        let chunks = data.as_ref().len().div_ceil(length);
        let results = Arc::new(Mutex::new(Results::new(chunks)));
        let all = Arc::new(All { data, work, next: AtomicUsize::new(0), results: Arc::clone(&results) });
        let (mut jobs, mut refused) = (Vec::new(), None);
        // One for a lane that there is not, which the pool refuses.
        for _ in 0..chunks.min(self.owner.shared.workers_of(lane).max(1)) {
            let all = Arc::clone(&all);
            match self.run_steps(lane, None, move || all.step(length, chunks)) {
                Ok(job) => jobs.push(Some(job)),
                Err(full) if jobs.is_empty() => {
                    refused = Some(full);
                    break;
                }
                Err(_) => {}
            }
        }
        MapChunks { jobs, refused, results }
    }
}

/// What the jobs share.
struct All<D, R, F> {
    data: D,
    work: F,
    /// The chunk that nobody has yet.
    next: AtomicUsize,
    results: Arc<Mutex<Results<R>>>,
}

impl<D, R, F> All<D, R, F> {
    fn step<T>(&self, length: usize, chunks: usize) -> Step<()>
    where
        D: AsRef<[T]>,
        F: Fn(&[T]) -> R,
    {
        let at = self.next.fetch_add(1, Ordering::Relaxed);
        if at >= chunks {
            return Step::Done(());
        }
        // Nobody could wait for an end that never comes.
        let chunk = self.data.as_ref().chunks(length).nth(at).expect("`data` is as long as it was");
        let result = (self.work)(chunk);
        locked(&self.results).put(at, result);
        if self.next.load(Ordering::Relaxed) < chunks { Step::Again } else { Step::Done(()) }
    }
}

struct Results<R> {
    /// By chunk.
    done: Vec<Option<R>>,
    missing: usize,
}

impl<R> Results<R> {
    fn new(chunks: usize) -> Self {
        Results { done: std::iter::repeat_with(|| None).take(chunks).collect(), missing: chunks }
    }

    fn put(&mut self, at: usize, result: R) {
        self.done[at] = Some(result);
        self.missing -= 1;
    }

    /// All of them, if none is missing.
    fn take(&mut self) -> Option<Vec<R>> {
        let done = (self.missing == 0).then(|| std::mem::take(&mut self.done))?;
        Some(done.into_iter().flatten().collect())
    }
}

/// The future of [`Pool::map_chunks`].
#[must_use = "dropping it takes back what has not begun"]
pub struct MapChunks<R> {
    /// None of those that are over.
    jobs: Vec<Option<Job<()>>>,
    refused: Option<PoolFull>,
    results: Arc<Mutex<Results<R>>>,
}

impl<R> Future for MapChunks<R> {
    type Output = Result<Vec<R>, RunError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(refused) = self.refused.take() {
            return Poll::Ready(Err(refused.into()));
        }
        let mut lost = None;
        for place in &mut self.jobs {
            let Some(job) = place else { continue };
            if let Poll::Ready(over) = Pin::new(job).poll(cx) {
                *place = None;
                lost = over.err().or(lost);
            }
        }
        // First, since a job that is lost may have had nothing left to do.
        let done = locked(&self.results).take();
        let outcome = match (done, lost) {
            (Some(done), _) => Ok(done),
            (None, Some(lost)) => Err(lost.into()),
            (None, None) => return Poll::Pending,
        };
        // Some of them may be queued still, behind others of the lane, and there is nothing left for them.
        self.jobs.clear();
        Poll::Ready(outcome)
    }
}

impl<R> fmt::Debug for MapChunks<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapChunks").field("missing", &locked(&self.results).missing).finish_non_exhaustive()
    }
}

fn locked<R>(results: &Mutex<Results<R>>) -> MutexGuard<'_, Results<R>> {
    results.lock().unwrap_or_else(PoisonError::into_inner)
}
