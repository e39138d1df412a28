//! Echoes TCP streams and UDP datagrams on the same address.
//!
//! `cargo run --release --example echo -- --listen 127.0.0.1:7777 --shards 2`
//!
//! A connection that waits holds no buffer: bytes pass through one on the stack, and only what the
//! peer does not take at once is kept, while nothing more is read from it.

#[path = "common/flags.rs"]
mod flags;

use flags::{Flags, PRIVATE_DESCRIPTORS, fail};
use lakh_core::{Builder, Runtime, Shard, current};
use lakh_net::{
    ListenOptions, ListenerGroup, ShardListeners, TcpListener, TcpStream, UdpOptions, UdpSocket,
    bind_udp_group,
};
use std::{
    future::poll_fn,
    io,
    net::{Shutdown, SocketAddr},
    sync::Mutex,
    task::{Context, Poll, ready},
    time::Duration,
};

/// How long connections may take to get the rest of their bytes after SIGTERM or Ctrl-C.
const GRACE: Duration = Duration::from_secs(5);
const TCP_BUFFER: usize = 16 * 1024;
/// Holds any datagram.
const UDP_BUFFER: usize = 64 * 1024;

fn main() {
    let flags = Flags::from_args_and(7777, &[PRIVATE_DESCRIPTORS]);
    if let Err(message) = run(&flags) {
        fail(&message);
    }
}

fn run(flags: &Flags) -> Result<(), String> {
    let mut builder = Runtime::builder().private_descriptors(flags.private_descriptors);
    if let Some(shards) = flags.shards {
        builder = builder.shards(shards);
    }
    let sockets = bind(flags.listen, &mut builder)
        .map_err(|error| format!("cannot listen on {}: {error}", flags.listen))?;
    let addr = sockets.addr;
    let runtime =
        builder.start(move |shard| sockets.serve(shard)).map_err(|error| format!("cannot start: {error}"))?;
    let report = runtime
        .run_until_signal(
            GRACE,
            move || println!("listening on tcp://{addr} and udp://{addr}"),
            |busy| eprintln!("echo: ending, {busy} connections get their rest"),
        )
        .map_err(|error| error.to_string())?;
    if report.cut > 0 {
        eprintln!("echo: {} connections were cut", report.cut);
    }
    Ok(())
}

/// The sockets of all shards, until they fetch them.
struct Sockets {
    addr: SocketAddr,
    tcp: ShardListeners,
    /// `None` if each shard makes its own.
    udp: Option<Mutex<Vec<std::net::UdpSocket>>>,
}

fn bind(addr: SocketAddr, builder: &mut Builder) -> io::Result<Sockets> {
    let tcp = ListenerGroup::bind(addr, &ListenOptions::default())?.for_runtime(builder)?;
    let addr = tcp.local_addr();
    let udp = match builder.has_private_descriptors() {
        true => None,
        false => Some(Mutex::new(bind_udp_group(addr, builder.shard_count(), &UdpOptions::default())?)),
    };
    Ok(Sockets { addr, tcp, udp })
}

impl Sockets {
    /// Starts a shard's tasks; where ports cannot be shared, only the first shard has sockets.
    fn serve(&self, shard: &Shard) -> io::Result<()> {
        if let Some(listener) = self.tcp.listen(shard)? {
            shard.spawn_detached(accept(listener));
        }
        let udp = match &self.udp {
            Some(made) => take(made).map(UdpSocket::from_std).transpose()?,
            None => {
                Some(UdpSocket::bind_with(self.addr, &UdpOptions { reuse_port: true, ..Default::default() })?)
            }
        };
        if let Some(socket) = udp {
            shard.spawn_detached(echo_datagrams(socket));
        }
        Ok(())
    }
}

fn take<T>(sockets: &Mutex<Vec<T>>) -> Option<T> {
    sockets.lock().ok()?.pop()
}

/// Takes connections until the shard drains, which wakes every task.
async fn accept(listener: TcpListener) {
    let next = |cx: &mut Context<'_>| match current().is_draining() {
        true => Poll::Ready(None),
        false => listener.poll_accept(cx).map(Some),
    };
    while let Some(accepted) = poll_fn(next).await {
        match accepted {
            Ok((stream, _)) => current().spawn_detached(async move {
                // What goes wrong with a connection concerns its peer only, who sees it end.
                let _ = echo(&stream).await;
            }),
            Err(error) => return eprintln!("echo: cannot accept any more: {error}"),
        }
    }
}

async fn echo(stream: &TcpStream) -> io::Result<()> {
    while let Some(unsent) = poll_fn(|cx| pass(stream, cx)).await? {
        // A drain waits for what has been read and not yet sent back.
        let _in_flight = current().guard();
        stream.write_all(&unsent).await?;
    }
    stream.shutdown(Shutdown::Write)
}

/// Reads once and sends it back: what the kernel did not take, or `None` at the end.
fn pass(stream: &TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<Option<Vec<u8>>>> {
    if current().is_draining() {
        return Poll::Ready(Ok(None));
    }
    ready!(stream.poll_read_ready(cx));
    let mut buf = [0; TCP_BUFFER];
    let n = ready!(stream.poll_read(cx, &mut buf))?;
    if n == 0 {
        return Poll::Ready(Ok(None));
    }
    let sent = match stream.try_write(&buf[..n]) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
        result => result?,
    };
    // Empty in the usual case: nothing is allocated then.
    Poll::Ready(Ok(Some(buf[sent..n].to_vec())))
}

/// One buffer for all peers of a shard.
async fn echo_datagrams(socket: UdpSocket) {
    let mut buf = vec![0; UDP_BUFFER];
    loop {
        // Datagrams may get lost, so an error ends nothing.
        if let Ok((n, peer)) = socket.recv_from(&mut buf).await {
            let _ = socket.send_to(&buf[..n], peer).await;
        }
    }
}
