//! Server CPU per request for a short answer from memory.

use lakh_compare::Result;
use lakh_compare::stats::{estimate, paired_ratio};
use lakh_compare::table::{Table, grouped, with_interval};

use crate::options::{FLOOR, HYPER, LAKH, Options};
use crate::progress;
use crate::rounds::{
    self, Asked, REQUEST, Scenario, Series, costs, find, measure, median_of, order, print_notes, print_table,
    ratio_between, verdict,
};

const SCENARIOS: [Scenario; 3] = [
    Scenario {
        name: "64",
        title: "64 connections",
        connections: 64,
        depth: 1,
        budget: 1.06,
        asked: Asked::Path,
    },
    Scenario {
        name: "512",
        title: "512 connections",
        connections: 512,
        depth: 1,
        budget: 1.10,
        asked: Asked::Path,
    },
    Scenario {
        name: "pipelined",
        title: "64 connections, 16 requests pipelined",
        connections: 64,
        depth: 16,
        budget: 1.20,
        asked: Asked::Path,
    },
];

const BUSY: Scenario = SCENARIOS[0];
const IDLE_BUDGET: f64 = 1.05;
/// A floor that costs more than this share of hyper is not a floor on this machine.
const VALID_FLOOR: f64 = 0.80;

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
    let all = rounds::run(options, &options.servers, scenario)?;
    println!(
        "### {}
",
        scenario.title
    );
    print_table(&all, FLOOR, REQUEST);
    print_notes(&all, REQUEST);
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
    print_notes(&with, REQUEST);
    println!("{verdicts}");
    Ok(())
}

/// Whether the floor is one: it costs at most `valid` of a peer.
pub(crate) fn print_floor(all: &[Series], peer: &str, valid: f64) {
    let Some(ratio) = ratio_between(all, FLOOR, peer) else { return };
    let judged = if ratio.median <= valid { "valid" } else { "NOT VALID HERE" };
    println!("The floor is {judged}: {} × {peer}, at most {valid:.2} wanted.", with_interval(Some(ratio), 3));
}

fn print_verdicts(all: &[Series], scenario: Scenario) {
    print_floor(all, HYPER, VALID_FLOOR);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_can_be_asked_for() {
        let names = SCENARIOS.iter().map(|scenario| scenario.name).chain(["idle"]);
        assert!(names.eq(crate::options::SCENARIOS));
    }
}
