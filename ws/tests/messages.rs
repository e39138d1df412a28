//! Messages on their way from the peer to a handler and back.

mod common;

use common::*;
use lakh_http::{App, testing::TestServer};
use lakh_ws::{
    Callbacks, CloseCode, Config, DeflateContext, DeflateOptions, Message, Payload, Socket, WebSocket,
    WebSocketRoutes, callbacks, proto::Opcode,
};
use std::{
    cell::RefCell,
    future::{Future, pending, poll_fn},
    pin::pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

#[test]
fn texts_and_bytes_come_back_as_they_are() {
    let server = echo_server(Config::new());
    for path in STYLES {
        let mut client = Client::open(&server, path);
        for len in [0, 1, 125, 126, 65_535, 65_536, 100_000, 1 << 20] {
            let payload = vec![b'x'; len];
            for opcode in [Opcode::Text, Opcode::Binary] {
                client.send(opcode, &payload);
                client.expect(opcode, &payload);
            }
        }
        client.close(1000, "");
        client.expect_close(1000);
    }
}

#[test]
fn ten_thousand_messages_in_one_go_come_back_in_their_order() {
    let server = echo_server(Config::new());
    let texts: Vec<String> = (0..10_000).map(|number| format!("message {number}")).collect();
    let bytes: Vec<u8> = texts.iter().flat_map(|text| frame(Opcode::Text, text.as_bytes())).collect();
    for path in STYLES {
        let mut client = Client::open(&server, path);
        let mut writer = client.stream.try_clone().unwrap();
        let bytes = bytes.clone();
        let writer = std::thread::spawn(move || std::io::Write::write_all(&mut writer, &bytes).unwrap());
        texts.iter().for_each(|text| client.expect_text(text));
        writer.join().unwrap();
        client.expect_alive();
    }
}

#[test]
fn control_frames_within_a_message_do_not_touch_it() {
    let server = echo_server(Config::new());
    for path in STYLES {
        let mut client = Client::open(&server, path);
        client.send_bytes(&fragment(Opcode::Text, b"a", false));
        client.expect_alive();
        client.send_bytes(&fragment(Opcode::Continuation, "ä".as_bytes().split_at(1).0, false));
        client.send(Opcode::Pong, b"nobody asked");
        client.expect_alive();
        client.send_bytes(&fragment(Opcode::Continuation, "ä".as_bytes().split_at(1).1, false));
        client.send_bytes(&fragment(Opcode::Continuation, b"", true));
        client.expect_text("aä");
    }
}

#[test]
fn bytes_right_behind_the_handshake_are_the_first_messages() {
    struct Hello;
    impl Callbacks for Hello {
        fn on_open(&mut self, socket: &Socket) {
            socket.send("hello").unwrap();
        }
        fn on_message(&mut self, socket: &Socket, message: Payload<'_>) {
            socket.send(message).unwrap();
        }
    }
    let server = TestServer::start(|_| {
        App::new().ws("/callbacks", callbacks(|| Hello)).ws("/async", async |socket: WebSocket| {
            socket.send("hello").await.unwrap();
            echo(socket).await;
        })
    });
    let behind =
        [frame(Opcode::Text, b"one"), frame(Opcode::Binary, b"two"), frame(Opcode::Ping, b"p")].concat();
    for path in STYLES {
        let mut client = Client::open_with(&server, path, "", &behind);
        client.expect_text("hello");
        client.expect_text("one");
        client.expect(Opcode::Binary, "two");
        client.expect(Opcode::Pong, "p");
        let mut closing = Client::open_with(&server, path, "", &close_frame(1000, ""));
        closing.expect_text("hello");
        closing.expect_close(1000);
    }
}

#[test]
fn a_dropped_recv_has_taken_no_message() {
    let server = TestServer::start(|_| {
        App::new().ws("/", async |mut socket: WebSocket| {
            let mut spins = 0;
            loop {
                // Either may be first.
                let next = {
                    let mut receiving = pin!(socket.recv());
                    let mut other = pin!(lakh_core::yield_now());
                    poll_fn(|cx| match receiving.as_mut().poll(cx) {
                        Poll::Ready(message) => Poll::Ready(Some(message)),
                        Poll::Pending => other.as_mut().poll(cx).map(|()| None),
                    })
                    .await
                };
                match next {
                    Some(Some(message)) => socket.send(message).await.unwrap(),
                    Some(None) => break,
                    None if spins > 3 => {
                        spins = 0;
                        lakh_core::sleep(Duration::from_millis(1)).await;
                    }
                    None => spins += 1,
                }
            }
        })
    });
    let mut client = Client::open(&server, "/");
    let texts: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
    for text in &texts {
        client.text(text);
    }
    texts.iter().for_each(|text| client.expect_text(text));
    client.close(1000, "");
    client.expect_close(1000);
}

/// Passes on to the task's waker, as combinators with wakers of their own do.
struct Foreign(Waker);

impl Wake for Foreign {
    fn wake(self: Arc<Self>) {
        self.0.wake_by_ref();
    }
}

/// Polls with another waker than the task's.
async fn with_foreign_waker<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let waker = Waker::from(Arc::new(Foreign(cx.waker().clone())));
        future.as_mut().poll(&mut Context::from_waker(&waker))
    })
    .await
}

