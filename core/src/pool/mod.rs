//! The bounded pool: where everything runs that would block a shard.
//!
//! One pool serves all shards. Jobs queue in [lanes](Lane), and a lane belongs to one [`Kind`] of
//! worker. What keeps the pool from becoming the place where everything waits for everything:
//!
//! - Every lane has a queue limit. A full lane refuses at once ([`PoolFull`]), so that load can be
//!   shed while the client still waits.
//! - Every lane has a reserved share of the workers, which the others leave free, and may have a
//!   cap. No lane can starve another, however long its jobs take.
//! - Within a grouped lane each group (for files: each mount) has a cap and a limit of its own, so
//!   that one hung mount waits only for itself.
//! - Dropping the [`Job`] takes queued work back.
//! - A computation over much data is split over the workers ([`Pool::map_chunks`]), and lets others have their turn after
//!   each part.
//! - A job that waits for longer than [`SATURATED_AFTER`] is said on standard error, once in five
//!   minutes for each lane, and counted ([`LaneMetrics::saturated`]).
//!
//! A job that panics becomes a [`JobError`]; its worker lives on. Results come back by a plain
//! [`Waker`], so any executor can wait for them.
//!
//! Threads: one named `lakh-pool` starts the workers `lakh-io-0`, `lakh-cpu-0`, … as they are
//! needed. It is itself started by [`Pool::new`], from whose caller all of them inherit the signal
//! mask, the processor affinity and the descriptor table: make the pool on the main thread, before
//! the shards change any of these for themselves.
//!
//! What it does not do: cut off a job that hangs (nothing can), or order jobs by priority.
//!
//! ```
//! use std::time::Duration;
//! use lakh_core::pool::{Lane, Pool, PoolConfig, Step};
//!
//! let pool = Pool::new(PoolConfig::new(2))?;
//! // On a shard these are awaited; 503 if refused.
//! let one = pool.run(Lane::USER, || std::fs::read_to_string("/etc/hostname"))?;
//! let mut sum = 0;
//! let many = pool.run_steps(Lane::FILE, Some(17), move || {
//!     sum += 1;
//!     if sum < 10 { Step::Again } else { Step::Done(sum) }
//! })?;
//!
//! one.detach();
//! drop(many);
//! pool.shutdown();
//! assert_eq!(pool.join(Duration::from_secs(10)), 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod chunks;
mod config;
mod error;
mod job;
mod lane;
mod lane_state;
#[cfg(all(test, loom))]
mod loom_tests;
mod metrics;
mod queue;
mod room;
mod shared;
mod state;
#[cfg(all(test, not(loom)))]
mod tests;
mod watch;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use chunks::MapChunks;
pub use config::{LaneConfig, MAX_WORKERS, PoolConfig, THREADS_VARIABLE};
pub use error::{JobError, PoolError, PoolFull, RunError};
pub use job::{Job, Step};
pub use lane::{Kind, Lane};
pub use metrics::{LaneMetrics, PoolMetrics, SaturatedGroup, Saturation, WorkerMetrics};
pub use watch::SATURATED_AFTER;

use crate::sync::thread;
use crate::wakers::WakerKey;
use room::Full;
use shared::{Shared, start_worker};
use std::task::Waker;
use watch::Watch;

/// A handle to the pool; clones are handles to the same one, for any thread.
///
/// When the last handle goes, the pool [shuts down](Pool::shutdown) without waiting for its
/// workers. See the [module](self) for the whole picture.
#[derive(Clone)]
pub struct Pool {
    owner: Arc<Owner>,
}

