//! The options of `lakh load`.

use super::units::{parse_count, parse_rate, parse_stages};
use crate::{args::MAX_SHARDS, human};
use clap::builder::{RangedU64ValueParser, TypedValueParser};
use lakh_loadtest::plan::{Source, Stage};
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  lakh load http://127.0.0.1:8080/                 64 connections for ten seconds
  lakh load -R 50k http://127.0.0.1:8080/          50,000 requests a second, whatever the server does
  lakh load -c 20k -d 1m http://127.0.0.1:8080/    20,000 connections for a minute
  lakh load --stages 30s:1k,1m:1k,30s:0 http://127.0.0.1:8080/

Exit status: 0 done, 1 it could not run, 2 usage, 3 connections were not established or lost.";

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Load {
    /// http://HOST[:PORT][/PATH]; HOST is an address, localhost or a name in /etc/hosts
    #[arg(value_name = "URL")]
    pub(crate) url: String,

    /// Connections at a time [default: 64, or the most of --stages]
    #[arg(short, long, value_name = "N", value_parser = connections, help_heading = "Load")]
    pub(crate) connections: Option<usize>,

    /// How long to measure [default: 10s; no end with -n; the time of --stages]
    #[arg(short, long, value_name = "TIME", value_parser = human::parse_duration, help_heading = "Load")]
    pub(crate) duration: Option<Duration>,

    /// End after so many requests
    #[arg(short = 'n', long, value_name = "N", value_parser = parse_count, help_heading = "Load")]
    pub(crate) requests: Option<u64>,

    /// Open loop: so many requests a second over all connections, at times fixed beforehand
    #[arg(short = 'R', long, value_name = "RATE", value_parser = parse_rate, help_heading = "Load")]
    pub(crate) rate: Option<f64>,

    /// Closed loop: requests on their way at a time on each connection [default: 1]
    #[arg(
        short,
        long,
        value_name = "N",
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=1024),
        conflicts_with = "rate",
        help_heading = "Load"
    )]
    pub(crate) pipeline: Option<usize>,

    /// Time before the measuring begins
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = human::parse_duration, help_heading = "Load")]
    pub(crate) warmup: Duration,

    /// Grow to -c connections in this time, which comes before -d
    #[arg(long, value_name = "TIME", value_parser = human::parse_duration, conflicts_with = "stages", help_heading = "Load")]
    pub(crate) ramp: Option<Duration>,

    /// Go to so many connections in so much time, step by step: 30s:10k,2m:1m,30s:0
    #[arg(long, value_name = "LIST", value_parser = parse_stages.map(Stages), help_heading = "Load")]
    pub(crate) stages: Option<Stages>,

    /// Begin at most so many connections a second: 20k/s
    #[arg(long, value_name = "RATE", value_parser = parse_rate, help_heading = "Load")]
    pub(crate) connect_rate: Option<f64>,

    /// The method [default: GET, or POST with a body]
    #[arg(short, long, value_name = "NAME", value_parser = method, help_heading = "Request")]
    pub(crate) method: Option<String>,

    /// A header field, 'Name: value'; may be repeated
    #[arg(short = 'H', long, value_name = "FIELD", value_parser = field, help_heading = "Request")]
    pub(crate) header: Vec<(String, String)>,

    /// The body, or the file that holds it: @FILE
    #[arg(short, long, value_name = "TEXT", help_heading = "Request")]
    pub(crate) body: Option<String>,

    /// A connection for each request
    #[arg(long, conflicts_with = "pipeline", help_heading = "Request")]
    pub(crate) no_keepalive: bool,

    /// Count every other status as an error
    #[arg(
        long,
        value_name = "CODE",
        value_parser = clap::value_parser!(u16).range(100..=999),
        help_heading = "Request"
    )]
    pub(crate) expect_status: Option<u16>,

    /// Count every other body as an error
    #[arg(long, value_name = "TEXT", help_heading = "Request")]
    pub(crate) expect_body: Option<String>,

    /// For a connection to be made, and for an answer
    #[arg(short = 'T', long, value_name = "TIME", default_value = "10s", value_parser = human::parse_duration, help_heading = "Request")]
    pub(crate) timeout: Duration,

    /// Event loops [default: one for each CPU]
    #[arg(
        short,
        long,
        value_name = "N",
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=MAX_SHARDS),
        help_heading = "Client"
    )]
    pub(crate) threads: Option<usize>,

    /// Addresses of this machine to connect from: auto, or a network as 10.0.1.0/28
    #[arg(long, value_name = "auto|CIDR", default_value = "auto", value_parser = source, help_heading = "Client")]
    pub(crate) src: Source,

    /// Count CPU time and memory of this process, the server's
    #[arg(long, value_name = "PID", help_heading = "Client")]
    pub(crate) pid: Option<u32>,
}

#[derive(Debug, Clone)]
pub(crate) struct Stages(pub(crate) Vec<Stage>);

fn connections(text: &str) -> Result<usize, String> {
    let count = parse_count(text)?;
    usize::try_from(count)
        .ok()
        .filter(|&count| count <= u32::MAX as usize)
        .ok_or_else(|| "too many".to_owned())
}

fn source(text: &str) -> Result<Source, String> {
    match text {
        "auto" => Ok(Source::Auto),
        _ => text.parse().map(Source::Network).map_err(|error| error.to_string()),
    }
}

/// A token: RFC 9110, 5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn method(text: &str) -> Result<String, String> {
    if is_token(text) { Ok(text.to_owned()) } else { Err("not a method, as GET or POST".to_owned()) }
}

fn field(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("not a field; write 'Name: value'")?;
    let value = value.trim_matches([' ', '\t']);
    if !is_token(name) {
        return Err(format!("{name:?} is no name of a field"));
    }
    if value.bytes().any(|byte| byte < b' ' && byte != b'\t' || byte == 0x7f) {
        return Err("a field's value has no control characters".to_owned());
    }
    Ok((name.to_owned(), value.to_owned()))
}
