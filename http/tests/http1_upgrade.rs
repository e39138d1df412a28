//! Leaving HTTP: who may, what is handed on, and what a drain knows of it.

mod common;

use common::{Client, TestServer, get};
use lakh_core::drain_requested;
use lakh_http::{App, Request, Response, StatusCode, Upgraded};
use std::time::Duration;

/// Sends back what comes, with a `>` in front of each read, until the end.
async fn echo(mut stream: Upgraded) {
    let mut buffer = [0; 64];
    while let Ok(n @ 1..) = stream.read(&mut buffer).await {
        stream.write_all(b">").await.unwrap();
        stream.write_all(&buffer[..n]).await.unwrap();
    }
}

fn app() -> App {
    App::new()
        .get("/echo", || Response::upgrade("echo", echo).with_header("x-sub", "one"))
        .get("/later", async |_: Request| Response::upgrade("echo", echo))
        .post("/read", async |mut request: Request| {
            request.body_mut().bytes().await.unwrap();
            Response::upgrade("echo", echo)
        })
        .post("/unread", async |_: Request| Response::upgrade("echo", echo))
        .get("/until-drain", || {
            Response::upgrade("echo", async |stream: Upgraded| {
                drain_requested().await;
                stream.write_all(b"bye").await.unwrap();
            })
        })
        .get("/plain", || "plain")
        .get("/gives-up", || Response::upgrade("echo", echo).with_status(StatusCode::CONFLICT))
        .get("/bare", || Response::empty(StatusCode::SWITCHING_PROTOCOLS))
}

fn asking(method: &str, path: &str, protocol: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: {protocol}\r\n"
    )
}

fn ask(client: &mut Client, path: &str) {
    client.send(asking("GET", path, "echo") + "\r\n");
    let head = client.head();
    assert_eq!((head.status, head.field("upgrade")), (101, Some("echo")));
}

#[test]
fn the_connection_goes_to_the_handler_with_what_was_sent_behind_the_request() {
    let server = TestServer::start(|_| app());
    for path in ["/echo", "/later"] {
        let mut client = server.connect();
        client.send(asking("GET", path, "echo") + "\r\nGET / HTTP/1.1\r\n");
        let head = client.head();
        assert_eq!((head.status, head.field("connection")), (101, Some("upgrade")));
        assert_eq!((head.field("content-length"), head.field("transfer-encoding")), (None, None));
        assert_eq!(client.take(17), b">GET / HTTP/1.1\r\n");
        client.send("more");
        assert_eq!(client.take(5), b">more");
        client.finish_sending();
        client.expect_close();
    }
    assert_eq!(server.exchange(asking("GET", "/gives-up", "echo") + "\r\n").status, 409);
}

#[test]
fn what_was_read_is_given_in_pieces_of_the_readers_size() {
    let server = TestServer::start(|_| app());
    let mut client = server.connect();
    let behind = "x".repeat(100);
    client.send(asking("GET", "/echo", "echo") + "\r\n" + &behind);
    assert_eq!(client.head().status, 101);
    assert_eq!(client.take(102), format!(">{}>{}", &behind[..64], &behind[64..]).into_bytes());
}

#[test]
fn fields_of_the_answer_and_earlier_answers_come_first() {
    let server = TestServer::start(|_| app());
    let mut client = server.connect();
    client.send(get("/plain") + &asking("GET", "/echo", "h2c, Echo") + "\r\nhello");
    assert_eq!(client.answer().text(), "plain");
    let head = client.head();
    assert_eq!((head.status, head.field("x-sub")), (101, Some("one")));
    assert_eq!(client.take(6), b">hello");
}

#[test]
fn who_has_not_asked_is_told_to() {
    let server = TestServer::start(|_| app());
    let without_option = "GET /echo HTTP/1.1\r\nHost: a\r\nUpgrade: echo\r\n\r\n".to_owned();
    let other = asking("GET", "/echo", "h2c, echoes") + "\r\n";
    let mut client = server.connect();
    for request in [get("/echo"), without_option, other] {
        let answer = client.exchange(&request);
        assert_eq!((answer.status, answer.field("upgrade")), (426, Some("echo")), "{request}");
        assert_eq!(answer.field("connection"), Some("upgrade"));
    }
    assert_eq!(client.exchange(get("/plain")).text(), "plain");
    let old = server.exchange("GET /echo HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
    assert_eq!(old.status, 426);
}

#[test]
fn an_upgrade_that_no_handler_takes_is_ignored() {
    let server = TestServer::start(|_| app());
    let mut client = server.connect();
    for _ in 0..2 {
        assert_eq!(client.exchange(asking("GET", "/plain", "h2c") + "\r\n").text(), "plain");
    }
    assert_eq!(client.exchange(asking("GET", "/bare", "h2c") + "\r\n").status, 500);
}

#[test]
fn a_body_ends_before_the_new_protocol_begins() {
    let server = TestServer::start(|_| app());
    let mut client = server.connect();
    client.send(asking("POST", "/read", "echo") + "Content-Length: 4\r\n\r\nbodybehind");
    assert_eq!(client.head().status, 101);
    assert_eq!(client.take(7), b">behind");
    let mut client = server.connect();
    client.send(asking("POST", "/unread", "echo") + "Content-Length: 4\r\n\r\nbo");
    assert_eq!(client.answer().status, 400);
}

#[test]
fn a_drain_counts_upgraded_connections_and_can_be_heard_by_them() {
    let server = TestServer::start(|_| app());
    let mut client = server.connect();
    ask(&mut client, "/until-drain");
    server.wait_in_flight(1);
    server.running.drain();
    assert_eq!(client.rest(), b"bye");
    assert!(server.running.join(Duration::from_secs(60)));
}

#[test]
fn an_upgraded_connection_that_ends_leaves_nothing() {
    let server = TestServer::start(|_| app());
    let before = server.running.shards().next().unwrap().metrics().tasks();
    let mut client = server.connect();
    ask(&mut client, "/echo");
    drop(client);
    server.wait_in_flight(0);
    common::eventually("the task ends", || {
        server.round();
        server.running.shards().next().unwrap().metrics().tasks() <= before.max(1)
    });
}
