//! The options of `lakh load`.

use crate::args::MAX_SHARDS;
use clap::{
    ValueEnum,
    builder::{RangedU64ValueParser, TypedValueParser},
};
use lakh_loadtest::{
    plan::{Source, Stage},
    threshold::Threshold,
    units::{ParseUnitError, parse_count, parse_duration, parse_rate, parse_size},
};
use std::{path::PathBuf, time::Duration};

const EXAMPLES: &str = "\
Examples:
  lakh load http://127.0.0.1:8080/                 64 connections for ten seconds
  lakh load -R 50k http://127.0.0.1:8080/          50,000 requests a second, whatever the server does
  lakh load -c 20k -d 1m http://127.0.0.1:8080/    20,000 connections for a minute
  lakh load --stages 30s:1k,1m:1k,30s:0 http://127.0.0.1:8080/
  lakh load -c 100k --hold 1m --ws echo,broadcast -n 100k -R 20k ws://127.0.0.1:8080/topic/all
  lakh load --fail-if 'p99>5ms' --fail-if 'errors>0' --json run.json http://127.0.0.1:8080/
  lakh load -b '{\"id\":{seq}}' 'http://127.0.0.1:8080/items?key={rand:8}'
  lakh load --urls paths.txt http://127.0.0.1:8080

Placeholders in URL, -H, -b TEXT, --ws-open and the lines of --urls:
  {seq}        the number of the request, from 0; with ws URLs, of the socket
  {rand:16}    so many letters and digits by chance
  {line:FILE}  a line of the file: request 0 has the first, and behind the last the first comes again
  {{           a brace; one that no name follows, as in JSON, needs no second one
Files of lines are kept in memory: 1 GiB together at most, and half of what memory there is.

Exit status: 0 done, 1 it could not run, 2 usage, 3 connections were not established or lost,
or nothing was answered, 99 a condition of --fail-if held.";

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Load {
    /// http://, ws://, tcp:// or udp://HOST[:PORT][/PATH]; HOST is an address or a name in /etc/hosts, PATH may have
    /// placeholders
    #[arg(value_name = "URL")]
    pub(crate) url: String,

    /// Connections at a time [default: 64, or the most of --stages]
    #[arg(short, long, value_name = "N", value_parser = connections, help_heading = "Load")]
    pub(crate) connections: Option<usize>,

    /// How long to measure [default: 10s; no end with -n; the time of --stages]
    #[arg(short, long, value_name = "TIME", value_parser = parse_duration, help_heading = "Load")]
    pub(crate) duration: Option<Duration>,

    /// End after so many requests
    #[arg(short = 'n', long, value_name = "N", value_parser = requests, help_heading = "Load")]
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
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = parse_duration, help_heading = "Load")]
    pub(crate) warmup: Duration,

    /// Grow to -c connections in this time, which comes before -d
    #[arg(long, value_name = "TIME", value_parser = parse_duration, conflicts_with = "stages", help_heading = "Load")]
    pub(crate) ramp: Option<Duration>,

    /// Go to so many connections in so much time, step by step: 30s:10k,2m:1m,30s:0
    #[arg(long, value_name = "LIST", value_parser = stages.map(Stages), help_heading = "Load")]
    pub(crate) stages: Option<Stages>,

    /// Begin at most so many connections a second: 20k/s
    #[arg(long, value_name = "RATE", value_parser = parse_rate, help_heading = "Load")]
    pub(crate) connect_rate: Option<f64>,

    /// The method [default: GET, or POST with a body]
    #[arg(short, long, value_name = "NAME", value_parser = method, help_heading = "Request")]
    pub(crate) method: Option<String>,

    /// A header field, 'Name: value', perhaps with placeholders; may be repeated
    #[arg(short = 'H', long, value_name = "FIELD", value_parser = field, help_heading = "Request")]
    pub(crate) header: Vec<(String, String)>,

    /// The body, perhaps with placeholders; or the file that holds it, @FILE, which is sent as it is
    #[arg(short, long, value_name = "TEXT", help_heading = "Request")]
    pub(crate) body: Option<String>,

    /// Ask for the lines of this file in turn: PATH, URL or METHOD URL; # begins a comment
    #[arg(long, value_name = "FILE", help_heading = "Request")]
    pub(crate) urls: Option<PathBuf>,

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

    /// For a connection to be made, and for an answer [default: 10s; 1s for udp]
    #[arg(short = 'T', long, value_name = "TIME", value_parser = parse_duration, help_heading = "Request")]
    pub(crate) timeout: Option<Duration>,

    /// Bytes of a message or datagram that is to come back [default: 64]
    #[arg(long, value_name = "BYTES", value_parser = size, help_heading = "Messages")]
    pub(crate) size: Option<usize>,

    /// How long connections only stand, after --ramp or --stages, before anything is sent; the report says what memory
    /// each takes then
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = parse_duration, help_heading = "Messages")]
    pub(crate) hold: Duration,

    /// WebSockets: what is done with them; echo,broadcast is one after the other [default: echo]
    #[arg(long, value_name = "WHAT", value_delimiter = ',', help_heading = "Messages")]
    pub(crate) ws: Vec<WsMode>,

    /// WebSockets: the text that is sent first on each of them, perhaps with placeholders
    #[arg(long, value_name = "MESSAGE", help_heading = "Messages")]
    pub(crate) ws_open: Option<String>,

    /// Broadcast: what makes the server publish, with {message} in it [default: the message alone]
    #[arg(long, value_name = "TEXT", help_heading = "Messages")]
    pub(crate) ws_trigger: Option<String>,

    /// Broadcast: messages a second [default: 1]
    #[arg(long, value_name = "RATE", value_parser = parse_rate, help_heading = "Messages")]
    pub(crate) msg_rate: Option<f64>,

    /// WebSockets: how often each of them pings
    #[arg(long, value_name = "TIME", value_parser = parse_duration, help_heading = "Messages")]
    pub(crate) ping: Option<Duration>,

    /// End with status 99 if this holds, as 'p99>5ms', 'errors>0', 'rps<20k'; may be repeated
    #[arg(long, value_name = "CONDITION", help_heading = "Report")]
    pub(crate) fail_if: Vec<Threshold>,

    /// Write the report as JSON, too
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub(crate) json: Option<PathBuf>,

    /// Write it as a page with plots, in one file
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub(crate) html: Option<PathBuf>,

    /// Write the response times' percentiles, as HdrHistogram's plotters read them
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub(crate) hdr: Option<PathBuf>,

    /// Lines instead of a view while it runs
    #[arg(long, help_heading = "Report")]
    pub(crate) no_tui: bool,

    /// Only say whether this machine can do it
    #[arg(long, help_heading = "Client")]
    pub(crate) check: bool,

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

    /// Count CPU time and memory of this process, the server's, if it is on this machine
    #[arg(long, value_name = "PID", help_heading = "Client")]
    pub(crate) pid: Option<u32>,
}

