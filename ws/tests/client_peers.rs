//! Our client, and servers of other kinds: tungstenite's, and bytes by hand.

use lakh_core::{block_on, spawn, timeout};
use lakh_http::{App, testing::TestServer};
use lakh_ws::{
    CloseCode, Config, Connect, ConnectError, DeflateOptions, Message, WebSocket, WebSocketRoutes, connect,
    proto::{CloseFrame, Decoder, Event, Opcode, Rules, encode},
};
use std::{
    future::poll_fn,
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    pin::pin,
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    task::Context,
    thread::{self, JoinHandle},
    time::Duration,
};
use tungstenite::{
    Message as Theirs,
    handshake::derive_accept_key,
    protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    },
};

/// Only a test that fails waits for so long.
const SAFETY_NET: Duration = Duration::from_secs(60);

/// A server of one connection, on a thread.
fn serve(peer: impl FnOnce(TcpStream) + Send + 'static) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let thread = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(SAFETY_NET)).unwrap();
        stream.set_nodelay(true).unwrap();
        peer(stream);
    });
    (addr, thread)
}

fn run<F: Future<Output = ()> + 'static>(client: F) {
    block_on(async { timeout(SAFETY_NET, client).await.expect("the client hangs") }).unwrap();
}

/// Runs a client against a server of its own; a panic of either fails the test.
fn run_with<F: Future<Output = ()> + 'static>(
    peer: impl FnOnce(TcpStream) + Send + 'static,
    client: impl FnOnce(Connect) -> F,
) {
    let (addr, thread) = serve(peer);
    run(client(Connect::new(format!("ws://{addr}/path"))));
    thread.join().unwrap();
}

fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// The answer that opens a WebSocket.
fn answer_to(head: &str) -> String {
    let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).unwrap();
    let accept = derive_accept_key(key.as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
}

fn accept(stream: &mut TcpStream) {
    let answer = answer_to(&read_head(stream));
    stream.write_all(answer.as_bytes()).unwrap();
}

fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    encode::write(&mut frame, opcode, payload);
    frame
}

/// Reads a client's frames one by one.
#[derive(Default)]
struct Frames {
    decoder: Decoder,
    unread: Vec<u8>,
}

impl Frames {
    fn next(&mut self, stream: &mut TcpStream) -> Event<'static> {
        let rules = Rules { max_frame: 1 << 30, max_message: 1 << 30, ..Rules::server() };
        loop {
            if self.unread.is_empty() {
                self.unread = vec![0; 64 * 1024];
                let n = stream.read(&mut self.unread).unwrap();
                assert!(n > 0, "the client has closed the connection");
                self.unread.truncate(n);
            }
            let decoded = self.decoder.decode(&mut self.unread, &rules).unwrap();
            let (consumed, event) = (decoded.consumed, decoded.event.map(Event::into_owned));
            self.unread.drain(..consumed);
            if let Some(event) = event {
                return event;
            }
        }
    }
}

