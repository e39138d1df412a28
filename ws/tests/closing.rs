//! How connections end: in all orders, well or not.

mod common;

use common::*;
use lakh_http::{App, testing::TestServer};
use lakh_ws::{
    Callbacks, CloseCode, CloseInfo, Config, Payload, Socket, WebSocket, WebSocketRoutes, callbacks,
    proto::Opcode,
};
use std::{
    sync::mpsc::{self, Receiver, Sender},
    time::Duration,
};

/// Echoes; the text `close` closes.
struct Ends(Sender<CloseInfo>);

impl Callbacks for Ends {
    fn on_message(&mut self, socket: &Socket, message: Payload<'_>) {
        match message {
            Payload::Text("close") => {
                socket.close(CloseCode::from(4000), "as asked");
                assert!(socket.send("too late").is_err());
            }
            message => socket.send(message).unwrap(),
        }
    }

    fn on_close(&mut self, socket: &Socket, info: &CloseInfo) {
        assert!(!socket.is_open());
        assert_eq!(socket.close_info().as_ref(), Some(info));
        self.0.send(info.clone()).unwrap();
    }
}

async fn ends(mut socket: WebSocket, ends: Sender<CloseInfo>) {
    while let Some(message) = socket.recv().await {
        if message.as_text() == Some("close") {
            socket.socket().close(CloseCode::from(4000), "as asked");
            assert!(socket.send("too late").await.is_err());
        } else if socket.send(message).await.is_err() {
            break;
        }
    }
    ends.send(socket.close_info().unwrap()).unwrap();
}

/// A server of both styles, and what it tells.
fn server(config: Config) -> (TestServer, Receiver<CloseInfo>) {
    let (tell, told) = mpsc::channel();
    let server = TestServer::start(move |_| {
        let (one, two) = (tell.clone(), tell.clone());
        App::new().ws_with("/callbacks", config.clone(), callbacks(move || Ends(one.clone()))).ws_with(
            "/async",
            config.clone(),
            move |socket: WebSocket| ends(socket, two.clone()),
        )
    });
    (server, told)
}

#[track_caller]
fn told(ends: &Receiver<CloseInfo>, code: u16, by_peer: bool) -> String {
    let info = ends.recv_timeout(SAFETY_NET).expect("the end is told");
    assert_eq!((u16::from(info.code), info.by_peer), (code, by_peer), "{info:?}");
    assert!(ends.try_recv().is_err(), "once");
    info.reason
}

#[test]
fn a_peer_that_closes_first_gets_its_code_back_and_then_the_end() {
    let (server, ends) = server(Config::new());
    for path in STYLES {
        let left = Left::of(&server);
        for code in [1000, 1001, 1011, 3000, 4999] {
            let mut client = Client::open(&server, path);
            client.close(code, "why");
            assert_eq!(client.expect_close(code), "");
            assert_eq!(told(&ends, code, true), "why");
        }
        let mut client = Client::open(&server, path);
        client.send(Opcode::Close, b"");
        client.expect_close(1005);
        told(&ends, 1005, true);
        drop(client);
        left.expect_the_same(&server);
    }
}

#[test]
fn whoever_closes_first_waits_for_the_answer_and_drops_what_comes_before_it() {
    let (server, ends) = server(Config::new());
    for path in STYLES {
        let left = Left::of(&server);
        let mut client = Client::open(&server, path);
        client.text("close");
        assert_eq!(client.expect_close_frame(4000), "as asked");
        client.text("not seen any more");
        client.send(Opcode::Ping, b"not answered either");
        client.close(4000, "");
        client.expect_end();
        assert_eq!(told(&ends, 4000, false), "as asked");
        drop(client);
        left.expect_the_same(&server);
    }
}

#[test]
fn both_may_close_at_once() {
    let (server, ends) = server(Config::new());
    for path in STYLES {
        let left = Left::of(&server);
        let mut client = Client::open(&server, path);
        // Ours has been sent when theirs is read.
        client.send_bytes(&[frame(Opcode::Text, b"close"), close_frame(1001, "mine")].concat());
        client.expect_close(4000);
        told(&ends, 4000, false);
        drop(client);
        left.expect_the_same(&server);
    }
}

#[test]
fn messages_before_a_close_frame_in_the_same_read_count_and_those_behind_it_do_not() {
    let (server, ends) = server(Config::new());
    for path in STYLES {
        let mut client = Client::open(&server, path);
        let bytes = [
            frame(Opcode::Text, b"one"),
            frame(Opcode::Text, b"two"),
            close_frame(1000, ""),
            frame(Opcode::Text, b"three"),
            frame(Opcode::Close, b"not a close frame at all"),
        ];
        client.send_bytes(&bytes.concat());
        client.expect_text("one");
        client.expect_text("two");
        client.expect_close(1000);
        told(&ends, 1000, true);
    }
}

#[test]
fn a_peer_that_does_not_answer_is_cut_after_the_close_timeout() {
    let (server, ends) = server(Config::new().close_timeout(Duration::from_secs(2)));
    let left = Left::of(&server);
    let mut clients = STYLES.map(|path| Client::open(&server, path));
    for client in &mut clients {
        client.text("close");
        client.expect_close_frame(4000);
    }
    for client in &mut clients {
        client.expect_end();
        let info = ends.recv_timeout(SAFETY_NET).unwrap();
        assert_eq!((u16::from(info.code), info.by_peer), (4000, false));
    }
    left.expect_the_same(&server);
}

