//! Server CPU per request of a service as people write them, and of TechEmpower's JSON.

use lakh_compare::Result;
use lakh_compare::stats::Estimate;
use lakh_compare::table::with_interval;

use crate::options::{FLOOR, LAKH, Options};
use crate::rounds::{
    self, Asked, REQUEST, Scenario, Series, print_notes, print_table, ratio_between, verdict,
};

/// What a request may cost of the floor's, and how much dearer a service may be than a plain answer.
const PLAIN: f64 = 1.06;
const SERVICE: f64 = 1.05;

const GREET: Scenario = Scenario {
    name: "service",
    title: "An async handler with a parameter and state, two middlewares, 64 connections",
    connections: 64,
    depth: 1,
    budget: PLAIN * SERVICE,
    asked: Asked::Path,
};

const JSON: Scenario = Scenario {
    name: "json",
    title: "JSON, 64 connections",
    connections: 64,
    depth: 1,
    budget: 1.0, // of every peer
    asked: Asked::Path,
};

pub(crate) fn run(options: &Options) -> Result<()> {
    let all = measure(options, GREET, FLOOR)?;
    if let Some(ratio) = ratio_between(&all, LAKH, FLOOR) {
        print!("{}", verdict("lakh ÷ floor", ratio, GREET.budget));
    }
    println!();
    Ok(())
}

pub(crate) fn run_json(options: &Options) -> Result<()> {
    let all = measure(options, JSON, LAKH)?;
    for Series { name, .. } in all.iter().filter(|series| series.name != LAKH) {
        if let Some(ratio) = ratio_between(&all, LAKH, name) {
            println!("{}", below(LAKH, name, ratio));
        }
    }
    println!();
    Ok(())
}

fn measure<'a>(options: &'a Options, scenario: Scenario, base: &str) -> Result<Vec<Series<'a>>> {
    let all = rounds::run(options, &options.servers, scenario)?;
    println!("### {}\n", scenario.title);
    print_table(&all, base, REQUEST);
    print_notes(&all, REQUEST);
    Ok(all)
}

/// Lower than the peer only if the whole interval says so.
pub(crate) fn below(lakh: &str, peer: &str, ratio: Estimate) -> String {
    let judged = if ratio.high < 1.0 {
        "lower"
    } else if ratio.low > 1.0 {
        "NOT LOWER"
    } else {
        "UNDECIDED: the interval holds 1"
    };
    format!("**{lakh} ÷ {peer}: {}: {judged}**", with_interval(Some(ratio), 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_is_lower_only_if_the_whole_interval_is() {
        let line = |low, high| below("lakh", "axum", Estimate { median: 0.9, low, high, coverage: 0.96 });
        assert_eq!(line(0.85, 0.95), "**lakh ÷ axum: 0.900 (0.850–0.950): lower**");
        assert!(line(0.85, 1.02).contains("UNDECIDED"));
        assert!(line(1.01, 1.02).ends_with("NOT LOWER**"));
    }
}
