//! User memory per idle keep-alive connection or WebSocket, before and after a peak of traffic.

use std::time::Duration;

use lakh_compare::http::Head;
use lakh_compare::load::Opened;
use lakh_compare::process::{HugePages, Memory, Server, Spec};
use lakh_compare::table::{Table, grouped};
use lakh_compare::{Context, Result};

use crate::options::{ASYNC, CALLBACK, Command, LAKH, Options};
use crate::progress;
use crate::rounds::{Asked, Client};

/// Per connection in bytes, of each kind of lakh server.
const BUDGETS: [(&str, f64); 3] = [(LAKH, 192.0), (CALLBACK, 192.0), (ASYNC, 320.0)];
const BUDGET_PROCESS: u64 = 20 << 20;
/// Time for a server to give back what it means to give back.
const SETTLE: Duration = Duration::from_secs(1);
const SETTLE_AFTER_PEAK: Duration = Duration::from_secs(3);
/// Warms what a server allocates once, whatever the number of connections.
const WARM_UP_CONNECTIONS: usize = 64;
const PEAK_DEPTH: usize = 16;
const SMALL_MESSAGE: usize = 64;
const LARGE_MESSAGE: usize = 4096;

struct Sample {
    /// After a warm-up, without connections.
    base: Memory,
    few: Memory,
    many: Memory,
    after_peak: Memory,
    few_connections: usize,
    connections: usize,
}

/// What is idle, and what it has been asked for.
struct Kind {
    title: &'static str,
    /// What each connection has had.
    once: &'static str,
    peak: &'static str,
}

const HTTP: Kind =
    Kind { title: "keep-alive connections", once: "one request each", peak: "requests, then heads of 4 KB," };

const WEBSOCKETS: Kind =
    Kind { title: "WebSockets", once: "one echo of 64 B each", peak: "messages, then messages of 4 KiB," };

pub(crate) fn run(options: &Options) -> Result<()> {
    compare(options, &HTTP)
}

pub(crate) fn run_ws(options: &Options) -> Result<()> {
    compare(options, &WEBSOCKETS)
}

fn compare(options: &Options, kind: &Kind) -> Result<()> {
    let mut table = Table::new(&[
        "server",
        "B per idle connection",
        "RSS without connections MiB",
        "RSS with MiB",
        "after a peak: B per connection",
        "RSS MiB",
    ]);
    let mut verdicts = String::new();
    for spec in &options.servers {
        progress::show(format_args!("idle memory: {}", spec.name));
        let sample = measure(options, spec).context(|| format!("{}, idle memory", spec.name))?;
        table.row([
            spec.name.clone(),
            grouped(sample.slope()),
            mib(sample.base.resident),
            mib(sample.many.resident),
            grouped(sample.slope_after_peak()),
            mib(sample.after_peak.resident),
        ]);
        let budget = BUDGETS.iter().find(|(name, _)| *name == spec.name);
        verdicts.extend(budget.map(|(name, budget)| sample.verdicts(name, *budget)));
    }
    progress::clear();
    let count = options.idle_connections;
    println!("### Memory of {} idle {}\n", grouped(count as f64), kind.title);
    println!("{table}");
    println!(
        "Slope of anonymous resident memory between {} and {} connections, after {}. The peak: \
         {PEAK_DEPTH} pipelined {} on every connection; then {} s of silence. After it \
         the figure is the slope with the peak's lasting growth added. Huge pages are off (MIMALLOC_ALLOW_THP=0): \
         they would round memory to 2 MiB.",
        grouped(few(count) as f64),
        grouped(count as f64),
        kind.once,
        kind.peak,
        SETTLE_AFTER_PEAK.as_secs(),
    );
    println!("{verdicts}");
    Ok(())
}

fn measure(options: &Options, spec: &Spec) -> Result<Sample> {
    let server = options.start(spec, HugePages::Off)?;
    let traffic = Traffic::new(options, &server);
    let (few_connections, connections) = (few(options.idle_connections), options.idle_connections);
    drop(traffic.peak(traffic.usual.open(WARM_UP_CONNECTIONS)?, 4, 1)?);
    let base = settled(&server, SETTLE)?;
    let mut opened = traffic.usual.open(few_connections)?;
    let few = settled(&server, SETTLE)?;
    opened.append(traffic.usual.open(connections - few_connections)?)?;
    let many = settled(&server, SETTLE)?;
    opened.expect_idle()?;
    let opened = traffic.peak(opened, 2, 2)?;
    let after_peak = settled(&server, SETTLE_AFTER_PEAK)?;
    opened.expect_idle()?;
    Ok(Sample { base, few, many, after_peak, few_connections, connections })
}

/// What is sent to a server, usually and at the height of a peak.
struct Traffic {
    usual: Client,
    large: Client,
}

impl Traffic {
    fn new(options: &Options, server: &Server) -> Traffic {
        if options.command == Command::WsIdleMemory {
            let echo = |size| Client::new(options, server, Asked::Echo(size));
            return Traffic { usual: echo(SMALL_MESSAGE), large: echo(LARGE_MESSAGE) };
        }
        let ask = |head| Client::http(server.address, options.request(server, head));
        Traffic { usual: ask(Head::Bare), large: ask(Head::Large) }
    }

    fn peak(&self, opened: Opened, rounds: u64, rounds_of_large: u64) -> Result<Opened> {
        let opened = opened.peak(self.usual.request.clone(), PEAK_DEPTH, rounds)?;
        self.large.expected_by(opened).peak(self.large.request.clone(), 1, rounds_of_large)
    }
}

fn settled(server: &Server, silence: Duration) -> Result<Memory> {
    std::thread::sleep(silence);
    server.memory()
}

/// The lower end of the slope: what is allocated once should have been by then.
fn few(connections: usize) -> usize {
    connections / 3
}

impl Sample {
    fn slope(&self) -> f64 {
        let grown = self.many.anonymous as f64 - self.few.anonymous as f64;
        grown / (self.connections - self.few_connections) as f64
    }

    fn slope_after_peak(&self) -> f64 {
        let grown = self.after_peak.anonymous as f64 - self.many.anonymous as f64;
        self.slope() + grown / self.connections as f64
    }

    fn verdicts(&self, name: &str, budget: f64) -> String {
        let kept = |within: bool| if within { "within budget" } else { "OVER BUDGET" };
        let resident = self.many.resident.max(self.after_peak.resident);
        format!(
            "**{name}: {:.0} B per idle connection, budget {budget:.0}: {}; after a peak {:.0} B: {}; \
             process {} MiB, budget {}: {}**\n",
            self.slope(),
            kept(self.slope() <= budget),
            self.slope_after_peak(),
            kept(self.slope_after_peak() <= budget),
            mib(resident),
            BUDGET_PROCESS >> 20,
            kept(resident <= BUDGET_PROCESS),
        )
    }
}

fn mib(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_are_per_connection() {
        let anonymous = |anonymous| Memory { anonymous, resident: anonymous + (2 << 20), peak: 0 };
        let sample = Sample {
            base: anonymous(1_000_000),
            few: anonymous(2_000_000),
            many: anonymous(4_000_000),
            after_peak: anonymous(5_500_000),
            few_connections: 5_000,
            connections: 15_000,
        };
        assert_eq!(sample.slope(), 200.0);
        assert_eq!(sample.slope_after_peak(), 300.0);
        let verdicts = |budget| sample.verdicts("lakh", budget);
        assert!(verdicts(192.0).contains("200 B per idle connection, budget 192: OVER BUDGET"));
        assert!(verdicts(320.0).contains("200 B per idle connection, budget 320: within budget"));
    }
}
