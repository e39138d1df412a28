//! The two smallest services: TechEmpower's plaintext and JSON tests.
//!
//! ```text
//! cargo run --release --example hello -- --listen 127.0.0.1:8080 --shards 1
//! curl -i http://127.0.0.1:8080/plaintext
//! ```

#[path = "common/flags.rs"]
mod flags;

use flags::{Flags, PRIVATE_DESCRIPTORS, fail};
use lakh::http::{App, Response, Server, header};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let flags = Flags::from_args_and(8080, &[PRIVATE_DESCRIPTORS]);
    if let Err(error) = run(&flags) {
        fail(&format!("cannot serve on {}: {error}", flags.listen));
    }
}

fn run(flags: &Flags) -> std::io::Result<()> {
    let mut server = Server::new(|_shard| App::new().get("/plaintext", plaintext).get("/json", json))
        .name("lakh")
        .private_descriptors(flags.private_descriptors);
    if let Some(shards) = flags.shards {
        server = server.shards(shards);
    }
    let running = server.bind(flags.listen)?.start()?;
    let addr = running.addrs()[0];
    running.run_until_signal(move || println!("listening on http://{addr}"), |_| {})?;
    Ok(())
}

fn plaintext() -> Response {
    Response::new("Hello, World!").with_header(header::CONTENT_TYPE, TEXT)
}

const TEXT: header::HeaderValue = header::HeaderValue::from_static("text/plain");
const JSON: header::HeaderValue = header::HeaderValue::from_static("application/json");

#[derive(serde::Serialize)]
struct Message {
    message: &'static str,
}

fn json() -> Response {
    let body = serde_json::to_vec(&Message { message: "Hello, World!" }).expect("a struct of text");
    Response::new(body).with_header(header::CONTENT_TYPE, JSON)
}
