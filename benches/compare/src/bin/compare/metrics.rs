//! Server CPU per plaintext request with metrics that are read every second, and without any that can be read.
//!
//! What is counted is counted in both, whether anybody reads it or not: `instructions` has what that costs.

use lakh_compare::process::Spec;
use lakh_compare::{Error, Result};

use crate::options::{LAKH, Options};
use crate::rounds::{self, Asked, REQUEST, Scenario, print_notes, print_table, ratio_between, verdict};

const SCRAPED: &str = "lakh, scraped";

const SCENARIO: Scenario = Scenario {
    name: "metrics",
    title: "Plaintext, 64 connections, with `/metrics` and `/snapshot` read every second and without",
    connections: 64,
    depth: 1,
    budget: 1.02,
    asked: Asked::Path,
};

pub(crate) fn run(options: &Options) -> Result<()> {
    let Some(plain) = options.servers.iter().find(|spec| spec.name == LAKH) else {
        return Err(Error::new("there is nothing to measure without lakh"));
    };
    let scraped = Spec {
        name: SCRAPED.to_owned(),
        argv: plain.argv.iter().cloned().chain(["--scraped".to_owned()]).collect(),
        ..plain.clone()
    };
    let servers = [plain.clone(), scraped];
    let all = rounds::run(options, &servers, SCENARIO)?;
    println!("### {}\n", SCENARIO.title);
    print_table(&all, LAKH, REQUEST);
    print_notes(&all, REQUEST);
    if let Some(ratio) = ratio_between(&all, SCRAPED, LAKH) {
        print!("{}", verdict("scraped ÷ not", ratio, SCENARIO.budget));
    }
    println!();
    Ok(())
}
