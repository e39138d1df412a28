//! Paired rounds: every server in turn, fresh, in alternating order, and what they have cost.

use std::time::Duration;

use lakh_compare::http;
use lakh_compare::load::{self, Load, Plan};
use lakh_compare::process::{HugePages, Spec};
use lakh_compare::stats::{Estimate, estimate, median, paired_ratio};
use lakh_compare::table::{Table, grouped, with_interval};
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
    /// What is asked for, and its length; else what the options say.
    pub(crate) file: Option<(&'static str, usize)>,
}

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
    let mut all: Vec<Series> = servers.iter().map(|spec| Series::new(&spec.name)).collect();
    for round in 0..options.rounds {
        for index in order(servers.len(), round) {
            let sample = measure(options, &servers[index], scenario, 0)?;
            all[index].samples.push(sample);
        }
        progress::show(format_args!("{}: round {} of {}", scenario.name, round + 1, options.rounds));
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
    let path = scenario.file.map_or(options.path.as_str(), |(path, _)| path);
    let request = http::request(path, &server.address.to_string(), options.head);
    let idle = match idle {
        0 => None,
        count => Some(load::open(server.address, count, &request)?),
    };
    let opened = load::open(server.address, scenario.connections, &request)?;
    let answer_bytes = opened.shape.total();
    if let Some((path, length)) = scenario.file
        && opened.shape.body() != length
    {
        let line = format!("{path} has {length} bytes, but the answer's body {}", opened.shape.body());
        return Err(Error::new(line));
    }
    let mut load = Load::new(opened, Plan { request, depth: scenario.depth, spin: options.spin })?;
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

pub(crate) fn print_table(all: &[Series], base: &str) {
    let mut table = Table::new(&[
        "server",
        "CPU µs/request",
        &format!("÷ {base}"),
        "requests/s",
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

pub(crate) fn print_notes(all: &[Series]) {
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
    println!("The generator itself took {cheapest:.2} to {dearest:.2} µs of its own CPU per request.");
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
