//! The options of `lakh load`.

use crate::{args::MAX_SHARDS, human};
use clap::builder::RangedU64ValueParser;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  lakh load http://127.0.0.1:8080/                 64 connections for ten seconds
  lakh load -c 20k -d 1m http://127.0.0.1:8080/    20,000 connections for a minute
  lakh load -n 100k http://127.0.0.1:8080/         100,000 requests";

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Load {
    /// http://HOST[:PORT][/PATH]; HOST is an address, localhost or a name in /etc/hosts
    #[arg(value_name = "URL")]
    pub(crate) url: String,

    /// Connections at a time
    #[arg(short, long, value_name = "N", default_value = "64", value_parser = count, help_heading = "Load")]
    pub(crate) connections: usize,

    /// How long to measure [default: 10s, or no end with -n]
    #[arg(short, long, value_name = "DURATION", value_parser = human::parse_duration, help_heading = "Load")]
    pub(crate) duration: Option<Duration>,

    /// End after so many requests
    #[arg(short = 'n', long, value_name = "N", value_parser = requests, help_heading = "Load")]
    pub(crate) requests: Option<u64>,

    /// Event loops [default: one for each CPU]
    #[arg(
        short,
        long,
        value_name = "N",
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=MAX_SHARDS),
        help_heading = "Client"
    )]
    pub(crate) threads: Option<usize>,
}

fn count(text: &str) -> Result<usize, String> {
    requests(text).map(|number| number as usize)
}

/// A number from 1, with `k` or `m` behind it or not.
fn requests(text: &str) -> Result<u64, String> {
    let lower = text.to_ascii_lowercase();
    let (digits, unit) = match lower.as_bytes().last() {
        Some(b'k') => (&lower[..lower.len() - 1], 1_000),
        Some(b'm') => (&lower[..lower.len() - 1], 1_000_000),
        _ => (&lower[..], 1),
    };
    let number: Option<u64> = digits.parse().ok().and_then(|number: u64| number.checked_mul(unit));
    number
        .filter(|number| (1..=u64::from(u32::MAX)).contains(number))
        .ok_or_else(|| "not a number; write 100, 20k or 1m".to_owned())
}
