//! Servers whose shards have descriptor tables of their own.
#![cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]

mod common;

use common::{Client, get};
use lakh_core::blocking;
use lakh_http::{App, Files, Running, Server};
use std::{
    fs,
    io::{ErrorKind, Read},
    net::TcpListener,
    time::Duration,
};

const HANG: Duration = Duration::from_secs(20);

fn server() -> Server {
    Server::new(|shard| {
        let id = shard.id();
        App::new()
            .get("/", move || id.to_string())
            .get("/pool", async || blocking(|| "from the pool").await.unwrap_or("nothing"))
    })
    .shards(2)
    .private_descriptors(true)
}

fn accepted(running: &Running) -> Vec<u64> {
    running.metrics().map(|shard| shard.accept().accepted()).collect()
}

#[test]
fn every_shard_serves_on_every_address() {
    // The order does not matter.
    let running =
        server().bind("127.0.0.1:0").unwrap().private_descriptors(true).bind("127.0.0.1:0").unwrap();
    let running = running.start().unwrap();
    let addrs = running.addrs().to_vec();
    assert!(addrs[0] != addrs[1] && addrs.iter().all(|addr| addr.port() != 0));
    for addr in addrs {
        let mut answers: Vec<String> = (0..200)
            .map(|_| {
                let mut client = Client::connect(addr);
                client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
                let answer = client.answer();
                client.expect_close();
                answer.text().to_owned()
            })
            .collect();
        answers.sort();
        answers.dedup();
        assert_eq!(answers, ["0", "1"]);
        let mut client = Client::connect(addr);
        client.send(get("/pool"));
        assert_eq!(client.answer().text(), "from the pool");
    }
    assert_eq!(accepted(&running).iter().sum::<u64>(), 402);
}

#[test]
fn a_drain_ends_idle_connections_and_frees_the_ports() {
    let running = server().bind("127.0.0.1:0").unwrap().start().unwrap();
    let addr = running.addrs()[0];
    let mut idle: Vec<Client> = (0..20).map(|_| Client::connect(addr)).collect();
    for client in &mut idle {
        client.send(get("/"));
        client.answer();
    }
    running.drain();
    for client in &mut idle {
        assert_eq!(client.stream.read(&mut [0]).unwrap(), 0, "an end, and no reset");
    }
    assert!(running.join(HANG));
    drop(running);
    TcpListener::bind(addr).expect("the port is free");
}

#[test]
fn a_taken_port_is_an_error_at_once() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let error = server().bind(other.local_addr().unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    // And so is that of a server of this kind.
    let running = server().bind("127.0.0.1:0").unwrap().start().unwrap();
    assert_eq!(server().bind(running.addrs()[0]).unwrap_err().kind(), ErrorKind::AddrInUse);
}

#[test]
fn static_files_are_refused_at_the_start_and_the_message_says_why() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("page.html"), "hello").unwrap();
    let opened = Files::dir(folder.path()).open().unwrap();
    for files in [Files::dir(folder.path()), opened.clone()] {
        let server = Server::new(move |_| App::new().files("/", files.clone())).shards(2);
        let error = server.private_descriptors(true).bind("127.0.0.1:0").unwrap().start().unwrap_err();
        let text = error.to_string();
        let path = folder.path().to_str().unwrap();
        assert!(text.contains(path) && text.contains("private_descriptors"), "{text}");
    }
    // Nothing of what was open has been closed by that.
    let server = Server::new(move |_| App::new().files("/", opened.clone())).shards(1);
    let running = server.bind("127.0.0.1:0").unwrap().start().unwrap();
    let mut client = Client::connect(running.addrs()[0]);
    client.send(get("/page.html"));
    assert_eq!(client.answer().text(), "hello");
}
