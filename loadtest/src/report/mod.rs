//! What is said of a run: as text, JSON, HTML, and as histograms for other programs.

mod hdr;
mod html;
mod json;
mod paint;
mod text;

use crate::{
    Outcome, Plan, numbers,
    plan::{Pace, Scheme},
    stats::{Growth, Held},
    threshold::Verdict,
};

pub use hdr::percentiles;
pub use json::SCHEMA;
pub use paint::Paint;

/// A run, and what is to be said of it.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// What was to be done.
    pub plan: &'a Plan,
    /// What came of it.
    pub outcome: &'a Outcome,
    /// What came of the thresholds.
    pub verdicts: &'a [Verdict],
}

impl Report<'_> {
    /// Whether all thresholds were kept.
    pub fn passed(&self) -> bool {
        self.verdicts.iter().all(|verdict| verdict.passed)
    }

    fn is_open_loop(&self) -> bool {
        matches!(self.plan.pace, Pace::Open { .. })
    }

    /// The most connections that stood at a time, for what each of them took.
    fn connections(&self) -> u64 {
        let established = self.outcome.tally.connections.established;
        self.outcome.most_open().max(established.min(self.plan.connections as u64))
    }

    /// What is sent and answered.
    fn things(&self) -> &'static str {
        match self.plan.target.scheme {
            Scheme::Http => "requests",
            Scheme::Ws | Scheme::Tcp => "messages",
            Scheme::Udp => "datagrams",
        }
    }

    fn pace(&self) -> String {
        match self.plan.pace {
            Pace::Open { rate } => format!("open loop {}/s", numbers::rate(rate)),
            Pace::Closed { pipelined: 0 | 1 } => "closed loop".to_owned(),
            Pace::Closed { pipelined } => format!("closed loop, {pipelined} pipelined"),
            Pace::Silent => match &self.plan.ws.publish {
                Some(publish) => format!("broadcasts {}/s", numbers::rate(publish.rate)),
                None => "idle".to_owned(),
            },
        }
    }
}

/// What connections took that only stood, where it is known.
fn memory_held(held: &Held) -> impl Iterator<Item = String> {
    let of = |name, growth: Option<Growth>| {
        let growth = growth?;
        Some(match held.per_connection(growth) {
            Some(each) if held.open >= MANY => format!("{name} {}/conn", numbers::bytes(each)),
            _ => format!("{name} {}", numbers::bytes(growth.added())),
        })
    };
    // Others change the kernel's memory, too.
    let kernel = held.kernel().filter(|_| held.open >= MANY);
    [of("client", held.client), of("server", held.server), of("kernel", kernel)].into_iter().flatten()
}

/// Connections whose memory is more than what a process takes for threads and histograms.
const MANY: u64 = 10_000;
/// The quantiles of tables.
const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];
/// What a closed loop has to say of its latencies.
const CLOSED_LOOP: &str = "closed loop: latencies leave out the time that requests would have waited";
