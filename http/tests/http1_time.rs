//! Slow clients and the drain, over real sockets.
//!
//! Deadlines are in whole seconds and never end early: tests assert that they end, and not at once.

mod common;

use common::{Answer, Client, TestServer, eventually, get, pause_of_a_slow_peer};
use lakh_http::{App, Body, Bytes, Limits, Request, Response};
use std::{
    convert::Infallible,
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::{Duration, Instant},
};

const SECOND: Duration = Duration::from_secs(1);

fn app() -> App {
    App::new()
        .get("/", || "hello")
        .get("/big", || vec![b'x'; 32 << 20])
        .get("/endless", || {
            let chunk = Bytes::from(vec![b'x'; 10_000]);
            Response::new(Body::from_poll_fn(move |_| Poll::Ready(Some(Ok::<_, Infallible>(chunk.clone())))))
        })
        .get("/slow", async || {
            lakh_core::sleep(Duration::from_millis(2500)).await;
            "slow"
        })
        .post("/", async |mut request: Request| request.body_mut().bytes().await)
        .post("/ignore", || "ignored")
        .post("/stream", async |request: Request| {
            let mut body = request.into_body();
            Response::new(Body::from_poll_fn(move |cx| body.poll_chunk(cx)))
        })
}

/// Every deadline is far away but those that `change` sets.
fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let far = Duration::from_secs(600);
    let mut limits = Limits {
        first_byte: far,
        head_time: far,
        keep_alive: far,
        stall: far,
        linger: far,
        linger_silence: far,
        ..Limits::default()
    };
    change(&mut limits);
    limits
}

/// What the server sends to a client that sends `bytes` and then nothing.
fn left_alone(limits: Limits, bytes: &str) -> (Vec<u8>, Duration) {
    let server = TestServer::with_limits(limits, |_| app());
    let mut client = server.connect();
    client.send(bytes);
    let start = Instant::now();
    let rest = client.rest();
    (rest, start.elapsed())
}

#[test]
fn a_client_that_sends_nothing_is_closed() {
    let (rest, time) = left_alone(limits(|l| l.first_byte = SECOND), "");
    assert!(rest.is_empty());
    assert!(time >= SECOND, "{time:?}");
}

#[test]
fn half_a_head_is_answered_with_408() {
    for half in ["G", "GET / HTTP/1.1\r\nHost: a\r\n"] {
        let (rest, time) = left_alone(
            limits(|l| {
                l.head_time = SECOND;
                l.linger = SECOND
            }),
            half,
        );
        assert!(rest.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&rest));
        assert!(time >= SECOND, "{time:?}");
    }
}

#[test]
fn a_trickled_head_has_no_more_time_than_a_silent_one() {
    let server = TestServer::with_limits(limits(|l| l.head_time = SECOND), |_| app());
    let mut client = server.connect();
    client.exchange(get("/"));
    let mut stream = client.stream.try_clone().unwrap();
    let trickle = std::thread::spawn(move || {
        let lines = std::iter::once("GET / HTTP/1.1\r\nHost: a\r\n").chain(std::iter::repeat("X: y\r\n"));
        for line in lines.take(80) {
            if stream.write_all(line.as_bytes()).is_err() {
                return;
            }
            pause_of_a_slow_peer(Duration::from_millis(100));
        }
    });
    assert_eq!(client.answer().status, 408);
    // Its next write fails. The other side may have ended the connection before.
    let _ = client.stream.shutdown(Shutdown::Both);
    trickle.join().unwrap();
}

#[test]
fn an_idle_connection_is_closed_after_its_answer() {
    let (rest, time) = left_alone(limits(|l| l.keep_alive = SECOND), &get("/"));
    assert!(rest.ends_with(b"hello"));
    assert!(time >= SECOND, "{time:?}");
}

