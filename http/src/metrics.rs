//! What a shard's service counts, readable from any thread.

use lakh_net::AcceptMetrics;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// Counters of one shard's service. They are written by the shard and may be read from any thread; each is
/// exact, but they are not read at one instant. Those of the shard itself are
/// [`lakh_core::ShardMetrics`].
#[derive(Debug, Default)]
pub struct ServiceMetrics {
    accept: Arc<AcceptMetrics>,
    slow_readers: AtomicU64,
    shed: AtomicU64,
}

impl ServiceMetrics {
    /// What all listeners of the shard have accepted, and what they could not.
    pub fn accept(&self) -> &Arc<AcceptMetrics> {
        &self.accept
    }

    /// Connections that were closed because their peers took too little of their answers
    /// ([`Limits::rate`](crate::Limits::rate)).
    pub fn slow_readers(&self) -> u64 {
        self.slow_readers.load(Relaxed)
    }

    /// Requests that were refused with 503 because they had waited for too long
    /// ([`Limits::queue_age`](crate::Limits::queue_age)). Connections that the kernel did not let in are not among
    /// them: nobody here knows of those (`ListenOverflows` in `/proc/net/netstat`).
    pub fn shed(&self) -> u64 {
        self.shed.load(Relaxed)
    }

    pub(crate) fn count_shed(&self) {
        // One thread writes.
        self.shed.store(self.shed() + 1, Relaxed);
    }

    pub(crate) fn count_slow_reader(&self) {
        // One thread writes.
        self.slow_readers.store(self.slow_readers() + 1, Relaxed);
    }
}
