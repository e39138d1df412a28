//! What a run tells while it goes on.

use crate::stats::{Sample, Tally};

/// What a run is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Connections are made; no requests are sent.
    Connecting,
    /// They only stand.
    Holding,
    /// Requests are sent, and do not count yet.
    WarmUp,
    /// Requests are sent, and counted.
    Measuring,
    /// Messages are published, and received by all.
    Publishing,
}

/// A second of a run has passed.
#[derive(Clone, Copy, Debug)]
pub struct News<'a> {
    /// What the run is at.
    pub phase: Phase,
    /// This second. Its time is that since the beginning of the phase for those that are not measured (connecting and
    /// warming up), and else since the beginning of what is measured.
    pub sample: Sample,
    /// All that has been counted so far.
    pub tally: &'a Tally,
}
