//! A server of a few WebSocket routes, and a client that speaks in frames and bytes.
#![allow(dead_code, unreachable_pub)] // each test binary uses a part

use lakh_core::Shard;
use lakh_http::{App, testing::TestServer};
use lakh_ws::{
    CallbackHandler, Callbacks, CloseCode, CloseInfo, Config, Payload, Socket, WebSocket, WebSocketRoutes,
    callbacks,
    proto::{
        FrameHead, Opcode, Rules,
        encode::{self, ClosePayload},
    },
};
use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::mpsc,
    time::{Duration, Instant},
};

/// Ends a test that hangs; no test waits for it.
pub const SAFETY_NET: Duration = Duration::from_secs(30);

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Waits until the condition holds.
#[track_caller]
pub fn eventually(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < SAFETY_NET, "never: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What a client does that is slow, or leaves the machine some time between two messages.
pub fn pause_of_a_client(time: Duration) {
    std::thread::sleep(time);
}

/// Sends back what comes.
pub async fn echo(mut socket: WebSocket) {
    while let Some(message) = socket.recv().await {
        if socket.send(message).await.is_err() {
            break;
        }
    }
}

/// As [`echo`], without a future.
pub struct Echo;

impl Callbacks for Echo {
    fn on_message(&mut self, socket: &Socket, message: Payload<'_>) {
        let _ = socket.send(message);
    }
}

/// Echoes in both styles, on [`STYLES`].
pub fn echoes(config: &Config) -> App {
    App::new().ws_with("/async", config.clone(), echo).ws_with(
        "/callbacks",
        config.clone(),
        callbacks(|| Echo),
    )
}

pub const STYLES: [&str; 2] = ["/async", "/callbacks"];

/// A server of [`echoes`].
pub fn echo_server(config: Config) -> TestServer {
    TestServer::start(move |_| echoes(&config))
}

/// A handler that tells how its connections end.
pub fn tells_the_end(ends: mpsc::Sender<CloseInfo>) -> CallbackHandler<impl Fn() -> TellsTheEnd + 'static> {
    callbacks(move || TellsTheEnd(ends.clone()))
}

/// Sends back what comes, and tells how it ends.
pub struct TellsTheEnd(mpsc::Sender<CloseInfo>);

impl Callbacks for TellsTheEnd {
    fn on_message(&mut self, socket: &Socket, message: Payload<'_>) {
        let _ = socket.send(message);
    }

    fn on_close(&mut self, _: &Socket, info: &CloseInfo) {
        let _ = self.0.send(info.clone());
    }
}

/// Nothing is left of connections on any shard: descriptors, tasks and what a drain waits for.
pub struct Left(Vec<(u64, u64, u64)>);

impl Left {
    /// What there is without a client.
    pub fn of(server: &TestServer) -> Self {
        let listens = |shard: &lakh_core::ShardHandle| shard.metrics().sources() > 0;
        eventually("all shards listen", || server.running().shards().all(listens));
        // They count what they have once a turn.
        server.running().shards().for_each(|shard| round(shard, 2));
        Left(Self::now(server))
    }

    fn now(server: &TestServer) -> Vec<(u64, u64, u64)> {
        let metrics = server.running().shards().map(|shard| shard.metrics());
        metrics.map(|metrics| (metrics.sources(), metrics.tasks(), metrics.guards())).collect()
    }

    #[track_caller]
    pub fn expect_the_same(&self, server: &TestServer) {
        let begun = Instant::now();
        loop {
            server.running().shards().for_each(|shard| round(shard, 2));
            let now = Self::now(server);
            if now == self.0 {
                return;
            }
            assert!(begun.elapsed() < SAFETY_NET, "{now:?} are left, and were {:?}", self.0);
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Waits for so many turns of a shard's loop.
pub fn round(shard: &lakh_core::ShardHandle, turns: usize) {
    for _ in 0..turns {
        let (tell, told) = mpsc::channel();
        shard.send(move |_: &Shard| tell.send(()).unwrap()).unwrap();
        told.recv_timeout(SAFETY_NET).unwrap();
    }
}

/// Runs `f` on the server's first shard.
pub fn on_shard<R: Send + 'static>(server: &TestServer, f: impl FnOnce() -> R + Send + 'static) -> R {
    let (tell, told) = mpsc::channel();
    let shard = server.running().shards().next().unwrap();
    shard.send(move |_: &Shard| tell.send(f()).unwrap()).unwrap();
    told.recv_timeout(SAFETY_NET).unwrap()
}

/// A frame of the server's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub opcode: Opcode,
    pub compressed: bool,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn text(text: &str) -> Self {
        Frame { opcode: Opcode::Text, compressed: false, payload: text.into() }
    }
}

/// A blocking connection.
pub struct Client {
    pub stream: TcpStream,
    unused: Vec<u8>,
    /// The answer's head.
    pub head: String,
}

/// A handshake as clients send it; `fields` are whole lines.
pub fn handshake(path: &str, fields: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{fields}\r\n"
    )
}

impl Client {
    #[track_caller]
    pub fn open(server: &TestServer, path: &str) -> Self {
        Self::open_with(server, path, "", b"")
    }

    /// `behind` is sent together with the handshake.
    #[track_caller]
    pub fn open_with(server: &TestServer, path: &str, fields: &str, behind: &[u8]) -> Self {
        let request = [handshake(path, fields).as_bytes(), behind].concat();
        let client = Self::ask(server.addr(), &request);
        assert!(client.head.starts_with("HTTP/1.1 101 "), "{}", client.head);
        client
    }

