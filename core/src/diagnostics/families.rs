//! The metrics of a [`Snapshot`], by name.

use super::{Exposition, ProcessSnapshot, ShardSnapshot, Snapshot};
use crate::pool::LaneMetrics;
use std::time::UNIX_EPOCH;

pub(super) fn write(snapshot: &Snapshot, out: &mut Exposition) {
    out.gauge("lakh_info", "Always 1, with the version of lakh")
        .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    write_shards(&snapshot.shards, out);
    write_lanes(&snapshot.pool.lanes, out);
    let mut workers = out.gauge("lakh_pool_workers", "Threads of the pool that there may be");
    for of in &snapshot.pool.workers {
        workers.sample(&[("kind", of.kind.name())], of.size as f64);
    }
    let mut running = out.gauge("lakh_pool_workers_running", "Threads of the pool that run a job");
    for of in &snapshot.pool.workers {
        running.sample(&[("kind", of.kind.name())], of.running as f64);
    }
    out.counter("lakh_pool_spawn_failures_total", "Threads that the system has refused")
        .sample(&[], snapshot.pool.spawn_failures as f64);
    write_process(snapshot, out);
}

type OfShard = fn(&ShardSnapshot) -> f64;

const SHARD_COUNTERS: [(&str, &str, OfShard); 8] = [
    ("lakh_shard_turns_total", "Turns of the loop", |shard| shard.turns as f64),
    ("lakh_shard_polls_total", "Polls of tasks", |shard| shard.polls as f64),
    ("lakh_shard_busy_seconds_total", "Time spent working", |shard| shard.busy.as_secs_f64()),
    ("lakh_shard_idle_seconds_total", "Time spent waiting for the kernel", |shard| {
        shard.waiting.as_secs_f64()
    }),
    ("lakh_shard_stalls_total", "Times when one piece of work held up the loop", |shard| shard.stalls as f64),
    ("lakh_shard_panics_total", "Panics of tasks and messages", |shard| shard.panics as f64),
    ("lakh_shard_refused_messages_total", "Messages that a full mailbox has refused", |shard| {
        shard.refused_messages as f64
    }),
    ("lakh_shard_kernel_errors_total", "Failed calls to the kernel's poller or notifier", |shard| {
        shard.kernel_errors as f64
    }),
];

const SHARD_GAUGES: [(&str, &str, OfShard); 5] = [
    (
        "lakh_shard_turn_seconds",
        "How long the turn that it works on has lasted by now, 0 if it sleeps",
        |shard| shard.turn.unwrap_or_default().as_secs_f64(),
    ),
    ("lakh_shard_tasks", "Tasks that live on the shard", |shard| shard.tasks as f64),
    ("lakh_shard_sources", "Sockets and other event sources", |shard| shard.sources as f64),
    ("lakh_shard_timers", "Timers that exist", |shard| shard.timers as f64),
    ("lakh_shard_in_flight", "Pieces of work that a drain waits for", |shard| shard.guards as f64),
];

fn write_shards(shards: &[ShardSnapshot], out: &mut Exposition) {
    let numbers: Vec<String> = shards.iter().map(|shard| shard.shard.to_string()).collect();
    let each = || shards.iter().zip(&numbers);
    for (name, help, value) in SHARD_COUNTERS {
        let mut family = out.counter(name, help);
        for (shard, number) in each() {
            family.sample(&[("shard", number)], value(shard));
        }
    }
    for (name, help, value) in SHARD_GAUGES {
        let mut family = out.gauge(name, help);
        for (shard, number) in each() {
            family.sample(&[("shard", number)], value(shard));
        }
    }
    let help = "How long each turn worked before it looked at the kernel again";
    let mut lag = out.histogram("lakh_shard_lag_seconds", help);
    for (shard, number) in each() {
        lag.nanoseconds(&[("shard", number)], &shard.lag);
    }
}

type OfLane = fn(&LaneMetrics) -> f64;

const LANE_COUNTERS: [(&str, &str, OfLane); 7] = [
    ("lakh_pool_accepted_jobs_total", "Jobs taken", |lane| lane.accepted as f64),
    ("lakh_pool_finished_jobs_total", "Jobs that ran to their end", |lane| lane.finished as f64),
    ("lakh_pool_refused_jobs_total", "Jobs refused, since the lane was full", |lane| lane.refused as f64),
    ("lakh_pool_cancelled_jobs_total", "Jobs taken back by who waited for them", |lane| {
        lane.cancelled as f64
    }),
    ("lakh_pool_panicked_jobs_total", "Jobs that panicked", |lane| lane.panicked as f64),
    ("lakh_pool_dropped_jobs_total", "Jobs dropped by a shutdown", |lane| lane.dropped as f64),
    ("lakh_pool_saturated_total", "Times when a job was found that had waited for too long", |lane| {
        lane.saturated as f64
    }),
];

const LANE_GAUGES: [(&str, &str, OfLane); 3] = [
    ("lakh_pool_queued_jobs", "Jobs that wait", |lane| lane.queued as f64),
    ("lakh_pool_running_jobs", "Jobs that run", |lane| lane.running as f64),
    ("lakh_pool_oldest_job_seconds", "How long the job that has waited longest has waited", |lane| {
        lane.oldest.unwrap_or_default().as_secs_f64()
    }),
];

fn write_lanes(lanes: &[LaneMetrics], out: &mut Exposition) {
    for (name, help, value) in LANE_COUNTERS {
        let mut family = out.counter(name, help);
        for lane in lanes {
            family.sample(&[("lane", &lane.name)], value(lane));
        }
    }
    for (name, help, value) in LANE_GAUGES {
        let mut family = out.gauge(name, help);
        for lane in lanes {
            family.sample(&[("lane", &lane.name)], value(lane));
        }
    }
    let mut wait = out.histogram("lakh_pool_wait_seconds", "Time that each step of a job was queued for");
    for lane in lanes {
        wait.nanoseconds(&[("lane", &lane.name)], &lane.wait);
    }
    let mut run = out.histogram("lakh_pool_run_seconds", "Time that each step of a job ran for");
    for lane in lanes {
        run.nanoseconds(&[("lane", &lane.name)], &lane.run);
    }
}

/// By the names that every client library gives them.
fn write_process(snapshot: &Snapshot, out: &mut Exposition) {
    let ProcessSnapshot { cpu_time, resident_bytes, open_descriptors, max_descriptors, threads } =
        snapshot.process;
    if let Some(time) = cpu_time {
        out.counter("process_cpu_seconds_total", "User and system time of all threads")
            .sample(&[], time.as_secs_f64());
    }
    let gauges = [
        ("process_resident_memory_bytes", "Memory in use", resident_bytes),
        ("process_open_fds", "Open descriptors", open_descriptors),
        ("process_max_fds", "Descriptors that may be open", max_descriptors),
        ("process_threads", "Threads", threads),
    ];
    for (name, help, value) in gauges {
        if let Some(value) = value {
            out.gauge(name, help).sample(&[], value as f64);
        }
    }
    if let Ok(since) = snapshot.began_at.duration_since(UNIX_EPOCH) {
        out.gauge("process_start_time_seconds", "When the server started, since 1970")
            .sample(&[], since.as_secs_f64());
    }
}
