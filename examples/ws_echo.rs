//! WebSocket echoes and topics, in both styles.
//!
//! ```text
//! cargo run --release --example ws_echo -- --listen 127.0.0.1:8080 --shards 1 --style callback
//! ```
//!
//! `--idle-timeout SECONDS` (60) is how long a silent peer stays; it is pinged after half of that.
//!
//! Every path echoes, except that a socket on `/topic/NAME` is subscribed to the topic: text that it sends is
//! published there, binary comes back to the sender alone.

#[path = "common/flags.rs"]
mod flags;

use flags::{Flags, PRIVATE_DESCRIPTORS, fail};
use lakh::{
    http::{App, Server, extract::Path},
    ws::{
        Callbacks, Config, DeflateOptions, Message, Payload, Socket, Topics, WebSocket, WebSocketRoutes,
        callbacks,
    },
};
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let flags = Flags::from_args_and(8080, &["--style", "--idle-timeout", PRIVATE_DESCRIPTORS]);
    let (mut is_async, mut config) = (false, Config::new());
    for (flag, value) in &flags.others {
        match (flag.as_str(), value.as_str()) {
            ("--style", "callback") => is_async = false,
            ("--style", "async") => is_async = true,
            ("--style", _) => fail(&format!("--style {value}: it is callback or async")),
            _ => match value.parse() {
                Ok(seconds) if seconds > 0 => {
                    config = config.idle_timeout(Some(Duration::from_secs(seconds)));
                }
                _ => fail(&format!("{flag} {value}: it is a number of seconds")),
            },
        }
    }
    if let Err(error) = run(&flags, is_async, config) {
        fail(&format!("cannot serve on {}: {error}", flags.listen));
    }
}

fn run(flags: &Flags, is_async: bool, config: Config) -> std::io::Result<()> {
    // Autobahn's longest messages.
    let config = config.max_message(16 << 20);
    let config = config.any_origin().deflate(DeflateOptions::default()).topics(&Topics::new());
    let mut server = Server::new(move |_shard| {
        let app = App::new();
        match is_async {
            false => app
                .ws_with(
                    "/topic/{name}",
                    config.clone(),
                    callbacks(|Path(name): Path<String>| Topic(name.into())),
                )
                .ws_with("/", config.clone(), callbacks(|| Echo))
                .ws_with("/{*path}", config.clone(), callbacks(|| Echo)),
            true => app
                .ws_with("/topic/{name}", config.clone(), topic)
                .ws_with("/", config.clone(), echo)
                .ws_with("/{*path}", config.clone(), echo),
        }
    })
    .private_descriptors(flags.private_descriptors);
    if let Some(shards) = flags.shards {
        server = server.shards(shards);
    }
    let running = server.bind(flags.listen)?.start()?;
    let addr = running.addrs()[0];
    running.run_until_signal(move || println!("listening on ws://{addr}"), |_| {})?;
    Ok(())
}

struct Echo;

impl Callbacks for Echo {
    fn on_message(&mut self, socket: &Socket, message: Payload<'_>) {
        // A peer that does not read gets no more once its queue is full.
        let _ = socket.send(message);
    }
}

/// Of one topic. A `String` would keep its capacity, too.
struct Topic(Box<str>);

impl Callbacks for Topic {
    fn on_open(&mut self, socket: &Socket) {
        if socket.subscribe(&self.0).is_err() {
            socket.close(lakh::ws::CloseCode::Error, "cannot subscribe");
        }
    }

    fn on_message(&mut self, socket: &Socket, message: Payload<'_>) {
        match message {
            // A shard that has too much waiting misses it; the topics count that.
            Payload::Text(_) => _ = socket.publish(&self.0, message),
            Payload::Binary(_) => _ = socket.send(message),
        }
    }
}

async fn echo(mut socket: WebSocket) {
    while let Some(message) = socket.recv().await {
        if socket.send(message).await.is_err() {
            return;
        }
    }
}

async fn topic(mut socket: WebSocket, Path(name): Path<String>) {
    if socket.subscribe(&name).is_err() {
        return;
    }
    while let Some(message) = socket.recv().await {
        match &message {
            Message::Text(_) => _ = socket.publish(&name, message),
            Message::Binary(_) => {
                if socket.send(message).await.is_err() {
                    return;
                }
            }
        }
    }
}
