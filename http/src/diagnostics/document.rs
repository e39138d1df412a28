//! What is told as JSON. Times are in seconds, but those of histograms, which are in nanoseconds.

use super::Services;
use crate::metrics::ServiceMetrics;
use lakh_core::{
    diagnostics::{Diagnostics, Handle, Page, ProcessSnapshot, ShardSnapshot},
    histogram::Snapshot,
    pool::{LaneMetrics, WorkerMetrics},
};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::SystemTime};

/// A server at one moment: `/snapshot`. Totals are since its start, so that whoever asks twice knows the difference.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct SnapshotDocument {
    /// The version of lakh.
    pub version: String,
    /// Since the server's start.
    pub uptime: f64,
    /// In the order of their numbers.
    pub shards: Vec<ShardDocument>,
    /// Of the pool.
    pub lanes: Vec<LaneDocument>,
    /// Of the pool.
    pub workers: Vec<WorkersDocument>,
    /// The process.
    pub process: ProcessDocument,
    /// The last ones, the newest at the end.
    pub stalls: Vec<StallDocument>,
}

impl SnapshotDocument {
    /// What the server of these diagnostics is at now.
    pub fn of(diagnostics: &Diagnostics) -> Self {
        let snapshot = diagnostics.snapshot();
        let services = diagnostics.part::<Services>();
        let service = |shard: usize| services.as_ref()?.0.get(shard);
        let now = SystemTime::now();
        SnapshotDocument {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime: snapshot.uptime.as_secs_f64(),
            shards: snapshot
                .shards
                .iter()
                .map(|shard| ShardDocument::of(shard, service(shard.shard)))
                .collect(),
            lanes: snapshot.pool.lanes.iter().map(LaneDocument::of).collect(),
            workers: snapshot.pool.workers.iter().map(WorkersDocument::of).collect(),
            process: ProcessDocument::of(&snapshot.process),
            stalls: snapshot
                .stalls
                .iter()
                .map(|stall| StallDocument {
                    shard: stall.shard,
                    name: stall.name.map(str::to_owned),
                    lasted: stall.lasted.as_secs_f64(),
                    ago: now.duration_since(stall.at).unwrap_or_default().as_secs_f64(),
                })
                .collect(),
        }
    }
}

/// One shard, and the service on it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ShardDocument {
    /// Its number.
    pub shard: usize,
    /// Whether it has ended.
    pub has_ended: bool,
    /// Turns of the loop.
    pub turns: u64,
    /// Polls of tasks.
    pub polls: u64,
    /// Time spent working.
    pub busy: f64,
    /// Time spent waiting for the kernel.
    pub idle: f64,
    /// How long the turn that it works on has lasted by now; `None` if it sleeps.
    pub turn: Option<f64>,
    /// How long turns worked before they looked at the kernel again.
    pub lag: TimesDocument,
    /// Tasks that live on it.
    pub tasks: u64,
    /// Sockets and other sources.
    pub sources: u64,
    /// Timers.
    pub timers: u64,
    /// Work in flight that a drain waits for.
    pub in_flight: u64,
    /// Panics of tasks and messages.
    pub panics: u64,
    /// Stalls.
    pub stalls: u64,
    /// Open connections that speak HTTP.
    pub connections: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Requests whose heads were understood.
    pub requests: u64,
    /// Answers that were begun: 1xx to 5xx.
    pub responses: [u64; 5],
    /// Requests refused under overload.
    pub shed: u64,
}

impl ShardDocument {
    fn of(shard: &ShardSnapshot, service: Option<&Arc<ServiceMetrics>>) -> Self {
        let of_service = |value: fn(&ServiceMetrics) -> u64| service.map_or(0, |service| value(service));
        ShardDocument {
            shard: shard.shard,
            has_ended: shard.has_ended,
            turns: shard.turns,
            polls: shard.polls,
            busy: shard.busy.as_secs_f64(),
            idle: shard.waiting.as_secs_f64(),
            turn: shard.turn.map(|turn| turn.as_secs_f64()),
            lag: TimesDocument::of(&shard.lag),
            tasks: shard.tasks,
            sources: shard.sources,
            timers: shard.timers,
            in_flight: shard.guards,
            panics: shard.panics,
            stalls: shard.stalls,
            connections: of_service(ServiceMetrics::connections),
            accepted: of_service(|service| service.accept().accepted()),
            requests: of_service(ServiceMetrics::requests),
            responses: service.map(|service| service.responses()).unwrap_or_default(),
            shed: of_service(ServiceMetrics::shed),
        }
    }
}

/// A histogram: the greatest value of each bucket that holds something, in nanoseconds, and how many it holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TimesDocument(pub Vec<(u64, u64)>);

impl TimesDocument {
    fn of(times: &Snapshot) -> Self {
        TimesDocument(times.buckets().collect())
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|(_, count)| count).sum()
    }

    /// What has been added since `earlier`.
    pub fn since(&self, earlier: &TimesDocument) -> TimesDocument {
        let before = |bound: u64| {
            let found = earlier.0.binary_search_by_key(&bound, |&(bound, _)| bound);
            found.map_or(0, |at| earlier.0[at].1)
        };
        let added = self.0.iter().map(|&(bound, count)| (bound, count.saturating_sub(before(bound))));
        TimesDocument(added.filter(|&(_, count)| count > 0).collect())
    }

    /// The time, in nanoseconds, that a share of them does not exceed, at most an eighth too high; 0 of none.
    pub fn quantile(&self, share: f64) -> u64 {
        let rank = (share.clamp(0.0, 1.0) * self.count() as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        let reached = |&&(_, count): &&(u64, u64)| {
            seen += count;
            seen >= rank
        };
        self.0.iter().find(reached).map_or(0, |&(bound, _)| bound)
    }
}

