//! What is left to ordinary connections beside some that never have enough.

use std::time::Duration;

use lakh_compare::greedy::{Greedy, Moved};
use lakh_compare::load::{self, Load, Plan};
use lakh_compare::process::{HugePages, Spec};
use lakh_compare::stats::{Estimate, estimate, paired_ratio};
use lakh_compare::table::{Table, grouped, with_interval};
use lakh_compare::{Context, Result};

use crate::options::Options;
use crate::progress;
use crate::rounds::median_of;

const OTHERS: usize = 64;
/// One that pipelines, one that uploads, one that downloads.
const GREEDY: usize = 3;
const WARM_UP: Duration = Duration::from_millis(200);

/// The 64, in one round.
struct Sample {
    /// Answers for each second of the server's CPU time.
    answers: f64,
    p99_us: f64,
    /// What the greedy got, in a second of CPU time.
    moved: [f64; GREEDY],
}

pub(crate) fn run(options: &Options) -> Result<()> {
    for spec in &options.servers {
        let (mut equals, mut beside) = (Vec::new(), Vec::new());
        for round in 0..options.rounds {
            for greedy in [round % 2 == 0, round % 2 == 1] {
                let sample = measure(options, spec, greedy).context(|| format!("{}, fairness", spec.name))?;
                if greedy { beside.push(sample) } else { equals.push(sample) }
            }
            progress::show(format_args!("fairness: round {} of {}", round + 1, options.rounds));
        }
        progress::clear();
        report(&spec.name, &equals, &beside);
    }
    Ok(())
}

fn measure(options: &Options, spec: &Spec, greedy: bool) -> Result<Sample> {
    let server = options.start(spec, HugePages::AsUsual)?;
    let request = options.request(&server, options.head);
    let connections = if greedy { OTHERS } else { OTHERS + GREEDY };
    let opened = load::open(server.address, connections, &request)?;
    let answer = opened.shape.total() as f64;
    let mut load = Load::new(opened, Plan { request, depth: 1, spin: options.spin })?;
    let greedy = match greedy {
        true => Some(Greedy::start(server.address, &options.path, options.head)?),
        false => None,
    };
    let moved = || greedy.as_ref().map_or(Moved::default(), Greedy::moved);
    load.for_time(WARM_UP)?;
    let (before, moved_before) = (server.cpu()?, moved());
    let window = load.for_time(options.window)?;
    let (after, moved_after) = (server.cpu()?, moved());
    drop(greedy);
    load.settle()?;
    let cpu = after.exact.saturating_sub(before.exact).as_secs_f64();
    let each = |of: fn(Moved) -> u64, unit: f64| (of(moved_after) - of(moved_before)) as f64 / unit / cpu;
    Ok(Sample {
        answers: window.answers as f64 * OTHERS as f64 / connections as f64 / cpu,
        p99_us: window.latency.percentile(0.99).as_secs_f64() * 1e6,
        moved: [each(|m| m.answers, answer), each(|m| m.uploaded, 1e6), each(|m| m.downloaded, 1e6)],
    })
}

fn report(name: &str, equals: &[Sample], beside: &[Sample]) {
    println!("### {name}: {OTHERS} connections beside {GREEDY} greedy ones\n");
    let mut table = Table::new(&[
        "beside",
        "answers of the 64/s",
        "p99 µs",
        "pipelined/s",
        "upload MB/s",
        "download MB/s",
    ]);
    for (label, samples) in [("three more like them", equals), ("the greedy", beside)] {
        let median = |of: &dyn Fn(&Sample) -> f64| grouped(median_of(samples, of));
        table.row([
            label.to_owned(),
            with_interval(estimate(&answers(samples)), 0),
            median(&|sample| sample.p99_us),
            median(&|sample| sample.moved[0]),
            median(&|sample| sample.moved[1]),
            median(&|sample| sample.moved[2]),
        ]);
    }
    println!("{table}");
    println!(
        "All for each second of the server's CPU time. The share is what the {OTHERS} get beside one connection \
         that pipelines, one that uploads and one that downloads without an end, divided by what they get beside \
         {GREEDY} more like themselves: 1 among equals."
    );
    if let Some(share) = paired_ratio(&answers(beside), &answers(equals)) {
        println!("{}\n", verdict(name, share));
    }
}

fn answers(samples: &[Sample]) -> Vec<f64> {
    samples.iter().map(|sample| sample.answers).collect()
}

fn verdict(name: &str, share: Estimate) -> String {
    let judged = if share.high < 1.0 { "LESS THAN AMONG EQUALS" } else { "as among equals" };
    format!("**{name}, share of the {OTHERS}: {}: {judged}**", with_interval(Some(share), 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_less_only_if_the_whole_interval_is() {
        let line = |high| verdict("lakh", Estimate { median: 0.9, low: 0.8, high, coverage: 0.96 });
        assert_eq!(line(0.95), "**lakh, share of the 64: 0.900 (0.800–0.950): LESS THAN AMONG EQUALS**");
        assert!(line(1.0).ends_with("as among equals**"));
    }
}
