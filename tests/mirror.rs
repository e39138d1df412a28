//! The mirror example as its users run it: the binary, its flags, its signals.
#![cfg(unix)]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

fn binary() -> PathBuf {
    // target/debug/deps/mirror-… → target/debug/examples/mirror
    let test = std::env::current_exe().unwrap();
    let path = test.parent().unwrap().parent().unwrap().join("examples/mirror");
    assert!(path.exists(), "{} is missing: cargo build --examples", path.display());
    path
}

struct Mirror {
    child: Child,
    addr: SocketAddr,
}

impl Mirror {
    fn start() -> Self {
        let mut child = Command::new(binary())
            .args(["--listen", "127.0.0.1:0", "--shards", "2"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let addr = line.trim_end().strip_prefix("listening on http://").expect("where it listens");
        Mirror { addr: addr.parse().unwrap(), child }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// Sends a request that ends its connection; gives head and body of the answer.
    fn ask(&self, request: &str) -> (String, Vec<u8>) {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        read_to_end(stream)
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        // It has ended already where that is tested.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_to_end(mut stream: TcpStream) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
    (String::from_utf8(bytes[..end].to_vec()).unwrap(), bytes[end..].to_vec())
}

fn close(line: &str, rest: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{rest}")
}

#[test]
fn every_method_but_connect_gets_its_body_back() {
    let mirror = Mirror::start();
    for method in ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"] {
        let request = close(&format!("{method} /any/path?q"), "Content-Length: 5\r\n\r\nhello");
        let (head, body) = mirror.ask(&request);
        assert!(head.starts_with("HTTP/1.1 200 "), "{method}: {head}");
        assert_eq!(body, b"hello");
    }
    for method in ["GET", "HEAD"] {
        let (head, body) = mirror.ask(&close(&format!("{method} /"), "\r\n"));
        assert!(head.starts_with("HTTP/1.1 200 ") && body.is_empty());
    }
    let (head, _) = mirror.ask("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 405 "), "{head}");
    let (head, _) = mirror.ask(&close("POST /", "Transfer-Encoding: chunked\r\n\r\n5\r\nhellox\r\n"));
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
}

#[test]
fn header_lines_and_cookies_are_listed() {
    let mirror = Mirror::start();
    let (_, body) = mirror.ask(&close("GET /echo", "X-One: 1\r\nx-two:  2 \r\n\r\n"));
    assert_eq!(String::from_utf8(body).unwrap(), "Host: a\nConnection: close\nX-One: 1\nx-two: 2\n");
    let (_, body) = mirror.ask(&close("GET /cookie", "Cookie: a=1; b=2;junk\r\ncookie: c=3=4\r\n\r\n"));
    assert_eq!(String::from_utf8(body).unwrap(), "a=1\nb=2\nc=3=4\n");
    let (head, body) = mirror.ask(&close("GET /cookie", "\r\n"));
    assert!(head.starts_with("HTTP/1.1 200 ") && body.is_empty());
}

/// Decodes a whole chunked body.
fn unchunk(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let line = bytes.windows(2).position(|two| two == b"\r\n").expect("a chunk's size");
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..line]).unwrap(), 16).unwrap();
        body.extend_from_slice(&bytes[line + 2..line + 2 + size]);
        bytes = &bytes[line + 2 + size + 2..];
        if size == 0 {
            return body;
        }
    }
}

#[test]
fn a_large_body_comes_back_while_it_is_sent_and_takes_no_memory() {
    const LEN: usize = 64 << 20;
    let mirror = Mirror::start();
    let mut stream = mirror.connect();
    stream.write_all(close("POST /", &format!("Content-Length: {LEN}\r\n\r\n")).as_bytes()).unwrap();
    let mut sender = stream.try_clone().unwrap();
    let sending = std::thread::spawn(move || {
        let block: Vec<u8> = (0..1 << 20).map(|n| (n % 251) as u8).collect();
        (0..LEN >> 20).for_each(|_| sender.write_all(&block).unwrap());
    });
    let (head, body) = read_to_end(stream);
    sending.join().unwrap();
    assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
    let body = unchunk(&body);
    assert_eq!(body.len(), LEN);
    assert!(body.iter().enumerate().all(|(at, &byte)| byte == (at % (1 << 20) % 251) as u8));
    let status = std::fs::read_to_string(format!("/proc/{}/status", mirror.child.id())).unwrap_or_default();
    if let Some(peak) = status.lines().find_map(|line| line.strip_prefix("VmHWM:")) {
        let kib: usize = peak.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(kib < 48 * 1024, "{kib} KiB at most resident");
    }
}

#[test]
fn sigterm_finishes_the_request_in_flight_and_exits_with_0() {
    let mut mirror = Mirror::start();
    let mut stream = mirror.connect();
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut interim = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
    stream.read_exact(&mut interim).unwrap(); // which proves that the request is in flight
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"hello").unwrap();
    let mut idle = mirror.connect();
    idle.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(idle.read(&mut [0; 1024]).unwrap() > 0);
    mirror.signal("-TERM");
    assert_eq!(idle.read(&mut [0; 1]).unwrap(), 0, "idle connections end at once");
    stream.write_all(b"world").unwrap();
    let (head, body) = read_to_end(stream);
    assert!(head.contains("connection: close\r\n"), "{head}");
    assert_eq!(body, b"helloworld");
    assert_eq!(mirror.child.wait().unwrap().code(), Some(0));
}