#[derive(Debug, Clone)]
pub(crate) struct Stages(pub(crate) Vec<Stage>);

/// What is done with WebSockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum WsMode {
    /// Messages come back to their sender.
    Echo,
    /// One more connection sends messages that all receive.
    Broadcast,
    /// They stand.
    Idle,
}

/// `text` as a number of at least 1.
fn requests(text: &str) -> Result<u64, String> {
    match parse_count(text) {
        Ok(0) => Err("at least 1".to_owned()),
        other => other.map_err(|error| error.to_string()),
    }
}

fn connections(text: &str) -> Result<usize, String> {
    let count = requests(text)?;
    u32::try_from(count).map(|count| count as usize).map_err(|_| "too many".to_owned())
}

fn size(text: &str) -> Result<usize, String> {
    let bytes = parse_size(text).map_err(|error| error.to_string())?;
    usize::try_from(bytes).map_err(|_| "too much".to_owned())
}

/// Times and numbers of connections, as `30s:10k,2m:1m`.
fn stages(text: &str) -> Result<Vec<Stage>, String> {
    let text_of = |error: ParseUnitError| error.to_string();
    let stage = |part: &str| {
        let (time, connections) = part.split_once(':').ok_or("not stages; write TIME:CONNECTIONS,...")?;
        let time = parse_duration(time).map_err(text_of)?;
        let connections = parse_count(connections).map_err(text_of)?;
        let connections = u32::try_from(connections).map_err(|_| "too many connections")? as usize;
        Ok(Stage { time, connections })
    };
    text.split(',').map(stage).collect()
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
