//! Server CPU per echoed WebSocket message.

use lakh_compare::Result;

use crate::options::{ASYNC, CALLBACK, FASTWEBSOCKETS, FLOOR, Options};
use crate::rounds::{
    self, Asked, MESSAGE, Scenario, Series, print_notes, print_table, ratio_between, verdict,
};
use crate::service::below;
use crate::speed::print_floor;

/// What a load is, and what it may cost of the floor's in either style.
const ROWS: [(Scenario, f64); 3] = [
    (row("64", "Echo of 64 B, 64 connections", 64, 64, 1.03), 1.08),
    (row("512", "Echo of 64 B, 512 connections", 512, 64, 1.06), 1.08),
    (row("4k", "Echo of 4 KiB, 64 connections", 64, 4096, 1.06), 1.06),
];

const fn row(
    name: &'static str,
    title: &'static str,
    connections: usize,
    size: usize,
    budget: f64,
) -> Scenario {
    Scenario { name, title, connections, depth: 1, budget, asked: Asked::Echo(size) }
}

pub(crate) fn run(options: &Options) -> Result<()> {
    for (scenario, async_budget) in ROWS {
        if options.only.iter().any(|name| name == scenario.name) {
            compare(options, scenario, async_budget)?;
        }
    }
    Ok(())
}

fn compare(options: &Options, scenario: Scenario, async_budget: f64) -> Result<()> {
    let all = rounds::run(options, &options.servers, scenario)?;
    println!("### {}\n", scenario.title);
    print_table(&all, FLOOR, MESSAGE);
    print_notes(&all, MESSAGE);
    print_floor(&all, FASTWEBSOCKETS, valid_floor(scenario));
    print_verdicts(&all, CALLBACK, scenario.budget);
    print_verdicts(&all, ASYNC, async_budget);
    println!();
    Ok(())
}

/// What the floor may cost of fastwebsockets. A lakh that took all of its budget would be no lower, if it cost more.
fn valid_floor(scenario: Scenario) -> f64 {
    1.0 / scenario.budget
}

fn print_verdicts(all: &[Series], lakh: &str, budget: f64) {
    if let Some(ratio) = ratio_between(all, lakh, FLOOR) {
        print!("{}", verdict(&format!("{lakh} ÷ floor"), ratio, budget));
    }
    if let Some(ratio) = ratio_between(all, lakh, FASTWEBSOCKETS) {
        println!("{}", below(lakh, FASTWEBSOCKETS, ratio));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_can_be_asked_for() {
        assert_eq!(ROWS.map(|(row, _)| row.name), crate::options::ECHOES);
    }
}
