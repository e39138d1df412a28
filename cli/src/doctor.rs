//! `lakh doctor`: what this machine's limits allow.

use crate::{failure::Failure, terminal};
use lakh_loadtest::{
    doctor::{Host, USUAL},
    report::Paint,
    units::parse_count,
};
use std::{
    io::{self, Write},
    process::ExitCode,
};

pub(crate) const EXAMPLES: &str = "\
Examples:
  lakh doctor                 what there is, judged for 100,000 connections
  lakh doctor --for 1m        exit status 1 if this machine does not allow a million
  lakh doctor --for 1m --json

It looks at the limits of the process that it is: run it as the user, and in the unit or container, of the server.
Nothing is changed.";

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Doctor {
    /// Judge for N connections (20k, 1m), and end with 1 if they are not allowed [default: 100k, and 0]
    #[arg(long = "for", value_name = "N", value_parser = parse_count)]
    connections: Option<u64>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: &Doctor) -> Result<ExitCode, Failure> {
    let found = Host::read().diagnose(options.connections.unwrap_or(USUAL));
    let paint = if terminal::may_colour(&io::stdout()) { Paint::COLOUR } else { Paint::PLAIN };
    let text = if options.json { found.json() } else { found.text(paint) };
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        // Nobody reads it: the status says all the same.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            return Err(Failure::broken(format!("cannot write what was found: {error}")));
        }
        _ => {}
    }
    let fails = options.connections.is_some() && !found.passed();
    Ok(if fails { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
