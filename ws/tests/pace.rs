//! The least rate of peers, in both directions.

mod common;

use common::*;
use lakh_http::{App, testing::TestServer};
use lakh_ws::{Config, SocketMetrics, WebSocket, WebSocketRoutes, proto::Opcode};
use std::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_secs(2);

#[test]
fn a_message_that_trickles_in_closes_with_1008_whatever_pings_come_between() {
    let metrics = SocketMetrics::new();
    let server = echo_server(Config::new().message_timeout(TIMEOUT).metrics(&metrics));
    for path in STYLES {
        let mut client = Client::open(&server, path);
        let begun = Instant::now();
        client.send_bytes(&fragment(Opcode::Text, b"a", false));
        let frame = loop {
            client.send(Opcode::Ping, &[b'p'; 125]);
            let frame = client.frame().expect("a frame, not the end");
            if frame.opcode == Opcode::Close {
                break frame;
            }
            assert!(begun.elapsed() < SAFETY_NET, "it may go on for ever");
            client.send_bytes(&fragment(Opcode::Continuation, b"a", false));
            pause_of_a_client(Duration::from_millis(100));
        };
        assert_eq!(frame.payload, b"\x03\xf0too slow");
        assert!(begun.elapsed() >= TIMEOUT, "it was too early");
    }
    assert_eq!(metrics.slow(), 2);
}

#[test]
fn half_a_head_is_a_message_that_has_begun() {
    let server = echo_server(Config::new().message_timeout(TIMEOUT));
    for path in STYLES {
        let mut client = Client::open(&server, path);
        client.send_bytes(b"\x81");
        client.expect_close(1008);
    }
}

#[test]
fn a_message_that_comes_at_the_rate_and_one_after_the_other_are_taken() {
    // Ten times the rate, and each time the read ends within a message.
    let server = echo_server(Config::new().message_timeout(TIMEOUT).rate(100));
    let mut long = Client::open(&server, "/callbacks");
    let mut many = Client::open(&server, "/callbacks");
    let short = frame(Opcode::Text, b"one of many");
    long.send_bytes(&fragment(Opcode::Binary, b"", false));
    many.send_bytes(&short[..8]);
    for _ in 0..45 {
        long.send_bytes(&fragment(Opcode::Continuation, &[7; 100], false));
        many.send_bytes(&[&short[8..], &short[..8]].concat());
        many.expect_text("one of many");
        pause_of_a_client(Duration::from_millis(100));
    }
    long.send(Opcode::Continuation, b"");
    long.expect(Opcode::Binary, [7; 4500]);
}

/// A server that sends 32 MiB, and a client that takes so many bytes in each tenth of a second, until it is cut or for
/// twice the timeout.
fn reads_slowly(config: Config, bytes: usize) {
    let server = TestServer::start(move |_| {
        App::new().ws_with("/", config.clone(), async |socket: WebSocket| {
            let _ = socket.send(vec![3; 32 << 20]).await;
            let _ = socket.send("the end").await;
        })
    });
    let mut client = Client::open_narrow(&server, "/");
    let begun = Instant::now();
    while begun.elapsed() < 3 * TIMEOUT {
        client.take(bytes);
        pause_of_a_client(Duration::from_millis(100));
    }
}

#[test]
fn a_peer_that_takes_a_little_now_and_then_is_cut() {
    let metrics = SocketMetrics::new();
    let config = Config::new().write_timeout(TIMEOUT).rate(1 << 20).queue(64 << 20).metrics(&metrics);
    reads_slowly(config, 1000);
    eventually("it is cut", || metrics.slow() == 1);
}

/// Though the kernel says nothing of that: a full buffer counts as writable when a third of it is free.
#[cfg(target_os = "linux")]
#[test]
fn a_peer_that_takes_at_the_rate_is_not_cut() {
    let metrics = SocketMetrics::new();
    let config = Config::new().write_timeout(TIMEOUT).rate(1000).queue(64 << 20).metrics(&metrics);
    reads_slowly(config, 2000);
    assert_eq!(metrics.slow(), 0);
}