/// Shared by the handles, but not by the workers: its drop is the end of the last handle.
struct Owner {
    shared: Arc<Shared>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl Pool {
    /// A pool with these lanes and sizes. Starts one thread; workers start when there is work.
    ///
    /// # Errors
    ///
    /// [`is_config`](PoolError::is_config) if lanes and sizes contradict each other,
    /// [`is_thread`](PoolError::is_thread) if the operating system refuses the thread.
    ///
    /// ```
    /// use lakh_core::pool::{Kind, Pool, PoolConfig};
    ///
    /// let pool = Pool::new(PoolConfig::new(4))?;
    /// assert_eq!(pool.metrics().workers[0].size, 16);
    /// assert!(Pool::new(PoolConfig::new(4).workers(Kind::Io, 5000)).unwrap_err().is_config());
    /// # Ok::<(), lakh_core::pool::PoolError>(())
    /// ```
    pub fn new(config: PoolConfig) -> Result<Pool, PoolError> {
        let shared = Arc::new(Shared::new(&config)?);
        let starter = Arc::clone(&shared);
        let thread = thread::Builder::new().name("lakh-pool".to_owned());
        let watch = Watch::new(SATURATED_AFTER, |found: &Saturation| crate::warn(watch::line(found)));
        let body = move || starter.start_workers(|kind, number| start_worker(&starter, kind, number), watch);
        thread.spawn(body).map_err(PoolError::thread)?;
        Ok(Pool { owner: Arc::new(Owner { shared }) })
    }

    /// Queues a job. Equal to [`run_in_group`](Self::run_in_group) without a group.
    ///
    /// Never blocks. The result of the [`Job`] wakes the task that awaits it.
    ///
    /// # Errors
    ///
    /// [`PoolFull`] if the lane is at its limit or the pool has shut down; the closure is dropped.
    ///
    /// ```
    /// use lakh_core::pool::{Lane, Pool, PoolConfig};
    ///
    /// let pool = Pool::new(PoolConfig::new(1))?;
    /// let job = pool.run(Lane::USER, || std::fs::metadata("/"))?;
    /// # drop(job);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn run<T, F>(&self, lane: Lane, job: F) -> Result<Job<T>, PoolFull>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        self.run_in_group(lane, None, job)
    }

