//! A service of lakh whose handler keeps the CPU busy for a time, for overload.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use lakh::http::{App, Limits, Server};
use lakh_compare::flags::Flags;
use lakh_compare::{Context, Error, Result};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    lakh_compare::error::exit_with("busy_service", run())
}

fn run() -> Result<()> {
    let mut flags = Flags::from_env();
    let mut listen = "127.0.0.1:0".to_owned();
    let (mut shards, mut work, mut limits) = (1, Duration::from_micros(200), Limits::default());
    while let Some(name) = flags.next_flag()? {
        match name.as_str() {
            "--listen" => listen = flags.value()?,
            "--shards" => shards = flags.number(1, 1024)? as usize,
            "--work-us" => work = Duration::from_micros(flags.number(0, 1_000_000)?),
            "--queue-age" => limits.queue_age = queue_age(&flags.value()?)?,
            _ => return flags.unknown(),
        }
    }
    let answer = move || {
        let end = Instant::now() + work;
        while Instant::now() < end {
            std::hint::spin_loop();
        }
        "done"
    };
    let server = Server::new(move |_shard| App::new().get("/", answer)).limits(limits).shards(shards);
    let listening = || format!("cannot listen on {listen}");
    let running = server.bind(listen.as_str()).context(listening)?.start().context(listening)?;
    let address = running.addrs()[0];
    let ready = move || println!("listening on http://{address}");
    running.run_until_signal(ready, |_| {}).context(|| "serving".to_owned())?;
    Ok(())
}

/// Milliseconds, or `off`.
fn queue_age(text: &str) -> Result<Option<Duration>> {
    match (text, text.parse()) {
        ("off", _) => Ok(None),
        (_, Ok(millis)) => Ok(Some(Duration::from_millis(millis))),
        _ => Err(Error::new(format!("--queue-age is {text:?}, which is neither milliseconds nor off"))),
    }
}
