//! Servers that are written by hand, for our client.
#![allow(dead_code, unreachable_pub)] // each test binary uses a part

use lakh_core::{block_on, timeout};
use lakh_ws::{
    Connect,
    proto::{Decoder, Event, Opcode, Rules, encode},
};
use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread::{self, JoinHandle},
    time::Duration,
};
use tungstenite::handshake::derive_accept_key;

/// Only a test that fails waits for so long.
pub const SAFETY_NET: Duration = Duration::from_secs(60);

/// A server of one connection, on a thread.
pub fn serve(peer: impl FnOnce(TcpStream) + Send + 'static) -> (SocketAddr, JoinHandle<()>) {
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

pub fn run<F: Future<Output = ()> + 'static>(client: F) {
    block_on(async { timeout(SAFETY_NET, client).await.expect("the client hangs") }).unwrap();
}

/// Runs a client against a server of its own; a panic of either fails the test.
pub fn run_with<F: Future<Output = ()> + 'static>(
    peer: impl FnOnce(TcpStream) + Send + 'static,
    client: impl FnOnce(Connect) -> F,
) {
    let (addr, thread) = serve(peer);
    run(client(Connect::new(format!("ws://{addr}/path"))));
    thread.join().unwrap();
}

pub fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// The answer that opens a WebSocket.
pub fn answer_to(head: &str) -> String {
    let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).unwrap();
    let accept = derive_accept_key(key.as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
}

pub fn accept(stream: &mut TcpStream) {
    let answer = answer_to(&read_head(stream));
    stream.write_all(answer.as_bytes()).unwrap();
}

pub fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    encode::write(&mut frame, opcode, payload);
    frame
}

/// Reads a client's frames one by one.
#[derive(Default)]
pub struct Frames {
    decoder: Decoder,
    unread: Vec<u8>,
}

impl Frames {
    pub fn next(&mut self, stream: &mut TcpStream) -> Event<'static> {
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
pub fn expect_end(mut stream: TcpStream) {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => assert!(rest.is_empty(), "{rest:?} before the end"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

pub fn tungstenite_echo(stream: TcpStream) {
    let mut socket = tungstenite::accept(stream).unwrap();
    while let Ok(message) = socket.read() {
        if message.is_text() || message.is_binary() {
            socket.send(message).unwrap();
        }
    }
}
