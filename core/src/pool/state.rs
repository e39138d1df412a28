//! Everything under the pool's lock: who may run, who waits, which workers there are.
//!
//! No method calls user code, blocks, or starts a thread; what is to be done after the lock is
//! released is returned.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::config::{PoolConfig, fit_sizes};
use super::error::{PoolError, PoolFull, Refusal};
use super::job::{Ran, Work};
use super::lane::{Kind, Lane};
use super::lane_state::{Entry, LaneState};
use super::metrics::{PoolMetrics, Saturation, WorkerMetrics};
use super::queue::Key;
use super::room::Full;
use crate::histogram::Snapshot;
use crate::wakers::WakerKey;
use std::task::Waker;

pub(super) struct State {
    lanes: Vec<LaneState>,
    kinds: [Workers; 2],
    closed: bool,
    /// The starter looks at the queues from time to time: from when a job is queued that no worker is called
    /// for at once, until it finds them empty.
    watched: bool,
    next_sequence: u64,
    spawn_failures: u64,
}

/// The threads of one kind. `idle`, `waking` and `starting` are disjoint parts of `threads`.
#[derive(Default)]
struct Workers {
    size: usize,
    threads: usize,
    /// Asleep, and nobody has called them.
    idle: usize,
    /// Called, but not yet awake.
    waking: usize,
    /// Asked of the starter, or started, but not yet at work.
    starting: usize,
    /// The part of `starting` that the starter has not yet seen.
    asked: usize,
    /// Where the search for work begins, so that lanes take turns.
    next_lane: usize,
}

/// A job in the hands of a worker, which owes the pool a [`State::settle`].
pub(super) struct Taken {
    pub(super) work: Arc<dyn Work>,
    pub(super) lane: Lane,
    pub(super) queued_at: Instant,
    /// Of those who have waited for its place in the queue.
    pub(super) room: Vec<Waker>,
    group: Key,
}

/// Whom to notify once the lock is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Call {
    Nobody,
    Worker(Kind),
    Starter,
}

/// What a worker does with the job it ran, once the lock is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum After {
    Deliver,
    Requeued,
    Refuse,
}

impl State {
    pub(super) fn new(config: &PoolConfig) -> Result<State, PoolError> {
        let sizes = config.check()?;
        let lanes = config.lanes.iter().map(|(name, lane)| LaneState::new(name, lane));
        let kinds = sizes.map(|size| Workers { size, ..Workers::default() });
        let lanes = lanes.collect();
        let mut state =
            State { lanes, kinds, closed: false, watched: false, next_sequence: 0, spawn_failures: 0 };
        state.set_group_caps();
        Ok(state)
    }

    /// Queues a job. A refused one is only let go: its [`Job`](super::Job) still holds the closure,
    /// which is therefore not dropped under the lock.
    pub(super) fn submit(&mut self, work: Arc<dyn Work>, queued_at: Instant) -> Result<Call, PoolFull> {
        let Some(lane) = self.lanes.get_mut(work.ticket().lane.index()) else {
            let number = format!("{:?}", work.ticket().lane);
            return Err(PoolFull::new(Refusal::NoSuchLane, number.into()));
        };
        let group = lane.group_of(work.ticket().group);
        if let Some(refusal) = lane.refusal(group, self.closed) {
            lane.counts.refused += 1;
            return Err(PoolFull::new(refusal, Arc::clone(&lane.name)));
        }
        lane.counts.accepted += 1;
        let kind = lane.kind;
        self.push(group, Entry { work, queued_at });
        Ok(match self.call(kind) {
            // It waits for a thread, or for another job, which may take too long.
            Call::Nobody | Call::Starter if !self.watched => {
                self.watched = true;
                Call::Starter
            }
            call => call,
        })
    }

