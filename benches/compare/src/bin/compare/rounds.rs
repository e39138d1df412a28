//! Paired rounds: every server in turn, fresh, in alternating order, and what they have cost.

use std::net::SocketAddr;
use std::time::Duration;

use lakh_compare::http;
use lakh_compare::load::{self, Load, Opened, Plan, Window};
use lakh_compare::process::{CpuTime, HugePages, Server, Spec};
use lakh_compare::stats::{Estimate, estimate, median, paired_ratio};
use lakh_compare::table::{Table, grouped, with_interval};
use lakh_compare::ws::{self, Message};
use lakh_compare::{Context, Error, Result, sys};

use crate::options::Options;
use crate::progress;

#[derive(Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) connections: usize,
    pub(crate) depth: usize,
    /// How many times its peer's cost lakh's may be.
    pub(crate) budget: f64,
    pub(crate) asked: Asked,
}

/// What clients want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// What the options say.
    Path,
    /// A path whose answer has a body of this length.
    File(&'static str, usize),
    /// The echo of a WebSocket message of this size.
    Echo(usize),
}

/// What stands in the columns of a report.
pub(crate) const REQUEST: &str = "request";
pub(crate) const MESSAGE: &str = "message";

/// Where servers echo.
const ECHO_PATH: &str = "/echo";
const WARM_UP: Duration = Duration::from_millis(200);
/// Below this the generator, or somebody else on the machine, held the server back.
const SATURATED: f64 = 0.95;

/// One server in one round.
pub(crate) struct Sample {
    pub(crate) cost_us: f64,
    pub(crate) per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) peak_mib: f64,
    pub(crate) busy: f64,
    pub(crate) generator_us: f64,
    pub(crate) answer_bytes: usize,
    /// The exact clock and the ticks of /proc/PID/stat tell the same time.
    pub(crate) clocks_agree: bool,
}

/// One server in all rounds.
pub(crate) struct Series<'a> {
    pub(crate) name: &'a str,
    pub(crate) samples: Vec<Sample>,
}

/// All servers in all rounds of a scenario.
pub(crate) fn run<'a>(options: &Options, servers: &'a [Spec], scenario: Scenario) -> Result<Vec<Series<'a>>> {
    run_each(options, servers, scenario.name, |spec| measure(options, spec, scenario, 0))
}

/// The same for anything that can be measured of a fresh server.
pub(crate) fn run_each<'a>(
    options: &Options,
    servers: &'a [Spec],
    name: &str,
    measure: impl Fn(&Spec) -> Result<Sample>,
) -> Result<Vec<Series<'a>>> {
    let mut all: Vec<Series> = servers.iter().map(|spec| Series::new(&spec.name)).collect();
    for round in 0..options.rounds {
        for index in order(servers.len(), round) {
            all[index].samples.push(measure(&servers[index])?);
        }
        progress::show(format_args!("{name}: round {} of {}", round + 1, options.rounds));
    }
    progress::clear();
    Ok(all)
}

/// Forwards in even rounds and backwards in odd ones, so that no server always follows the same other.
pub(crate) fn order(servers: usize, round: usize) -> Vec<usize> {
    let forwards = 0..servers;
    if round.is_multiple_of(2) { forwards.collect() } else { forwards.rev().collect() }
}

pub(crate) fn measure(options: &Options, spec: &Spec, scenario: Scenario, idle: usize) -> Result<Sample> {
    measure_once(options, spec, scenario, idle).context(|| format!("{}, {}", spec.name, scenario.title))
}

fn measure_once(options: &Options, spec: &Spec, scenario: Scenario, idle: usize) -> Result<Sample> {
    let server = options.start(spec, HugePages::AsUsual)?;
    let client = Client::new(options, &server, scenario.asked);
    let idle = match idle {
        0 => None,
        count => Some(client.open(count)?),
    };
    let opened = client.open(scenario.connections)?;
    let answer_bytes = opened.shape.total();
    if let Asked::File(path, length) = scenario.asked
        && opened.shape.body() != length
    {
        let line = format!("{path} has {length} bytes, but the answer's body {}", opened.shape.body());
        return Err(Error::new(line));
    }
    let plan = Plan { request: client.request, depth: scenario.depth, spin: options.spin };
    let mut load = Load::new(opened, plan)?;
    load.for_time(WARM_UP)?;
    let before = server.cpu()?;
    let window = match options.requests {
        Some(count) => load.for_answers(count)?,
        None => load.for_time(options.window)?,
    };
    let after = server.cpu()?;
    let peak = server.memory()?.peak;
    load.settle()?;
    if let Some(idle) = idle {
        idle.expect_idle()?;
    }
    Sample::new(&window, before, after, peak, answer_bytes)
}

impl Sample {
    /// What a window has cost between two readings of the server's clocks.
    pub(crate) fn new(
        window: &Window,
        before: CpuTime,
        after: CpuTime,
        peak: u64,
        answer_bytes: usize,
    ) -> Result<Sample> {
        if window.answers == 0 {
            return Err(Error::new("no answers within the window"));
        }
        let cpu = after.exact.saturating_sub(before.exact);
        let ticks = after.ticks.saturating_sub(before.ticks);
        let answers = window.answers as f64;
        let wall = window.wall.as_secs_f64();
        Ok(Sample {
            cost_us: cpu.as_secs_f64() * 1e6 / answers,
            per_second: answers / wall,
            p50_us: window.latency.percentile(0.5).as_secs_f64() * 1e6,
            p99_us: window.latency.percentile(0.99).as_secs_f64() * 1e6,
            peak_mib: peak as f64 / f64::from(1 << 20),
            busy: cpu.as_secs_f64() / wall,
            generator_us: window.cpu.as_secs_f64() * 1e6 / answers,
            answer_bytes,
            clocks_agree: cpu.abs_diff(ticks) <= 4 * sys::tick() + cpu / 50,
        })
    }
}