#[test]
fn recv_works_with_wakers_of_others_than_the_task() {
    let server = TestServer::start(|_| {
        App::new().ws("/", async |mut socket: WebSocket| {
            while let Some(message) = with_foreign_waker(socket.recv()).await {
                with_foreign_waker(socket.send(message)).await.unwrap();
            }
        })
    });
    let mut client = Client::open(&server, "/");
    for number in 0..100 {
        client.text(&number.to_string());
        client.expect_text(&number.to_string());
    }
    client.close(1000, "");
    client.expect_close(1000);
}

#[test]
fn a_waker_of_a_dropped_recv_is_not_woken_in_place_of_the_task() {
    let server = TestServer::start(|_| {
        App::new().ws("/", async |mut socket: WebSocket| {
            {
                // Waits with a waker that wakes nobody, and is given up.
                let mut receiving = pin!(socket.recv());
                let polled = receiving.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                assert!(polled.is_pending());
            }
            socket.send("ready").await.unwrap();
            echo(socket).await;
        })
    });
    let mut client = Client::open(&server, "/");
    client.expect_text("ready");
    for _ in 0..3 {
        client.text("hello");
        client.expect_text("hello");
    }
}

#[test]
fn a_socket_may_be_received_from_by_another_task() {
    let server = TestServer::start(|_| {
        App::new()
            .ws("/moved", async |socket: WebSocket| lakh_core::spawn_detached(echo(socket)))
            .ws("/moved-and-waits", async |socket: WebSocket| {
                lakh_core::spawn(echo(socket)).await.unwrap();
            })
            .ws("/moved-later", async |mut socket: WebSocket| {
                let message = socket.recv().await.unwrap();
                lakh_core::spawn_detached(async move {
                    socket.send(message).await.unwrap();
                    echo(socket).await;
                });
            })
    });
    for path in ["/moved", "/moved-and-waits", "/moved-later"] {
        let left = Left::of(&server);
        let mut client = Client::open(&server, path);
        for number in 0..100 {
            client.text(&number.to_string());
        }
        for number in 0..100 {
            client.expect_text(&number.to_string());
        }
        client.close(1000, "");
        client.expect_close(1000);
        let mut gone = Client::open(&server, path);
        gone.text("hello");
        gone.expect_text("hello");
        drop((client, gone));
        left.expect_the_same(&server);
    }
}

