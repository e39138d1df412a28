//! Counters of everything, read at about one moment.

use super::{Exposition, families};
use crate::{histogram, metrics::ShardMetrics, pool::PoolMetrics, shard::ShardHandle, sys::usage};
use std::time::{Duration, SystemTime};

/// A runtime and its process, from [`Diagnostics::snapshot`](super::Diagnostics::snapshot). Each number is exact, but
/// they are not read at one instant.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// In the order of their numbers.
    pub shards: Vec<ShardSnapshot>,
    /// The lanes and workers of the pool.
    pub pool: PoolMetrics,
    /// The process.
    pub process: ProcessSnapshot,
    /// Since the runtime's start.
    pub uptime: Duration,
    /// When that was.
    pub began_at: SystemTime,
    /// The last 32 stalls, the newest at the end.
    pub stalls: Vec<PastStall>,
}

impl Snapshot {
    /// Writes it as metrics for Prometheus, whose names begin with `lakh_`; those of the process have the names that
    /// dashboards know, `process_cpu_seconds_total` and its kin.
    pub fn write_to(&self, out: &mut Exposition) {
        families::write(self, out);
    }
}

/// One shard; the totals are since its start. See [`ShardMetrics`] for what each of them counts.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ShardSnapshot {
    /// The shard's number.
    pub shard: usize,
    /// Whether it has ended.
    pub has_ended: bool,
    /// Turns of the loop.
    pub turns: u64,
    /// Polls of tasks.
    pub polls: u64,
    /// Time spent working, up to the last turn.
    pub busy: Duration,
    /// Time spent waiting for the kernel.
    pub waiting: Duration,
    /// How long the turn that it works on has lasted by now; `None` if it sleeps. It is not yet in `busy`, so that a shard
    /// that is blocked can be told from one that has nothing to do.
    pub turn: Option<Duration>,
    /// How long each turn worked before it looked at the kernel again, in nanoseconds: what becomes ready meanwhile
    /// waits for as long as that.
    pub lag: histogram::Snapshot,
    /// Tasks that live on it.
    pub tasks: u64,
    /// Sockets and other sources.
    pub sources: u64,
    /// Timers, pending and fired.
    pub timers: u64,
    /// Pieces of work in flight that a drain waits for.
    pub guards: u64,
    /// Panics of tasks and messages.
    pub panics: u64,
    /// Stalls that the watchdog has seen.
    pub stalls: u64,
    /// Messages that a full mailbox has refused.
    pub refused_messages: u64,
    /// Failed calls to the kernel's poller or notifier.
    pub kernel_errors: u64,
}

impl ShardSnapshot {
    pub(super) fn of(shard: &ShardHandle) -> Self {
        let metrics: &ShardMetrics = shard.metrics();
        ShardSnapshot {
            shard: shard.id(),
            has_ended: shard.has_ended(),
            turns: metrics.turns(),
            polls: metrics.polls(),
            busy: metrics.busy(),
            waiting: metrics.waiting(),
            turn: shard.turn(),
            lag: metrics.lag().snapshot(),
            tasks: metrics.tasks(),
            sources: metrics.sources(),
            timers: metrics.timers(),
            guards: metrics.guards(),
            panics: metrics.panics(),
            stalls: metrics.stalls(),
            refused_messages: metrics.refused_messages(),
            kernel_errors: metrics.kernel_errors(),
        }
    }
}

/// What the system says of the process; `None` where it says nothing.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct ProcessSnapshot {
    /// User and system time of all threads.
    pub cpu_time: Option<Duration>,
    /// Memory in use, in bytes.
    pub resident_bytes: Option<u64>,
    /// Open descriptors of the calling thread's table: the process's, but on a shard with a table of its own
    /// ([`Builder::private_descriptors`](crate::Builder::private_descriptors)).
    pub open_descriptors: Option<u64>,
    /// How many there may be in a table.
    pub max_descriptors: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
}

impl ProcessSnapshot {
    /// Asks the system. Sources: `clock_gettime(2)`, `getrlimit(2)`, `proc(5)`.
    pub fn now() -> Self {
        let (resident_bytes, threads) = usage::memory_and_threads();
        ProcessSnapshot {
            cpu_time: usage::cpu_time(),
            resident_bytes,
            open_descriptors: usage::open_descriptors(),
            max_descriptors: usage::max_descriptors(),
            threads,
        }
    }
}

/// A stall that the watchdog has told of.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PastStall {
    /// The shard.
    pub shard: usize,
    /// The route or task that blocked it, if that has a name.
    pub name: Option<&'static str>,
    /// How long it had lasted when it was found.
    pub lasted: Duration,
    /// When it was found.
    pub at: SystemTime,
}