/// Nothing more but the end comes from the client.
fn expect_end(mut stream: TcpStream) {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => assert!(rest.is_empty(), "{rest:?} before the end"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

fn tungstenite_echo(stream: TcpStream) {
    let mut socket = tungstenite::accept(stream).unwrap();
    while let Ok(message) = socket.read() {
        if message.is_text() || message.is_binary() {
            socket.send(message).unwrap();
        }
    }
}

#[test]
fn tungstenite_echoes_what_the_client_sends() {
    run_with(tungstenite_echo, async |connect| {
        // It knows no compression, and so does not answer the offer.
        let config = Config::new().max_message(2 << 20).deflate(DeflateOptions::default());
        let mut socket = connect.config(config).connect().await.unwrap();
        for len in [0, 1, 125, 126, 65_535, 65_536, 1 << 20] {
            let (text, binary) = ("ä".repeat(len), vec![len as u8; len]);
            socket.send(text.as_str()).await.unwrap();
            socket.send(binary.clone()).await.unwrap();
            assert_eq!(socket.recv().await, Some(text.into()));
            assert_eq!(socket.recv().await, Some(binary.into()));
        }
        socket.close(CloseCode::Normal, "done").await;
    });
}

#[test]
fn fragments_and_pings_of_tungstenite_are_taken() {
    let peer = |stream| {
        let mut socket = tungstenite::accept(stream).unwrap();
        let part = |text: &'static str, data, fin| {
            Theirs::Frame(Frame::message(text.as_bytes().to_vec(), OpCode::Data(data), fin))
        };
        socket.send(part("Hel", Data::Text, false)).unwrap();
        socket.send(Theirs::Ping("are you there".into())).unwrap();
        socket.send(part("lo, ", Data::Continue, false)).unwrap();
        socket.send(part("client", Data::Continue, true)).unwrap();
        assert_eq!(socket.read().unwrap(), Theirs::Pong("are you there".into()));
        assert_eq!(socket.read().unwrap(), Theirs::Text("Hello, client".into()));
        socket.close(None).unwrap();
        while socket.read().is_ok() {}
    };
    run_with(peer, async |connect| {
        let mut socket = connect.connect().await.unwrap();
        let message = socket.recv().await.unwrap();
        socket.send(message).await.unwrap();
        assert_eq!(socket.recv().await, None);
        let info = socket.close_info().unwrap();
        assert_eq!((info.code, info.by_peer), (CloseCode::Status, true));
    });
}

#[test]
fn the_answer_and_frames_may_come_byte_by_byte() {
    let peer = |mut stream: TcpStream| {
        let mut bytes = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".to_vec();
        bytes.extend(answer_to(&read_head(&mut stream)).into_bytes());
        bytes.extend(frame(Opcode::Text, "grüße".as_bytes()));
        bytes.extend(frame(Opcode::Binary, &[3; 300]));
        bytes.iter().for_each(|byte| stream.write_all(&[*byte]).unwrap());
        let mut frames = Frames::default();
        assert_eq!(frames.next(&mut stream), Event::Text("ok".into()));
    };
    run_with(peer, async |connect| {
        let mut socket = connect.connect().await.unwrap();
        assert_eq!(socket.recv().await, Some("grüße".into()));
        assert_eq!(socket.recv().await, Some(vec![3; 300].into()));
        socket.send("ok").await.unwrap();
        assert_eq!(socket.recv().await, None);
        assert_eq!(socket.close_info().unwrap().code, CloseCode::Abnormal);
    });
}

#[test]
fn messages_right_behind_the_answer_are_received() {
    let peer = |mut stream: TcpStream| {
        let mut bytes = answer_to(&read_head(&mut stream)).into_bytes();
        for number in 0..1000 {
            bytes.extend(frame(Opcode::Text, format!("{number}").as_bytes()));
        }
        bytes.extend(frame(Opcode::Close, &[0x03, 0xe8]));
        stream.write_all(&bytes).unwrap();
        assert!(matches!(Frames::default().next(&mut stream), Event::Close(_)));
    };
    run_with(peer, async |connect| {
        let mut socket = connect.connect().await.unwrap();
        for number in 0..1000 {
            assert_eq!(socket.recv().await, Some(number.to_string().into()));
        }
        assert_eq!(socket.recv().await, None);
    });
}

#[test]
fn pings_and_the_close_frame_are_answered_though_nobody_receives() {
    let peer = |mut stream: TcpStream| {
        accept(&mut stream);
        let mut frames = Frames::default();
        stream.write_all(&frame(Opcode::Ping, b"1")).unwrap();
        assert_eq!(frames.next(&mut stream), Event::Pong(b"1".as_slice().into()));
        stream.write_all(&frame(Opcode::Close, b"\x03\xe9away")).unwrap();
        let answer = CloseFrame { code: CloseCode::Away, reason: "".into() };
        assert_eq!(frames.next(&mut stream), Event::Close(answer));
    };
    run_with(peer, async |connect| {
        let socket = connect.connect().await.unwrap();
        while socket.close_info().is_none() {
            lakh_core::yield_now().await;
        }
        assert_eq!(socket.close_info().unwrap().reason, "away");
    });
}

#[test]
fn of_many_pings_of_a_server_that_does_not_read_the_last_is_answered() {
    const LONG: usize = 32 << 20;
    let (read_on, may_read) = mpsc::channel();
    let peer = move |mut stream: TcpStream| {
        accept(&mut stream);
        let mut pings = Vec::new();
        for number in 0..10_000 {
            pings.extend(frame(Opcode::Ping, format!("{number}").as_bytes()));
        }
        pings.extend(frame(Opcode::Text, b"that was all"));
        stream.write_all(&pings).unwrap();
        may_read.recv_timeout(SAFETY_NET).unwrap();
        let mut frames = Frames::default();
        let Event::Binary(long) = frames.next(&mut stream) else { panic!("the message first") };
        assert_eq!(long.len(), LONG);
        assert_eq!(frames.next(&mut stream), Event::Pong(b"9999".as_slice().into()));
        assert_eq!(frames.next(&mut stream), Event::Text("the end".into()));
    };
    run_with(peer, async move |connect| {
        let mut socket = connect.connect().await.unwrap();
        socket.send(vec![0; LONG]).await.unwrap();
        assert_eq!(socket.recv().await, Some("that was all".into()));
        assert!(socket.socket().queued() < LONG + 1000, "no answers are queued");
        read_on.send(()).unwrap();
        socket.send("the end").await.unwrap();
        while socket.socket().queued() > 0 {
            lakh_core::yield_now().await;
        }
    });
}

#[test]
fn the_server_ends_the_connection_and_not_the_client() {
    for peer_is_first in [true, false] {
        let peer = move |mut stream: TcpStream| {
            accept(&mut stream);
            let mut frames = Frames::default();
            if peer_is_first {
                stream.write_all(&frame(Opcode::Close, &[0x03, 0xe8])).unwrap();
            }
            assert!(matches!(frames.next(&mut stream), Event::Close(_)));
            if !peer_is_first {
                stream.write_all(&frame(Opcode::Close, &[0x03, 0xe8])).unwrap();
            }
            // This is what must not happen: that the end comes now.
            stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
            let error = stream.read(&mut [0]).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            stream.set_read_timeout(Some(SAFETY_NET)).unwrap();
            expect_end(stream);
        };
        run_with(peer, async move |connect| {
            let config = Config::new().close_timeout(SAFETY_NET);
            let mut socket = connect.config(config).connect().await.unwrap();
            match peer_is_first {
                true => assert_eq!(socket.recv().await, None),
                false => socket.close(CloseCode::Normal, "").await,
            }
            wait_for_connections(0).await;
        });
    }
}

/// The guards of a shard are its open connections.
async fn wait_for_connections(count: usize) {
    while lakh_core::with(lakh_core::Shard::guards) != count {
        lakh_core::yield_now().await;
    }
}

#[test]
fn a_server_that_does_not_end_the_connection_is_left() {
    let peer = |mut stream: TcpStream| {
        accept(&mut stream);
        assert!(matches!(Frames::default().next(&mut stream), Event::Close(_)));
        stream.write_all(&frame(Opcode::Close, &[0x03, 0xe8])).unwrap();
        expect_end(stream);
    };
    run_with(peer, async |connect| {
        let config = Config::new().close_timeout(Duration::from_secs(2));
        connect.config(config).connect().await.unwrap().close(CloseCode::Normal, "").await;
        wait_for_connections(0).await;
    });
}

#[test]
fn who_waits_for_a_message_is_told_of_a_drain_before_the_server_answers() {
    let (addr, thread) = serve(|mut stream| {
        accept(&mut stream);
        let Event::Close(close) = Frames::default().next(&mut stream) else { panic!("a close frame") };
        assert_eq!(close.code, CloseCode::Away);
        expect_end(stream);
    });
    let ((opened, is_open), (closed, is_closed)) = (mpsc::channel(), mpsc::channel());
    let runtime = lakh_core::Runtime::builder().shards(1).start(move |_| {
        let (opened, closed) = (opened.clone(), closed.clone());
        lakh_core::spawn_detached(async move {
            let _guard = lakh_core::with(lakh_core::Shard::guard);
            let config = Config::new().close_timeout(10 * SAFETY_NET);
            let connect = Connect::new(format!("ws://{addr}")).config(config);
            let mut socket = connect.connect().await.unwrap();
            opened.send(()).unwrap();
            assert_eq!(socket.recv().await, None);
            closed.send(()).unwrap();
        });
        Ok(())
    });
    let runtime = runtime.unwrap();
    is_open.recv_timeout(SAFETY_NET).unwrap();
    runtime.drain_within(Duration::from_secs(6));
    // In vain if the drain cuts the task first.
    is_closed.recv_timeout(SAFETY_NET).unwrap();
    runtime.stop();
    assert!(runtime.join(SAFETY_NET));
    thread.join().unwrap();
}

#[test]
fn pings_are_answered_until_a_drain_closes_the_connection() {
    let (draining, is_draining) = mpsc::channel();
    let (addr, thread) = serve(move |mut stream| {
        accept(&mut stream);
        is_draining.recv_timeout(SAFETY_NET).unwrap();
        let mut frames = Frames::default();
        stream.write_all(&frame(Opcode::Ping, b"1")).unwrap();
        assert_eq!(frames.next(&mut stream), Event::Pong(b"1".as_slice().into()));
    });
    let runtime = lakh_core::Runtime::builder().shards(1).start(move |_| {
        let draining = draining.clone();
        lakh_core::spawn_detached(async move {
            let _guard = lakh_core::with(lakh_core::Shard::guard);
            let mut socket = connect(&format!("ws://{addr}")).await.unwrap();
            lakh_core::current().handle().drain_within(Duration::from_secs(1_000_000));
            // The connection sees it in one of these turns.
            for _ in 0..10 {
                lakh_core::yield_now().await;
            }
            draining.send(()).unwrap();
            assert_eq!(socket.recv().await, None);
        });
        Ok(())
    });
    let runtime = runtime.unwrap();
    thread.join().unwrap();
    runtime.stop();
    assert!(runtime.join(SAFETY_NET));
}

/// A waker that is not the task's own, as combinators have them.
struct Foreign(std::task::Waker);

impl std::task::Wake for Foreign {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.wake_by_ref();
    }
}