    /// Queues a job of a group: for [`Lane::FILE`], the id of the mount it touches.
    ///
    /// Groups take turns, and each has a cap and a limit of its own. `None` is the group of all
    /// jobs whose group is not known. Lanes that are not [`grouped`](LaneConfig::grouped) ignore it.
    ///
    /// # Errors
    ///
    /// [`PoolFull`] if the lane, or the group, is at its limit, or the pool has shut down; the
    /// closure is dropped.
    ///
    /// ```
    /// use lakh_core::pool::{Lane, Pool, PoolConfig};
    ///
    /// let pool = Pool::new(PoolConfig::new(1))?;
    /// let mount_id = 42;
    /// let job = pool.run_in_group(Lane::FILE, Some(mount_id), || std::fs::read("/mnt/nfs/file"))?;
    /// # drop(job);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn run_in_group<T, F>(&self, lane: Lane, group: Option<u64>, job: F) -> Result<Job<T>, PoolFull>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let mut job = Some(job);
        self.run_steps(lane, group, move || Step::Done(job.take().expect("done after one step")()))
    }

    /// Queues a job that runs in steps, such as reading a file in chunks.
    ///
    /// After a step that says [`Step::Again`] the job goes to the end of its group's queue, without
    /// a round trip to the shard, so that others get their turn. This is never refused: queue
    /// limits count it, but only new jobs are turned away.
    ///
    /// # Errors
    ///
    /// As [`run_in_group`](Self::run_in_group).
    ///
    /// ```
    /// use lakh_core::pool::{Lane, Pool, PoolConfig, Step};
    /// use std::io::Read;
    ///
    /// let pool = Pool::new(PoolConfig::new(1))?;
    /// let mut file = std::fs::File::open("/dev/null")?;
    /// let mut bytes = 0;
    /// let job = pool.run_steps(Lane::FILE, None, move || {
    ///     match file.read(&mut [0; 4096]) {
    ///         Ok(0) => Step::Done(Ok(bytes)),
    ///         Ok(read) => { bytes += read; Step::Again }
    ///         Err(error) => Step::Done(Err(error)),
    ///     }
    /// })?;
    /// # drop(job);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn run_steps<T, F>(&self, lane: Lane, group: Option<u64>, step: F) -> Result<Job<T>, PoolFull>
    where
        T: Send + 'static,
        F: FnMut() -> Step<T> + Send + 'static,
    {
        let (work, job) = job::new_job(&self.owner.shared, lane, group, step);
        match self.owner.shared.submit(work) {
            Ok(()) => Ok(job),
            Err(refused) => {
                job.detach();
                Err(refused)
            }
        }
    }

    /// Has `waker` woken when the lane may take a job of this group again, or the pool has shut down; for
    /// who was refused. `None` if that is so by now. Woken does not mean taken: others may come first.
    pub(crate) fn wait_for_room(&self, lane: Lane, group: Option<u64>, waker: Waker) -> Option<Room> {
        let (full, key) = self.owner.shared.wait_for_room(lane, group, waker).ok()?;
        Some(Room { shared: Arc::clone(&self.owner.shared), lane, full, key: Some(key) })
    }

    /// Changes how many workers of a kind there may be, while the pool runs.
    ///
    /// More start when there is work for them. Fewer: idle ones end at once, busy ones when their
    /// job is done; until then other lanes keep the shares reserved for them, even if that means
    /// more threads than asked for. Too few count as many as the lanes reserve, as they do in
    /// [`PoolConfig`].
    ///
    /// # Errors
    ///
    /// [`is_config`](PoolError::is_config), and nothing changes, if both kinds together exceed
    /// [`MAX_WORKERS`].
    ///
    /// ```
    /// use lakh_core::pool::{Kind, Pool, PoolConfig};
    ///
    /// let pool = Pool::new(PoolConfig::new(1))?;
    /// pool.resize(Kind::Io, 64)?;
    /// assert!(pool.resize(Kind::Io, 5000).unwrap_err().is_config());
    /// assert_eq!(pool.metrics().workers[0].size, 64);
    /// pool.resize(Kind::Io, 1)?;
    /// assert_eq!(pool.metrics().workers[0].size, 2, "one each for the lanes `file` and `user`");
    /// # Ok::<(), lakh_core::pool::PoolError>(())
    /// ```
    pub fn resize(&self, kind: Kind, workers: usize) -> Result<(), PoolError> {
        self.owner.shared.resize(kind, workers)
    }

    /// Ends the pool: takes no more jobs, drops those that are queued, and lets every worker end
    /// after the job it runs.
    ///
    /// The futures of dropped jobs resolve to an error that [`is_shutdown`](JobError::is_shutdown).
    /// Does not block; a second call does nothing.
    ///
    /// ```
    /// use lakh_core::pool::{Pool, PoolConfig};
    ///
    /// let pool = Pool::new(PoolConfig::new(1))?;
    /// pool.shutdown();
    /// assert!(pool.is_shutdown());
    /// # Ok::<(), lakh_core::pool::PoolError>(())
    /// ```
    pub fn shutdown(&self) {
        self.owner.shared.close();
    }

    /// Whether [`shutdown`](Self::shutdown) was called.
    pub fn is_shutdown(&self) -> bool {
        self.owner.shared.is_closed()
    }

    /// Blocks until all workers have ended, at most for `timeout`, and says how many have not: the
    /// number of jobs that are stuck. 0 means all is over.
    ///
    /// Workers end only after [`shutdown`](Self::shutdown). Not for a shard, nor for a job of the
    /// pool, which would wait for itself.
    ///
    /// ```
    /// use lakh_core::pool::{Pool, PoolConfig};
    ///
    /// let pool = Pool::new(PoolConfig::new(1))?;
    /// pool.shutdown();
    /// let stuck = pool.join(std::time::Duration::from_secs(5));
    /// assert_eq!(stuck, 0);
    /// # Ok::<(), lakh_core::pool::PoolError>(())
    /// ```
    #[must_use = "tells how many workers are stuck"]
    pub fn join(&self, timeout: Duration) -> usize {
        self.owner.shared.join(timeout)
    }

    /// Counters and histograms of every lane. Allocates some 8 KB for each.
    ///
    /// ```
    /// use lakh_core::pool::{Lane, Pool, PoolConfig};
    ///
    /// let pool = Pool::new(PoolConfig::new(1))?;
    /// let metrics = pool.metrics();
    /// let file = metrics.lane(Lane::FILE).unwrap();
    /// assert_eq!((&*file.name, file.queued, file.wait.quantile(0.99)), ("file", 0, 0));
    /// # Ok::<(), lakh_core::pool::PoolError>(())
    /// ```
    pub fn metrics(&self) -> PoolMetrics {
        self.owner.shared.metrics()
    }

    /// The lane whose oldest queued job has waited longest, if that is longer than `threshold`:
    /// time to warn. `None` while no job waits that long.
    ///
    /// ```
    /// use lakh_core::pool::{Pool, PoolConfig};
    ///
    /// let pool = Pool::new(PoolConfig::new(1))?;
    /// if let Some(late) = pool.saturated(std::time::Duration::from_millis(100)) {
    ///     eprintln!("lane {}: {} jobs wait, up to {:?}", late.lane, late.queued, late.oldest);
    /// }
    /// # Ok::<(), lakh_core::pool::PoolError>(())
    /// ```
    pub fn saturated(&self, threshold: Duration) -> Option<Saturation> {
        self.owner.shared.saturated(threshold)
    }
}

/// The place of one who waits for room in a lane, given back when it is dropped.
pub(crate) struct Room {
    shared: Arc<Shared>,
    lane: Lane,
    full: Full,
    key: Option<WakerKey>,
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.shared.leave_room(self.lane, self.full, key);
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("is_shutdown", &self.is_shutdown()).finish_non_exhaustive()
    }
}
