//! `lakh load`: from the options to the report.

mod args;
mod report;

pub(crate) use args::Load;

use crate::failure::Failure;
use lakh_core::{stderr, sys::cpu::cpu_quota};
use lakh_loadtest::{
    Outcome, Plan, Run, Stop,
    plan::{HttpRequest, Pace, Target},
    stats::Ended,
};
use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

/// Some connections were never established, or lost.
const EXIT_CONNECTIONS: u8 = 3;
/// How long a run lasts that ends by its number of requests.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
const DEFAULT_DURATION: Duration = Duration::from_secs(10);

pub(crate) fn run(options: &Load) -> Result<ExitCode, Failure> {
    stderr::report_panics();
    let plan = plan(options)?;
    let run = Run::start(plan.clone()).map_err(|error| Failure::broken(format!("cannot begin: {error}")))?;
    let stop = Stop::default();
    let outcome = run.finish(&stop, |_| {});
    let text = report::text(&plan, &outcome);
    let mut stdout = io::stdout().lock();
    // Nobody reads it: nothing is left to be done.
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    Ok(ExitCode::from(status(&outcome)))
}

fn plan(options: &Load) -> Result<Plan, Failure> {
    let target = Target::parse(&options.url).map_err(|error| Failure::refused(error.to_string()))?;
    let shards = options.threads.unwrap_or_else(|| cpu_quota().get());
    let duration = match (options.duration, options.requests) {
        (Some(duration), _) => duration,
        (None, Some(_)) => LONGEST,
        (None, None) => DEFAULT_DURATION,
    };
    Ok(Plan {
        target,
        connections: options.connections,
        stages: Vec::new(),
        connect_rate: None,
        // A shard without a connection would have no share of the requests to do.
        shards: shards.min(options.connections),
        duration,
        requests: options.requests,
        warmup: Duration::ZERO,
        pace: Pace::Closed { pipelined: 1 },
        http: HttpRequest::default(),
        timeout: Duration::from_secs(10),
    })
}

fn status(outcome: &Outcome) -> u8 {
    let connections = &outcome.tally.connections;
    let all_stood = connections.failed == 0 && connections.lost == 0;
    let in_order = all_stood && outcome.ended != Ended::NobodyLeft;
    if in_order { 0 } else { EXIT_CONNECTIONS }
}
