//! A server on a loopback port, and a client that speaks in bytes.
#![allow(dead_code)] // each test binary uses a part
#![allow(unreachable_pub)]

#[cfg(unix)]
pub mod files;

use lakh_core::{Shard, ShardMetrics};
use lakh_http::{App, Limits, Running, Server};
use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// Ends a test that hangs; no test waits for it.
const SAFETY_NET: Duration = Duration::from_secs(20);

/// A server of one shard. Dropping it stops it.
pub struct TestServer {
    pub running: Running,
    pub addr: SocketAddr,
}

impl TestServer {
    pub fn start<S: 'static>(app: impl Fn(&Shard) -> App<S> + Send + Sync + 'static) -> Self {
        Self::with_limits(Limits::default(), app)
    }

    pub fn with_limits<S: 'static>(
        limits: Limits,
        app: impl Fn(&Shard) -> App<S> + Send + Sync + 'static,
    ) -> Self {
        let server = Server::new(app).shards(1).limits(limits);
        let running = server.bind("127.0.0.1:0").unwrap().start().unwrap();
        let addr = running.addrs()[0];
        TestServer { running, addr }
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.addr)
    }

    /// Sends `request` on a connection of its own and reads one answer.
    pub fn exchange(&self, request: impl AsRef<[u8]>) -> Answer {
        let mut client = self.connect();
        client.send(request);
        client.answer()
    }

    /// Requests in flight: begun, if only by a byte of their heads, and not done with.
    pub fn in_flight(&self) -> u64 {
        self.metrics().guards()
    }

    /// Waits until so many requests are in flight.
    pub fn wait_in_flight(&self, n: u64) {
        eventually(&format!("{n} requests in flight"), || self.in_flight() == n);
    }

    /// Waits until the shard has dealt with all that has come to it so far.
    ///
    /// What was ready before the first round is seen by the kernel's poller in that round at the
    /// latest, and makes a task's poll in the next one. If there was no such poll there is no such work.
    pub fn settle(&self) {
        eventually("the shard has nothing to do", || {
            let before = self.metrics().polls();
            (0..3).for_each(|_| self.round());
            self.metrics().polls() == before
        });
    }

    /// Turns of the shard's loop in `span`. They stand still while all connections wait.
    pub fn observe_for(&self, span: Duration) -> u64 {
        let before = self.metrics().turns();
        std::thread::sleep(span);
        self.metrics().turns() - before
    }

    /// Waits until no bytes move any more though they could be asked for: the kernels' buffers are full.
    ///
    /// The kernel moves bytes by itself for a while (an acknowledgement may be 40 ms late), and tells
    /// nobody that it has finished: only a span without a turn does.
    pub fn wait_until_nothing_moves(&self) {
        self.settle();
        eventually("nothing moves", || self.observe_for(Duration::from_millis(100)) == 0);
    }

    /// Waits for one more turn of the shard's loop.
    pub fn round(&self) {
        let (tell, told) = std::sync::mpsc::channel();
        let shard = self.running.shards().next().unwrap();
        shard.send(move |_| tell.send(()).unwrap()).unwrap();
        told.recv_timeout(SAFETY_NET).unwrap();
    }

    fn metrics(&self) -> &ShardMetrics {
        self.running.shards().next().unwrap().metrics()
    }
}

/// A blocking connection; reads what it is told to and keeps the rest.
pub struct Client {
    pub stream: TcpStream,
    unused: Vec<u8>,
}

/// An answer as it was on the wire, its body decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn says_close(&self) -> bool {
        self.field("connection") == Some("close")
    }
}

