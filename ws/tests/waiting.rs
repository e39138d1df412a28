//! Who waits is woken when there is reason to, and not before; what is due is not put off.

mod common;

use common::*;
use lakh_http::{App, testing::TestServer};
use lakh_ws::{
    Callbacks, CloseCode, Config, Payload, Socket, WebSocket, WebSocketRoutes, callbacks, proto::Opcode,
};
use std::{
    cell::Cell,
    future::{Future, pending, poll_fn},
    io::Write,
    pin::pin,
    rc::Rc,
    sync::mpsc,
    time::Duration,
};

#[test]
fn a_sender_that_waits_for_room_is_not_polled_before_there_is_some() {
    async fn floods(socket: WebSocket, polls: Rc<Cell<u64>>) {
        loop {
            let mut sending = pin!(socket.send(vec![1; 10_000]));
            let counted = poll_fn(|cx| {
                polls.set(polls.get() + 1);
                sending.as_mut().poll(cx)
            });
            if counted.await.is_err() {
                return;
            }
        }
    }
    // Less than what the server's other thresholds are.
    let config = Config::new().queue(16 * 1024);
    let server = TestServer::start(move |_| {
        let polls: Rc<Cell<u64>> = Rc::default();
        let counter = Rc::clone(&polls);
        let flood = move |socket: WebSocket| floods(socket, Rc::clone(&counter));
        App::new().ws_with("/", config.clone(), flood).get("/polls", move || {
            let polls = Rc::clone(&polls);
            async move {
                let before = polls.get();
                for _ in 0..100 {
                    lakh_core::yield_now().await;
                }
                format!("{} {before}", polls.get() - before)
            }
        })
    });
    let mut client = Client::open(&server, "/");
    let is_quiet = || {
        let polls = server.get("/polls").send().text();
        polls.starts_with("0 ") && polls != "0 0"
    };
    eventually("it waits and is left alone", is_quiet);
    for _ in 0..2000 {
        client.expect(Opcode::Binary, [1; 10_000]);
    }
    eventually("it waits again", is_quiet);
}

#[test]
fn a_message_that_another_task_has_taken_makes_room_for_the_next() {
    let (tell, told) = mpsc::channel();
    let server = TestServer::start(move |_| {
        let tell = tell.clone();
        App::new().ws("/", move |mut socket: WebSocket| {
            let tell = tell.clone();
            async move {
                lakh_core::spawn_detached(async move {
                    assert_eq!(socket.recv().await, Some("one".into()));
                    tell.send(()).unwrap();
                    pending::<()>().await;
                    drop(socket);
                });
            }
        })
    });
    let mut client = Client::open(&server, "/");
    client.text("one");
    told.recv_timeout(SAFETY_NET).unwrap();
    // Nobody asks for a message, and there is room for one: so the peer is read from.
    client.expect_alive();
}

/// A peer that does not answer, or does not end the connection, is left later than any test waits.
fn patient() -> Config {
    Config::new().close_timeout(2 * SAFETY_NET)
}

#[test]
fn another_task_is_told_of_the_end_when_the_handler_ends_with_it() {
    let (tell, told) = mpsc::channel();
    let server = TestServer::start(move |_| {
        let tell = tell.clone();
        App::new().ws_with("/", patient(), move |mut socket: WebSocket| {
            let tell = tell.clone();
            async move {
                let handle = socket.socket().clone();
                lakh_core::spawn_detached(async move {
                    assert_eq!(socket.recv().await, None);
                    tell.send(()).unwrap();
                });
                lakh_core::yield_now().await;
                lakh_core::yield_now().await;
                handle.close(CloseCode::Normal, "");
            }
        })
    });
    let mut client = Client::open(&server, "/");
    client.expect_close_frame(1000);
    // Though the peer has not answered.
    told.recv_timeout(SAFETY_NET).unwrap();
}

#[test]
fn another_task_that_closes_is_told_of_the_answer_though_the_handler_has_ended() {
    let (tell, told) = mpsc::channel();
    let server = TestServer::start(move |_| {
        let tell = tell.clone();
        App::new().ws_with("/", patient(), move |socket: WebSocket| {
            let tell = tell.clone();
            async move {
                lakh_core::spawn_detached(async move {
                    socket.close(CloseCode::Normal, "").await;
                    tell.send(()).unwrap();
                });
                lakh_core::yield_now().await;
                lakh_core::yield_now().await;
            }
        })
    });
    let mut client = Client::open(&server, "/");
    client.expect_close_frame(1000);
    // Both have had their turns, and it waits.
    server.running().shards().for_each(|shard| round(shard, 5));
    client.close(1000, "");
    // Though the peer keeps its end open.
    told.recv_timeout(SAFETY_NET).unwrap();
}

#[test]
fn what_is_due_is_not_put_off_by_a_peer_that_never_stops_sending() {
    struct Closes;
    impl Callbacks for Closes {
        fn on_message(&mut self, socket: &Socket, _: Payload<'_>) {
            socket.close(CloseCode::Policy, "");
        }
    }
    let config = Config::new().close_timeout(Duration::from_secs(2));
    let server = TestServer::start(move |_| App::new().ws_with("/", config.clone(), callbacks(|| Closes)));
    let mut client = Client::open(&server, "/");
    // Small frames take longer to read than to send: the server never comes to an end of them.
    let frames = frame(Opcode::Binary, b"").repeat(100_000);
    let begun = std::time::Instant::now();
    while client.stream.write_all(&frames).is_ok() {
        assert!(begun.elapsed() < SAFETY_NET, "it is read from for ever");
    }
}

#[test]
fn a_handler_goes_on_while_its_peer_sends_nothing_but_pings() {
    async fn ticks(socket: WebSocket) {
        lakh_core::sleep(Duration::from_millis(100)).await;
        let _ = socket.send("tick").await;
        pending().await
    }
    let server = TestServer::start(|_| App::new().ws("/", ticks));
    let mut client = Client::open(&server, "/");
    let mut sender = client.stream.try_clone().unwrap();
    let pings = frame(Opcode::Ping, b"").repeat(100_000);
    std::thread::spawn(move || while sender.write_all(&pings).is_ok() {});
    let begun = std::time::Instant::now();
    while client.frame().unwrap().opcode == Opcode::Pong {
        assert!(begun.elapsed() < SAFETY_NET, "it never goes on");
    }
}

#[test]
fn a_slow_peer_gets_all_that_is_before_the_close_frame() {
    const LEN: usize = 8 << 20;
    let config = Config::new().close_timeout(Duration::from_secs(2)).queue(2 * LEN);
    let server = TestServer::start(move |_| {
        App::new().ws_with("/", config.clone(), async |socket: WebSocket| {
            socket.send(vec![5; LEN]).await.unwrap();
        })
    });
    let mut client = Client::open_narrow(&server, "/");
    // Longer than it has for its answer, and shorter than the write timeout.
    pause_of_a_client(Duration::from_millis(4500));
    assert!(client.take(10 + LEN).ends_with(&[5; 1000]));
    client.expect_close_frame(1000);
    client.close(1000, "");
    client.expect_end();
}
