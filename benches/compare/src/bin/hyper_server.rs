//! hyper's HTTP/1 on tokio, one single-threaded runtime per shard: the shape of its TechEmpower entry.

use std::convert::Infallible;
use std::process::ExitCode;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, SERVER};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use lakh_compare::flags::{Flags, ServerFlags};
use lakh_compare::{Result, tokio_shards};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(serde::Serialize)]
struct Message {
    message: &'static str,
}

fn main() -> ExitCode {
    lakh_compare::error::exit_with("hyper_server", run())
}

fn run() -> Result<()> {
    let flags = ServerFlags::parse(Flags::from_env())?;
    tokio_shards::serve(&flags, service_fn(handle))
}

async fn handle(request: Request<Incoming>) -> std::result::Result<Response<Full<Bytes>>, Infallible> {
    Ok(match request.uri().path() {
        "/plaintext" => answer("text/plain", Bytes::from_static(b"Hello, World!")),
        "/json" => {
            let body = serde_json::to_vec(&Message { message: "Hello, World!" }).unwrap_or_default();
            answer("application/json", Bytes::from(body))
        }
        _ => {
            let mut response = Response::new(Full::default());
            *response.status_mut() = StatusCode::NOT_FOUND;
            response
        }
    })
}

fn answer(kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let length = HeaderValue::from(body.len());
    let mut response = Response::new(Full::new(body));
    let headers = response.headers_mut();
    headers.insert(SERVER, HeaderValue::from_static("hyper"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CONTENT_LENGTH, length);
    response
}
