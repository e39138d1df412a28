//! tokio-tungstenite's echo as most people write it, one single-threaded runtime per shard.

use std::process::ExitCode;

use futures_util::{SinkExt, StreamExt};
use lakh_compare::flags::{Flags, ServerFlags};
use lakh_compare::{Result, tokio_shards};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    lakh_compare::error::exit_with("tungstenite_server", run())
}

fn run() -> Result<()> {
    let flags = ServerFlags::parse(Flags::from_env())?;
    tokio_shards::run(&flags, accept)
}

async fn accept(listener: TcpListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        tokio::spawn(echo(stream));
    }
}

async fn echo(stream: TcpStream) -> tungstenite::Result<()> {
    let mut socket = tokio_tungstenite::accept_async(stream).await?;
    while let Some(message) = socket.next().await {
        let message = message?;
        if message.is_text() || message.is_binary() {
            socket.send(message).await?;
        }
    }
    Ok(())
}
