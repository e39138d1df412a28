//! One lane, as far as no other lane has a part in it.
//!
//! Pure data, as [`State`](super::state::State) is, whose lock it is under.

use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use super::config::LaneConfig;
use super::error::Refusal;
use super::job::Work;
use super::lane::Kind;
use super::metrics::{LaneMetrics, SaturatedGroup};
use super::queue::{Key, Queue};
use super::room::Rooms;
use crate::histogram::Snapshot;

pub(super) struct LaneState {
    pub(super) name: Arc<str>,
    pub(super) kind: Kind,
    pub(super) queue: Queue<Entry>,
    pub(super) rooms: Rooms,
    pub(super) limit: usize,
    pub(super) group_limit: usize,
    pub(super) reserved: usize,
    /// As configured; `None` stands for whatever the other lanes do not reserve.
    pub(super) cap: Option<usize>,
    /// As configured; `None` stands for half of what the lane may use.
    pub(super) group_cap: Option<usize>,
    pub(super) grouped: bool,
    pub(super) running: usize,
    pub(super) counts: Counts,
}

pub(super) struct Entry {
    pub(super) work: Arc<dyn Work>,
    pub(super) queued_at: Instant,
}

#[derive(Default)]
pub(super) struct Counts {
    pub(super) accepted: u64,
    pub(super) finished: u64,
    pub(super) refused: u64,
    pub(super) cancelled: u64,
    pub(super) panicked: u64,
    pub(super) dropped: u64,
    pub(super) saturated: u64,
}

impl LaneState {
    pub(super) fn new(name: &Arc<str>, lane: &LaneConfig) -> LaneState {
        LaneState {
            name: Arc::clone(name),
            kind: lane.kind,
            queue: Queue::new(usize::MAX),
            rooms: Rooms::default(),
            limit: lane.queue_limit,
            group_limit: if lane.grouped { (lane.queue_limit / 2).max(1) } else { lane.queue_limit },
            reserved: lane.reserved,
            cap: lane.cap,
            group_cap: lane.group_cap,
            grouped: lane.grouped,
            running: 0,
            counts: Counts::default(),
        }
    }

    pub(super) fn group_of(&self, group: Key) -> Key {
        if self.grouped { group } else { None }
    }

    /// A job has left the queue: gives those to wake.
    pub(super) fn freed(&mut self, group: Key) -> Vec<Waker> {
        self.rooms.freed(group, self.queue.group_len(group) <= self.group_limit / 2)
    }

    pub(super) fn refusal(&self, group: Key, closed: bool) -> Option<Refusal> {
        if closed {
            Some(Refusal::Shutdown)
        } else if self.queue.len() >= self.limit {
            Some(Refusal::Lane { limit: self.limit })
        } else if self.queue.group_len(group) >= self.group_limit {
            Some(Refusal::Group { limit: self.group_limit })
        } else {
            None
        }
    }

    /// The group that holds up all that waits in this lane.
    pub(super) fn only_group(&self) -> Option<SaturatedGroup> {
        let (number, running) = self.queue.only_group_at_cap()?;
        Some(SaturatedGroup { number, running })
    }

    pub(super) fn oldest(&self, now: Instant) -> Option<Duration> {
        let first = self.queue.heads().map(|entry| entry.queued_at).min()?;
        Some(now.saturating_duration_since(first))
    }

    pub(super) fn metrics(&self, wait: Snapshot, run: Snapshot, now: Instant) -> LaneMetrics {
        LaneMetrics {
            name: Arc::clone(&self.name),
            kind: self.kind,
            queued: self.queue.len(),
            running: self.running,
            accepted: self.counts.accepted,
            finished: self.counts.finished,
            refused: self.counts.refused,
            cancelled: self.counts.cancelled,
            panicked: self.counts.panicked,
            dropped: self.counts.dropped,
            saturated: self.counts.saturated,
            oldest: self.oldest(now),
            wait,
            run,
        }
    }
}
