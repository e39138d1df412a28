//! actix-web with one worker per shard, no middleware: the shape of its TechEmpower entry.

use std::process::ExitCode;
use std::time::Duration;

use actix_web::http::header::{CONTENT_TYPE, HeaderValue, SERVER};
use actix_web::http::{KeepAlive, StatusCode};
use actix_web::{App, HttpResponse, HttpServer, web};
use bytes::Bytes;
use lakh_compare::flags::{Flags, ServerFlags};
use lakh_compare::{Context, Error, Result, sys};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(serde::Serialize)]
struct Message {
    message: &'static str,
}

fn main() -> ExitCode {
    lakh_compare::error::exit_with("actix_server", run())
}

fn run() -> Result<()> {
    let flags = ServerFlags::parse(Flags::from_env())?;
    sys::raise_open_files().context(|| "open files".to_owned())?;
    sys::exit_on_signals().context(|| "signals".to_owned())?;
    let app = || {
        App::new().service(web::resource("/plaintext").to(plaintext)).service(web::resource("/json").to(json))
    };
    let server = HttpServer::new(app)
        .workers(flags.shards)
        .backlog(4096)
        .keep_alive(KeepAlive::Os)
        .client_request_timeout(Duration::ZERO)
        .disable_signals()
        .bind(flags.listen)
        .context(|| format!("cannot listen on {}", flags.listen))?;
    let address = *server.addrs().first().ok_or_else(|| Error::new("no address was bound"))?;
    actix_web::rt::System::new().block_on(async move {
        let running = server.run();
        println!("listening on http://{address}");
        running.await.context(|| "serving".to_owned())
    })
}

async fn plaintext() -> HttpResponse<Bytes> {
    answer("text/plain", Bytes::from_static(b"Hello, World!"))
}

async fn json() -> HttpResponse<Bytes> {
    let body = serde_json::to_vec(&Message { message: "Hello, World!" }).unwrap_or_default();
    answer("application/json", Bytes::from(body))
}

fn answer(kind: &'static str, body: Bytes) -> HttpResponse<Bytes> {
    let mut response = HttpResponse::with_body(StatusCode::OK, body);
    let headers = response.headers_mut();
    headers.insert(SERVER, HeaderValue::from_static("actix"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
