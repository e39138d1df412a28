//! Server CPU per request, in paired rounds: every server in turn, fresh, in alternating order.

use std::time::Duration;

use lakh_compare::load::{self, Load, Plan};
use lakh_compare::process::{HugePages, Spec};
use lakh_compare::stats::{Estimate, estimate, median, paired_ratio};
use lakh_compare::table::{Table, grouped, with_interval};
use lakh_compare::{Context, Error, Result, sys};

use crate::options::{FLOOR, HYPER, LAKH, Options};
use crate::progress;

#[derive(Clone, Copy)]
struct Scenario {
    name: &'static str,
    title: &'static str,
    connections: usize,
    depth: usize,
    /// How many times the floor's cost lakh's may be.
    budget: f64,
}

const SCENARIOS: [Scenario; 3] = [
    Scenario { name: "64", title: "64 connections", connections: 64, depth: 1, budget: 1.06 },
    Scenario { name: "512", title: "512 connections", connections: 512, depth: 1, budget: 1.10 },
    Scenario {
        name: "pipelined",
        title: "64 connections, 16 requests pipelined",
        connections: 64,
        depth: 16,
        budget: 1.20,
    },
];

const BUSY: Scenario = SCENARIOS[0];
const IDLE_BUDGET: f64 = 1.05;
const WARM_UP: Duration = Duration::from_millis(200);
/// Below this the generator, or somebody else on the machine, held the server back.
const SATURATED: f64 = 0.95;
/// A floor that costs more than this share of hyper is not a floor on this machine.
const VALID_FLOOR: f64 = 0.80;

/// One server in one round.
struct Sample {
    cost_us: f64,
    per_second: f64,
    p50_us: f64,
    p99_us: f64,
    peak_mib: f64,
    busy: f64,
    generator_us: f64,
    answer_bytes: usize,
    /// The exact clock and the ticks of /proc/PID/stat tell the same time.
    clocks_agree: bool,
}

/// One server in all rounds.
struct Series<'a> {
    name: &'a str,
    samples: Vec<Sample>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    for scenario in SCENARIOS {
        if options.only.iter().any(|name| name == scenario.name) {
            compare(options, scenario)?;
        }
    }
    if options.only.iter().any(|name| name == "idle") {
        compare_idle(options)?;
    }
    Ok(())
}

fn compare(options: &Options, scenario: Scenario) -> Result<()> {
    let mut all: Vec<Series> = options.servers.iter().map(|spec| Series::new(&spec.name)).collect();
    for round in 0..options.rounds {
        for index in order(options.servers.len(), round) {
            let sample = measure(options, &options.servers[index], scenario, 0)?;
            all[index].samples.push(sample);
        }
        progress::show(format_args!("{}: round {} of {}", scenario.name, round + 1, options.rounds));
    }
    progress::clear();
    println!("### {}\n", scenario.title);
    print_table(&all);
    print_notes(&all);
    print_verdicts(&all, scenario);
    println!();
    Ok(())
}

/// Every server with and without idle connections beside the busy ones; the ratio is taken within a round.
fn compare_idle(options: &Options) -> Result<()> {
    let mut without: Vec<Series> = options.servers.iter().map(|spec| Series::new(&spec.name)).collect();
    let mut with: Vec<Series> = options.servers.iter().map(|spec| Series::new(&spec.name)).collect();
    for round in 0..options.rounds {
        for index in order(options.servers.len(), round) {
            for with_idle in [round % 2 == 0, round % 2 == 1] {
                let idle = if with_idle { options.idle_connections } else { 0 };
                let sample = measure(options, &options.servers[index], BUSY, idle)?;
                let series = if with_idle { &mut with[index] } else { &mut without[index] };
                series.samples.push(sample);
            }
        }
        progress::show(format_args!("idle: round {} of {}", round + 1, options.rounds));
    }
    progress::clear();
    println!("### 64 busy connections beside {} idle ones\n", grouped(options.idle_connections as f64));
    let mut table = Table::new(&[
        "server",
        "µs/request without",
        "µs/request with",
        "with ÷ without",
        "peak RSS MiB",
        "busy",
    ]);
    let mut verdicts = String::new();
    for (without, with) in without.iter().zip(&with) {
        let (without_us, with_us) = (costs(&without.samples), costs(&with.samples));
        let ratio = paired_ratio(&with_us, &without_us);
        table.row([
            with.name.to_owned(),
            with_interval(estimate(&without_us), 2),
            with_interval(estimate(&with_us), 2),
            with_interval(ratio, 3),
            format!("{:.1}", median_of(&with.samples, |sample| sample.peak_mib)),
            format!("{:.0} %", 100.0 * median_of(&with.samples, |sample| sample.busy)),
        ]);
        if let (LAKH, Some(ratio)) = (with.name, ratio) {
            verdicts = verdict("lakh with idle connections ÷ without", ratio, IDLE_BUDGET);
        }
    }
    println!("{table}");
    print_notes(&with);
    println!("{verdicts}");
    Ok(())
}

