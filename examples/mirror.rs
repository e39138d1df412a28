//! Sends back what it gets: for conformance suites, proxies and slow clients.
//!
//! ```text
//! cargo run --release --example mirror -- --listen 127.0.0.1:8080 --shards 1
//! curl --data-binary @big.iso http://127.0.0.1:8080/ | cmp - big.iso
//! ```
//!
//! `/echo` answers with the request's header lines, `/cookie` with its cookies, everything else
//! with the request's body. A body that is not small is sent back while it comes in: how fast the
//! client reads decides how fast it may send, and the memory stays the same. (Behind nginx, let it
//! buffer requests, as it does by default: with `proxy_request_buffering off` it sends no more of a
//! long body once the answer has begun, and the exchange stands still until a deadline ends it.)

#[path = "common/flags.rs"]
mod flags;

use flags::{Flags, fail};
use lakh::http::{App, Body, BodyError, Bytes, Head, Limits, Request, Response, Server, header};
use std::task::Poll;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Bodies below this many bytes are read to their end before the answer begins, so that a
/// malformed one is refused.
const WHOLE: usize = 64 * 1024;
const LARGEST_BODY: u64 = 1 << 30;
const TEXT: header::HeaderValue = header::HeaderValue::from_static("text/plain");

fn main() {
    let flags = Flags::from_args(8080);
    if let Err(error) = run(&flags) {
        fail(&format!("cannot serve on {}: {error}", flags.listen));
    }
}

fn run(flags: &Flags) -> std::io::Result<()> {
    let mut server =
        Server::new(|_shard| App::new().any("/echo", echo).any("/cookie", cookies).fallback(mirror))
            .limits(Limits { body: LARGEST_BODY, ..Limits::default() });
    if let Some(shards) = flags.shards {
        server = server.shards(shards);
    }
    let running = server.bind(flags.listen)?.start()?;
    let addr = running.addrs()[0];
    let report = running.run_until_signal(move || println!("listening on http://{addr}"), |_| {})?;
    if report.cut > 0 {
        eprintln!("mirror: {} connections were cut", report.cut);
    }
    Ok(())
}

async fn mirror(request: Request) -> Result<Response, BodyError> {
    let mut body = request.into_body();
    let mut start = Vec::new();
    while start.len() < WHOLE {
        match body.chunk().await {
            Some(chunk) => start.extend_from_slice(&chunk?),
            None => return Ok(Response::new(start)),
        }
    }
    let mut start = Some(Bytes::from(start));
    Ok(Response::new(Body::from_poll_fn(move |cx| match start.take() {
        Some(start) => Poll::Ready(Some(Ok(start))),
        None => body.poll_chunk(cx),
    })))
}

/// `Name: value`, a line for each field.
fn echo(head: &Head<'_>) -> Response {
    let mut lines = Vec::new();
    for (name, value) in head.headers() {
        lines.extend_from_slice(name.as_bytes());
        lines.extend_from_slice(b": ");
        lines.extend_from_slice(value);
        lines.push(b'\n');
    }
    Response::new(lines).with_header(header::CONTENT_TYPE, TEXT)
}

/// `name=value`, a line for each cookie (RFC 6265, 4.2.1).
fn cookies(head: &Head<'_>) -> Response {
    let fields = head.headers().filter(|(name, _)| name.eq_ignore_ascii_case("cookie"));
    let pairs = fields.flat_map(|(_, value)| value.split(|&byte| byte == b';')).map(<[u8]>::trim_ascii);
    let mut lines = Vec::new();
    for pair in pairs.filter(|pair| pair.contains(&b'=')) {
        lines.extend_from_slice(pair);
        lines.push(b'\n');
    }
    Response::new(lines).with_header(header::CONTENT_TYPE, TEXT)
}
