//! User-space instructions per request or WebSocket message, counted by callgrind: a figure that does not depend on the machine's
//! mood, to see what a change of the code costs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lakh_compare::http::Head;
use lakh_compare::load::{self, Plan};
use lakh_compare::process::{HugePages, Server, Spec};
use lakh_compare::table::{Table, grouped};
use lakh_compare::{Context, Error, Result};

use crate::options::Options;
use crate::progress;
use crate::rounds::{Asked, Client, MESSAGE, REQUEST};

const CONNECTIONS: usize = 64;
/// Both are multiples of what the connections send at once. The difference of two runs is free of start-up.
const FEW: u64 = 2 * 1024;
const MANY: u64 = 12 * 1024;
/// callgrind makes a server about fifty times slower.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is sent again and again: its name, what it is, and how many at once.
type Load = (&'static str, Sent, usize);

#[derive(Clone, Copy)]
enum Sent {
    Request(Head),
    /// A WebSocket message of this size.
    Message(usize),
}

/// With heads that are all equal; then with heads that all differ.
const REQUESTS: [Load; 6] = [
    ("plaintext", Sent::Request(Head::Bare), 1),
    ("browser's head", Sent::Request(Head::Browser), 1),
    ("16 pipelined", Sent::Request(Head::Bare), 16),
    ("plaintext, varied", Sent::Request(Head::Varied), 1),
    ("browser's head, varied", Sent::Request(Head::VariedBrowser), 1),
    ("16 pipelined, varied", Sent::Request(Head::Varied), 16),
];

const MESSAGES: [Load; 3] = [
    ("64 B", Sent::Message(64), 1),
    ("64 B, 16 pipelined", Sent::Message(64), 16),
    ("4 KiB", Sent::Message(4096), 1),
];

pub(crate) fn run(options: &Options) -> Result<()> {
    compare(options, &REQUESTS, REQUEST)
}

pub(crate) fn run_ws(options: &Options) -> Result<()> {
    compare(options, &MESSAGES, MESSAGE)
}

fn compare(options: &Options, loads: &[Load], unit: &str) -> Result<()> {
    let header: Vec<&str> = std::iter::once("server").chain(loads.iter().map(|(name, ..)| *name)).collect();
    let mut table = Table::new(&header);
    for spec in &options.servers {
        let mut cells = vec![spec.name.clone()];
        for &(name, sent, depth) in loads {
            progress::show(format_args!("instructions: {}, {name}", spec.name));
            let count = per_unit(options, spec, sent, depth).context(|| format!("{}, {name}", spec.name))?;
            cells.push(grouped(count));
        }
        table.row(cells);
    }
    progress::clear();
    println!("### User-space instructions per {unit}\n");
    println!("{table}");
    println!(
        "callgrind, {CONNECTIONS} connections: instructions of a run of {} {unit}s less those of one of {}.\n",
        grouped(MANY as f64),
        grouped(FEW as f64)
    );
    Ok(())
}

fn per_unit(options: &Options, spec: &Spec, sent: Sent, depth: usize) -> Result<f64> {
    let few = instructions(options, spec, sent, depth, FEW)?;
    let many = instructions(options, spec, sent, depth, MANY)?;
    Ok((many as f64 - few as f64) / (MANY - FEW) as f64)
}

fn instructions(options: &Options, spec: &Spec, sent: Sent, depth: usize, count: u64) -> Result<u64> {
    let output = Output::new();
    let server = Server::start(
        &under_callgrind(spec, &output.0),
        options.cpus.map(|cpus| cpus.server),
        HugePages::AsUsual,
        PATIENCE,
    )?;
    let client = match sent {
        Sent::Request(head) => Client::http(server.address, options.request(&server, head)),
        Sent::Message(size) => Client::new(options, &server, Asked::Echo(size)),
    };
    let opened = client.open(CONNECTIONS)?;
    let mut load = load::Load::new(opened, Plan { request: client.request, depth, spin: false })?;
    load.exactly(count)?;
    drop(load);
    server.stop(PATIENCE)?;
    let text = std::fs::read_to_string(&output.0)
        .context(|| "callgrind wrote no result: does the server end cleanly at SIGTERM?".to_owned())?;
    total(&text).ok_or_else(|| Error::new("callgrind's result holds no total"))
}

fn under_callgrind(spec: &Spec, output: &Path) -> Spec {
    let output = format!("--callgrind-out-file={}", output.display());
    let valgrind = ["valgrind", "--tool=callgrind", "--quiet", &output].map(str::to_owned);
    Spec { argv: valgrind.into_iter().chain(spec.argv.iter().cloned()).collect(), ..spec.clone() }
}

/// callgrind's result, removed when it has been read.
struct Output(PathBuf);

impl Output {
    fn new() -> Output {
        Output(std::env::temp_dir().join(format!("lakh-compare-{}.callgrind", std::process::id())))
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0); // not there if the run failed before
    }
}

fn total(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("totals:").or_else(|| line.strip_prefix("summary:")))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_read() {
        assert_eq!(total("version: 1\nfn=main\n1 2\ntotals: 123456\n"), Some(123_456));
        assert_eq!(total("summary: 7 8\n"), Some(7));
        assert_eq!(total("version: 1\n"), None);
    }

    #[test]
    fn runs_divide_evenly() {
        for (name, _, depth) in REQUESTS.into_iter().chain(MESSAGES) {
            for requests in [FEW, MANY] {
                assert_eq!(requests % (CONNECTIONS * depth) as u64, 0, "{name}");
            }
        }
    }
}
