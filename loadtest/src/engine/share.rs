//! What one shard does of a run.

use crate::{plan::Plan, template::Values};

/// A shard's part of what is dealt to all shards in turn: number k of the run is that of shard k modulo their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) shard: usize,
    pub(super) of: usize,
    /// Connections at most.
    pub(super) connections: usize,
    /// Connections that are wanted from the beginning.
    pub(super) first: usize,
    /// Requests, if they are limited.
    pub(super) requests: Option<u64>,
}

impl Share {
    pub(super) fn new(plan: &Plan, shard: usize, of: usize) -> Self {
        let share = |all: u64| all / of as u64 + u64::from((shard as u64) < all % of as u64);
        let connections = share(plan.connections as u64) as usize;
        Share {
            shard,
            of,
            connections,
            first: if plan.stages.is_empty() { connections } else { 0 },
            requests: plan.requests.map(share),
        }
    }
    /// What its requests have in the place of placeholders.
    pub(super) fn values(self) -> Values {
        Values::new(self.shard as u64, self.of as u64)
    }
}
