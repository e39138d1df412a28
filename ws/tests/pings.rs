//! Pings that a service sends by itself, and who is told of their answers.

mod common;

use common::*;
use lakh_http::{App, testing::TestServer};
use lakh_ws::{
    Callbacks, Config, Payload, SendError, Socket, SocketEvent, WebSocket, WebSocketRoutes, callbacks,
    proto::Opcode,
};
use std::time::Duration;

/// Pings with what it is told, and tells of pongs.
struct Pings;

impl Callbacks for Pings {
    fn on_message(&mut self, socket: &Socket, message: Payload<'_>) {
        if let Err(error) = socket.ping(message.as_bytes()) {
            socket.send(&error.to_string()).unwrap();
        }
    }

    fn on_pong(&mut self, socket: &Socket, payload: &[u8]) {
        socket.send(&format!("pong {}", payload.escape_ascii())).unwrap();
    }
}

async fn pings(mut socket: WebSocket) {
    while let Some(event) = socket.recv_event().await {
        let said = match event {
            SocketEvent::Message(message) => {
                socket.ping(message.as_bytes()).map_err(|error| error.to_string())
            }
            SocketEvent::Pong(payload) => Err(format!("pong {}", payload.escape_ascii())),
            _ => unreachable!(),
        };
        if let Err(text) = said {
            socket.send(text).await.unwrap();
        }
    }
}

fn server(config: Config) -> TestServer {
    TestServer::start(move |_| {
        App::new().ws_with("/callbacks", config.clone(), callbacks(|| Pings)).ws_with(
            "/async",
            config.clone(),
            pings,
        )
    })
}

#[test]
fn pings_are_sent_with_their_payload_and_pongs_are_told_with_theirs() {
    let server = server(Config::new());
    for path in STYLES {
        let mut client = Client::open(&server, path);
        for payload in ["a".to_owned(), "b".repeat(125)] {
            client.text(&payload);
            client.expect(Opcode::Ping, &payload);
            client.send(Opcode::Pong, payload.as_bytes());
            client.expect_text(&format!("pong {payload}"));
        }
        client.text(&"c".repeat(126));
        client.expect_text("a ping has 125 bytes at most");
        client.send(Opcode::Pong, b"nobody asked");
        client.expect_text("pong nobody asked");
    }
}

#[test]
fn the_answers_to_empty_pings_and_to_those_of_the_connection_are_told_to_nobody() {
    let server = server(Config::new().idle_timeout(Some(Duration::from_secs(2))));
    let mut clients = STYLES.map(|path| Client::open(&server, path));
    for client in &mut clients {
        // By itself, then by hand.
        client.expect(Opcode::Ping, "");
        client.send(Opcode::Pong, b"");
        client.send(Opcode::Text, b"");
        client.expect(Opcode::Ping, "");
        client.send(Opcode::Pong, b"");
        client.send(Opcode::Pong, b"told");
        client.expect_text("pong told");
    }
}

/// One who only receives, or waits for something else, is not bothered and keeps nothing.
#[test]
fn pongs_that_nobody_asks_for_are_dropped() {
    let server = echo_server(Config::new());
    let mut client = Client::open(&server, "/async");
    for number in 0..100 {
        client.send(Opcode::Pong, b"dropped");
        client.text(&number.to_string());
        client.expect_text(&number.to_string());
    }
}

#[test]
fn pongs_reach_another_task_and_the_last_of_several_is_kept() {
    let server = TestServer::start(|_| {
        App::new().ws("/", async |mut socket: WebSocket| {
            lakh_core::spawn_detached(async move {
                // Before the first call: from here on pongs are kept.
                socket.ping("ready?").unwrap();
                lakh_core::sleep(Duration::from_millis(100)).await;
                while let Some(event) = socket.recv_event().await {
                    match event {
                        SocketEvent::Pong(payload) => socket.send(payload.to_vec()).await.unwrap(),
                        // Meanwhile pongs come.
                        _ => lakh_core::sleep(Duration::from_millis(200)).await,
                    }
                }
            });
        })
    });
    let mut client = Client::open(&server, "/");
    client.expect(Opcode::Ping, "ready?");
    client.send(Opcode::Pong, b"ready");
    client.expect(Opcode::Binary, "ready");
    client.send_bytes(
        &[frame(Opcode::Text, b"busy"), frame(Opcode::Pong, b"1"), frame(Opcode::Pong, b"2")].concat(),
    );
    client.expect(Opcode::Binary, "2");
}

#[test]
fn a_socket_that_is_closed_or_full_sends_no_ping() {
    struct Refused;
    impl Callbacks for Refused {
        fn on_message(&mut self, socket: &Socket, _: Payload<'_>) {
            while socket.send(&vec![1; 10_000]).is_ok() {}
            assert_eq!(socket.ping("full"), Err(SendError::Full));
            socket.close(lakh_ws::CloseCode::Normal, "as it should be");
            assert_eq!(socket.ping("late"), Err(SendError::Closed));
        }
    }
    let config = Config::new().queue(100_000);
    let server = TestServer::start(move |_| App::new().ws_with("/", config.clone(), callbacks(|| Refused)));
    let mut client = Client::open(&server, "/");
    client.text("go");
    let last = std::iter::from_fn(|| client.frame()).find(|frame| frame.opcode != Opcode::Binary).unwrap();
    assert_eq!((last.opcode, &last.payload[2..]), (Opcode::Close, &b"as it should be"[..]));
}

/// Its number (proc(5), /proc/net/tcp), 0 without one; `None` if the table is changing.
#[cfg(target_os = "linux")]
fn timer_of_servers_end(client: &Client) -> Option<u8> {
    let (us, server) = (client.stream.local_addr().unwrap(), client.stream.peer_addr().unwrap());
    let ends = format!(":{:04X} 0100007F:{:04X} ", server.port(), us.port());
    let all = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    let line = all.lines().find(|line| line.contains(&ends))?;
    line.split_whitespace().nth(5)?.split(':').next()?.parse().ok()
}

#[cfg(target_os = "linux")]
#[test]
fn pings_take_the_place_of_tcp_keepalive() {
    const KEEPALIVE: u8 = 2;
    for (timeout, timer) in [(Some(Duration::from_secs(60)), 0), (None, KEEPALIVE)] {
        let server = server(Config::new().idle_timeout(timeout));
        for path in STYLES {
            let client = Client::open(&server, path);
            // What has just been sent has another timer until it is acknowledged.
            eventually("the timer", || timer_of_servers_end(&client) == Some(timer));
        }
    }
}
