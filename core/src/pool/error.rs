//! What can go wrong: a job refused, a job lost, a pool that cannot be set up.

use std::any::Any;
use std::sync::Arc;
use std::{error, fmt, io};

/// The pool did not take a job; it never ran and was dropped.
///
/// Nearly always the lane is full, which calls for shedding load (HTTP answers 503 with
/// Retry-After). [`is_full`](Self::is_full) tells it from a pool that has shut down.
///
/// ```
/// use lakh_core::pool::{Lane, Pool, PoolConfig};
///
/// let pool = Pool::new(PoolConfig::new(1))?;
/// pool.shutdown();
/// let refused = pool.run(Lane::USER, || ()).unwrap_err();
/// assert!(refused.is_shutdown() && !refused.is_full());
/// assert_eq!(refused.to_string(), "the pool has shut down and takes no job for lane `user`");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct PoolFull {
    kind: Refusal,
    lane: Arc<str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Lane { limit: usize },
    Group { limit: usize },
    Shutdown,
    NoSuchLane,
    Bound { limit: usize },
}

impl PoolFull {
    pub(super) fn new(kind: Refusal, lane: Arc<str>) -> PoolFull {
        PoolFull { kind, lane }
    }

    /// The refusal of a bound that stands before the pool and that a library has set itself: it takes no more
    /// than `limit` jobs for `lane`. It [is full](Self::is_full), and HTTP answers as if the lane were.
    ///
    /// ```
    /// use lakh_core::pool::PoolFull;
    ///
    /// let refused = PoolFull::at_bound("thumbnails", 8);
    /// assert!(refused.is_full() && refused.lane_name() == "thumbnails");
    /// ```
    pub fn at_bound(lane: &str, limit: usize) -> PoolFull {
        PoolFull { kind: Refusal::Bound { limit }, lane: lane.into() }
    }

    /// The queue of the lane, or of the job's group in it, or a bound before it, is at its limit: later may go
    /// better.
    pub fn is_full(&self) -> bool {
        matches!(self.kind, Refusal::Lane { .. } | Refusal::Group { .. } | Refusal::Bound { .. })
    }

    /// Only the job's group (its mount) is at its limit; other groups of the lane have room.
    pub fn is_group_full(&self) -> bool {
        matches!(self.kind, Refusal::Group { .. })
    }

    /// The pool has shut down: no later call will be taken.
    pub fn is_shutdown(&self) -> bool {
        self.kind == Refusal::Shutdown
    }

    /// The lane belongs to another pool: a mistake of the caller.
    pub fn is_unknown_lane(&self) -> bool {
        self.kind == Refusal::NoSuchLane
    }

    /// The name of the lane that refused.
    pub fn lane_name(&self) -> &str {
        &self.lane
    }
}

impl fmt::Display for PoolFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lane = &self.lane;
        match self.kind {
            Refusal::Lane { limit } => write!(f, "lane `{lane}` of the pool is full ({limit} jobs queued)"),
            Refusal::Group { limit } => {
                write!(f, "lane `{lane}` of the pool is full for this group ({limit} jobs queued)")
            }
            Refusal::Shutdown => write!(f, "the pool has shut down and takes no job for lane `{lane}`"),
            Refusal::Bound { limit } => write!(f, "`{lane}` takes no more than {limit} jobs at a time"),
            Refusal::NoSuchLane => write!(f, "{lane} is no lane of this pool"),
        }
    }
}

impl error::Error for PoolFull {}

/// A job that was taken gave no result.
#[derive(Clone, Debug)]
pub struct JobError {
    kind: Loss,
}

#[derive(Clone, Debug)]
enum Loss {
    Panicked(Option<Box<str>>),
    Shutdown,
}

impl JobError {
    pub(super) fn panicked(payload: &(dyn Any + Send)) -> JobError {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        JobError { kind: Loss::Panicked(text.map(Box::from)) }
    }

    pub(super) fn shutdown() -> JobError {
        JobError { kind: Loss::Shutdown }
    }

    /// The job panicked. The worker caught it and lives on.
    pub fn is_panicked(&self) -> bool {
        matches!(self.kind, Loss::Panicked(_))
    }

    /// The pool shut down before the job ran, or between two of its steps.
    pub fn is_shutdown(&self) -> bool {
        matches!(self.kind, Loss::Shutdown)
    }

    /// What the job panicked with, if that was a text.
    pub fn panic_message(&self) -> Option<&str> {
        match &self.kind {
            Loss::Panicked(text) => text.as_deref(),
            Loss::Shutdown => None,
        }
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Loss::Panicked(Some(text)) => write!(f, "a job of the pool panicked: {text}"),
            Loss::Panicked(None) => f.write_str("a job of the pool panicked"),
            Loss::Shutdown => f.write_str("the pool shut down before the job was done"),
        }
    }
}

impl error::Error for JobError {}