#[test]
fn a_body_that_stops_is_408_for_its_reader_and_the_end_of_the_connection() {
    let change = |l: &mut Limits| (l.stall, l.linger) = (SECOND, SECOND);
    let half = "HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello";
    let (rest, _) = left_alone(limits(change), &format!("POST / {half}"));
    assert!(rest.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&rest));
    let (rest, _) = left_alone(limits(change), &format!("POST /ignore {half}"));
    assert!(rest.ends_with(b"ignored"), "one that nobody reads ends the connection, too");
    let (rest, _) = left_alone(limits(change), &format!("POST /stream {half}"));
    assert!(rest.ends_with(b"\r\n\r\n5\r\nhello\r\n"), "and cuts an answer that is made of it");
    let (rest, _) = left_alone(
        limits(change),
        &format!(
            "POST / {}",
            half.replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n").replace("hello", "")
        ),
    );
    assert!(rest.starts_with(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 408 "));
}

#[test]
fn a_trickled_body_is_held_to_the_least_rate() {
    let server = TestServer::with_limits(limits(|l| l.stall = SECOND), |_| app());
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    let mut stream = client.stream.try_clone().unwrap();
    let trickle = std::thread::spawn(move || {
        for _ in 0..80 {
            if stream.write_all(b"x").is_err() {
                return;
            }
            pause_of_a_slow_peer(Duration::from_millis(100));
        }
    });
    assert_eq!(client.answer().status, 408);
    // Its next write fails. The other side may have ended the connection before.
    let _ = client.stream.shutdown(Shutdown::Both);
    trickle.join().unwrap();
}

/// Bytes that say when they are dropped.
struct Tracked(Vec<u8>, Arc<AtomicBool>);

impl AsRef<[u8]> for Tracked {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.1.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_client_that_stops_reading_is_cut() {
    for path in ["/big", "/endless"] {
        let dropped = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&dropped);
        let server = TestServer::with_limits(limits(|l| l.stall = SECOND), move |_| {
            let (big, endless) = (Arc::clone(&flag), Arc::clone(&flag));
            App::new()
                .get("/big", move || Bytes::from_owner(Tracked(vec![b'x'; 32 << 20], Arc::clone(&big))))
                .get("/endless", move || {
                    let chunk = Bytes::from_owner(Tracked(vec![b'x'; 10_000], Arc::clone(&endless)));
                    Response::new(Body::from_poll_fn(move |_| {
                        Poll::Ready(Some(Ok::<_, Infallible>(chunk.clone())))
                    }))
                })
        });
        let mut client = server.connect();
        let start = Instant::now();
        client.send(get(path));
        eventually("the answer is given up", || dropped.load(Ordering::Relaxed));
        assert!(start.elapsed() >= SECOND);
        assert!(client.rest().len() < 32 << 20, "what the kernels held can still be read");
        let cut: u64 = server.running.metrics().map(|shard| shard.slow_readers()).sum();
        assert_eq!(cut, 1, "it is counted");
    }
}

#[test]
fn a_client_that_reads_fast_enough_is_not_cut() {
    let server = TestServer::with_limits(limits(|l| l.stall = SECOND), |_| app());
    let mut client = server.connect();
    client.send(get("/big"));
    let mut read = 0;
    let mut buffer = vec![0; 4 << 20];
    client.head();
    while read < 31 << 20 {
        read += client.stream.read(&mut buffer).unwrap();
        pause_of_a_slow_peer(Duration::from_millis(150));
    }
}

/// The kernel says that a full socket can be written only when a third of its buffer, which may be megabytes, is
/// free again: a client that reads at many times the least rate takes longer for that than it may stall.
#[test]
#[cfg(target_os = "linux")]
fn a_client_that_reads_steadily_is_not_cut_while_the_kernel_says_nothing() {
    let server = TestServer::with_limits(limits(|l| l.stall = SECOND), |_| app());
    let mut client = server.connect();
    rustix::net::sockopt::set_socket_recv_buffer_size(&client.stream, 64 * 1024).unwrap();
    client.send(get("/big"));
    client.head();
    let mut buffer = vec![0; 16 * 1024];
    let start = Instant::now();
    while start.elapsed() < 5 * SECOND {
        client.stream.read_exact(&mut buffer).unwrap();
        pause_of_a_slow_peer(Duration::from_millis(100));
    }
    let in_flight = server.running.shards().next().unwrap().metrics().guards();
    assert_eq!(in_flight, 1, "the answer was cut");
}

#[test]
fn a_handler_at_work_has_no_deadline() {
    let limits = limits(|l| {
        (l.first_byte, l.head_time, l.keep_alive, l.stall) = (SECOND, SECOND, SECOND, SECOND);
    });
    let server = TestServer::with_limits(limits, |_| app());
    assert_eq!(server.exchange(get("/slow")).text(), "slow");
}

#[test]
fn lingering_ends_in_time() {
    let limits = limits(|l| (l.body, l.linger) = (10, SECOND));
    let server = TestServer::with_limits(limits, |_| app());
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n");
    assert_eq!(client.answer().status, 413);
    eventually("writing fails once the server has closed", || client.stream.write_all(b"x").is_err());
}

#[test]
fn lingering_ends_early_for_a_client_that_is_silent() {
    let limits = limits(|l| (l.body, l.linger_silence) = (10, SECOND));
    let server = TestServer::with_limits(limits, |_| app());
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n");
    assert_eq!(client.answer().status, 413);
    server.wait_in_flight(0);
}

#[test]
fn a_drain_waits_for_a_refused_client_that_goes_on_sending_no_longer_than_for_a_silent_one() {
    let limits = limits(|l| (l.body, l.linger_silence) = (10, SECOND));
    let server = TestServer::with_limits(limits, |_| app());
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n");
    assert_eq!(client.answer().status, 413);
    server.running.drain();
    eventually("writing fails once the server has closed", || client.stream.write_all(b"x").is_err());
    assert!(server.running.join(Duration::from_secs(20)));
}

#[test]
fn idle_connections_cost_no_turns() {
    let server = TestServer::start(|_| app());
    let mut clients: Vec<Client> = (0..50).map(|_| server.connect()).collect();
    clients[..30].iter_mut().for_each(|client| assert_eq!(client.exchange(get("/")).status, 200));
    clients[30..40].iter_mut().for_each(|client| client.send("GET / HT"));
    clients[40..].iter_mut().for_each(|client| {
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhello");
    });
    server.wait_in_flight(20);
    server.settle();
    let turns = server.observe_for(Duration::from_millis(500));
    assert!(turns <= 5, "{turns} turns while all wait");
}

// Drain

#[test]
fn a_drain_closes_idle_connections_and_finishes_those_in_flight() {
    let server = TestServer::start(|_| app());
    let mut idle = server.connect();
    idle.exchange(get("/"));
    let mut fresh = server.connect();
    let mut at_work = server.connect();
    at_work.send(get("/slow") + &get("/"));
    let mut uploading = server.connect();
    uploading.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe");
    let mut downloading = server.connect();
    downloading.send(get("/big"));
    server.wait_in_flight(3); // and those that connected earlier have been taken
    server.running.drain();
    idle.expect_close();
    fresh.expect_close();
    eventually("new connections are refused", || TcpStream::connect(server.addr).is_err());
    uploading.send("llo");
    let close = |answer: Answer, text: &str| {
        assert_eq!(answer.text(), text);
        assert!(answer.says_close());
    };
    close(uploading.answer(), "hello");
    uploading.expect_close();
    assert_eq!(downloading.answer().body.len(), 32 << 20);
    downloading.expect_close();
    assert!(!server.running.join(Duration::from_millis(1)), "one is still at work");
    close(at_work.answer(), "slow");
    at_work.finish_sending();
    at_work.expect_close();
    assert!(server.running.join(Duration::from_secs(10)));
}

#[test]
fn a_drain_without_connections_ends_at_once() {
    let server = TestServer::start(|_| app());
    server.running.drain();
    assert!(server.running.join(Duration::from_secs(10)));
}