/// Two sockets that play with each other: one handler receives from both.
#[test]
fn a_handler_may_receive_from_another_connections_socket() {
    type Waiting = Rc<RefCell<Option<WebSocket>>>;
    async fn pair(mut socket: WebSocket, waiting: Waiting) {
        let Some(mut other) = waiting.take() else {
            *waiting.borrow_mut() = Some(socket);
            return;
        };
        socket.send("paired").await.unwrap();
        while let Some(message) = other.recv().await {
            socket.send(message).await.unwrap();
            let Some(answer) = socket.recv().await else { break };
            other.send(answer).await.unwrap();
        }
    }
    let server = TestServer::start(|_| {
        let waiting = Waiting::default();
        App::new().ws("/", move |socket: WebSocket| pair(socket, Rc::clone(&waiting)))
    });
    let left = Left::of(&server);
    let mut first = Client::open(&server, "/");
    first.expect_alive();
    let mut second = Client::open(&server, "/");
    second.expect_text("paired");
    for number in 0..50 {
        first.text(&format!("ping {number}"));
        second.expect_text(&format!("ping {number}"));
        second.text(&format!("pong {number}"));
        first.expect_text(&format!("pong {number}"));
    }
    first.close(1000, "");
    first.expect_close(1000);
    second.expect_close_frame(1000);
    second.close(1000, "");
    second.expect_end();
    drop((first, second));
    left.expect_the_same(&server);
}

#[test]
fn a_handler_that_does_other_things_still_answers_pings_and_notices_the_end() {
    let (tell, told) = mpsc::channel();
    let server = TestServer::start(move |_| {
        let tell = tell.clone();
        App::new().ws("/", move |socket: WebSocket| {
            let tell = tell.clone();
            async move {
                while socket.close_info().is_none() {
                    lakh_core::sleep(Duration::from_millis(1)).await;
                }
                tell.send(socket.close_info().unwrap()).unwrap();
            }
        })
    });
    let mut client = Client::open(&server, "/");
    client.expect_alive();
    client.close(1001, "bye");
    client.expect_close(1001);
    let info = told.recv_timeout(SAFETY_NET).unwrap();
    assert_eq!((info.code, &*info.reason, info.by_peer), (CloseCode::Away, "bye", true));
}

/// A message that comes while the handler waits for something else does not swallow that.
#[test]
fn a_handler_that_waits_for_two_things_gets_both_when_they_come_together() {
    let server = TestServer::start(|_| {
        App::new().ws("/", async |mut socket: WebSocket| {
            for _ in 0..200 {
                lakh_core::yield_now().await;
            }
            while let Some(message) = socket.recv().await {
                for _ in 0..5 {
                    lakh_core::yield_now().await;
                }
                socket.send(message).await.unwrap();
            }
        })
    });
    let mut client = Client::open(&server, "/");
    for number in 0..500 {
        client.text(&number.to_string());
    }
    for number in 0..500 {
        client.expect_text(&number.to_string());
    }
}

#[test]
fn a_socket_that_is_kept_after_the_end_refuses_all_that_is_asked() {
    struct Keeps(Rc<RefCell<Vec<Socket>>>);
    impl Callbacks for Keeps {
        fn on_open(&mut self, socket: &Socket) {
            self.0.borrow_mut().push(socket.clone());
        }
        fn on_message(&mut self, _: &Socket, _: Payload<'_>) {}
    }
    let topics = lakh_ws::Topics::new();
    let config = Config::new().topics(&topics);
    let server = TestServer::start(move |_| {
        let kept = Rc::new(RefCell::new(Vec::new()));
        let keep = Rc::clone(&kept);
        App::new().ws_with("/", config.clone(), callbacks(move || Keeps(Rc::clone(&keep)))).get(
            "/try",
            move || {
                let kept = kept.borrow();
                let socket: &Socket = &kept[0];
                let mut waiting = pin!(socket.send_wait("hello"));
                let waited = waiting.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                socket.close(CloseCode::Normal, "again");
                format!(
                    "{:?} {:?} {:?} {} {:?} {}",
                    socket.send("hello"),
                    waited,
                    socket.subscribe("topic"),
                    socket.unsubscribe("topic"),
                    socket.close_info().map(|info| info.code),
                    socket.queued(),
                )
            },
        )
    });
    let left = Left::of(&server);
    let mut client = Client::open(&server, "/");
    client.close(1000, "");
    client.expect_close(1000);
    drop(client);
    left.expect_the_same(&server);
    assert_eq!(
        server.get("/try").send().text(),
        "Err(Closed) Ready(Err(Closed)) Err(Closed) false Some(Normal) 0"
    );
}

#[test]
fn a_handler_goes_on_while_the_peer_has_not_closed_its_side_yet() {
    let done = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&done);
    let server = TestServer::start(move |_| {
        let count = Arc::clone(&count);
        App::new().ws("/", move |mut socket: WebSocket| {
            let count = Arc::clone(&count);
            async move {
                while socket.recv().await.is_some() {}
                // Work that is left, such as telling a database.
                lakh_core::sleep(Duration::from_millis(5)).await;
                count.fetch_add(1, Ordering::SeqCst);
            }
        })
    });
    let mut client = Client::open(&server, "/");
    client.close(1000, "");
    client.expect_close_frame(1000);
    // The client's end is still open.
    eventually("the handler is over", || done.load(Ordering::SeqCst) == 1);
    let in_flight = server.running().shards().map(|shard| shard.metrics().guards()).sum::<u64>();
    assert_eq!(in_flight, 1, "the connection is not");
}

