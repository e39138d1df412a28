//! What the run's coordinator and its shards tell each other.

use super::clock::Nanos;
use crate::{broadcast::Received, stats::Tally};
use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Waker,
};

/// From the coordinator to all shards.
#[derive(Default)]
pub(super) struct Control {
    /// Connections may be begun.
    connect: AtomicBool,
    /// When requests begin; 0 while it is not known.
    go: AtomicU64,
    ended: AtomicBool,
    clerks: Mutex<Vec<Waker>>,
}

impl Control {
    pub(super) fn go(&self) -> Option<Nanos> {
        Some(self.go.load(Ordering::Acquire)).filter(|&go| go != 0)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    pub(super) fn may_connect(&self) -> bool {
        self.connect.load(Ordering::Acquire)
    }

    pub(super) fn connect(&self) {
        self.connect.store(true, Ordering::Release);
        self.wake();
    }

    pub(super) fn set_go(&self, at: Nanos) {
        self.go.store(at.max(1), Ordering::Release);
        self.wake();
    }

    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.wake();
    }

    /// Has a shard's clerk woken whenever there is something new: once for each shard.
    pub(super) fn add_clerk(&self, waker: Waker) {
        self.clerks.lock().unwrap_or_else(PoisonError::into_inner).push(waker);
    }

    fn wake(&self) {
        self.clerks.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(Waker::wake_by_ref);
    }
}

/// From a shard to the coordinator.
pub(super) struct Report {
    pub(super) shard: usize,
    /// What has been counted since the last one.
    pub(super) tally: Tally,
    /// Connections that stand now.
    pub(super) open: u64,
    /// Every connection that is wanted from the beginning has been tried.
    pub(super) settled: bool,
    /// The shard's share of the requests is done.
    pub(super) done: bool,
    /// Nothing follows.
    pub(super) last: bool,
    /// What has become of broadcasts, if the run has any.
    pub(super) received: Option<Received>,
    /// Seconds since counting began that are reported in full.
    pub(super) seconds: u64,
}
