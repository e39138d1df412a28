//! What a server does with its listeners: binding, counting, and the end.

mod common;

use common::{Client, TestServer, get};
use lakh_http::{App, Server};
use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::mpsc,
    time::Duration,
};

const HANG: Duration = Duration::from_secs(20);

/// Keeps the shard from doing anything until the sender is dropped.
fn hold(server: &TestServer) -> mpsc::Sender<()> {
    let ((held, is_held), (go, wait)) = (mpsc::channel(), mpsc::channel::<()>());
    let hold = move |_: &lakh_core::Shard| {
        held.send(()).unwrap();
        wait.recv().expect_err("its sender is dropped");
    };
    server.running.shards().next().unwrap().send(hold).unwrap();
    is_held.recv().unwrap();
    go
}

fn accepted(server: &TestServer) -> u64 {
    server.running.metrics().map(|shard| shard.accept().accepted()).sum()
}

/// More of each kind than one task may accept in one turn.
#[test]
fn a_drain_serves_the_connections_that_wait_to_be_accepted() {
    const EACH: usize = 150;
    let server = TestServer::start(|_| App::new().get("/", || "hello"));
    let held = hold(&server);
    let mut idle: Vec<Client> = (0..EACH).map(|_| server.connect()).collect();
    let mut asking: Vec<Client> = (0..EACH).map(|_| server.connect()).collect();
    asking.iter_mut().for_each(|client| client.send(get("/")));
    server.running.drain();
    drop(held);
    for client in &mut asking {
        let answer = client.answer();
        assert_eq!(answer.text(), "hello");
        assert!(answer.says_close());
        client.expect_close();
    }
    for client in &mut idle {
        let mut byte = [0];
        assert_eq!(std::io::Read::read(&mut client.stream, &mut byte).unwrap(), 0, "an end, and no reset");
    }
    assert!(server.running.join(HANG));
    assert_eq!(accepted(&server), 2 * EACH as u64);
}

#[test]
fn a_request_that_had_begun_in_the_backlog_is_finished_in_a_drain() {
    let server = TestServer::start(|_| App::new().get("/", || "hello"));
    let held = hold(&server);
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\n");
    server.running.drain();
    drop(held);
    server.wait_in_flight(1);
    client.send("Host: a\r\n\r\n");
    let answer = client.answer();
    assert_eq!((answer.text(), answer.says_close()), ("hello", true));
    assert!(server.running.join(HANG));
}

#[test]
fn any_thread_can_read_what_each_shard_has_accepted() {
    let server = Server::new(|_| App::new().get("/", || "hello")).shards(2);
    // Two addresses, so two listeners on each shard.
    let running = server.bind("127.0.0.1:0").unwrap().bind("localhost:0").unwrap().start().unwrap();
    let metrics: Vec<_> = running.metrics().cloned().collect();
    assert_eq!(metrics.len(), 2);
    for i in 0..10 {
        let mut client = Client::connect(running.addrs()[i % 2]);
        assert_eq!(client.exchange(get("/")).status, 200);
    }
    let sum = move || metrics.iter().map(|shard| shard.accept().accepted()).sum::<u64>();
    assert_eq!(std::thread::spawn(sum).join().unwrap(), 10);
    running.runtime().stop();
    assert!(running.join(HANG));
    let left: u64 = running.metrics().map(|shard| shard.accept().accepted() + shard.accept().shed()).sum();
    assert_eq!(left, 10, "they outlive the shards");
}

#[test]
fn an_address_may_be_text_and_what_is_none_is_refused() {
    let server = || Server::new(|_| App::new()).shards(1);
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr: SocketAddr = taken.local_addr().unwrap();
    assert_eq!(server().bind(addr).unwrap_err().kind(), ErrorKind::AddrInUse);
    assert_eq!(server().bind(addr.to_string()).unwrap_err().kind(), ErrorKind::AddrInUse);
    let bound = server().bind("localhost:0").unwrap().bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    assert!(bound.addrs().iter().all(|addr| addr.ip() == Ipv4Addr::LOCALHOST));
    let error = server().bind("example.org:80").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("\"example.org:80\": names are not resolved"), "{error}");
}
