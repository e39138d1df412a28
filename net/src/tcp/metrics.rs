//! What accepting counts, readable from any thread.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters of one listener, or of several that share them ([`super::TcpListener::count_in`]). Any thread
/// may read them; each is exact, but they are not read at one instant.
#[derive(Debug, Default)]
pub struct AcceptMetrics {
    accepted: AtomicU64,
    shed: AtomicU64,
    starved: AtomicU64,
    errors: AtomicU64,
}

impl AcceptMetrics {
    /// Connections accepted.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Relaxed)
    }

    /// Connections closed at once because descriptors, or the kernel's memory, had run out.
    pub fn shed(&self) -> u64 {
        self.shed.load(Relaxed)
    }

    /// Times when nothing could even be closed, because others had taken the descriptor that is kept in
    /// reserve for that: what waits goes on waiting until the next attempt, some milliseconds later.
    pub fn starved(&self) -> u64 {
        self.starved.load(Relaxed)
    }

    /// Connections that were gone before they were accepted, and other errors of accept(2) that
    /// accepting survives.
    pub fn errors(&self) -> u64 {
        self.errors.load(Relaxed)
    }

    pub(super) fn count_accepted(&self) {
        self.accepted.fetch_add(1, Relaxed);
    }

    pub(super) fn count_shed(&self, connections: usize) {
        self.shed.fetch_add(connections as u64, Relaxed);
    }

    pub(super) fn count_starved(&self) {
        self.starved.fetch_add(1, Relaxed);
    }

    pub(super) fn count_error(&self) {
        self.errors.fetch_add(1, Relaxed);
    }
}
