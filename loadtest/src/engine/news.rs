//! What a run tells while it goes on.

use crate::stats::{Sample, Tally};

/// What a run is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Connections are made; no requests are sent.
    Connecting,
    /// Requests are sent, and counted.
    Measuring,
}

/// A second of a run has passed.
#[derive(Clone, Copy, Debug)]
pub struct News<'a> {
    /// What the run is at.
    pub phase: Phase,
    /// This second, with the time since the phase's beginning.
    pub sample: Sample,
    /// All that has been counted so far.
    pub tally: &'a Tally,
}
