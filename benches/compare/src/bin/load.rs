//! The load generator on its own, against any server: `load --help`.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use lakh_compare::flags::Flags;
use lakh_compare::http::{Head, request};
use lakh_compare::load::{self, Load, Plan};
use lakh_compare::table::grouped;
use lakh_compare::ws::{self, Message};
use lakh_compare::{Context, Error, Result, sys};

const HELP: &str = "\
load --to ADDRESS [options]     closed-loop load of HTTP/1.1 or WebSockets from one thread

  --to ADDRESS       server, as 127.0.0.1:8080
  --connections N    64
  --depth N          requests sent together on a connection: 1
  --path PATH        /plaintext
  --ws BYTES         text messages of this size on WebSockets, which are to be echoed, instead of requests
  --head KIND        bare (as wrk), browser (12 fields), varied, varied-browser, large (4,000-byte
                     cookie): bare
  --seconds S        5
  --requests N       this many requests instead of a time
  --cpu N            run on this CPU only
  --spin             never sleep while waiting
";

fn main() -> ExitCode {
    lakh_compare::error::exit_with("load", run())
}

fn run() -> Result<()> {
    let mut flags = Flags::from_env();
    let mut to: Option<SocketAddr> = None;
    let (mut connections, mut depth, mut seconds, mut requests) = (64, 1, 5.0, None);
    let (mut path, mut head, mut spin, mut ws) = ("/plaintext".to_owned(), Head::Bare, false, None);
    while let Some(name) = flags.next_flag()? {
        match name.as_str() {
            "--to" => to = Some(flags.parsed()?),
            "--connections" => connections = flags.number(1, 1_000_000)? as usize,
            "--depth" => depth = flags.number(1, 1024)? as usize,
            "--path" => path = flags.value()?,
            "--ws" => ws = Some(flags.number(0, 1 << 30)? as usize),
            "--head" => head = flags.parsed()?,
            "--seconds" => seconds = flags.number(1, 3600)? as f64,
            "--requests" => requests = Some(flags.number(1, 1 << 40)?),
            "--cpu" => {
                let cpu = flags.number(0, 1023)? as usize;
                sys::pin_self(cpu).context(|| format!("cannot run on CPU {cpu}"))?;
            }
            "--spin" => spin = true,
            "--help" => {
                print!("{HELP}");
                return Ok(());
            }
            _ => return flags.unknown(),
        }
    }
    let to = to.ok_or_else(|| Error::new("--to ADDRESS is missing; see --help"))?;
    sys::raise_open_files().context(|| "open files".to_owned())?;
    let (request, opened) = match ws.map(Message::text) {
        Some(message) => {
            let opened = ws::open(to, connections, &path, &message)?;
            (message.masked, opened)
        }
        None => {
            let request = request(&path, &to.to_string(), head);
            let opened = load::open(to, connections, &request)?;
            (request, opened)
        }
    };
    let bytes = opened.shape.total();
    let mut load = Load::new(opened, Plan { request, depth, spin })?;
    let window = match requests {
        Some(count) => load.exactly(count)?,
        None => load.for_time(Duration::from_secs_f64(seconds))?,
    };
    let wall = window.wall.as_secs_f64();
    println!(
        "{} answers of {bytes} bytes in {wall:.2} s, {}/s; p50 {:?}, p99 {:?}; generator {:.2} µs CPU each",
        grouped(window.answers as f64),
        grouped(window.answers as f64 / wall),
        window.latency.percentile(0.5),
        window.latency.percentile(0.99),
        window.cpu.as_secs_f64() * 1e6 / window.answers.max(1) as f64,
    );
    load.settle()?;
    Ok(())
}
