//! What the peers on tokio share: one single-threaded runtime for each shard, and hyper's HTTP/1.

use std::net::SocketAddr;

use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket};

use crate::flags::ServerFlags;
use crate::{Context, Result, sys};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Serves HTTP until the process is ended.
pub fn serve<S, B>(flags: &ServerFlags, service: S) -> Result<()>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    run(flags, move |listener| accept(listener, service.clone()))
}

/// Runs what `accept` makes of a shard's listener, for each shard, until the process is ended.
pub fn run<A, F>(flags: &ServerFlags, accept: A) -> Result<()>
where
    A: Fn(TcpListener) -> F + Clone + Send + 'static,
    F: Future<Output = ()>,
{
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
        let accept = accept.clone();
        std::thread::spawn(move || other.block_on(accept(listener)));
    }
    println!("listening on http://{address}");
    first.block_on(accept(listener));
    Ok(())
}

fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    socket.listen(4096)
}

async fn accept<S, B>(listener: TcpListener, service: S)
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let mut http = http1::Builder::new();
    http.pipeline_flush(true);
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        tokio::spawn(http.serve_connection(TokioIo::new(stream), service.clone()));
    }
}