/// Forwards in even rounds and backwards in odd ones, so that no server always follows the same other.
fn order(servers: usize, round: usize) -> Vec<usize> {
    let forwards = 0..servers;
    if round.is_multiple_of(2) { forwards.collect() } else { forwards.rev().collect() }
}

fn measure(options: &Options, spec: &Spec, scenario: Scenario, idle: usize) -> Result<Sample> {
    measure_once(options, spec, scenario, idle).context(|| format!("{}, {}", spec.name, scenario.title))
}

fn measure_once(options: &Options, spec: &Spec, scenario: Scenario, idle: usize) -> Result<Sample> {
    let server = options.start(spec, HugePages::AsUsual)?;
    let request = options.request(&server, options.head);
    let idle = match idle {
        0 => None,
        count => Some(load::open(server.address, count, &request)?),
    };
    let opened = load::open(server.address, scenario.connections, &request)?;
    let answer_bytes = opened.shape.total();
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
    fn new(name: &str) -> Series<'_> {
        Series { name, samples: Vec::new() }
    }
}

fn find<'a>(all: &'a [Series], name: &str) -> Option<&'a Series<'a>> {
    all.iter().find(|series| series.name == name)
}

fn costs(samples: &[Sample]) -> Vec<f64> {
    samples.iter().map(|sample| sample.cost_us).collect()
}

fn median_of(samples: &[Sample], value: impl Fn(&Sample) -> f64) -> f64 {
    median(&samples.iter().map(value).collect::<Vec<f64>>())
}

fn ratio_between(all: &[Series], of: &str, to: &str) -> Option<Estimate> {
    let (of, to) = (find(all, of)?, find(all, to)?);
    paired_ratio(&costs(&of.samples), &costs(&to.samples))
}

fn print_table(all: &[Series]) {
    let mut table = Table::new(&[
        "server",
        "CPU µs/request",
        "÷ floor",
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
            with_interval(ratio_between(all, name, FLOOR), 3),
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

fn print_notes(all: &[Series]) {
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

fn print_verdicts(all: &[Series], scenario: Scenario) {
    if let Some(ratio) = ratio_between(all, FLOOR, HYPER) {
        let valid = if ratio.median <= VALID_FLOOR { "valid" } else { "NOT VALID HERE" };
        println!(
            "The floor is {valid}: {} × hyper, at most {VALID_FLOOR:.2} wanted.",
            with_interval(Some(ratio), 3)
        );
    }
    let bytes = |name| find(all, name)?.samples.first().map(|sample| sample.answer_bytes);
    if let (Some(lakh), Some(floor)) = (bytes(LAKH), bytes(FLOOR))
        && lakh != floor
    {
        println!("UNEQUAL ANSWERS: lakh's have {lakh} bytes, the floor's {floor}.");
    }
    if let Some(ratio) = ratio_between(all, LAKH, FLOOR) {
        print!("{}", verdict("lakh ÷ floor", ratio, scenario.budget));
    }
}

fn verdict(what: &str, ratio: Estimate, budget: f64) -> String {
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
    fn every_scenario_can_be_asked_for() {
        let names = SCENARIOS.iter().map(|scenario| scenario.name).chain(["idle"]);
        assert!(names.eq(crate::options::SCENARIOS));
    }

    #[test]
    fn verdicts_read_as_sentences() {
        let ratio = Estimate { median: 1.25, low: 1.22, high: 1.3, coverage: 0.96 };
        let line = verdict("lakh ÷ floor", ratio, 1.06);
        assert_eq!(line, "**lakh ÷ floor: 1.250 (1.220–1.300), budget 1.06: OVER BUDGET**\n");
    }
}