/// Opens connections to a server, and knows what to send on them.
pub(crate) struct Client {
    address: SocketAddr,
    pub(crate) request: Vec<u8>,
    /// Of a WebSocket.
    message: Option<Message>,
}

impl Client {
    pub(crate) fn new(options: &Options, server: &Server, asked: Asked) -> Client {
        let address = server.address;
        match asked {
            Asked::Path => Client::http(address, options.request(server, options.head)),
            Asked::File(path, _) => {
                Client::http(address, http::request(path, &address.to_string(), options.head))
            }
            Asked::Echo(size) => {
                let message = Message::text(size);
                Client { address, request: message.masked.clone(), message: Some(message) }
            }
        }
    }

    pub(crate) fn http(address: SocketAddr, request: Vec<u8>) -> Client {
        Client { address, request, message: None }
    }

    /// The same connections, with this client's answers expected.
    pub(crate) fn expected_by(&self, opened: Opened) -> Opened {
        match &self.message {
            Some(message) => opened.expecting(message.shape()),
            None => opened,
        }
    }

    /// Connections that have each had one answer.
    pub(crate) fn open(&self, count: usize) -> Result<Opened> {
        match &self.message {
            Some(message) => ws::open(self.address, count, ECHO_PATH, message),
            None => load::open(self.address, count, &self.request),
        }
    }
}

impl Series<'_> {
    pub(crate) fn new(name: &str) -> Series<'_> {
        Series { name, samples: Vec::new() }
    }
}

pub(crate) fn find<'a>(all: &'a [Series], name: &str) -> Option<&'a Series<'a>> {
    all.iter().find(|series| series.name == name)
}

pub(crate) fn costs(samples: &[Sample]) -> Vec<f64> {
    samples.iter().map(|sample| sample.cost_us).collect()
}

pub(crate) fn median_of<S>(samples: &[S], value: impl Fn(&S) -> f64) -> f64 {
    median(&samples.iter().map(value).collect::<Vec<f64>>())
}

pub(crate) fn ratio_between(all: &[Series], of: &str, to: &str) -> Option<Estimate> {
    let (of, to) = (find(all, of)?, find(all, to)?);
    paired_ratio(&costs(&of.samples), &costs(&to.samples))
}

/// `unit` is what was counted.
pub(crate) fn print_table(all: &[Series], base: &str, unit: &str) {
    let mut table = Table::new(&[
        "server",
        &format!("CPU µs/{unit}"),
        &format!("÷ {base}"),
        &format!("{unit}s/s"),
        "p50 µs",
        "p99 µs",
        "peak RSS MiB",
        "busy",
        "answer bytes",
    ]);
    for Series { name, samples } in all {
        table.row([
            (*name).to_owned(),
            with_interval(estimate(&costs(samples)), 2),
            with_interval(ratio_between(all, name, base), 3),
            grouped(median_of(samples, |sample| sample.per_second)),
            grouped(median_of(samples, |sample| sample.p50_us)),
            grouped(median_of(samples, |sample| sample.p99_us)),
            format!("{:.1}", median_of(samples, |sample| sample.peak_mib)),
            format!("{:.0} %", 100.0 * median_of(samples, |sample| sample.busy)),
            samples.first().map_or(0, |sample| sample.answer_bytes).to_string(),
        ]);
    }
    println!("{table}");
}

pub(crate) fn print_notes(all: &[Series], unit: &str) {
    let rounds = all.first().map_or(0, |series| series.samples.len());
    let coverage =
        all.first().and_then(|series| estimate(&costs(&series.samples))).map_or(0.0, |it| it.coverage);
    let generators: Vec<f64> =
        all.iter().map(|all| median_of(&all.samples, |sample| sample.generator_us)).collect();
    let dearest = generators.iter().copied().fold(0.0, f64::max);
    let cheapest = generators.iter().copied().fold(f64::INFINITY, f64::min);
    if coverage > 0.0 {
        println!("{rounds} rounds; medians with {:.0} % intervals.", 100.0 * coverage);
    }
    println!("The generator itself took {cheapest:.2} to {dearest:.2} µs of its own CPU per {unit}.");
    let starved = |series: &&Series| median_of(&series.samples, |sample| sample.busy) < SATURATED;
    let names: Vec<&str> = all.iter().filter(starved).map(|series| series.name).collect();
    if !names.is_empty() {
        println!(
            "NOT SATURATED: {} had the CPU for less than 95 % of the time: throttled by the generator or by \
             others on the machine. Compare such servers with each other only.",
            names.join(", ")
        );
    }
    let disagree =
        all.iter().flat_map(|series| &series.samples).filter(|sample| !sample.clocks_agree).count();
    if disagree > 0 {
        println!("SUSPECT CLOCKS: in {disagree} samples /proc/PID/stat and the process clock differ.");
    }
}

pub(crate) fn verdict(what: &str, ratio: Estimate, budget: f64) -> String {
    format!("**{what}: {}, budget {budget:.2}: {}**\n", with_interval(Some(ratio), 3), ratio.against(budget))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_alternates_and_keeps_every_server() {
        assert_eq!(order(3, 0), [0, 1, 2]);
        assert_eq!(order(3, 1), [2, 1, 0]);
    }

    #[test]
    fn verdicts_read_as_sentences() {
        let ratio = Estimate { median: 1.25, low: 1.22, high: 1.3, coverage: 0.96 };
        let line = verdict("lakh ÷ floor", ratio, 1.06);
        assert_eq!(line, "**lakh ÷ floor: 1.250 (1.220–1.300), budget 1.06: OVER BUDGET**\n");
    }
}