    /// Takes a queued job back; `None` if it is not queued any more.
    ///
    /// With it come those who have waited for its place.
    pub(super) fn cancel(
        &mut self,
        lane: Lane,
        group: Key,
        sequence: u64,
    ) -> Option<(Arc<dyn Work>, Vec<Waker>)> {
        let lane = &mut self.lanes[lane.index()];
        let group = lane.group_of(group);
        let entry = lane.queue.remove(group, sequence)?;
        lane.counts.cancelled += 1;
        entry.work.ticket().unqueued();
        Some((entry.work, lane.freed(group)))
    }

    /// Keeps a waker until a job of the lane can be queued; gives it back if one can be now, or never again.
    pub(super) fn wait_for_room(
        &mut self,
        lane: Lane,
        group: Key,
        waker: Waker,
    ) -> Result<(Full, WakerKey), Waker> {
        let Some(lane) = self.lanes.get_mut(lane.index()) else { return Err(waker) };
        let group = lane.group_of(group);
        let full = match lane.refusal(group, self.closed) {
            Some(Refusal::Lane { .. }) => Full::Lane,
            Some(Refusal::Group { .. }) => Full::Group(group),
            Some(Refusal::Shutdown | Refusal::NoSuchLane | Refusal::Bound { .. }) | None => {
                return Err(waker);
            }
        };
        Ok((full, lane.rooms.wait(full, waker)))
    }

    pub(super) fn leave_room(&mut self, lane: Lane, full: Full, key: WakerKey) -> Option<Waker> {
        self.lanes.get_mut(lane.index())?.rooms.leave(full, key)
    }

    /// The next job for a worker of this kind, and whom to call for the one after it.
    pub(super) fn take(&mut self, kind: Kind) -> Option<(Taken, Call)> {
        let index = self.next_runnable(kind)?;
        self.kinds[kind.index()].next_lane = index + 1;
        let lane = &mut self.lanes[index];
        let (group, Entry { work, queued_at }) = lane.queue.pop()?;
        lane.running += 1;
        work.ticket().unqueued();
        let room = lane.freed(group);
        let lane = work.ticket().lane;
        Some((Taken { work, lane, queued_at, room, group }, self.call(kind)))
    }

    /// Does the accounts of a job that ran a step, and queues it again if it asks for another.
    pub(super) fn settle(&mut self, taken: &Taken, ran: Ran, now: Instant) -> After {
        let closed = self.closed;
        let lane = &mut self.lanes[taken.lane.index()];
        lane.running -= 1;
        lane.queue.finished(taken.group);
        match ran {
            Ran::Finished => lane.counts.finished += 1,
            Ran::Panicked => lane.counts.panicked += 1,
            Ran::Cancelled => lane.counts.cancelled += 1,
            Ran::Again if closed => {
                lane.counts.dropped += 1;
                return After::Refuse;
            }
            Ran::Again => {
                self.push(taken.group, Entry { work: Arc::clone(&taken.work), queued_at: now });
                return After::Requeued;
            }
        }
        After::Deliver
    }

