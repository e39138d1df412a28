//! What came of a run, as text.

use lakh_loadtest::{Outcome, Plan, stats::Cause};
use std::fmt::Write;

pub(super) fn text(plan: &Plan, outcome: &Outcome) -> String {
    let tally = &outcome.tally;
    let connections = &tally.connections;
    let mut text = String::new();
    let seconds = outcome.elapsed.as_secs_f64();
    let _ = writeln!(
        text,
        "{seconds:.1}s  {}/{} connections  {} lost  {} threads",
        connections.established, connections.requested, connections.lost, plan.shards
    );
    let _ = writeln!(
        text,
        "  requests {}  {:.0}/s  errors {}  2xx {}",
        tally.completed,
        tally.completed as f64 / seconds.max(1e-9),
        tally.failures.total(),
        tally.statuses[2]
    );
    for cause in Cause::ALL.into_iter().filter(|&cause| tally.failures.count(cause) > 0) {
        let _ = writeln!(text, "  {cause:?} {}", tally.failures.count(cause));
    }
    for (name, times) in [("response", &tally.response), ("service", &tally.service)] {
        let of = |share| times.quantile(share);
        let _ = writeln!(
            text,
            "  {name} p50 {:?} p90 {:?} p99 {:?} p99.9 {:?} max {:?}",
            of(0.5),
            of(0.9),
            of(0.99),
            of(0.999),
            times.max()
        );
    }
    let _ = writeln!(
        text,
        "  late {} unsent {} unanswered {}  client {:?} {:?}% busy",
        tally.late,
        tally.unsent,
        tally.unanswered,
        outcome.client,
        (outcome.client_busy * 100.0) as u32
    );
    text
}
