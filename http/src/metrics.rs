//! What a shard's service counts, readable from any thread.

use lakh_net::AcceptMetrics;
use std::sync::Arc;

/// Counters of one shard's service. They are written by the shard and may be read from any thread; each is
/// exact, but they are not read at one instant. Those of the shard itself are
/// [`lakh_core::ShardMetrics`].
#[derive(Debug, Default)]
pub struct ServiceMetrics {
    accept: Arc<AcceptMetrics>,
}

impl ServiceMetrics {
    /// What all listeners of the shard have accepted, and what they could not.
    pub fn accept(&self) -> &Arc<AcceptMetrics> {
        &self.accept
    }
}