impl Client {
    pub fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(SAFETY_NET)).unwrap();
        stream.set_write_timeout(Some(SAFETY_NET)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream, unused: Vec::new() }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends what the server may refuse to read.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    pub fn finish_sending(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    pub fn exchange(&mut self, request: impl AsRef<[u8]>) -> Answer {
        self.send(request);
        self.answer()
    }

    /// Sends a request with these fields, and reads its answer; the body's length is added.
    pub fn ask(&mut self, method: &str, path: &str, fields: &[(&str, &str)], body: &str) -> Answer {
        let lines: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = match body.len() {
            0 => String::new(),
            length => format!("Content-Length: {length}\r\n"),
        };
        self.send(format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{lines}{length}\r\n{body}"));
        if method == "HEAD" { self.head() } else { self.answer() }
    }

    /// Reads one whole answer.
    pub fn answer(&mut self) -> Answer {
        let mut answer = self.head();
        answer.body = self.body(&answer);
        answer
    }

    /// Reads one answer to HEAD: a head and nothing behind it.
    pub fn head(&mut self) -> Answer {
        loop {
            if let Some((answer, used)) = parse_head(&self.unused) {
                self.unused.drain(..used);
                return answer;
            }
            assert!(self.read_more(), "closed in a head: {:?}", String::from_utf8_lossy(&self.unused));
        }
    }

    pub fn body(&mut self, head: &Answer) -> Vec<u8> {
        if head.field("transfer-encoding") == Some("chunked") {
            return self.chunks();
        }
        if head.status < 200 || matches!(head.status, 204 | 304) {
            return Vec::new();
        }
        match head.field("content-length") {
            Some(length) => self.take(length.parse().unwrap()),
            None => self.rest(),
        }
    }

    fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let size = usize::from_str_radix(&self.line(), 16).unwrap();
            body.extend(self.take(size));
            assert_eq!(self.line(), "", "a chunk's end");
            if size == 0 {
                return body;
            }
        }
    }

    fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.unused.windows(2).position(|two| two == b"\r\n") {
                let line = String::from_utf8(self.unused[..end].to_vec()).unwrap();
                self.unused.drain(..end + 2);
                return line;
            }
            assert!(self.read_more(), "closed in a line");
        }
    }

    /// Exactly so many bytes.
    pub fn take(&mut self, n: usize) -> Vec<u8> {
        while self.unused.len() < n {
            assert!(self.read_more(), "closed after {} of {n} bytes", self.unused.len());
        }
        let rest = self.unused.split_off(n);
        std::mem::replace(&mut self.unused, rest)
    }

    /// All bytes up to the connection's end, in whatever way it ends.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.read_more() {}
        std::mem::take(&mut self.unused)
    }

    /// The connection ends, and nothing comes before that.
    pub fn expect_close(&mut self) {
        let rest = self.rest();
        assert_eq!(String::from_utf8_lossy(&rest), "", "nothing before the end");
    }

    /// Nothing comes for a while.
    pub fn expect_silence(&mut self, time: Duration) {
        assert_eq!(String::from_utf8_lossy(&self.unused), "");
        self.stream.set_read_timeout(Some(time)).unwrap();
        let mut byte = [0];
        let error = self.stream.read(&mut byte).expect_err("silence");
        assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
        self.stream.set_read_timeout(Some(SAFETY_NET)).unwrap();
    }

    /// False at the connection's end.
    fn read_more(&mut self) -> bool {
        let mut buffer = [0; 64 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(n) => {
                self.unused.extend_from_slice(&buffer[..n]);
                n > 0
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            Err(error) => panic!("{error}; so far: {:?}", String::from_utf8_lossy(&self.unused)),
        }
    }
}

fn parse_head(bytes: &[u8]) -> Option<(Answer, usize)> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut fields);
    let used = match response.parse(bytes).expect("a head that parses") {
        httparse::Status::Complete(used) => used,
        httparse::Status::Partial => return None,
    };
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let fields = response.headers.iter().map(|field| (field.name.to_owned(), text(field.value))).collect();
    Some((Answer { status: response.code.unwrap(), fields, body: Vec::new() }, used))
}

/// Waits until `done`, which must come true soon.
pub fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < SAFETY_NET, "{what}");
        std::thread::sleep(Duration::from_micros(500));
    }
}

/// What makes a slow peer slow, where that is the subject. Nothing may be hoped to happen meanwhile.
pub fn pause_of_a_slow_peer(time: Duration) {
    std::thread::sleep(time);
}

/// A GET request for `path`.
pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}
