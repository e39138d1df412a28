//! What the pool tells about itself.

use std::sync::Arc;
use std::time::Duration;

use super::lane::{Kind, Lane};
use crate::histogram::{Histogram, Snapshot};

/// The pool at one moment, from [`Pool::metrics`](super::Pool::metrics).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PoolMetrics {
    /// One entry for each lane, in the order they were added.
    pub lanes: Vec<LaneMetrics>,
    /// The workers of each kind: io, then cpu.
    pub workers: [WorkerMetrics; 2],
    /// How often the operating system refused a thread. Each is tried again while work waits.
    pub spawn_failures: u64,
}

impl PoolMetrics {
    /// The numbers of one lane, if it belongs to this pool.
    pub fn lane(&self, lane: Lane) -> Option<&LaneMetrics> {
        self.lanes.get(lane.index())
    }
}

/// The workers of one kind at one moment.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct WorkerMetrics {
    /// Which kind.
    pub kind: Kind,
    /// How many there may be.
    pub size: usize,
    /// How many there are; they start when needed.
    pub threads: usize,
    /// How many of them run a job.
    pub running: usize,
}

/// One lane at one moment.
///
/// `accepted` is always `queued + running + finished + panicked + cancelled + dropped`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LaneMetrics {
    /// The lane's name.
    pub name: Arc<str>,
    /// The kind of its workers.
    pub kind: Kind,
    /// Jobs waiting now.
    pub queued: usize,
    /// Jobs running now.
    pub running: usize,
    /// Jobs taken, ever.
    pub accepted: u64,
    /// Jobs that ran to their end.
    pub finished: u64,
    /// Jobs refused, for any reason.
    pub refused: u64,
    /// Jobs taken back because their future was dropped, before they ran or between two steps.
    pub cancelled: u64,
    /// Jobs that panicked.
    pub panicked: u64,
    /// Jobs dropped by a shutdown.
    pub dropped: u64,
    /// How often this lane was found with a job that had waited for longer than
    /// [`SATURATED_AFTER`](super::SATURATED_AFTER). Looked for about once a second while anything waits.
    pub saturated: u64,
    /// How long the job that has waited longest has waited.
    pub oldest: Option<Duration>,
    /// Time in the queue in nanoseconds, one record for each step of a job.
    pub wait: Snapshot,
    /// Time on the worker in nanoseconds, one record for each step of a job.
    pub run: Snapshot,
}

/// A lane whose jobs wait too long, from [`Pool::saturated`](super::Pool::saturated).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Saturation {
    /// The lane's name.
    pub lane: Arc<str>,
    /// How long its oldest queued job has waited.
    pub oldest: Duration,
    /// How many jobs wait in it.
    pub queued: usize,
    /// The kind of its workers.
    pub kind: Kind,
    /// How many workers of that kind there may be.
    pub workers: usize,
    /// The group that holds all of them up: every job that waits is of this group, and it runs as many
    /// as it may. More workers help only as far as they raise its cap.
    pub group: Option<SaturatedGroup>,
}

/// A group of a lane whose jobs wait for each other, in [`Saturation::group`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SaturatedGroup {
    /// As given to [`Pool::run_in_group`](super::Pool::run_in_group); in the lane of the files, the mount's
    /// number in `/proc/self/mountinfo`. `None` for the jobs that were given none.
    pub number: Option<u64>,
    /// How many of its jobs run.
    pub running: usize,
}

/// The histograms of a lane, written by workers without the pool's lock.
pub(super) struct Meters {
    pub(super) wait: Histogram,
    pub(super) run: Histogram,
}

impl Meters {
    pub(super) fn new() -> Meters {
        Meters { wait: Histogram::new(), run: Histogram::new() }
    }

    pub(super) fn snapshot(&self) -> (Snapshot, Snapshot) {
        (self.wait.snapshot(), self.run.snapshot())
    }
}

pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