/// Why work that was to be done on the pool has no result: it was refused, or lost.
///
/// The one error of whoever does not care which of the two it was, and what libraries keep in their own errors. In a
/// handler, `?` makes it 503 with `Retry-After` if the pool [is full](Self::is_full), 503 if it has shut down, 500 if the
/// work panicked; so it does with an error that has it among its [sources](error::Error::source).
///
/// ```
/// use lakh_core::pool::{Lane, Pool, PoolConfig, RunError};
///
/// async fn count(pool: &Pool, text: String) -> Result<usize, RunError> {
///     Ok(pool.run(Lane::CPU, move || text.split(' ').count())?.await?)
/// }
///
/// # lakh_core::block_on(async {
/// let pool = Pool::new(PoolConfig::new(1)).unwrap();
/// assert_eq!(count(&pool, "one two".into()).await.unwrap(), 2);
/// pool.shutdown();
/// assert!(count(&pool, "one two".into()).await.unwrap_err().is_shutdown());
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct RunError(Cause);

#[derive(Clone, Debug)]
enum Cause {
    Refused(PoolFull),
    Lost(JobError),
}

impl RunError {
    /// There was no room, and the work never ran: later may go better.
    pub fn is_full(&self) -> bool {
        self.refused().is_some_and(PoolFull::is_full)
    }

    /// The pool has shut down, and the work never ran to its end.
    pub fn is_shutdown(&self) -> bool {
        match &self.0 {
            Cause::Refused(refused) => refused.is_shutdown(),
            Cause::Lost(lost) => lost.is_shutdown(),
        }
    }

    /// The work panicked.
    pub fn is_panicked(&self) -> bool {
        self.lost().is_some_and(JobError::is_panicked)
    }

    /// What the work panicked with, if that was a text.
    pub fn panic_message(&self) -> Option<&str> {
        self.lost()?.panic_message()
    }

    /// What the pool said when it did not take the job.
    pub fn refused(&self) -> Option<&PoolFull> {
        match &self.0 {
            Cause::Refused(refused) => Some(refused),
            Cause::Lost(_) => None,
        }
    }

    /// What became of the job, if the pool had taken it.
    pub fn lost(&self) -> Option<&JobError> {
        match &self.0 {
            Cause::Refused(_) => None,
            Cause::Lost(lost) => Some(lost),
        }
    }
}

impl From<PoolFull> for RunError {
    fn from(refused: PoolFull) -> RunError {
        RunError(Cause::Refused(refused))
    }
}

impl From<JobError> for RunError {
    fn from(lost: JobError) -> RunError {
        RunError(Cause::Lost(lost))
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Cause::Refused(refused) => refused.fmt(f),
            Cause::Lost(lost) => lost.fmt(f),
        }
    }
}

/// It says all that the one in it says, and so names no source.
impl error::Error for RunError {}

/// The pool cannot be set up, or resized, as asked.
#[derive(Debug)]
pub struct PoolError {
    kind: Fault,
}

#[derive(Debug)]
enum Fault {
    Config(String),
    Environment(String),
    Thread(io::Error),
}

impl PoolError {
    pub(super) fn config(text: impl Into<String>) -> PoolError {
        PoolError { kind: Fault::Config(text.into()) }
    }

    pub(super) fn environment(text: impl Into<String>) -> PoolError {
        PoolError { kind: Fault::Environment(text.into()) }
    }

    pub(super) fn thread(error: io::Error) -> PoolError {
        PoolError { kind: Fault::Thread(error) }
    }

    /// The sizes or lanes asked for contradict each other, or exceed the ceiling.
    pub fn is_config(&self) -> bool {
        matches!(self.kind, Fault::Config(_))
    }

    /// The environment variable `LAKH_POOL_THREADS` holds something other than a size.
    pub fn is_environment(&self) -> bool {
        matches!(self.kind, Fault::Environment(_))
    }

    /// The operating system refused a thread; the source is its error.
    pub fn is_thread(&self) -> bool {
        matches!(self.kind, Fault::Thread(_))
    }
}

/// Of the kind [`InvalidInput`](io::ErrorKind::InvalidInput) for what was asked for, and as the system has it for a thread that
/// it refused.
impl From<PoolError> for io::Error {
    fn from(error: PoolError) -> io::Error {
        let kind = match &error.kind {
            Fault::Config(_) | Fault::Environment(_) => io::ErrorKind::InvalidInput,
            Fault::Thread(error) => error.kind(),
        };
        io::Error::new(kind, error)
    }
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Fault::Config(text) | Fault::Environment(text) => f.write_str(text),
            Fault::Thread(_) => f.write_str("the pool could not start a thread"),
        }
    }
}

impl error::Error for PoolError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match &self.kind {
            Fault::Thread(error) => Some(error),
            Fault::Config(_) | Fault::Environment(_) => None,
        }
    }
}
