//! What has come and is not received: its measure on a shard.

mod common;

use common::*;
use lakh_http::{App, testing::TestServer};
use lakh_ws::{
    Callbacks, CloseCode, Config, Payload, Socket, SocketMetrics, WebSocket, WebSocketRoutes, callbacks,
    proto::Opcode,
};
use std::{cell::RefCell, future::ready, rc::Rc};

const CAP: usize = 400 * 1024;
const HALF: usize = 100 * 1024;

fn config(metrics: &SocketMetrics) -> Config {
    Config::new().shard_inbox(CAP).max_message(CAP).metrics(metrics)
}

/// A client of which the server has the first half of a message.
fn with_half(server: &TestServer, path: &str) -> Client {
    let mut client = Client::open(server, path);
    client.send_bytes(&fragment(Opcode::Binary, &[1; HALF], false));
    client
}

#[test]
fn the_message_for_which_a_shard_has_no_room_closes_with_1013_and_the_others_go_on() {
    let metrics = SocketMetrics::new();
    let config = config(&metrics);
    let server = TestServer::start(move |_| echoes(&config));
    for path in STYLES {
        let (mut halves, mut refused) = (Vec::new(), 0);
        while refused == 0 {
            let mut client = with_half(&server, path);
            client.send(Opcode::Ping, b"");
            match client.frame().unwrap().opcode {
                Opcode::Pong => halves.push(client),
                _ => refused += 1,
            }
            assert!(halves.len() * HALF <= CAP, "there is no end of it");
        }
        assert!(halves.len() >= 2, "there was room for two at least");
        assert_eq!(metrics.crowded(), 1 + u64::from(path == STYLES[1]));
        // Short messages come in pieces as well.
        let mut small = Client::open(&server, path);
        small.send_bytes(&fragment(Opcode::Text, &[b'x'; 500], false));
        small.expect_alive();
        small.send(Opcode::Continuation, b"");
        small.expect_text(&"x".repeat(500));
        for client in &mut halves {
            client.send(Opcode::Continuation, b"");
            client.expect(Opcode::Binary, [1; HALF]);
        }
        let mut next = with_half(&server, path);
        next.expect_alive();
    }
    assert_eq!(metrics.crowded(), 2);
}

#[test]
fn the_reason_says_what_is_wrong() {
    let metrics = SocketMetrics::new();
    let config = config(&metrics).shard_inbox(2000);
    let server = TestServer::start(move |_| echoes(&config));
    for path in STYLES {
        let mut client = with_half(&server, path);
        assert_eq!(client.expect_close(1013), "no room for the message");
    }
    eventually("both are over", || metrics.closed(CloseCode::Again) == 2);
}

/// Keeps handles of its sockets, whatever becomes of them.
struct Kept(Rc<RefCell<Vec<Socket>>>);

impl Callbacks for Kept {
    fn on_open(&mut self, socket: &Socket) {
        self.0.borrow_mut().push(socket.clone());
    }

    fn on_message(&mut self, socket: &Socket, message: Payload<'_>) {
        let _ = socket.send(message);
    }
}

#[test]
fn the_measure_comes_back_to_nothing_however_connections_end() {
    let metrics = SocketMetrics::new();
    let config = config(&metrics);
    let server = TestServer::start(move |_| {
        let sockets: Rc<RefCell<Vec<Socket>>> = Rc::default();
        let all = Rc::clone(&sockets);
        let close = move || {
            sockets.borrow().iter().for_each(|socket| socket.close(CloseCode::Away, ""));
            ""
        };
        let kept = callbacks(move || Kept(Rc::clone(&all)));
        App::new()
            .ws_with("/callbacks", config.clone(), kept)
            .ws_with("/async", config.clone(), echo)
            .get("/close", close)
    });
    server.get("/close").send().text();
    let left = Left::of(&server); // with the connection of that request
    let ends: [fn(&TestServer, Client); 7] = [
        |_, mut client| client.close(1000, ""),
        |_, mut client| client.close(1000, "and gone"),
        |_, client| client.finish_sending(),
        |_, client| drop(client),
        |_, mut client| client.send(Opcode::Text, b"a message within another"),
        |_, mut client| client.send_bytes(&fragment(Opcode::Continuation, &[1; CAP + 1], true)[..20]),
        |server, _client| drop(server.get("/close").send().text()),
    ];
    for path in STYLES {
        for (at, end) in ends.iter().enumerate() {
            for _ in 0..2 {
                let mut client = with_half(&server, path);
                client.expect_alive();
                end(&server, client);
                left.expect_the_same(&server);
            }
            // It would not fit beside what is left of any of those, and does by itself even if its first fragment
            // comes in such pieces that there is memory for twice as much.
            let mut whole = Client::open(&server, path);
            whole.send_bytes(&fragment(Opcode::Binary, &[1; CAP / 2 - 1024], false));
            whole.expect_alive();
            whole.send(Opcode::Continuation, &[1; HALF + 1024]);
            whole.expect(Opcode::Binary, [1; CAP / 2 + HALF]);
            drop(whole);
            left.expect_the_same(&server);
            assert_eq!(metrics.crowded(), 0, "after the end {at} of {path}");
        }
    }
}

#[test]
fn messages_that_busy_handlers_do_not_take_count_until_their_sockets_are_dropped() {
    const LEN: usize = 60 * 1024;
    let metrics = SocketMetrics::new();
    let config = config(&metrics);
    let server = TestServer::start(move |_| {
        let handles: Rc<RefCell<Vec<Socket>>> = Rc::default();
        let busy: Rc<RefCell<Vec<WebSocket>>> = Rc::default();
        let drops = Rc::clone(&busy);
        let keeps = move |socket: WebSocket| {
            // Who keeps a handle keeps no message.
            handles.borrow_mut().push(socket.socket().clone());
            busy.borrow_mut().push(socket);
            ready(())
        };
        App::new().ws_with("/", config.clone(), keeps).get("/drop", move || {
            drops.take();
            ""
        })
    });
    server.get("/drop").send().text();
    let left = Left::of(&server); // with the connection of that request
    for _ in 0..2 {
        let (crowded, received) = (metrics.crowded(), metrics.received());
        let mut clients = Vec::new();
        while metrics.crowded() == crowded {
            let mut client = Client::open(&server, "/");
            client.send(Opcode::Binary, &[1; LEN]);
            clients.push(client);
            eventually("it has come", || metrics.received() == received + clients.len() as u64);
            server.running().shards().for_each(|shard| round(shard, 2));
            assert!(clients.len() * LEN < 2 * CAP, "there is no end of it");
        }
        assert!(clients.len() > 5, "{} clients, and there was room", clients.len());
        if let Some(mut last) = clients.pop() {
            last.expect_close(1013);
        }
        server.get("/drop").send().text();
        drop(clients);
        left.expect_the_same(&server);
    }
}
