//! What our client sends to servers of other kinds, and takes from them: tungstenite's, and bytes by hand.

mod peer;

use lakh_core::spawn;
use lakh_ws::{
    CloseCode, Config, Connect, DeflateOptions, Message, WebSocket,
    proto::{CloseFrame, Event, Opcode},
};
use peer::*;
use std::{
    io::Write,
    net::{TcpListener, TcpStream},
    sync::mpsc,
    thread,
};
use tungstenite::{
    Message as Theirs,
    protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    },
};

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