#[test]
fn a_handler_that_waits_for_the_end_below_a_combinator_is_not_polled_meanwhile() {
    static POLLS: AtomicUsize = AtomicUsize::new(0);
    let server = TestServer::start(|_| {
        App::new().ws("/", async |socket: WebSocket| {
            let mut closing = pin!(socket.close(CloseCode::Normal, ""));
            poll_fn(|cx| {
                POLLS.fetch_add(1, Ordering::Relaxed);
                let waker = std::sync::Arc::new(Foreign(cx.waker().clone())).into();
                closing.as_mut().poll(&mut Context::from_waker(&waker))
            })
            .await;
        })
    });
    let answer = server.get("/").header("connection", "upgrade").header("upgrade", "websocket");
    let answer =
        answer.header("sec-websocket-version", "13").header("sec-websocket-key", "MTYgcmFuZG9tIGJ5dGVzIQ==");
    let mut wire = answer.send().into_upgraded();
    wire.read_exact(&mut [0; 4]).unwrap();
    // Time in which it must not be polled again and again.
    wire.stream().set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(wire.read(&mut [0]).is_err());
    let polls = POLLS.load(Ordering::Relaxed);
    assert!(polls <= 5, "{polls} polls of one who waits");
}

#[test]
fn what_breaks_the_protocol_is_answered_with_1002() {
    for bytes in [&b"\x81\x81\0\0\0\0a"[..], b"\xf1\x01a", b"\x83\x00", b"\x00\x01a", b"\xc1\x01a"] {
        let peer = move |mut stream: TcpStream| {
            accept(&mut stream);
            stream.write_all(bytes).unwrap();
            let Event::Close(close) = Frames::default().next(&mut stream) else { panic!("a close frame") };
            assert_eq!(close.code, CloseCode::Protocol);
        };
        run_with(peer, async |connect| {
            let mut socket = connect.connect().await.unwrap();
            assert_eq!(socket.recv().await, None);
            let info = socket.close_info().unwrap();
            assert_eq!((info.code, info.by_peer), (CloseCode::Protocol, false));
        });
    }
}