    /// Takes no more jobs and gives up those that are queued.
    pub(super) fn close(&mut self) -> (Vec<Arc<dyn Work>>, Vec<Waker>) {
        self.closed = true;
        for workers in &mut self.kinds {
            // The starter will not come to them.
            workers.threads -= workers.asked;
            workers.starting -= workers.asked;
            workers.asked = 0;
        }
        let (mut dropped, mut waiting) = (Vec::new(), Vec::new());
        for lane in &mut self.lanes {
            let entries = lane.queue.drain();
            lane.counts.dropped += entries.len() as u64;
            dropped.extend(entries.into_iter().map(|entry| entry.work));
            waiting.extend(lane.rooms.take());
        }
        for work in &dropped {
            work.ticket().unqueued();
        }
        (dropped, waiting)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Changes how many workers there may be.
    pub(super) fn resize(&mut self, kind: Kind, size: usize) -> Result<(), PoolError> {
        let mut asked = [self.kinds[0].size, self.kinds[1].size];
        asked[kind.index()] = size;
        let sizes = fit_sizes(asked, Kind::ALL.map(|kind| self.sum(kind, |lane| lane.reserved)))?;
        self.kinds[kind.index()].size = sizes[kind.index()];
        self.set_group_caps();
        Ok(())
    }

    /// Sees to it that somebody comes if there is work that may run.
    ///
    /// One worker on its way is enough: when it takes a job, it calls the next.
    pub(super) fn call(&mut self, kind: Kind) -> Call {
        if self.next_runnable(kind).is_none() {
            return Call::Nobody;
        }
        let needed = self.needed(kind);
        let workers = &mut self.kinds[kind.index()];
        if workers.waking + workers.starting > 0 {
            Call::Nobody
        } else if workers.idle > 0 {
            workers.idle -= 1;
            workers.waking += 1;
            Call::Worker(kind)
        } else if workers.threads < needed {
            workers.threads += 1;
            workers.starting += 1;
            workers.asked += 1;
            Call::Starter
        } else {
            Call::Nobody
        }
    }

    /// A thread that the starter shall start.
    pub(super) fn asked(&mut self) -> Option<Kind> {
        let kind = Kind::ALL.into_iter().find(|kind| self.kinds[kind.index()].asked > 0)?;
        self.kinds[kind.index()].asked -= 1;
        Some(kind)
    }

    /// The thread could not be started.
    pub(super) fn start_failed(&mut self, kind: Kind) {
        self.spawn_failures += 1;
        self.kinds[kind.index()].starting -= 1;
        self.kinds[kind.index()].threads -= 1;
    }

    /// A thread is started by a test instead of the starter.
    #[cfg(all(test, loom))]
    pub(super) fn adopt(&mut self, kind: Kind) {
        self.kinds[kind.index()].threads += 1;
        self.kinds[kind.index()].starting += 1;
    }

    /// The thread has come to work.
    pub(super) fn started(&mut self, kind: Kind) {
        self.kinds[kind.index()].starting -= 1;
    }

    pub(super) fn falls_asleep(&mut self, kind: Kind) {
        self.kinds[kind.index()].idle += 1;
    }

    /// Whether a worker that left its wait was called, or has a reason to end. A call belongs to
    /// whoever comes first; the others find none and sleep on.
    pub(super) fn wakes_up(&mut self, kind: Kind) -> bool {
        let ends = self.may_end(kind);
        let workers = &mut self.kinds[kind.index()];
        if workers.waking > 0 {
            workers.waking -= 1;
        } else if ends {
            workers.idle -= 1;
        } else {
            return false;
        }
        true
    }

    /// Whether a worker that runs nothing should end: the pool is closed, or has become smaller.
    pub(super) fn may_end(&self, kind: Kind) -> bool {
        self.closed || self.kinds[kind.index()].threads > self.needed(kind)
    }

    /// A worker ends; another may have to come in its place.
    pub(super) fn ended(&mut self, kind: Kind) -> Call {
        self.kinds[kind.index()].threads -= 1;
        self.call(kind)
    }

    pub(super) fn threads(&self) -> usize {
        self.kinds.iter().map(|workers| workers.threads).sum()
    }

    /// `times`: the wait and run times of each lane.
    pub(super) fn metrics(&self, times: Vec<(Snapshot, Snapshot)>, now: Instant) -> PoolMetrics {
        let lanes = self.lanes.iter().zip(times);
        PoolMetrics {
            lanes: lanes.map(|(lane, (wait, run))| lane.metrics(wait, run, now)).collect(),
            workers: Kind::ALL.map(|kind| WorkerMetrics {
                kind,
                size: self.kinds[kind.index()].size,
                threads: self.kinds[kind.index()].threads,
                running: self.sum(kind, |lane| lane.running),
            }),
            spawn_failures: self.spawn_failures,
        }
    }

    /// The lane whose oldest job has waited longest, if that is longer than `threshold`.
    pub(super) fn saturated(&self, threshold: Duration, now: Instant) -> Option<Saturation> {
        let found = self.lanes.iter().filter_map(|lane| self.saturation_of(lane, threshold, now));
        found.max_by_key(|found| found.oldest)
    }

    /// All lanes of which that is so, counted; for the starter, which watches on if this leaves
    /// [`is_watched`](Self::is_watched).
    pub(super) fn look(&mut self, threshold: Duration, now: Instant) -> Vec<Saturation> {
        self.watched = self.lanes.iter().any(|lane| lane.queue.len() > 0);
        let mut found = Vec::new();
        for index in 0..self.lanes.len() {
            if let Some(saturation) = self.saturation_of(&self.lanes[index], threshold, now) {
                self.lanes[index].counts.saturated += 1;
                found.push(saturation);
            }
        }
        found
    }

    fn saturation_of(&self, lane: &LaneState, threshold: Duration, now: Instant) -> Option<Saturation> {
        let oldest = lane.oldest(now).filter(|oldest| *oldest > threshold)?;
        Some(Saturation {
            lane: Arc::clone(&lane.name),
            oldest,
            queued: lane.queue.len(),
            kind: lane.kind,
            workers: self.kinds[lane.kind.index()].size,
            group: lane.only_group(),
        })
    }

    pub(super) fn is_watched(&self) -> bool {
        self.watched
    }

    fn push(&mut self, group: Key, entry: Entry) {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        entry.work.ticket().queued_as(sequence);
        self.lanes[entry.work.ticket().lane.index()].queue.push(group, sequence, entry);
    }

    /// A lane with a job that may run now. Below its reserved share a lane always may; above it,
    /// only on workers that no lane can claim.
    fn next_runnable(&self, kind: Kind) -> Option<usize> {
        let workers = &self.kinds[kind.index()];
        let first = workers.next_lane;
        let mut turns = (0..self.lanes.len()).map(|turn| (first + turn) % self.lanes.len());
        let unclaimed = self.claimed(kind) < workers.size;
        turns.find(|&index| {
            let lane = &self.lanes[index];
            lane.kind == kind
                && lane.queue.has_turn()
                && lane.cap.is_none_or(|cap| lane.running < cap)
                && (unclaimed || lane.running < lane.reserved)
        })
    }

    /// Workers that run something or that a lane may claim at any time.
    fn claimed(&self, kind: Kind) -> usize {
        self.sum(kind, |lane| lane.running.max(lane.reserved))
    }

    /// How many threads there must be room for. More than the size only after the pool was made
    /// smaller while many jobs ran: the reserved shares hold even then.
    fn needed(&self, kind: Kind) -> usize {
        self.kinds[kind.index()].size.max(self.claimed(kind))
    }

    fn sum(&self, kind: Kind, of: impl Fn(&LaneState) -> usize) -> usize {
        self.lanes.iter().filter(|lane| lane.kind == kind).map(of).sum()
    }

    /// How many workers may run the lane at once; 0 if there is none of this number.
    pub(super) fn workers_of(&self, lane: Lane) -> usize {
        let Some(lane) = self.lanes.get(lane.index()) else { return 0 };
        let reserved = self.sum(lane.kind, |lane| lane.reserved);
        let usable = self.kinds[lane.kind.index()].size - (reserved - lane.reserved);
        lane.cap.map_or(usable, |cap| cap.min(usable))
    }

    fn set_group_caps(&mut self) {
        for index in 0..self.lanes.len() {
            let half = (self.workers_of(Lane(index as u16)) / 2).max(1);
            let lane = &self.lanes[index];
            let cap = if lane.grouped { lane.group_cap.unwrap_or(half) } else { usize::MAX };
            self.lanes[index].queue.set_cap(cap);
        }
    }
}
