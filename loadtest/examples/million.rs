//! Holds very many connections to one server, and says in lines of `name=value` what came of it, for `million.sh`.
//!
//! ```text
//! cargo run --release -p lakh-loadtest --example million -- ws://127.0.0.1:8080/topic/all 1000000 SERVER_PID
//! ```
//!
//! They stand for the time of `--hold`, then each of them is asked once, in turn (`--rate` a second over all); with
//! `--publish`, the server gives one message to all of them at the end.

use lakh_core::sys::limits::raise_descriptor_limit;
use lakh_loadtest::{
    Outcome, Plan, Run, Stop,
    engine::Phase,
    plan::{Pace, Publish, Target},
    stats::Ended,
};
use std::{env, fs, process::ExitCode, time::Duration};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "usage: million URL COUNT SERVER_PID [--hold SECONDS] [--rate N] [--publish]";

fn main() -> ExitCode {
    let plan = match plan(env::args().skip(1)) {
        Ok(plan) => plan,
        Err(message) => {
            eprintln!("million: {message}; {USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(plan) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(3),
        Err(error) => {
            eprintln!("million: {error}");
            ExitCode::FAILURE
        }
    }
}

fn plan(mut args: impl Iterator<Item = String>) -> Result<Plan, String> {
    let mut next = |what: &str| args.next().ok_or_else(|| format!("{what} is missing"));
    let target = Target::parse(&next("the URL")?).map_err(|error| error.to_string())?;
    let mut plan = Plan::new(target);
    plan.connections = number(&next("the count")?)?;
    plan.server = Some(number(&next("the server's process")?)?);
    let mut rate: u64 = 50_000;
    while let Some(flag) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{flag} needs a value"));
        match flag.as_str() {
            "--hold" => plan.hold = Duration::from_secs(number(&value()?)?),
            "--rate" => rate = number(&value()?)?,
            "--publish" => {
                plan.ws.publish = Some(Publish {
                    rate: 1.0,
                    time: Duration::from_secs(10),
                    messages: Some(1),
                    trigger: None,
                });
            }
            _ => return Err(format!("unknown argument {flag}")),
        }
    }
    plan.pace = Pace::Open { rate: rate as f64 };
    plan.requests = Some(plan.connections as u64);
    // An end, should the server stall.
    plan.duration = Duration::from_secs(30 + 4 * (plan.connections as u64 / rate.max(1)));
    plan.timeout = Duration::from_secs(30);
    let limit = raise_descriptor_limit().map_err(|error| format!("the limit of open files: {error}"))?;
    plan.fit_tables(limit.soft);
    Ok(plan)
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text} is no number"))
}

/// What processes and kernel have in memory, in bytes.
#[derive(Clone, Copy, Default)]
struct Memory {
    client: u64,
    server: u64,
    slab: u64,
    tcp: u64,
}

impl Memory {
    fn look(server: Option<u32>) -> Self {
        let server = server.map_or_else(|| "self".to_owned(), |number| number.to_string());
        Memory {
            client: kib("/proc/self/smaps_rollup", "Pss_Anon:"),
            server: kib(&format!("/proc/{server}/smaps_rollup"), "Pss_Anon:"),
            slab: kib("/proc/meminfo", "Slab:"),
            tcp: socket_pages() * 4096,
        }
    }
}

fn kib(path: &str, name: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().split(' ').next()?.parse().ok());
    value.unwrap_or(0) * 1024
}

/// Of TCP and UDP buffers, as /proc/net/sockstat counts them.
fn socket_pages() -> u64 {
    let text = fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
    let lines = text.lines().filter(|line| line.starts_with("TCP:") || line.starts_with("UDP:"));
    lines.filter_map(|line| line.split_once("mem ")?.1.trim().parse::<u64>().ok()).sum()
}

fn run(plan: Plan) -> std::io::Result<bool> {
    let before = Memory::look(plan.server);
    let (mut held, mut seconds, mut lost) = (None, 0, 0);
    let hold = plan.hold.as_secs();
    let outcome = Run::start(plan.clone())?.finish(&Stop::default(), |news| {
        let open = news.sample.open;
        match news.phase {
            Phase::Connecting => eprintln!("{:4} s  {open} stand", news.sample.at.as_secs()),
            _ => {
                seconds += 1;
                // The last second ends with the part, and is told of by nobody.
                if seconds + 1 == hold {
                    held = Some(Memory::look(plan.server));
                    lost = news.tally.connections.lost;
                    eprintln!("held {seconds} s, {open} stand");
                }
            }
        }
    });
    tell(&plan, &outcome, before, held.unwrap_or_default(), lost);
    let counts = &outcome.tally.connections;
    let all = plan.connections as u64;
    let published = outcome.tally.broadcast.as_ref().map(|broadcast| broadcast.received);
    Ok(counts.established == all
        && counts.lost == 0
        && counts.answered == all
        && outcome.tally.failures.total() == 0
        && published.is_none_or(|received| received == all)
        && outcome.ended == Ended::Done)
}

fn tell(plan: &Plan, outcome: &Outcome, before: Memory, held: Memory, lost_in_hold: u64) {
    let (tally, counts) = (&outcome.tally, &outcome.tally.connections);
    let each = |held: u64, before: u64| held.saturating_sub(before) / plan.connections as u64;
    println!("requested={}", plan.connections);
    println!("established={}", counts.established);
    println!("connect_s={:.2}", outcome.connecting.as_secs_f64());
    println!("held_s={}", plan.hold.as_secs());
    println!("lost_in_hold={lost_in_hold}");
    println!("lost={}", counts.lost);
    println!("answered={}", counts.answered);
    println!("response_p50_ms={:.2}", tally.response.quantile(0.5).as_secs_f64() * 1e3);
    println!("response_p99_ms={:.2}", tally.response.quantile(0.99).as_secs_f64() * 1e3);
    println!("response_max_ms={:.2}", tally.response.max().as_secs_f64() * 1e3);
    println!("missing={}", tally.missing);
    println!("errors={}", tally.failures.total());
    for (cause, count) in tally.failures.causes() {
        eprintln!("{} {count}: {:?}", cause.text(), tally.failures.example(cause).unwrap_or_default());
    }
    if let Some(broadcast) = &tally.broadcast {
        println!("received={}", broadcast.received);
        println!("last_receiver_s={:.2}", broadcast.last.max().as_secs_f64());
    }
    println!("server_bytes={}", each(held.server, before.server));
    println!("client_bytes={}", each(held.client, before.client));
    println!("server_mib={}", held.server >> 20);
    println!("client_mib={}", held.client >> 20);
    println!("slab_mib={}", held.slab.saturating_sub(before.slab) >> 20);
    println!("sockets_mib={}", held.tcp >> 20);
    println!("kernel_bytes_per_pair={}", each(held.slab + held.tcp, before.slab + before.tcp));
    println!("client_cpu_s={:.1}", outcome.client.cpu.as_secs_f64());
}