/// One lane of the pool.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct LaneDocument {
    /// Its name.
    pub name: String,
    /// The kind of its workers, `io` or `cpu`.
    pub kind: String,
    /// Jobs that wait.
    pub queued: u64,
    /// Jobs that run.
    pub running: u64,
    /// Jobs taken.
    pub accepted: u64,
    /// Jobs that ran to their end.
    pub finished: u64,
    /// Jobs refused.
    pub refused: u64,
    /// Jobs taken back.
    pub cancelled: u64,
    /// Jobs that panicked.
    pub panicked: u64,
    /// How long the job that has waited longest has waited.
    pub oldest: Option<f64>,
    /// Time in the queue.
    pub wait: TimesDocument,
    /// Time on the worker.
    pub run: TimesDocument,
}

impl LaneDocument {
    fn of(lane: &LaneMetrics) -> Self {
        LaneDocument {
            name: lane.name.to_string(),
            kind: lane.kind.name().to_owned(),
            queued: lane.queued as u64,
            running: lane.running as u64,
            accepted: lane.accepted,
            finished: lane.finished,
            refused: lane.refused,
            cancelled: lane.cancelled,
            panicked: lane.panicked,
            oldest: lane.oldest.map(|oldest| oldest.as_secs_f64()),
            wait: TimesDocument::of(&lane.wait),
            run: TimesDocument::of(&lane.run),
        }
    }
}

/// The workers of one kind.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct WorkersDocument {
    /// `io` or `cpu`.
    pub kind: String,
    /// How many there may be.
    pub size: u64,
    /// How many there are.
    pub threads: u64,
    /// How many run a job.
    pub running: u64,
}

impl WorkersDocument {
    fn of(workers: &WorkerMetrics) -> Self {
        WorkersDocument {
            kind: workers.kind.name().to_owned(),
            size: workers.size as u64,
            threads: workers.threads as u64,
            running: workers.running as u64,
        }
    }
}

/// The process; `None` where the system says nothing.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ProcessDocument {
    /// Its number.
    pub id: u32,
    /// User and system time of all threads.
    pub cpu: Option<f64>,
    /// Memory in use, in bytes.
    pub resident_bytes: Option<u64>,
    /// Open descriptors.
    pub open_descriptors: Option<u64>,
    /// How many there may be.
    pub max_descriptors: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
}

impl ProcessDocument {
    fn of(process: &ProcessSnapshot) -> Self {
        ProcessDocument {
            id: std::process::id(),
            cpu: process.cpu_time.map(|time| time.as_secs_f64()),
            resident_bytes: process.resident_bytes,
            open_descriptors: process.open_descriptors,
            max_descriptors: process.max_descriptors,
            threads: process.threads,
        }
    }
}

/// A stall that is over, or not.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct StallDocument {
    /// The shard.
    pub shard: usize,
    /// The route or task, if that has a name.
    pub name: Option<String>,
    /// How long it had lasted when it was found.
    pub lasted: f64,
    /// How long ago that was.
    pub ago: f64,
}

/// What lives on a shard: `/inspect`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct PageDocument {
    /// The shard.
    pub shard: usize,
    /// How many there are in all; of requests, the work in flight.
    pub total: usize,
    /// A part of them.
    pub items: Vec<HandleDocument>,
    /// Where to go on, as `from`.
    pub next: Option<u32>,
}

impl PageDocument {
    pub(super) fn new(page: &Page) -> Self {
        PageDocument { shard: page.shard, ..PageDocument::default() }
    }

    /// Adds what follows.
    pub(super) fn add(&mut self, page: &Page) {
        (self.total, self.next) = (page.total, page.next);
        self.items.extend(page.items.iter().map(HandleDocument::of));
    }
}

/// A thing that lives on a shard. What it does not have is left out.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct HandleDocument {
    /// `tcp listener`, `tcp connection`, `task`, …
    pub kind: String,
    /// Of a request its route, else the task, or the task that waits for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// This side's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local: Option<String>,
    /// The other side's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// Of a Unix socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The descriptor's number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub descriptor: Option<u64>,
    /// How long it has been there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age: Option<f64>,
    /// When a timer fires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due: Option<f64>,
    /// Whether a drain waits for it.
    pub keeps_alive: bool,
}

impl HandleDocument {
    fn of(handle: &Handle) -> Self {
        HandleDocument {
            kind: handle.kind.as_str().to_owned(),
            name: handle.name.map(str::to_owned),
            local: handle.local.map(|addr| addr.to_string()),
            peer: handle.peer.map(|addr| addr.to_string()),
            path: handle.path.as_ref().map(|path| path.display().to_string()),
            descriptor: handle.descriptor.and_then(|number| u64::try_from(number).ok()),
            age: handle.age.map(|age| age.as_secs_f64()),
            due: handle.due.map(|due| due.as_secs_f64()),
            keeps_alive: handle.keeps_alive,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_has_quantiles_of_its_own() {
        let earlier = TimesDocument(vec![(7, 5), (100, 1)]);
        let now = TimesDocument(vec![(7, 5), (50, 98), (100, 2), (900, 1)]);
        let added = now.since(&earlier);
        assert_eq!(added, TimesDocument(vec![(50, 98), (100, 1), (900, 1)]));
        assert_eq!([0.0, 0.5, 0.99, 1.0].map(|share| added.quantile(share)), [50, 50, 100, 900]);
        assert_eq!((added.count(), now.since(&now).quantile(0.5)), (100, 0));
    }
}
