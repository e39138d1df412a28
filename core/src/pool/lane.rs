//! Handles that say where a job queues and what sort of thread runs it.

/// A queue of the pool: a small handle that is copied freely.
///
/// Three lanes always exist; more come from [`PoolConfig::add_lane`](super::PoolConfig::add_lane).
/// A handle is good for the pool it was made for; another pool refuses it, or takes it for its own
/// lane of that number.
///
/// ```
/// use lakh_core::pool::{Lane, Pool, PoolConfig};
///
/// let pool = Pool::new(PoolConfig::new(1))?;
/// let job = pool.run(Lane::USER, || 2 + 2)?;
/// # drop(job);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lane(pub(super) u16);

impl Lane {
    /// File operations; grouped by mount, so that a hung one cannot take the lane.
    pub const FILE: Lane = Lane(0);
    /// Blocking work of the application (database drivers, foreign libraries).
    pub const USER: Lane = Lane(1);
    /// Work that computes: password hashing, compression.
    pub const CPU: Lane = Lane(2);

    pub(super) fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// The sort of worker thread that runs a lane's jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Waits more than it computes; normal priority.
    Io,
    /// Computes; runs at nice 10 on Linux, so that the loops of the shards keep their core.
    Cpu,
}

impl Kind {
    pub(super) const ALL: [Kind; 2] = [Kind::Io, Kind::Cpu];

    pub(super) fn index(self) -> usize {
        self as usize
    }

    /// The word used in thread names and metrics: `"io"` or `"cpu"`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Io => "io",
            Kind::Cpu => "cpu",
        }
    }
}
