//! What is answered of more requests than a server can answer, each on a connection of its own.

use std::time::Duration;

use lakh_compare::open_loop::{Outcome, Pace, Run};
use lakh_compare::process::{HugePages, Spec};
use lakh_compare::table::{Table, grouped};
use lakh_compare::{Context, Result};

use crate::options::Options;
use crate::progress;

/// Requests at a time for the peak: the server never waits for one.
const PEAK_AT_ONCE: usize = 32;
const TIMES: [f64; 4] = [1.0, 2.0, 5.0, 10.0];
/// A server is overloaded for so long before anything counts.
const WARM_UP: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(10);
/// What is to be left of the peak.
const SHARE: f64 = 0.9;
/// More requests than this share begun late: the client was the limit.
const MAY_BE_LATE: f64 = 0.01;

struct Row {
    outcome: Outcome,
    /// Resident memory in bytes, at the most.
    peak: u64,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    for spec in &options.servers {
        let both = [("off", with_limit(spec, "off")), ("500 ms", with_limit(spec, "500"))];
        let per_second = |count: u64| count as f64 / options.window.as_secs_f64();
        let peak = measure(options, &both[1].1, Pace::Closed(PEAK_AT_ONCE))?;
        let peak = per_second(peak.outcome.answered);
        println!("### {}: a handler of 200 µs, fresh connections\n", spec.name);
        println!("Peak: {} answers/s, with {PEAK_AT_ONCE} requests at a time.\n", grouped(peak));
        let mut table = Table::new(&[
            "limit, rate ÷ peak",
            "offered/s",
            "answers within 1 s/s",
            "÷ peak",
            "503/s",
            "no answer/s",
            "failed/s",
            "p50 ms",
            "p99 ms",
            "503: p50 ms",
            "peak RSS MiB",
            "client busy",
            "begun late",
        ]);
        let mut verdicts = Vec::new();
        for (limit, spec) in &both {
            for times in TIMES {
                progress::show(format_args!("overload: limit {limit}, {times} times the peak"));
                let row = measure(options, spec, Pace::Open(peak * times))?;
                let outcome = &row.outcome;
                let late = outcome.late as f64 / outcome.due.max(1) as f64;
                let share = per_second(outcome.answered) / peak;
                let millis = |latency: Duration| format!("{:.1}", latency.as_secs_f64() * 1e3);
                table.row([
                    format!("{limit}, {times}"),
                    grouped(per_second(outcome.due)),
                    grouped(per_second(outcome.answered)),
                    format!("{share:.2}"),
                    grouped(per_second(outcome.refused)),
                    grouped(per_second(outcome.timed_out)),
                    grouped(per_second(outcome.failed)),
                    millis(outcome.latency.percentile(0.5)),
                    millis(outcome.latency.percentile(0.99)),
                    millis(outcome.refusal.percentile(0.5)),
                    format!("{:.1}", row.peak as f64 / (1024.0 * 1024.0)),
                    format!("{:.0} %", 100.0 * outcome.cpu.as_secs_f64() / options.window.as_secs_f64()),
                    format!("{:.1} %", late * 100.0),
                ]);
                verdicts.extend(verdict(limit, times, share, late));
            }
        }
        progress::clear();
        println!("{table}");
        verdicts.iter().for_each(|line| println!("- {line}"));
        println!();
    }
    Ok(())
}

/// A fresh server for each row; one that does not end in order is an error.
fn measure(options: &Options, spec: &Spec, pace: Pace) -> Result<Row> {
    let server = options.start(spec, HugePages::AsUsual)?;
    let mut request = options.request(&server, options.head);
    request.truncate(request.len() - 2);
    request.extend_from_slice(b"Connection: close\r\n\r\n");
    let run = Run {
        to: server.address,
        request: &request,
        body: b"done",
        pace,
        warm_up: WARM_UP,
        window: options.window,
    };
    let outcome = run.run().context(|| format!("{}, {pace:?}", spec.name))?;
    let peak = server.memory()?.peak;
    let status = server.stop(PATIENCE)?;
    if !status.success() {
        return Err(lakh_compare::Error::new(format!("{} ended with {status}", spec.name)));
    }
    Ok(Row { outcome, peak })
}

fn with_limit(spec: &Spec, limit: &str) -> Spec {
    let limit = ["--queue-age", limit].map(str::to_owned);
    Spec { argv: spec.argv.iter().cloned().chain(limit).collect(), ..spec.clone() }
}

/// What is to be said of a row.
fn verdict(limit: &str, times: f64, share: f64, late: f64) -> Option<String> {
    if late > MAY_BE_LATE {
        return Some(format!(
            "limit {limit}, {times}: the client was the limit, {:.1} % begun late",
            late * 100.0
        ));
    }
    let judged = if share < SHARE { "BELOW" } else { "at or above" };
    (times >= 10.0 || share < SHARE)
        .then(|| format!("limit {limit}, {times}: {share:.2} of the peak: {judged} {SHARE}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_judged_only_if_the_client_kept_up() {
        assert_eq!(verdict("off", 10.0, 0.5, 0.0).unwrap(), "limit off, 10: 0.50 of the peak: BELOW 0.9");
        assert!(verdict("off", 2.0, 0.95, 0.0).is_none());
        assert!(verdict("off", 10.0, 0.95, 0.02).unwrap().contains("the client was the limit"));
    }
}
