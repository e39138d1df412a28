//! How our client connects, and what it makes of answers.

mod peer;

use lakh_core::spawn;
use lakh_ws::{
    CloseCode, Config, Connect, ConnectError, DeflateOptions, connect,
    proto::{CloseFrame, Event, Opcode},
};
use peer::*;
use std::{
    io::Write,
    net::{TcpListener, TcpStream},
    sync::mpsc,
    thread,
    time::Duration,
};

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
fn a_server_without_the_compression_that_is_required_is_told_so_by_1010() {
    // What it sends unread must not cost it the close frame.
    let peer = |mut stream: TcpStream| {
        accept(&mut stream);
        for _ in 0..100 {
            stream.write_all(&frame(Opcode::Binary, &[1; 1000])).unwrap();
        }
        let close = CloseFrame { code: CloseCode::Extension, reason: "permessage-deflate".into() };
        assert_eq!(Frames::default().next(&mut stream), Event::Close(close));
        expect_end(stream);
    };
    let offers = || Config::new().deflate(DeflateOptions::default());
    run_with(peer, async move |connect| {
        let error = connect.config(offers()).require_deflate().connect().await.unwrap_err();
        assert!(error.is_handshake() && error.status().is_none());
        assert!(error.to_string().contains("permessage-deflate"), "{error}");
    });
    let agrees = |mut stream: TcpStream| {
        let answer = answer_to(&read_head(&mut stream));
        let extension = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n\r\n";
        stream.write_all(answer.replace("\r\n\r\n", &format!("\r\n{extension}")).as_bytes()).unwrap();
        stream.write_all(&frame(Opcode::Text, b"hello")).unwrap();
        assert!(matches!(Frames::default().next(&mut stream), Event::Close(_)));
    };
    run_with(agrees, async move |connect| {
        let mut socket = connect.config(offers()).require_deflate().connect().await.unwrap();
        assert_eq!(socket.recv().await, Some("hello".into()));
        socket.close(CloseCode::Normal, "").await;
    });
    run(async {
        let error = Connect::new("ws://127.0.0.1:1").require_deflate().connect().await.unwrap_err();
        assert!(error.is_invalid(), "nothing is offered: {error}");
    });
}

/// `localhost` is 127.0.0.1 first, where a full backlog drops attempts silently as an unreachable host does.
#[cfg(target_os = "linux")]
#[test]
fn an_address_that_does_not_answer_does_not_keep_a_client_from_the_next() {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    let silent = socket.local_addr().unwrap().as_socket().unwrap();
    socket.listen(0).unwrap();
    let _waits = TcpStream::connect(silent).unwrap();
    let Ok(listener) = TcpListener::bind(("::1", silent.port())) else {
        return println!("skipped: no ::1 here, or the port is taken");
    };
    let thread = thread::spawn(move || accept(&mut listener.accept().unwrap().0));
    run(async move {
        let connect = Connect::new(format!("ws://localhost:{}", silent.port())).timeout(SAFETY_NET);
        connect.connect().await.unwrap();
    });
    thread.join().unwrap();
}

#[cfg(target_os = "linux")] // where all of 127.0.0.0/8 is this machine
#[test]
fn a_client_connects_from_the_address_that_it_is_told_to() {
    let peer = |mut stream: TcpStream| {
        assert_eq!(stream.peer_addr().unwrap().ip().to_string(), "127.0.0.2");
        accept(&mut stream);
        assert!(matches!(Frames::default().next(&mut stream), Event::Close(_)));
    };
    run_with(peer, async |connect| {
        let socket = connect.local_addr("127.0.0.2:0".parse().unwrap()).connect().await.unwrap();
        socket.close(CloseCode::Normal, "").await;
    });
    let (listener, from) = (TcpListener::bind("127.0.0.1:0").unwrap(), "192.0.2.1:0".parse().unwrap());
    run(async move {
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let error = Connect::new(url).local_addr(from).connect().await.unwrap_err();
        assert!(error.is_connect(), "{error}");
    });
}
