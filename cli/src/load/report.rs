//! What came of a run, as text.

use lakh_loadtest::{
    Outcome, Plan,
    stats::{Cause, Latency},
};
use std::{fmt::Write, time::Duration};

pub(super) fn text(plan: &Plan, outcome: &Outcome) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut text, plan, outcome);
    text
}

fn write(text: &mut String, plan: &Plan, outcome: &Outcome) -> std::fmt::Result {
    let tally = &outcome.tally;
    let counts = &tally.connections;
    let seconds = outcome.elapsed.as_secs_f64();
    let rate = if seconds > 0.0 { tally.completed as f64 / seconds } else { 0.0 };
    writeln!(text, "{seconds:.1}s  {}/{} connections", counts.established, plan.connections)?;
    write!(text, "  requests {}  {rate:.0}/s  errors {}", tally.completed, tally.failures.total())?;
    for (class, count) in tally.statuses.iter().enumerate().filter(|(_, count)| **count > 0) {
        write!(text, "  {class}xx {count}")?;
    }
    writeln!(
        text,
        "\n  connections  requested {}  established {}  failed {}  lost {}",
        counts.requested, counts.established, counts.failed, counts.lost
    )?;
    for cause in Cause::ALL.into_iter().filter(|&cause| tally.failures.count(cause) > 0) {
        writeln!(text, "  {} {}", words(cause), tally.failures.count(cause))?;
    }
    times(text, "response", &tally.response)?;
    times(text, "service", &tally.service)?;
    writeln!(
        text,
        "  late sends {}  not sent {}  on their way {}  client CPU {:?}, {:.0}% busy",
        tally.late,
        tally.unsent,
        tally.unanswered,
        outcome.client.cpu,
        outcome.client_busy * 100.0
    )
}

fn times(text: &mut String, name: &str, times: &Latency) -> std::fmt::Result {
    let of = |share| millis(times.quantile(share));
    let (p50, p90, p99, p999) = (of(0.5), of(0.9), of(0.99), of(0.999));
    let max = millis(times.max());
    writeln!(text, "  {name}  p50 {p50:.2}  p90 {p90:.2}  p99 {p99:.2}  p99.9 {p999:.2}  max {max:.2} ms")
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn words(cause: Cause) -> &'static str {
    match cause {
        Cause::Refused => "connection refused",
        Cause::ConnectTimeout => "connect timed out",
        Cause::Unreachable => "unreachable",
        Cause::ClientLimit => "limit of this client",
        Cause::Reset => "reset by the server",
        Cause::Closed => "closed by the server",
        Cause::Timeout => "answer timed out",
        Cause::Garbage => "not the protocol",
        Cause::Handshake => "handshake refused",
        Cause::Status => "unexpected status",
        Cause::Body => "unexpected body",
        _ => "other",
    }
}