/// What a client says to an answer.
fn refused(answer: impl Fn(&str) -> String + Send + 'static) -> ConnectError {
    let (addr, thread) = serve(move |mut stream| {
        let head = read_head(&mut stream);
        // A client that has read enough of it closes.
        let written = stream.write_all(answer(&head).as_bytes());
        if written.and_then(|()| stream.shutdown(std::net::Shutdown::Write)).is_ok() {
            expect_end(stream);
        }
    });
    let (tell, told) = mpsc::channel();
    run(async move { tell.send(connect(&format!("ws://{addr}")).await.unwrap_err()).unwrap() });
    thread.join().unwrap();
    told.recv().unwrap()
}

#[test]
fn a_refusal_is_handed_on() {
    let error =
        refused(|_| "HTTP/1.0 404 Not Found\r\nX-Why: none\r\nContent-Length: 7\r\n\r\nno such".into());
    assert_eq!(error.status().unwrap(), 404);
    assert_eq!(error.headers().unwrap()["x-why"], "none");
    assert_eq!(error.body(), b"no such");
    assert!(error.is_handshake() && !error.is_timeout());
    assert_eq!(error.to_string(), "the server answered 404 Not Found instead of 101");

    let endless = format!("HTTP/1.1 503 Busy\r\nContent-Length: 99999\r\n\r\n{}", "x".repeat(9000));
    let error = refused(move |_| endless.clone());
    assert_eq!((error.status().unwrap().as_u16(), error.body().len()), (503, 4096));

    let error = refused(|_| "HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 9\r\n\r\ncut".into());
    assert_eq!(
        (&error.headers().unwrap()["location"], error.body()),
        (&"/there".parse().unwrap(), &b"cut"[..])
    );
}

