//! Server CPU per static file, beside servers that were made for it.

use lakh_compare::Result;
use lakh_compare::process::Spec;

use crate::file_servers::{Folder, added, lakh, peer};
use crate::options::{self, H2O, LAKH, LIGHTTPD, Options};
use crate::rounds::{self, Asked, REQUEST, Scenario, print_notes, print_table, ratio_between, verdict};

/// A file, and whose cost is the measure.
const ROWS: [(Scenario, &str); 3] = [
    (row("1k", "1 KiB file, 64 connections", 64, 0.8, ("/1k.bin", 1 << 10)), H2O),
    (row("64k", "64 KiB file, 64 connections", 64, 1.0, ("/64k.bin", 64 << 10)), LIGHTTPD),
    (row("10m", "10 MiB file, 8 connections", 8, 1.0, ("/10m.bin", 10 << 20)), LIGHTTPD),
];

const fn row(
    name: &'static str,
    title: &'static str,
    connections: usize,
    budget: f64,
    (path, length): (&'static str, usize),
) -> Scenario {
    Scenario { name, title, connections, depth: 1, budget, asked: Asked::File(path, length) }
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let files: Vec<(&str, usize)> = ROWS.iter().filter_map(|(row, _)| file(row.asked)).collect();
    let folder = Folder::new(&files)?;
    let servers = servers(options, &folder)?;
    for (scenario, base) in ROWS {
        if options.only.iter().any(|name| name == scenario.name) {
            compare(options, &servers, scenario, base)?;
        }
    }
    Ok(())
}

fn file(asked: Asked) -> Option<(&'static str, usize)> {
    if let Asked::File(path, length) = asked { Some((path, length)) } else { None }
}

fn servers(options: &Options, folder: &Folder) -> Result<Vec<Spec>> {
    let mut servers: Vec<Spec> = options.lakh.iter().map(|program| lakh(program, folder)).collect();
    for name in &options.peers {
        match peer(name, folder)? {
            Some(spec) => servers.push(spec),
            None => println!("{name} is not measured: it is not installed (`apt-get install {name}`).\n"),
        }
    }
    servers.extend(options.servers.iter().map(|spec| added(spec, folder)));
    options::check(&servers)?;
    Ok(servers)
}

fn compare(options: &Options, servers: &[Spec], scenario: Scenario, base: &str) -> Result<()> {
    let all = rounds::run(options, servers, scenario)?;
    println!("### {}\n", scenario.title);
    print_table(&all, base, REQUEST);
    print_notes(&all, REQUEST);
    if let Some(ratio) = ratio_between(&all, LAKH, base) {
        print!("{}", verdict(&format!("lakh ÷ {base}"), ratio, scenario.budget));
    }
    println!();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_can_be_asked_for() {
        assert_eq!(ROWS.map(|(row, _)| row.name), options::FILES);
    }
}
