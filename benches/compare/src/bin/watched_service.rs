//! Plaintext by lakh; with `--scraped`, its metrics are read every second, by a thread of the same process, so that what
//! reading them costs the reader counts, too.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use lakh::http::{App, Server};
use lakh_compare::flags::{Flags, ServerFlags};
use lakh_compare::{Context, Result};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EVERY: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    lakh_compare::error::exit_with("watched_service", run())
}

fn run() -> Result<()> {
    let (scraped, others): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| argument == "--scraped");
    let flags = ServerFlags::parse(Flags::new(others))?;
    let listen = || format!("cannot listen on {}", flags.listen);
    let server = Server::new(|_shard| App::new().get("/plaintext", || "Hello, World!")).name("lakh");
    let mut server = server.shards(flags.shards).bind(flags.listen).context(listen)?;
    if !scraped.is_empty() {
        server = server.metrics_addr("127.0.0.1:0").context(listen)?;
    }
    let running = server.start().context(listen)?;
    if let Some(metrics) = running.metrics_addr() {
        std::thread::spawn(move || scrape(metrics));
    }
    let address = running.addrs()[0];
    let ready = move || println!("listening on http://{address}");
    running.run_until_signal(ready, |_| {}).context(|| "serving".to_owned())?;
    Ok(())
}

/// Each second from the process's start on: a window of a second or less may see none.
fn scrape(metrics: SocketAddr) {
    loop {
        for path in ["/metrics", "/snapshot"] {
            if let Err(error) = fetch(metrics, path) {
                eprintln!("watched_service: {path}: {error}");
                return;
            }
        }
        std::thread::sleep(EVERY);
    }
}

fn fetch(metrics: SocketAddr, path: &str) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(metrics)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {metrics}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    match answer.starts_with(b"HTTP/1.1 200 ") {
        true => Ok(()),
        false => Err(std::io::Error::other("not answered with 200")),
    }
}