#[test]
fn a_peer_that_answers_and_never_closes_its_side_is_cut_after_the_close_timeout() {
    let (server, ends) = server(Config::new().close_timeout(Duration::from_secs(2)));
    let left = Left::of(&server);
    let mut clients = STYLES.map(|path| Client::open(&server, path));
    for client in &mut clients {
        client.close(1000, "");
        client.expect_close(1000);
        told(&ends, 1000, true);
    }
    left.expect_the_same(&server);
}

#[test]
fn an_end_without_a_close_frame_is_told_as_1006() {
    let (server, ends) = server(Config::new());
    for path in STYLES {
        let left = Left::of(&server);
        // An end, within a message; a reset, with something unread.
        let mut client = Client::open(&server, path);
        client.send_bytes(&fragment(Opcode::Text, b"half", false));
        client.expect_alive();
        client.finish_sending();
        client.wait_for_end();
        told(&ends, 1006, true);
        let mut client = Client::open(&server, path);
        client.text("hello");
        client.stream.peek(&mut [0]).unwrap();
        drop(client);
        told(&ends, 1006, true);
        left.expect_the_same(&server);
    }
}

#[test]
fn a_handler_that_returns_closes_with_1000() {
    let server = TestServer::start(|_| {
        App::new().ws("/", async |socket: WebSocket| socket.send("bye").await.unwrap()).ws(
            "/waits",
            async |socket: WebSocket| {
                let end = socket.socket().clone();
                socket.close(CloseCode::from(4001), "over").await;
                assert!(!end.is_open());
            },
        )
    });
    let left = Left::of(&server);
    let mut client = Client::open(&server, "/");
    client.expect_text("bye");
    client.expect_close_frame(1000);
    client.close(1000, "");
    client.expect_end();
    drop(client);
    let mut client = Client::open(&server, "/waits");
    assert_eq!(client.expect_close_frame(4001), "over");
    client.close(4001, "");
    client.expect_end();
    drop(client);
    left.expect_the_same(&server);
}

#[test]
fn codes_that_may_not_be_sent_are_sent_as_1002_and_long_reasons_are_cut() {
    struct Closes(Sender<u16>);
    impl Callbacks for Closes {
        fn on_message(&mut self, socket: &Socket, message: Payload<'_>) {
            let code: u16 = message.as_text().unwrap().parse().unwrap();
            socket.close(CloseCode::from(code), &"ä".repeat(100));
            socket.close(CloseCode::Normal, "the second does nothing");
            self.0.send(socket.close_info().unwrap().code.into()).unwrap();
        }
    }
    let (tell, codes) = mpsc::channel();
    let server = TestServer::start(move |_| {
        let tell = tell.clone();
        App::new().ws("/", callbacks(move || Closes(tell.clone())))
    });
    for (asked, sent) in [(1006, 1002), (1015, 1002), (999, 1002), (1000, 1000), (4999, 4999)] {
        let mut client = Client::open(&server, "/");
        client.text(&asked.to_string());
        assert_eq!(client.expect_close_frame(sent), "ä".repeat(61));
        assert_eq!(codes.recv_timeout(SAFETY_NET), Ok(sent), "and this is what the server says of it");
    }
    let mut client = Client::open(&server, "/");
    client.text("1005");
    client.expect_close_frame(1005);
}

#[test]
fn silent_peers_are_asked_by_a_ping_and_cut_if_they_do_not_answer() {
    let (server, ends) = server(Config::new().idle_timeout(Some(Duration::from_secs(2))));
    let left = Left::of(&server);
    let mut alive = STYLES.map(|path| Client::open(&server, path));
    let mut dead = STYLES.map(|path| Client::open(&server, path));
    for client in &mut alive {
        client.expect(Opcode::Ping, "");
        client.send(Opcode::Pong, b"");
    }
    for client in &mut dead {
        client.expect(Opcode::Ping, "");
        client.expect_end();
        assert_eq!(
            ends.recv_timeout(SAFETY_NET).unwrap(),
            CloseInfo { code: CloseCode::Abnormal, reason: "no sign of life".to_owned(), by_peer: true }
        );
    }
    for client in &mut alive {
        client.close(1000, "");
        client.expect_close(1000);
        told(&ends, 1000, true);
    }
    drop((alive, dead));
    left.expect_the_same(&server);
}

/// Neither does its handler's business count as the peer's silence.
#[test]
fn a_peer_that_answers_pings_stays_while_its_handler_is_busy() {
    let config = Config::new().idle_timeout(Some(Duration::from_secs(2)));
    let server = TestServer::start(move |_| {
        App::new().ws_with("/", config.clone(), async |mut socket: WebSocket| {
            lakh_core::sleep(Duration::from_millis(4500)).await;
            while let Some(message) = socket.recv().await {
                socket.send(message).await.unwrap();
            }
        })
    });
    let mut answers = Client::open(&server, "/");
    let mut queues = Client::open(&server, "/");
    (0..3).for_each(|_| queues.text("waits"));
    for _ in 0..2 {
        answers.expect(Opcode::Ping, "");
        answers.send(Opcode::Pong, b"");
    }
    answers.text("hello");
    loop {
        match answers.frame().expect("it is not cut") {
            Frame { opcode: Opcode::Ping, .. } => answers.send(Opcode::Pong, b""),
            echoed => break assert_eq!(echoed, Frame::text("hello")),
        }
    }
    queues.expect_text("waits");
}