#[test]
fn an_answer_that_opens_no_websocket_is_an_error() {
    let with =
        |what: &'static str, other: &'static str| move |head: &str| answer_to(head).replace(what, other);
    for (error, why) in [
        (refused(with("Accept: ", "Accept: A")), "Accept"),
        (refused(with("Upgrade: websocket", "Upgrade: h2c")), "another protocol"),
        (refused(with("Connection: upgrade", "Connection: close")), "another protocol"),
        (refused(with("Connection", "Sec-WebSocket-Protocol: chat\r\nConnection")), "subprotocol"),
        (refused(with("Connection", "Sec-WebSocket-Extensions: x\r\nConnection")), "extension"),
        (refused(with("HTTP/1.1", "HTTP/1.0")), "no answer in HTTP"),
        (refused(with("\r\n", "\n")), "broke off"),
        (refused(with("Upgrade: w", "Upgrade\n\n: w")), "no answer in HTTP"),
        (refused(with("Connection", "a b: c\r\nConnection")), "no answer in HTTP"),
        (refused(|_| "SSH-2.0-OpenSSH_9.9\r\n".into()), "no answer in HTTP"),
        (refused(|_| String::new()), "broke off"),
        (refused(|_| "HTTP/1.1 101".into()), "broke off"),
        (refused(|_| format!("HTTP/1.1 101 x\r\na: {}", "b".repeat(70_000))), "too long"),
        (refused(|_| "HTTP/1.1 100 Continue\r\n\r\n".repeat(3000)), "too long"),
        (refused(|_| format!("HTTP/1.1 101 x\r\n{}\r\n", "a: b\r\n".repeat(200))), "no answer in HTTP"),
    ] {
        assert!(error.to_string().contains(why), "{error} is not about {why}");
        assert!(error.status().is_none());
        assert_eq!(error.is_handshake(), why != "broke off");
    }
}

#[test]
fn a_server_that_does_not_answer_is_left_when_the_time_is_over() {
    for answer in ["", "HTTP/1.1 101 Switching Protocols\r\n"] {
        let peer = move |mut stream: TcpStream| {
            read_head(&mut stream);
            stream.write_all(answer.as_bytes()).unwrap();
            expect_end(stream);
        };
        run_with(peer, async |connect| {
            let error = connect.timeout(Duration::from_millis(100)).connect().await.unwrap_err();
            assert!(error.is_timeout(), "{error}");
        });
    }
}

#[test]
fn nobody_at_the_address_is_an_error() {
    let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    run(async move {
        let error = connect(&format!("ws://{addr}")).await.unwrap_err();
        assert!(error.is_connect() && error.to_string().contains(&addr.to_string()), "{error}");
        assert!(std::error::Error::source(&error).is_some());
    });
}

#[test]
fn a_client_that_is_dropped_in_its_handshake_closes_the_connection() {
    let (asked, is_asked) = mpsc::channel();
    let peer = move |mut stream: TcpStream| {
        read_head(&mut stream);
        asked.send(()).unwrap();
        expect_end(stream);
    };
    run_with(peer, async move |connect| {
        let connecting = spawn(async move { connect.connect().await.map(drop) });
        while is_asked.try_recv().is_err() {
            lakh_core::yield_now().await;
        }
        connecting.abort();
    });
}

#[test]
fn one_connect_opens_many() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let thread = thread::spawn(move || {
        let accepted: Vec<TcpStream> = (0..20).map(|_| listener.accept().unwrap().0).collect();
        accepted.into_iter().for_each(tungstenite_echo);
    });
    run(async move {
        let connect = Connect::new(format!("ws://{addr}"));
        let opening: Vec<_> = (0..20)
            .map(|_| {
                let connect = connect.clone();
                spawn(async move { talk(connect.connect().await.unwrap()).await })
            })
            .collect();
        for opened in opening {
            opened.await.unwrap();
        }
    });
    thread.join().unwrap();
}

async fn talk(mut socket: WebSocket) {
    socket.send("x").await.unwrap();
    assert_eq!(socket.recv().await, Some(Message::from("x")));
    socket.close(CloseCode::Normal, "").await;
}
