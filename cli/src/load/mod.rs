//! `lakh load`: from the options to the report.

mod args;
mod files;
mod interrupt;
mod live;
mod plan;
mod requests;

pub(crate) use args::Load;

use crate::{failure::Failure, terminal};
use files::Files;
use lakh_core::{stderr, sys::limits::raise_descriptor_limit};
use lakh_loadtest::{
    Run, Stop,
    preflight::{self, Check},
    report::{Paint, Report},
    stats::Ended,
};
use live::Live;
use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
    time::Duration,
};

/// Some connections were never established, or lost; or nothing was answered on any.
const EXIT_CONNECTIONS: u8 = 3;
/// A condition of `--fail-if` held; k6 ends with the same.
const EXIT_THRESHOLD: u8 = 99;
/// How long the end waits for whoever reads standard error.
const LAST_LINES: Duration = Duration::from_millis(500);

pub(crate) fn run(options: &Load) -> Result<ExitCode, Failure> {
    stderr::report_panics();
    let mut plan = plan::plan(options)?;
    let limit = raise_descriptor_limit()
        .map_err(|error| Failure::broken(format!("cannot raise the limit of open files: {error}")))?;
    plan.fit_tables(limit.soft);
    if let Some(fault) = plan.fault() {
        return Err(Failure::refused(fault));
    }
    let check = preflight::check_plan(&plan);
    if options.check {
        print(&check.text(paint(&io::stdout())))?;
        return Ok(if check.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    warn(&check)?;
    let mut files = Files::create(options)?;
    let stop = Stop::default();
    interrupt::watch(&stop).map_err(|error| Failure::broken(format!("cannot catch Ctrl-C: {error}")))?;
    // What the plan can have wrong was looked at: this is the kernel's.
    let run = Run::start(plan.clone()).map_err(|error| Failure::broken(format!("cannot begin: {error}")))?;
    let mut live = Live::new(&plan, options.no_tui);
    let outcome = run.finish(&stop, |news| live.tell(news));
    live.finish();
    let verdicts: Vec<_> = options.fail_if.iter().map(|threshold| threshold.judge(&outcome)).collect();
    let report = Report { plan: &plan, outcome: &outcome, verdicts: &verdicts };
    let printed = print(&report.text(paint(&io::stdout())));
    let written = files.write(&report).and(printed);
    // Who does not read it must not keep the process.
    let _ = stderr::flush(LAST_LINES);
    written?;
    Ok(ExitCode::from(status(&report)))
}

/// Says what the machine has too little of; an error if the run would fail.
fn warn(check: &Check) -> Result<(), Failure> {
    if check.is_remarkable() {
        terminal::say(&check.text(paint(&io::stderr())));
    }
    match check.passed() {
        true => Ok(()),
        false => Err(Failure::broken("this machine cannot do that: see above")),
    }
}

fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        // Nobody reads it: nothing is left to be done.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(|error| Failure::broken(format!("cannot write the report: {error}"))),
    }
}

fn paint(stream: &impl IsTerminal) -> Paint {
    if terminal::may_colour(stream) { Paint::COLOUR } else { Paint::PLAIN }
}

fn status(report: &Report<'_>) -> u8 {
    let connections = &report.outcome.tally.connections;
    let all_stood = connections.failed == 0 && connections.lost == 0;
    let gave_up = matches!(report.outcome.ended, Ended::NobodyLeft | Ended::NoAnswers);
    let was_there = !gave_up && !report.outcome.answered_nothing();
    match () {
        () if !report.passed() => EXIT_THRESHOLD,
        () if !all_stood || !was_there => EXIT_CONNECTIONS,
        () => 0,
    }
}
