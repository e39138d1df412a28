//! Connecting to the first of several addresses that answers.

mod common;

use common::*;
use lakh_core::{spawn, yield_now};
use lakh_net::{ConnectOptions, TcpListener, TcpStream, connect_any};
use socket2::{Domain, Socket, Type};
use std::{io::ErrorKind, net::SocketAddr, time::Duration};

/// The next attempt begins beside the last one as soon as can be, or never in a test's lifetime.
const AT_ONCE: Duration = Duration::ZERO;
const NEVER: Duration = Duration::from_secs(24 * 3600);

fn after(attempt_delay: Duration) -> ConnectOptions {
    ConnectOptions { attempt_delay, ..ConnectOptions::default() }
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(loopback()).unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

/// A port that is taken, and refuses connections.
fn refuses() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&loopback().into()).unwrap();
    let addr = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, addr)
}

/// A listener whose backlog is full: it drops attempts silently, as an unreachable host does.
#[cfg(target_os = "linux")]
fn never_answers() -> (Socket, SocketAddr, Vec<std::net::TcpStream>) {
    let (socket, addr) = refuses();
    socket.listen(0).unwrap();
    // A backlog of 0 lets one in.
    let waits = std::net::TcpStream::connect(addr).unwrap();
    (socket, addr, vec![waits])
}

async fn sources() -> u64 {
    yield_now().await;
    yield_now().await;
    lakh_core::current().handle().metrics().sources()
}

#[test]
fn after_a_failure_the_next_address_is_tried_at_once() {
    on_shard(async {
        let (_one, refuses_too) = refuses();
        let (_two, refuses) = refuses();
        let (listener, addr) = listener();
        let before = sources().await;
        let stream = connect_any([refuses, refuses_too, addr], &after(NEVER)).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), addr);
        assert_eq!(listener.accept().await.unwrap().1, stream.local_addr().unwrap());
        assert_eq!(sources().await, before + 1, "of those that failed nothing is left");
    });
}

#[cfg(target_os = "linux")]
#[test]
fn an_address_that_does_not_answer_holds_the_next_one_up_for_the_delay_and_no_longer() {
    on_shard(async {
        let (_socket, silent, _waits) = never_answers();
        let (_listener, addr) = listener();
        let before = sources().await;
        let stream = connect_any([silent, addr], &after(AT_ONCE)).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), addr);
        assert_eq!(sources().await, before + 1, "the attempt that came too late is dropped");
    });
}

#[cfg(target_os = "linux")]
#[test]
fn before_the_delay_is_over_nobody_else_is_asked() {
    on_shard(async {
        let (_socket, silent, _waits) = never_answers();
        let (listener, addr) = listener();
        let connecting = spawn(async move { connect_any([silent, addr], &after(NEVER)).await.map(drop) });
        // Turns in which it would have begun, and the kernel let it in at once.
        for _ in 0..100 {
            yield_now().await;
        }
        let accepted = lakh_core::timeout(Duration::ZERO, listener.accept()).await;
        assert!(accepted.is_err(), "it was asked too early");
        let before = sources().await;
        connecting.abort();
        yield_now().await;
        assert_eq!(sources().await, before - 1, "a dropped one closes its socket");
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_failure_beside_one_that_does_not_answer_lets_the_next_one_begin() {
    on_shard(async {
        let (_socket, silent, _waits) = never_answers();
        let (_refuses, refuses) = refuses();
        let (_listener, addr) = listener();
        let stream = connect_any([refuses, silent, addr], &after(Duration::from_millis(1))).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), addr);
    });
}

#[test]
fn the_first_to_answer_wins_and_the_losers_are_closed() {
    on_shard(async {
        let ((one, first), (two, second)) = (listener(), listener());
        for _ in 0..20 {
            let stream = connect_any([first, second], &after(AT_ONCE)).await.unwrap();
            let (winner, loser) =
                if stream.peer_addr().unwrap() == first { (&one, &two) } else { (&two, &one) };
            let (accepted, _) = winner.accept().await.unwrap();
            // If it was asked at all, the end came.
            if let Ok(lost) = lakh_core::timeout(Duration::ZERO, loser.accept()).await {
                assert_eq!(lost.unwrap().0.read(&mut [0]).await.unwrap_or(0), 0);
            }
            stream.write_all(b"hello").await.unwrap();
            let mut read = [0; 5];
            read_exact(&accepted, &mut read).await.unwrap();
            assert_eq!(&read, b"hello");
        }
    });
}

#[test]
fn if_all_fail_the_error_says_why_of_each() {
    on_shard(async {
        let ((_one, first), (_two, second)) = (refuses(), refuses());
        let error = connect_any([first, second], &after(NEVER)).await.unwrap_err();
        let failed: Vec<_> = error.failures().iter().map(|(addr, error)| (*addr, error.kind())).collect();
        assert_eq!(failed, [(first, ErrorKind::ConnectionRefused), (second, ErrorKind::ConnectionRefused)]);
        let text = error.to_string();
        assert!(text.contains(&first.to_string()) && text.contains(&format!("; to {second}: ")), "{text}");
        let none = connect_any([], &after(NEVER)).await.unwrap_err();
        assert_eq!(none.to_string(), "there is no address to connect to, or none of the source's family");
    });
}

#[cfg(target_os = "linux")] // where all of 127.0.0.0/8 is this machine
#[test]
fn the_source_is_the_one_that_was_asked_for() {
    on_shard(async {
        let (listener, addr) = listener();
        let from = |text: &str| ConnectOptions { local_addr: Some(text.parse().unwrap()), ..after(NEVER) };
        let stream = connect_any([addr], &from("127.0.0.2:0")).await.unwrap();
        let (_accepted, source) = listener.accept().await.unwrap();
        assert_eq!((source.ip().to_string(), source), ("127.0.0.2".into(), stream.local_addr().unwrap()));
        assert_ne!(source.port(), 0);

        // A port of one's own, for two destinations at once.
        let (other, elsewhere) = self::listener();
        let port = { refuses().1.port() };
        let from_port = from(&format!("127.0.0.3:{port}"));
        let streams: Vec<TcpStream> = {
            let one = connect_any([addr], &from_port).await.unwrap();
            vec![one, connect_any([elsewhere], &from_port).await.unwrap()]
        };
        let sources = [listener.accept().await.unwrap().1, other.accept().await.unwrap().1];
        assert_eq!(sources, [from_port.local_addr.unwrap(); 2]);
        drop(streams);

        // Nobody's address, and one of another family.
        let error = connect_any([addr], &from("192.0.2.1:0")).await.unwrap_err();
        assert_eq!(error.failures()[0].1.kind(), ErrorKind::AddrNotAvailable);
        let error = connect_any([addr], &from("[::1]:0")).await.unwrap_err();
        assert!(error.failures().is_empty());
    });
}
