//! The two smallest services: TechEmpower's plaintext and JSON tests.
//!
//! ```text
//! cargo run --release --example hello -- --listen 127.0.0.1:8080 --shards 1
//! curl -i http://127.0.0.1:8080/plaintext
//! ```

use lakh::http::{App, Response, Server, header};
use std::{net::SocketAddr, process::exit};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let options = Options::from_args();
    if let Err(error) = run(&options) {
        fail(&format!("cannot serve on {}: {error}", options.listen));
    }
}

fn run(options: &Options) -> std::io::Result<()> {
    let mut server =
        Server::new(|_shard| App::new().get("/plaintext", plaintext).get("/json", json)).name("lakh");
    if let Some(shards) = options.shards {
        server = server.shards(shards);
    }
    let running = server.bind(options.listen)?.start()?;
    let addr = running.addrs()[0];
    running.run_until_signal(move || println!("listening on http://{addr}"), |_| {})?;
    Ok(())
}

fn plaintext() -> Response {
    Response::new("Hello, World!").with_field(header::CONTENT_TYPE, TEXT)
}

const TEXT: header::HeaderValue = header::HeaderValue::from_static("text/plain");
const JSON: header::HeaderValue = header::HeaderValue::from_static("application/json");

#[derive(serde::Serialize)]
struct Message {
    message: &'static str,
}

fn json() -> Response {
    let body = serde_json::to_vec(&Message { message: "Hello, World!" }).expect("a struct of text");
    Response::new(body).with_field(header::CONTENT_TYPE, JSON)
}

struct Options {
    listen: SocketAddr,
    shards: Option<usize>,
}

impl Options {
    fn from_args() -> Self {
        let mut options = Options { listen: ([127, 0, 0, 1], 8080).into(), shards: None };
        let mut args = std::env::args().skip(1);
        while let Some(flag) = args.next() {
            let value = args.next().unwrap_or_else(|| fail(&format!("{flag} needs a value")));
            match flag.as_str() {
                "--listen" => options.listen = parse(&flag, &value),
                "--shards" => options.shards = Some(parse(&flag, &value)),
                _ => fail(&format!("unknown flag {flag}; there are --listen ADDR and --shards N")),
            }
        }
        options
    }
}

fn parse<T: std::str::FromStr>(flag: &str, value: &str) -> T {
    value.parse().unwrap_or_else(|_| fail(&format!("{flag} cannot be {value:?}")))
}

fn fail(message: &str) -> ! {
    eprintln!("hello: {message}");
    exit(2);
}