    /// A client whose kernel takes little that it does not read.
    #[track_caller]
    pub fn open_narrow(server: &TestServer, path: &str) -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.connect(&server.addr().into()).unwrap();
        let client = Self::ask_on(socket.into(), handshake(path, "").as_bytes());
        assert_eq!(client.status(), 101);
        client
    }

    /// Sends a request and reads the answer's head.
    #[track_caller]
    pub fn ask(addr: SocketAddr, request: &[u8]) -> Self {
        Self::ask_on(TcpStream::connect(addr).unwrap(), request)
    }

    #[track_caller]
    fn ask_on(stream: TcpStream, request: &[u8]) -> Self {
        stream.set_read_timeout(Some(SAFETY_NET)).unwrap();
        stream.set_write_timeout(Some(SAFETY_NET)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut client = Client { stream, unused: Vec::new(), head: String::new() };
        client.send_bytes(request);
        client.read_head();
        client
    }

    #[track_caller]
    pub fn read_head(&mut self) {
        let end = loop {
            if let Some(at) = self.unused.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(self.fill(), "no answer: {}", self.unused.escape_ascii());
        };
        self.head = String::from_utf8(self.unused.drain(..end).collect()).unwrap();
    }

    /// Takes bytes as they are.
    #[track_caller]
    pub fn take(&mut self, len: usize) -> Vec<u8> {
        while self.unused.len() < len {
            assert!(self.fill(), "the end came first");
        }
        self.unused.drain(..len).collect()
    }

    pub fn status(&self) -> u16 {
        self.head[9..12].parse().unwrap()
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    #[track_caller]
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    #[track_caller]
    pub fn send(&mut self, opcode: Opcode, payload: &[u8]) {
        self.send_bytes(&frame(opcode, payload));
    }

    #[track_caller]
    pub fn text(&mut self, text: &str) {
        self.send(Opcode::Text, text.as_bytes());
    }

    #[track_caller]
    pub fn close(&mut self, code: u16, reason: &str) {
        self.send_bytes(&close_frame(code, reason));
    }

    /// The next frame; `None` at the end of the connection.
    #[track_caller]
    pub fn frame(&mut self) -> Option<Frame> {
        let rules = Rules { deflate: true, max_message: usize::MAX, ..Rules::client() };
        loop {
            let head = FrameHead::parse(&self.unused, &rules, false).expect("a frame in order");
            if let Some((head, at)) = head {
                let end = at + usize::try_from(head.len).unwrap();
                if self.unused.len() >= end {
                    assert!(head.fin, "a server does not fragment");
                    let payload = self.unused.drain(..end).skip(at).collect();
                    return Some(Frame { opcode: head.opcode, compressed: head.compressed, payload });
                }
            }
            if !self.fill() {
                assert!(self.unused.is_empty(), "half a frame: {}", self.unused.escape_ascii());
                return None;
            }
        }
    }

    #[track_caller]
    pub fn expect(&mut self, opcode: Opcode, payload: impl AsRef<[u8]>) {
        let frame = self.frame().expect("a frame, not the end");
        let (payload, is) = (payload.as_ref(), frame.payload);
        assert_eq!(frame.opcode, opcode, "{}", is.escape_ascii());
        assert!(is == payload, "{} in place of {}", is.escape_ascii(), payload.escape_ascii());
    }

    #[track_caller]
    pub fn expect_text(&mut self, text: &str) {
        self.expect(Opcode::Text, text);
    }

    /// The connection answers.
    #[track_caller]
    pub fn expect_alive(&mut self) {
        self.send(Opcode::Ping, b"alive?");
        self.expect(Opcode::Pong, "alive?");
    }

    /// A close frame with this code comes next, and nothing behind it but the end. Its reason.
    #[track_caller]
    pub fn expect_close(&mut self, code: u16) -> String {
        let reason = self.expect_close_frame(code);
        self.expect_end();
        reason
    }

    #[track_caller]
    pub fn expect_close_frame(&mut self, code: u16) -> String {
        let frame = self.frame().expect("a close frame, not the end");
        assert_eq!(frame.opcode, Opcode::Close, "{}", frame.payload.escape_ascii());
        let (sent, reason) = match frame.payload.split_first_chunk::<2>() {
            Some((code, reason)) => (u16::from_be_bytes(*code), reason.to_vec()),
            None => (1005, Vec::new()),
        };
        let reason = String::from_utf8(reason).unwrap();
        assert_eq!(sent, code, "{reason}");
        reason
    }

    #[track_caller]
    pub fn expect_end(&mut self) {
        assert_eq!(self.frame(), None);
    }

    /// The connection ends, by whatever; what came before that is dropped.
    pub fn wait_for_end(&mut self) {
        let mut buffer = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub fn finish_sending(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Reads once; false at the end.
    #[track_caller]
    fn fill(&mut self) -> bool {
        let mut buffer = [0; 64 * 1024];
        let n = self.stream.read(&mut buffer).expect("bytes in time");
        self.unused.extend_from_slice(&buffer[..n]);
        n > 0
    }
}

/// A whole message or a control frame of a client's.
pub fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    fragment(opcode, payload, true)
}

pub fn fragment(opcode: Opcode, payload: &[u8], fin: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let head = FrameHead { mask: Some(KEY), fin, ..FrameHead::new(opcode, payload.len()) };
    encode::write_frame(&mut out, head, payload);
    out
}

pub fn compressed(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let head = FrameHead { mask: Some(KEY), compressed: true, ..FrameHead::new(opcode, payload.len()) };
    encode::write_frame(&mut out, head, payload);
    out
}

pub fn close_frame(code: u16, reason: &str) -> Vec<u8> {
    frame(Opcode::Close, &ClosePayload::new(CloseCode::from(code), reason))
}
