//! hyper's HTTP/1 on tokio, one single-threaded runtime per shard: the shape of its TechEmpower entry.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::ExitCode;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, SERVER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use lakh_compare::flags::{Flags, ServerFlags};
use lakh_compare::{Context, Result, sys};
use tokio::net::{TcpListener, TcpSocket};

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
    sys::raise_open_files().context(|| "open files".to_owned())?;
    sys::exit_on_signals().context(|| "signals".to_owned())?;
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build();
    let first = runtime().context(|| "runtime".to_owned())?;
    let listen = || format!("cannot listen on {}", flags.listen);
    let listener = first.block_on(async { bind(flags.listen) }).context(listen)?;
    let address = listener.local_addr().context(listen)?;
    for _ in 1..flags.shards {
        let other = runtime().context(|| "runtime".to_owned())?;
        let listener = other.block_on(async { bind(address) }).context(listen)?;
        std::thread::spawn(move || other.block_on(serve(listener)));
    }
    println!("listening on http://{address}");
    first.block_on(serve(listener));
    Ok(())
}

fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    socket.listen(4096)
}

async fn serve(listener: TcpListener) {
    let mut http = http1::Builder::new();
    http.pipeline_flush(true);
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let connection = http.serve_connection(TokioIo::new(stream), service_fn(handle));
        tokio::spawn(connection);
    }
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