#[test]
fn compressed_messages_come_back_in_both_styles_with_every_kind_of_context() {
    let shared = DeflateOptions::default();
    let dedicated = DeflateOptions {
        send: DeflateContext { takeover: true, window_bits: 15 },
        receive: DeflateContext { takeover: true, window_bits: 15 },
    };
    for options in [shared, dedicated] {
        let server = echo_server(Config::new().deflate(options));
        for path in STYLES {
            let fields = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
            let mut client = Client::open_with(&server, path, fields, b"");
            assert!(client.field("sec-websocket-extensions").is_some());
            let text = "the same words again and again, ".repeat(100);
            let mut deflated = miniz_oxide::deflate::compress_to_vec(text.as_bytes(), 6);
            deflated.push(0);
            client.send_bytes(&[compressed(Opcode::Text, &deflated), frame(Opcode::Text, b"short")].concat());
            let frame = client.frame().unwrap();
            assert!(frame.compressed && frame.payload.len() < text.len());
            client.expect_text("short");
        }
    }
}

#[test]
fn a_handler_that_never_ends_by_itself_is_dropped_with_the_server() {
    struct Dropped(mpsc::Sender<()>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    let (tell, told) = mpsc::channel();
    let server = TestServer::start(move |_| {
        let tell = tell.clone();
        App::new().ws("/", move |socket: WebSocket| {
            let dropped = Dropped(tell.clone());
            async move {
                let _kept = (socket, dropped);
                pending::<()>().await;
            }
        })
    });
    let mut client = Client::open(&server, "/");
    client.expect_alive();
    drop(server);
    told.recv_timeout(SAFETY_NET).unwrap();
    client.wait_for_end();
}

#[test]
fn messages_in_memory_of_their_own_are_sent_as_they_are() {
    let server = TestServer::start(|_| {
        App::new().ws("/", async |mut socket: WebSocket| {
            while let Some(message) = socket.recv().await {
                let long = Message::from(vec![b'x'; 100_000]);
                socket.send("before").await.unwrap();
                socket.send(long.clone()).await.unwrap();
                socket.send(message).await.unwrap();
                socket.send(long).await.unwrap();
            }
        })
    });
    let mut client = Client::open(&server, "/");
    for _ in 0..3 {
        client.text("go");
        client.expect_text("before");
        client.expect(Opcode::Binary, vec![b'x'; 100_000]);
        client.expect_text("go");
        client.expect(Opcode::Binary, vec![b'x'; 100_000]);
    }
}

/// Thousands of messages are in one read, and the handler waits for something else after each.
#[test]
fn a_handler_that_takes_its_time_gets_all_that_was_read_in_its_order() {
    let server = TestServer::start(|_| {
        App::new().ws("/", async |mut socket: WebSocket| {
            while let Some(message) = socket.recv().await {
                lakh_core::yield_now().await;
                socket.send(message).await.unwrap();
            }
        })
    });
    let texts: Vec<String> = (0..20_000).map(|number| number.to_string()).collect();
    let bytes: Vec<u8> = texts.iter().flat_map(|text| frame(Opcode::Text, text.as_bytes())).collect();
    let mut client = Client::open(&server, "/");
    let mut writer = client.stream.try_clone().unwrap();
    let writer = std::thread::spawn(move || std::io::Write::write_all(&mut writer, &bytes).unwrap());
    texts.iter().for_each(|text| client.expect_text(text));
    writer.join().unwrap();
}
