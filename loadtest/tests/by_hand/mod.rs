//! Servers that are written by hand, with whatever fault a test wants.
#![allow(dead_code, unreachable_pub)] // each test binary uses a part

use lakh_loadtest::{
    Outcome, Plan, Run, Stop,
    plan::{Pace, Target},
    stats::Cause,
};
use std::{
    io::{self, BufRead, BufReader, Cursor, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc,
    thread,
    time::Duration,
};
use tungstenite::{
    handshake::derive_accept_key,
    protocol::frame::{
        FrameHeader,
        coding::{Control, Data, OpCode},
    },
};

/// Ends a test that hangs; no test waits for it.
pub const SAFETY_NET: Duration = Duration::from_secs(60);

/// A run against `addr`, with one request at a time, that ends by what it has done.
pub fn plan(scheme: &str, addr: SocketAddr) -> Plan {
    Plan {
        connections: 4,
        shards: 2,
        duration: SAFETY_NET,
        pace: Pace::Closed { pipelined: 1 },
        ..Plan::new(Target::parse(&format!("{scheme}://{addr}/")).unwrap())
    }
}

pub fn run(plan: Plan) -> Outcome {
    Run::start(plan).unwrap().finish(&Stop::default(), |_| {})
}

/// As [`run`], until something comes through `enough`.
pub fn run_until<T>(plan: Plan, enough: &mpsc::Receiver<T>) -> (Outcome, T) {
    let run = Run::start(plan).unwrap();
    let stop = Stop::default();
    thread::scope(|scope| {
        let outcome = scope.spawn(|| run.finish(&stop, |_| {}));
        let enough = enough.recv_timeout(SAFETY_NET);
        stop.stop();
        (outcome.join().unwrap(), enough.expect("what the test waits for"))
    })
}

/// Why things failed, by what the report calls it, and how often.
#[track_caller]
pub fn assert_failures(outcome: &Outcome, expected: &[(Cause, u64)]) {
    let all: Vec<_> = outcome.tally.failures.causes().collect();
    assert_eq!(all, expected, "{:?}", outcome.tally.failures);
}

/// A server whose connections are served by `serve`, each on a thread of its own.
pub fn serve(serve: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let serve = std::sync::Arc::new(serve);
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let serve = std::sync::Arc::clone(&serve);
            // Connections end as the clients like.
            thread::spawn(move || drop(serve(stream)));
        }
    });
    addr
}

/// The server's end of a WebSocket.
pub struct Ws {
    stream: BufReader<TcpStream>,
    /// The handshake's.
    pub head: String,
}

impl Ws {
    /// Reads the request and agrees.
    pub fn accept(stream: TcpStream) -> io::Result<Ws> {
        let mut ws = Ws { stream: BufReader::new(stream), head: String::new() };
        ws.head = ws.read_head()?;
        let key = ws.head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
        let accept = derive_accept_key(key.as_bytes());
        ws.write(
            format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Accept: {accept}\r\n\r\n"
            )
            .as_bytes(),
        )?;
        Ok(ws)
    }

    fn read_head(&mut self) -> io::Result<String> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(head)
    }

    /// The next frame, which has a mask; its content is without.
    pub fn read(&mut self) -> io::Result<(OpCode, Vec<u8>)> {
        let mut header = Vec::new();
        let (header, len) = loop {
            let mut byte = [0];
            self.stream.read_exact(&mut byte)?;
            header.push(byte[0]);
            if let Some(parsed) = FrameHeader::parse(&mut Cursor::new(&header)).unwrap() {
                break parsed;
            }
        };
        let mut payload = vec![0; len as usize];
        self.stream.read_exact(&mut payload)?;
        let mask = header.mask.expect("a client's frame has a mask");
        payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
        Ok((header.opcode, payload))
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    pub fn send(&mut self, opcode: OpCode, payload: &[u8]) -> io::Result<()> {
        self.write(&frame(opcode, payload))
    }

    /// A handle to write by.
    pub fn writer(&self) -> io::Result<TcpStream> {
        self.stream.get_ref().try_clone()
    }
}

/// A frame as servers send it.
pub fn frame(opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    FrameHeader { opcode, ..FrameHeader::default() }.format(payload.len() as u64, &mut bytes).unwrap();
    bytes.extend_from_slice(payload);
    bytes
}

pub const TEXT: OpCode = OpCode::Data(Data::Text);
pub const BINARY: OpCode = OpCode::Data(Data::Binary);
pub const PING: OpCode = OpCode::Control(Control::Ping);
pub const PONG: OpCode = OpCode::Control(Control::Pong);
pub const CLOSE: OpCode = OpCode::Control(Control::Close);
