//! What came of a run.

use super::Tally;
use std::time::Duration;

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// As planned.
    Done,
    /// By Ctrl-C: the figures are those so far.
    Interrupted,
    /// Every connection was gone, and none could be made anew.
    NobodyLeft,
}

/// What a process used.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// User and system time.
    pub cpu: Duration,
    /// Resident memory in bytes, at its highest sample.
    pub memory: u64,
    /// Resident memory in bytes before the first connection.
    pub memory_before: u64,
}

/// One second of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// Since the beginning.
    pub at: Duration,
    /// Connections that stand.
    pub open: u64,
    /// Requests answered in this second.
    pub completed: u64,
    /// Failures in this second.
    pub failed: u64,
    /// Response times of this second: half of them are not longer.
    pub p50: Duration,
    /// 99 of a hundred are not longer.
    pub p99: Duration,
    /// The longest.
    pub max: Duration,
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Counts and times, without the warm-up.
    pub tally: Tally,
    /// How long was measured, without the warm-up.
    pub elapsed: Duration,
    /// Why it ended.
    pub ended: Ended,
    /// One for each second, from the beginning.
    pub samples: Vec<Sample>,
    /// This process.
    pub client: Usage,
    /// The server's process, if its number was given.
    pub server: Option<Usage>,
    /// The largest share of a second in which a client's shard was busy, 0 to 1: at 0.9 and more the client was the
    /// limit.
    pub client_busy: f64,
}
