//! User memory per idle keep-alive connection, before and after a peak of traffic.

use std::time::Duration;

use lakh_compare::http::Head;
use lakh_compare::load;
use lakh_compare::process::{HugePages, Memory, Server, Spec};
use lakh_compare::table::{Table, grouped};
use lakh_compare::{Context, Result};

use crate::options::{LAKH, Options};
use crate::progress;

const BUDGET_PER_CONNECTION: f64 = 192.0;
const BUDGET_PROCESS: u64 = 20 << 20;
/// Time for a server to give back what it means to give back.
const SETTLE: Duration = Duration::from_secs(1);
const SETTLE_AFTER_PEAK: Duration = Duration::from_secs(3);
/// Warms what a server allocates once, whatever the number of connections.
const WARM_UP_CONNECTIONS: usize = 64;
const PEAK_DEPTH: usize = 16;

struct Sample {
    /// After a warm-up, without connections.
    base: Memory,
    few: Memory,
    many: Memory,
    after_peak: Memory,
    few_connections: usize,
    connections: usize,
}

pub(crate) fn run(options: &Options) -> Result<()> {
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
        if spec.name == LAKH {
            verdicts = sample.verdicts();
        }
    }
    progress::clear();
    let count = options.idle_connections;
    println!("### Memory of {} idle keep-alive connections\n", grouped(count as f64));
    println!("{table}");
    println!(
        "Slope of anonymous resident memory between {} and {} connections, each after one request. The peak: \
         {PEAK_DEPTH} pipelined requests, then heads of 4 KB, on every connection; then {} s of silence. After it \
         the figure is the slope with the peak's lasting growth added. Huge pages are off (MIMALLOC_ALLOW_THP=0): \
         they would round memory to 2 MiB.",
        grouped(few(count) as f64),
        grouped(count as f64),
        SETTLE_AFTER_PEAK.as_secs(),
    );
    println!(
        "Budget: {BUDGET_PER_CONNECTION:.0} B per connection, process {} MiB.\n{verdicts}",
        BUDGET_PROCESS >> 20
    );
    Ok(())
}

fn measure(options: &Options, spec: &Spec) -> Result<Sample> {
    let server = options.start(spec, HugePages::Off)?;
    let request = options.request(&server, Head::Bare);
    let large = options.request(&server, Head::Large);
    let (few_connections, connections) = (few(options.idle_connections), options.idle_connections);
    let warm = load::open(server.address, WARM_UP_CONNECTIONS, &request)?;
    drop(warm.peak(request.clone(), PEAK_DEPTH, 4)?.peak(large.clone(), 1, 1)?);
    let base = settled(&server, SETTLE)?;
    let mut opened = load::open(server.address, few_connections, &request)?;
    let few = settled(&server, SETTLE)?;
    opened.append(load::open(server.address, connections - few_connections, &request)?)?;
    let many = settled(&server, SETTLE)?;
    opened.expect_idle()?;
    let opened = opened.peak(request, PEAK_DEPTH, 2)?.peak(large, 1, 2)?;
    let after_peak = settled(&server, SETTLE_AFTER_PEAK)?;
    opened.expect_idle()?;
    Ok(Sample { base, few, many, after_peak, few_connections, connections })
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

    fn verdicts(&self) -> String {
        let kept = |within: bool| if within { "within budget" } else { "OVER BUDGET" };
        let resident = self.many.resident.max(self.after_peak.resident);
        format!(
            "**lakh: {:.0} B per idle connection: {}; after a peak {:.0} B: {}; process {} MiB: {}**\n",
            self.slope(),
            kept(self.slope() <= BUDGET_PER_CONNECTION),
            self.slope_after_peak(),
            kept(self.slope_after_peak() <= BUDGET_PER_CONNECTION),
            mib(resident),
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
        assert!(sample.verdicts().contains("200 B per idle connection: OVER BUDGET"));
    }
}
