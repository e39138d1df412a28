//! The servers of WebSockets, and what measures them, against each other.

use std::time::Duration;

use lakh_compare::broadcast::Audience;
use lakh_compare::load::{Load, Plan};
use lakh_compare::process::{HugePages, Server, Spec};
use lakh_compare::ws::{self, Message};

const PATIENCE: Duration = Duration::from_secs(30);
const FLOOR: &str = env!("CARGO_BIN_EXE_ws_floor");
const SERVERS: [&str; 3] =
    [FLOOR, env!("CARGO_BIN_EXE_fastwebsockets_server"), env!("CARGO_BIN_EXE_tungstenite_server")];

fn start(program: &str, shards: usize) -> Server {
    let command = format!("server='{program}' --listen 127.0.0.1:0 --shards {shards}");
    Server::start(&Spec::parse(&command).unwrap(), None, HugePages::AsUsual, PATIENCE).unwrap()
}

#[test]
fn every_server_echoes_messages_of_every_size() {
    for program in SERVERS {
        let server = start(program, 2);
        for (size, depth) in [(0, 1), (64, 1), (64, 16), (4096, 16), (70_000, 2)] {
            let message = Message::text(size);
            let opened = ws::open(server.address, 5, "/echo", &message).unwrap();
            let mut load = Load::new(opened, Plan { request: message.masked, depth, spin: false }).unwrap();
            let window = load.exactly(320).unwrap();
            assert_eq!(window.answers, 320, "{program}, {size} bytes");
            load.into_opened().unwrap().expect_idle().unwrap();
        }
        assert!(server.stop(PATIENCE).unwrap().success(), "{program}");
    }
}

#[test]
fn an_echo_of_another_message_is_an_error() {
    let server = start(FLOOR, 1);
    let opened = ws::open(server.address, 1, "/echo", &Message::text(64)).unwrap();
    let request = Message::numbered(64, 1).masked;
    let mut load = Load::new(opened, Plan { request, depth: 1, spin: false }).unwrap();
    assert!(load.exactly(1).is_err());
}

#[test]
fn what_is_published_reaches_subscribers_of_all_threads() {
    let server = start(FLOOR, 3);
    let mut audience = Audience::open(server.address, 10, 128).unwrap();
    for _ in 0..3 {
        assert!(audience.for_time(Duration::ZERO).unwrap().answers >= 10);
    }
    audience.expect_silence().unwrap();
}
