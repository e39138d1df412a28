//! `lakh load`: from the options to the report.

mod args;
mod interrupt;
mod plan;
mod report;
mod units;

pub(crate) use args::Load;

use crate::failure::Failure;
use lakh_core::stderr;
use lakh_loadtest::{Outcome, Run, Stop, stats::Ended};
use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

/// Some connections were never established, or lost.
const EXIT_CONNECTIONS: u8 = 3;
/// How long the end waits for whoever reads standard error.
const LAST_LINES: Duration = Duration::from_millis(500);

pub(crate) fn run(options: &Load) -> Result<ExitCode, Failure> {
    stderr::report_panics();
    let plan = plan::plan(options)?;
    let stop = Stop::default();
    interrupt::watch(&stop).map_err(|error| Failure::broken(format!("cannot catch Ctrl-C: {error}")))?;
    let run = Run::start(plan.clone()).map_err(|error| Failure::broken(format!("cannot begin: {error}")))?;
    let outcome = run.finish(&stop, |_| {});
    let text = report::text(&plan, &outcome);
    let mut stdout = io::stdout().lock();
    // Nobody reads it: nothing is left to be done.
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    // Who does not read it must not keep the process.
    let _ = stderr::flush(LAST_LINES);
    Ok(ExitCode::from(status(&outcome)))
}

fn status(outcome: &Outcome) -> u8 {
    let connections = &outcome.tally.connections;
    let all_stood = connections.failed == 0 && connections.lost == 0;
    let in_order = all_stood && outcome.ended != Ended::NobodyLeft;
    if in_order { 0 } else { EXIT_CONNECTIONS }
}
